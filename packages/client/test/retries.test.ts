import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { AgentRuntimeClient, type Config } from '../src/index.ts';
import { beginStream, listen, readBody } from './listen.ts';

const messages = [{ role: 'user', content: 'Hi' }];
const accessKey = { accessKeyId: 'testak', accessKeySecret: 'testsk' };
const create = { agentRuntimeName: 'a', codeConfiguration: {} };

interface Seen {
  method: string;
  url: string;
  headers: IncomingMessage['headers'];
  body: string;
}
type Answer = (response: ServerResponse, seen: Seen) => void;

const ok: Answer = (response) => response.end('{"data":{"agentRuntimeId":"r1"},"choices":[]}');
const fail =
  (status: number, headers: Record<string, string> = { 'retry-after': '0' }): Answer =>
  (response) => {
    response.writeHead(status, headers);
    response.end('{"code":"ERR_X","message":"not now"}');
  };
const cut: Answer = (response) => response.socket?.destroy();

/** A server that gives these answers in turn, the last one for ever. */
async function serverWith(answers: Answer[], config: Config = {}) {
  const seen: Seen[] = [];
  const baseUrl = await listen(async (request, response) => {
    const { method = '', url = '', headers } = request;
    seen.push({ method, url, headers, body: await readBody(request) });
    answers[Math.min(seen.length, answers.length) - 1]!(response, seen.at(-1)!);
  });
  return { client: new AgentRuntimeClient({ baseUrl, apiKey: 'rsk_test', ...config }), seen, baseUrl };
}

describe('a call that may be repeated', () => {
  it.each<[string, (client: AgentRuntimeClient) => Promise<unknown>]>([
    ['get', (client) => client.get('r1')],
    ['list', (client) => client.list()],
    ['update', (client) => client.update('r1', { cpu: 1 })],
    ['delete', (client) => client.delete('r1')],
    ['create', (client) => client.create(create)],
    ['createEndpoint', (client) => client.createEndpoint('r1', { agentRuntimeEndpointName: 'e' })],
    ['publishVersion', (client) => client.publishVersion('r1')],
  ])('%s is made again, the same each time', async (_, call) => {
    const { client, seen } = await serverWith([fail(503), cut, ok]);
    await call(client);
    expect(seen).toHaveLength(3);
    for (const { method, url, body, headers } of seen) {
      expect({ method, url, body }).toEqual({
        method: seen[0]!.method,
        url: seen[0]!.url,
        body: seen[0]!.body,
      });
      expect(headers['idempotency-key']).toBe(seen[0]!.headers['idempotency-key']);
    }
  });

  it('is made again when the answer breaks off halfway', async () => {
    const halfway: Answer = (response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('{"data":', () => response.socket?.destroy());
    };
    const { client, seen } = await serverWith([halfway, ok]);
    expect(await client.get('r1')).toEqual({ agentRuntimeId: 'r1' });
    expect(seen).toHaveLength(2);
  });

  it('is signed anew each time', async () => {
    const { client, seen } = await serverWith([fail(503), ok], { apiKey: undefined, ...accessKey });
    await client.get('r1');
    expect(seen).toHaveLength(2);
    expect(seen[0]!.headers['x-acs-signature-nonce']).not.toBe(seen[1]!.headers['x-acs-signature-nonce']);
    expect(seen[0]!.headers.authorization).not.toBe(seen[1]!.headers.authorization);
  });

  it('gives the last error when it has failed often enough', async () => {
    const { client, seen } = await serverWith([fail(503), fail(502), fail(500)]);
    await expect(client.get('r1')).rejects.toMatchObject({ name: 'ServerError', statusCode: 500 });
    expect(seen).toHaveLength(3);
  });

  it.each([
    [{ maxRetries: 0 }, {}, 1],
    [{ maxRetries: 0 }, { maxRetries: 1 }, 2],
    [{ maxRetries: 5 }, {}, 6],
  ])('%o, call %o: %d attempts', async (ofClient, ofCall, attempts) => {
    const { client, seen } = await serverWith([fail(503)], ofClient);
    await expect(client.get('r1', ofCall)).rejects.toMatchObject({ statusCode: 503 });
    expect(seen).toHaveLength(attempts);
  });

  it.each([-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, '2' as unknown as number])(
    'refuses maxRetries %s',
    async (maxRetries) => {
      const { client, seen } = await serverWith([ok], { maxRetries });
      await expect(client.get('r1')).rejects.toMatchObject({
        name: 'ValueError',
        message: `maxRetries must be a whole number from 0: ${maxRetries}`,
      });
      expect(seen).toEqual([]);
    },
  );

  it.each([400, 401, 404, 409, 501, 507])('%d is not made again', async (status) => {
    const { client, seen } = await serverWith([fail(status, {})]);
    await expect(client.get('r1')).rejects.toMatchObject({ statusCode: status });
    expect(seen).toHaveLength(1);
  });

  it('a name that is taken is not asked for again', async () => {
    const taken: Answer = (response) => {
      response.writeHead(409);
      response.end('{"code":"ERR_ALREADY_EXISTS","message":"a already exists"}');
    };
    const { client, seen } = await serverWith([taken]);
    await expect(client.create(create)).rejects.toMatchObject({ name: 'ResourceAlreadyExistError' });
    expect(seen).toHaveLength(1);
  });

  it('an answer that is no answer of this API is not asked for again', async () => {
    const { client, seen } = await serverWith([(response) => response.end('<html>')]);
    await expect(client.get('r1')).rejects.toMatchObject({ name: 'InvalidResponseError' });
    expect(seen).toHaveLength(1);
  });
});

describe('the end of the retries', () => {
  it('comes at once with the signal, in the middle of a pause', async () => {
    const controller = new AbortController();
    const later = fail(503, { 'retry-after': '50' });
    const { client, seen } = await serverWith([
      (response, request) => {
        later(response, request);
        response.on('close', () => setImmediate(() => controller.abort('enough')));
      },
    ]);
    await expect(client.get('r1', { signal: controller.signal })).rejects.toMatchObject({
      name: 'AbortError',
      cause: 'enough',
    });
    expect(seen).toHaveLength(1);
  });

  it('comes with the error at hand where the pause would outlast the time', async () => {
    const { client, seen } = await serverWith([fail(503, { 'retry-after': '50' })], { timeout: 40_000 });
    await expect(client.get('r1')).rejects.toMatchObject({ statusCode: 503, retryAfterMs: 50_000 });
    expect(seen).toHaveLength(1);
  });

  it('comes with the time for all attempts together', async () => {
    const { client, seen } = await serverWith([fail(503), () => {}], { timeout: 1000 });
    await expect(client.get('r1')).rejects.toMatchObject({ name: 'TimeoutError', timeoutMs: 1000 });
    expect(seen).toHaveLength(2);
  });

  it('comes with the server’s word that it takes too long', async () => {
    const { client, seen } = await serverWith([fail(429, { 'retry-after': '3600' })]);
    await expect(client.get('r1')).rejects.toMatchObject({ statusCode: 429, retryAfterMs: 3_600_000 });
    expect(seen).toHaveLength(1);
  });
});

describe('a create', () => {
  const unknown = { apiKey: undefined, ...accessKey };

  it('is made once where the server is not known to honour keys', async () => {
    for (const answer of [fail(503), cut]) {
      const { client, seen } = await serverWith([answer], unknown);
      await expect(client.create(create)).rejects.toMatchObject({ name: expect.stringMatching(/Error$/) });
      expect(seen).toHaveLength(1);
      expect(seen[0]!.headers).not.toHaveProperty('idempotency-key');
    }
  });

  it('has a key of its own, and is made again, once an answer said that keys are honoured', async () => {
    const withFeature: Answer = (response, seen) => {
      response.setHeader('x-runstead-features', 'other, idempotency-key');
      ok(response, seen);
    };
    const { client, seen } = await serverWith([withFeature, cut, ok, ok], unknown);
    await client.get('r1');
    await client.create(create);
    await client.create(create);
    const keys = seen.slice(1).map(({ headers }) => headers['idempotency-key']);
    expect(keys[0]).toMatch(/^[0-9a-f-]{36}$/);
    expect(keys[1]).toBe(keys[0]);
    expect(keys[2]).not.toBe(keys[0]);
  });

  it("sends the caller's key to any server, and repeats only where it is honoured", async () => {
    const known = await serverWith([cut, ok]);
    await known.client.create(create, { idempotencyKey: 'mine' });
    expect(known.seen.map(({ headers }) => headers['idempotency-key'])).toEqual(['mine', 'mine']);

    const { client, seen } = await serverWith([cut, ok], unknown);
    await expect(client.create(create, { idempotencyKey: 'mine' })).rejects.toMatchObject({
      name: 'ConnectionError',
    });
    expect(seen.map(({ headers }) => headers['idempotency-key'])).toEqual(['mine']);
  });

  it('learns from the failed answer itself that its key is honoured', async () => {
    const failing: Answer = (response, seen) => {
      response.setHeader('x-runstead-features', 'idempotency-key');
      fail(503)(response, seen);
    };
    const { client, seen } = await serverWith([failing, ok], unknown);
    await client.create(create, { idempotencyKey: 'mine' });
    expect(seen).toHaveLength(2);
  });

  it('has no key for a path beyond the contract, unless the caller gives one', async () => {
    const { client, seen } = await serverWith([ok, cut, cut, ok]);
    await client.request('POST', '/runstead/v1/keys');
    expect(seen[0]!.headers).not.toHaveProperty('idempotency-key');
    await expect(client.request('POST', '/runstead/v1/keys')).rejects.toMatchObject({
      name: 'ConnectionError',
    });
    expect(seen).toHaveLength(2);
    await client.request('POST', '/runstead/v1/keys', {}, { idempotencyKey: 'mine' });
    expect(seen).toHaveLength(4);
  });

  it('refuses a key that cannot be sent, and takes an empty one for none', async () => {
    const { client, seen } = await serverWith([ok], unknown);
    await expect(client.create(create, { idempotencyKey: 'a\nb' })).rejects.toMatchObject({
      name: 'ValueError',
      message: expect.stringContaining('idempotencyKey'),
    });
    expect(seen).toEqual([]);
    await client.create(create, { idempotencyKey: '' });
    expect(seen[0]?.headers).not.toHaveProperty('idempotency-key');
  });

  it('refuses one key for all its calls', () => {
    const config = { idempotencyKey: 'mine' } as Config;
    expect(() => new AgentRuntimeClient(config)).toThrow(/idempotencyKey belongs to one call/);
    expect(() => new AgentRuntimeClient().withConfig(config)).toThrow(/idempotencyKey belongs to one call/);
  });
});

describe('a call to an agent', () => {
  const invoke = (client: AgentRuntimeClient) => client.invokeOpenai('hello', undefined, { messages });

  it.each([503, 429])('is made again after %d of the platform that says when', async (status) => {
    const { client, seen } = await serverWith([
      fail(status, { 'x-runstead-error-origin': 'platform', 'retry-after': '0' }),
      ok,
    ]);
    await invoke(client);
    expect(seen).toHaveLength(2);
  });

  it.each<[string, Answer]>([
    ['500', fail(500)],
    ['502 of the platform', fail(502, { 'x-runstead-error-origin': 'platform', 'retry-after': '0' })],
    ['503 that nobody signs', fail(503)],
    ['503 of the agent', fail(503, { 'x-runstead-error-origin': 'agent', 'retry-after': '0' })],
    ['503 of the platform without a time', fail(503, { 'x-runstead-error-origin': 'platform' })],
    ['a connection that broke off', cut],
  ])('is made once: %s', async (_, answer) => {
    const { client, seen } = await serverWith([answer]);
    await expect(invoke(client)).rejects.toMatchObject({ name: expect.stringMatching(/Error$/) });
    expect(seen).toHaveLength(1);
  });

  it('is made again where nobody took the connection', async () => {
    const agent = await serverWith([ok]);
    const vacant = createServer();
    await new Promise<void>((resolve) => vacant.listen(0, '127.0.0.1', resolve));
    const { port } = vacant.address() as { port: number };
    await new Promise((resolve) => vacant.close(resolve));
    const asked: string[] = [];
    const doFetch = ((url: string, init: RequestInit) => {
      asked.push(url);
      const refused = new URL(url);
      refused.port = String(port);
      return fetch(asked.length < 3 ? refused : url, init);
    }) as typeof fetch;
    await invoke(new AgentRuntimeClient({ baseUrl: agent.baseUrl, apiKey: 'rsk_test', fetch: doFetch }));
    expect(asked).toHaveLength(3);
    expect(agent.seen).toHaveLength(1);
  });

  it('is never made again once its stream has begun', async () => {
    let breakOff: (() => void) | undefined;
    const { client, seen } = await serverWith([
      (response) => {
        breakOff = () => response.socket?.destroy();
        beginStream(response);
        response.write('data: {"choices":[]}\n\n');
      },
    ]);
    const chunks: unknown[] = [];
    const read = async () => {
      for await (const chunk of await client.invokeOpenai('hello', undefined, { messages, stream: true })) {
        chunks.push(chunk);
        breakOff?.();
      }
    };
    await expect(read()).rejects.toMatchObject({ name: 'ConnectionError' });
    expect(chunks).toHaveLength(1);
    expect(seen).toHaveLength(1);
  });
});
