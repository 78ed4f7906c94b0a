import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AgentRuntimeClient, type ChatCompletionStream } from '../src/index.ts';
import { beginStream, listen } from './listen.ts';

const unhandled: unknown[] = [];
const remember = (reason: unknown) => unhandled.push(reason);
beforeEach(() => {
  process.on('unhandledRejection', remember);
});
afterEach(() => {
  process.off('unhandledRejection', remember);
  unhandled.length = 0;
});
/** Unhandled rejections are reported after the microtasks of a turn. */
const nextTurn = () => new Promise(setImmediate);

const messages = [{ role: 'user', content: 'Hi' }];

async function serverSaying(status: number, body: string, headers: Record<string, string> = {}) {
  let asked = 0;
  const baseUrl = await listen((_request, response) => {
    asked++;
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(body);
  });
  const client = new AgentRuntimeClient({ baseUrl, apiKey: 'rsk_test', maxRetries: 0 });
  return { client, asked: () => asked };
}

const ANSWER = '{"code":"SUCCESS","requestId":"q1","data":{"agentRuntimeId":"r1"}}';
const ERROR = '{"code":"ERR_X","message":"no","requestId":"q2"}';

describe('withResponse', () => {
  it('gives the answer beside what it holds', async () => {
    const { client, asked } = await serverSaying(200, ANSWER, { 'x-own': 'yes' });
    const { data, response, requestId } = await client.get('r1').withResponse();
    expect(data).toEqual({ agentRuntimeId: 'r1' });
    expect(response.status).toBe(200);
    expect(response.headers.get('x-own')).toBe('yes');
    expect(requestId).toBe('q1');
    expect(asked()).toBe(1);
  });

  it('may come after an await, and beside it', async () => {
    const { client, asked } = await serverSaying(200, ANSWER);
    const call = client.get('r1');
    const data = await call;
    expect((await call.withResponse()).data).toBe(data);
    expect(asked()).toBe(1);
  });

  it('takes the id from the header where the body has none', async () => {
    const { client } = await serverSaying(200, '{"choices":[]}', { 'x-acs-request-id': 'q9' });
    const { data, requestId } = await client.invokeOpenai('a', undefined, { messages }).withResponse();
    expect(requestId).toBe('q9');
    expect((data as { requestId?: string }).requestId).toBe('q9');
    expect(JSON.stringify(data)).toBe('{"choices":[]}');
  });

  it('rejects as the call does', async () => {
    const { client } = await serverSaying(400, ERROR);
    await expect(client.get('r1').withResponse()).rejects.toMatchObject({ message: 'no', requestId: 'q2' });
    await nextTurn();
    expect(unhandled).toEqual([]);
  });

  it('of a list and of a stream', async () => {
    const list = await serverSaying(200, '{"data":{"items":[],"total":3,"pageNumber":1,"pageSize":50}}');
    expect((await list.client.list().withResponse()).data.total).toBe(3);

    const baseUrl = await listen((_request, response) => {
      beginStream(response);
      response.end('data: {"choices":[]}\n\ndata: [DONE]\n\n');
    });
    const client = new AgentRuntimeClient({ baseUrl, apiKey: 'rsk_test' });
    const call = client.invokeOpenai('a', undefined, { messages, stream: true });
    const { data, requestId } = await call.withResponse();
    expect(requestId).toBe('q1');
    expect(await chunksOf(data)).toBe(1);
  });
});

async function chunksOf(stream: ChatCompletionStream): Promise<number> {
  let count = 0;
  for await (const _ of stream) count++;
  return count;
}

describe('asResponse', () => {
  it('gives the answer with its body unread', async () => {
    const { client } = await serverSaying(200, ANSWER, { 'x-own': 'yes' });
    const response = await client.get('r1').asResponse();
    expect([response.status, response.bodyUsed, response.headers.get('x-own')]).toEqual([200, false, 'yes']);
    expect(await response.text()).toBe(ANSWER);
  });

  it('does so before the body is there, and ends with its signal', async () => {
    const controller = new AbortController();
    const baseUrl = await listen((_request, response) => {
      response.write('{');
    });
    const client = new AgentRuntimeClient({ baseUrl, apiKey: 'rsk_test', signal: controller.signal });
    const response = await client.get('r1').asResponse();
    const text = response.text();
    controller.abort('why');
    await expect(text).rejects.toMatchObject({ name: 'AbortError', cause: 'why' });
  });

  it('lets go of the connection when the body is cancelled', async () => {
    let closed: (() => void) | undefined;
    const whenClosed = new Promise<void>((resolve) => {
      closed = resolve;
    });
    const baseUrl = await listen((_request, response) => {
      response.on('close', () => closed?.());
      response.write('{');
    });
    const client = new AgentRuntimeClient({ baseUrl, apiKey: 'rsk_test' });
    const response = await client.get('r1').asResponse();
    await response.body?.cancel();
    await whenClosed;
  });

  it('rejects for an answer that is no success', async () => {
    const { client } = await serverSaying(404, ERROR);
    await expect(client.get('r1').asResponse()).rejects.toMatchObject({ name: 'ResourceNotExistError' });
    await nextTurn();
    expect(unhandled).toEqual([]);
  });

  it('leaves nothing to await beside it', async () => {
    const { client } = await serverSaying(200, ANSWER);
    const call = client.get('r1');
    await (await call.asResponse()).text();
    await expect(call).rejects.toMatchObject({
      name: 'ValueError',
      message: expect.stringMatching(/taken by asResponse/),
    });
    await nextTurn();
    expect(unhandled).toEqual([]);
  });

  it('says so when it comes too late', async () => {
    const { client } = await serverSaying(200, ANSWER);
    const call = client.get('r1');
    await call;
    await expect(call.asResponse()).rejects.toMatchObject({
      name: 'ValueError',
      message: expect.stringMatching(/too late/),
    });
  });
});

describe('the promise of a call', () => {
  it('sends, whether or not somebody waits', async () => {
    const answered = new Promise<void>((resolve) => {
      void listen((_request, response) => {
        response.end(ANSWER, resolve);
      }).then((baseUrl) => {
        void new AgentRuntimeClient({ baseUrl, apiKey: 'rsk_test' }).delete('r1');
      });
    });
    await answered;
  });

  it.each<[string, (client: AgentRuntimeClient) => unknown]>([
    ['alone', (client) => client.get('r1')],
    ['with withResponse', (client) => client.get('r1').withResponse()],
    ['with asResponse', (client) => client.get('r1').asResponse()],
    ['of a list', (client) => client.list()],
    ['with a mistake in the call', (client) => client.get('')],
  ])('is reported once when it fails and nobody waits: %s', async (_, call) => {
    const { client, asked } = await serverSaying(400, ERROR);
    call(client);
    await expect.poll(() => unhandled.length).toBe(1);
    await nextTurn();
    await nextTurn();
    expect(unhandled).toHaveLength(1);
    expect(asked()).toBeLessThan(2);
  });

  it('is no call of its own after then, catch and finally', async () => {
    const { client } = await serverSaying(200, ANSWER);
    const call = client.get('r1');
    expect(call).toBeInstanceOf(Promise);
    for (const derived of [call.then((data) => data), call.catch(() => {}), call.finally(() => {})]) {
      expect(derived.constructor).toBe(Promise);
      await derived;
    }
  });

  it('takes the settings and the input as they are when the call is made', async () => {
    const bodies: unknown[] = [];
    const baseUrl = await listen(async (request, response) => {
      let text = '';
      for await (const part of request) text += part;
      bodies.push(JSON.parse(text));
      response.end(ANSWER);
    });
    const input = { cpu: 1 };
    const call = new AgentRuntimeClient({ baseUrl, apiKey: 'rsk_test' }).update('r1', input);
    input.cpu = 2;
    await call;
    expect(bodies).toEqual([{ cpu: 1 }]);
  });
});
