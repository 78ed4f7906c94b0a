import type { IncomingHttpHeaders } from 'node:http';
import OpenAI from 'openai';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { environmentVariables } from '../src/config/environment.ts';
import { AgentRuntimeClient, type Config } from '../src/index.ts';
import { beginStream, listen, readBody } from './listen.ts';

beforeEach(() => {
  for (const name of Object.values(environmentVariables).flat()) vi.stubEnv(name, '');
  vi.stubEnv('RUNSTEAD_DATA', '/nonexistent');
});
afterEach(() => vi.unstubAllEnvs());

const messages = [{ role: 'user' as const, content: 'Hi' }];
const COMPLETION = {
  id: 'c1',
  object: 'chat.completion',
  created: 1,
  model: 'hello',
  choices: [{ index: 0, message: { role: 'assistant', content: 'Hello' }, finish_reason: 'stop' }],
};

interface Seen {
  url: string;
  headers: IncomingHttpHeaders;
  body: { stream?: boolean };
}

/** An agent, and the platform before it, which refuses as `refuses` says. */
async function agent(config: Config, refuses: (seen: Seen) => number | undefined = () => undefined) {
  const seen: Seen[] = [];
  const baseUrl = await listen(async (request, response) => {
    const text = await readBody(request);
    const call = { url: request.url!, headers: request.headers, body: JSON.parse(text || '{}') };
    seen.push(call);
    if (call.url.includes('/accessToken?')) {
      response.end('{"data":{"accessToken":"t1"}}');
      return;
    }
    const status = refuses(call);
    if (status !== undefined) {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end('{"error":{"message":"no"}}');
    } else if (call.body.stream) {
      beginStream(response);
      const chunk = {
        ...COMPLETION,
        object: 'chat.completion.chunk',
        choices: [{ index: 0, delta: { content: 'Hello' } }],
      };
      response.end(`data: ${JSON.stringify(chunk)}\n\ndata: [DONE]\n\n`);
    } else {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(COMPLETION));
    }
  });
  return { client: new AgentRuntimeClient({ baseUrl, ...config }), seen, baseUrl };
}

const accessKey = { accessKeyId: 'testak', accessKeySecret: 'testsk' };
const ask = (openai: OpenAI) => openai.chat.completions.create({ model: 'hello', messages });

describe('the openai package with options of this client', () => {
  it('calls an agent with a Runstead key', async () => {
    const { client, seen, baseUrl } = await agent({
      apiKey: 'rsk_x',
      headers: { 'X-AgentRun-Session-ID': 's1' },
    });
    const options = client.openai('hello', 'prod');
    expect(options).toMatchObject({
      baseURL: `${baseUrl}/agent-runtimes/hello/endpoints/prod/invocations/openai/v1`,
      apiKey: 'rsk_x',
      defaultHeaders: { 'x-agentrun-session-id': 's1' },
    });
    const completion = await ask(new OpenAI(options));
    expect(completion.choices[0]?.message.content).toBe('Hello');
    expect(seen[0]?.url).toBe('/agent-runtimes/hello/endpoints/prod/invocations/openai/v1/chat/completions');
    expect(seen[0]?.headers).toMatchObject({ authorization: 'Bearer rsk_x', 'x-agentrun-session-id': 's1' });
  });

  it('streams', async () => {
    const { client } = await agent({ apiKey: 'rsk_x' });
    const openai = new OpenAI(client.openai('hello'));
    let text = '';
    for await (const { choices } of await openai.chat.completions.create({
      model: 'hello',
      messages,
      stream: true,
    })) {
      text += choices[0]?.delta.content ?? '';
    }
    expect(text).toBe('Hello');
  });

  it('signs with an access key, anew for each of its attempts, and sends no empty bearer beside it', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    try {
      const { client, seen } = await agent(accessKey, () => {
        vi.setSystemTime(Date.now() + 60_000);
        return seen.length === 1 ? 503 : undefined;
      });
      await ask(new OpenAI({ ...client.openai('hello'), maxRetries: 1 }));
      const signatures = seen.map(({ headers }) => headers['agentrun-authorization']);
      expect(signatures[0]).toMatch(/^AGENTRUN4-HMAC-SHA256 Credential=testak\//);
      expect(signatures[1]).not.toBe(signatures[0]);
      expect(seen[0]?.headers).not.toHaveProperty('authorization');
    } finally {
      vi.useRealTimers();
    }
  });

  it('falls back to an access token where signatures are not known', async () => {
    const { client, seen } = await agent(accessKey, ({ headers }) =>
      headers['agentrun-access-token'] === 't1' ? undefined : 401,
    );
    const openai = new OpenAI(client.openai('hello'));
    expect((await ask(openai)).choices[0]?.message.content).toBe('Hello');
    await ask(openai);
    expect(seen.map(({ url }) => url.split('?')[0]!.split('/').at(-1))).toEqual([
      'completions',
      'accessToken',
      'completions',
      'completions',
    ]);
  });

  it('sends a token that was given, and nothing where there is nothing', async () => {
    const token = await agent({ token: 'tok' });
    await ask(new OpenAI(token.client.openai('hello')));
    expect(token.seen[0]?.headers).toMatchObject({ 'agentrun-access-token': 'tok' });
    expect(token.seen[0]?.headers).not.toHaveProperty('authorization');
    const open = await agent({});
    await ask(new OpenAI(open.client.openai('hello')));
    expect(open.seen[0]?.headers).not.toHaveProperty('authorization');
  });

  it("leaves the caller's own key in place", async () => {
    const { client, seen } = await agent({});
    await ask(new OpenAI({ ...client.openai('hello'), apiKey: 'agents-own' }));
    expect(seen[0]?.headers.authorization).toBe('Bearer agents-own');
  });

  it('hands errors and aborts to the package as it knows them', async () => {
    const { client } = await agent({ apiKey: 'rsk_x' }, () => 404);
    await expect(ask(new OpenAI(client.openai('hello')))).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    const controller = new AbortController();
    controller.abort();
    const openai = new OpenAI(client.openai('hello'));
    const call = openai.chat.completions.create({ model: 'hello', messages }, { signal: controller.signal });
    await expect(call).rejects.toBeInstanceOf(OpenAI.APIUserAbortError);
  });
});

describe('the fetch in the options', () => {
  it('takes what fetch takes', async () => {
    const { client, seen } = await agent({ apiKey: 'rsk_x' });
    const options = client.openai('hello');
    const url = `${options.baseURL}/chat/completions`;
    const init = { method: 'POST', body: '{"a":1}', headers: { 'x-a': 'b' } };
    await options.fetch(new Request(url, init));
    await options.fetch(new URL(url), init);
    await options.fetch(url, init);
    for (const { headers, body } of seen) {
      expect(headers).toMatchObject({ authorization: 'Bearer rsk_x', 'x-a': 'b' });
      expect(body).toEqual({ a: 1 });
    }
    expect(seen).toHaveLength(3);
  });

  it('follows no redirect, which would take the credential along', async () => {
    let followed = false;
    const target = await listen((_request, response) => {
      followed = true;
      response.end();
    });
    const baseUrl = await listen((_request, response) => {
      response.writeHead(307, { location: target }).end();
    });
    const { fetch: authorized, baseURL } = new AgentRuntimeClient({ baseUrl, token: 'tok' }).openai('hello');
    expect((await authorized(`${baseURL}/models`)).status).toBe(307);
    expect(followed).toBe(false);
  });

  it('ends with the signal of the settings too, also while the answer is read', async () => {
    const controller = new AbortController();
    const baseUrl = await listen((_request, response) => {
      response.write('{');
    });
    const client = new AgentRuntimeClient({ baseUrl, apiKey: 'rsk_x', signal: controller.signal });
    const { fetch: authorized, baseURL } = client.openai('hello');
    const own = new AbortController();
    const response = await authorized(`${baseURL}/models`, { signal: own.signal });
    const text = response.text();
    controller.abort(new Error('enough'));
    await expect(text).rejects.toThrow('enough');
  });

  it('uses the fetch of the settings', async () => {
    const asked: string[] = [];
    const doFetch = (async (url: string) => {
      asked.push(url);
      return Response.json(COMPLETION);
    }) as typeof fetch;
    const client = new AgentRuntimeClient({
      baseUrl: 'https://runstead.example',
      apiKey: 'rsk_x',
      fetch: doFetch,
    });
    await ask(new OpenAI(client.openai('hello')));
    expect(asked).toEqual([
      'https://runstead.example/agent-runtimes/hello/endpoints/Default/invocations/openai/v1/chat/completions',
    ]);
  });
});

it.each(['', '.'])('openai refuses the name %j', (name) => {
  const client = new AgentRuntimeClient({ baseUrl: 'https://runstead.example', apiKey: 'rsk_x' });
  expect(() => client.openai(name)).toThrow(/agentRuntimeName/);
});
