import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import { AgentRuntimeClient, type Config, type InvokeOpenaiRequest } from '../src/index.ts';
import { beginStream, listen, readBody } from './listen.ts';

const messages = [{ role: 'user', content: 'Hi' }];
const chunk = (content: string, finishReason: string | null = null) =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content }, finish_reason: finishReason }] })}\n\n`;
const DONE = 'data: [DONE]\n\n';

/** An agent that answers every call by `answer`. */
async function agent(answer: (response: ServerResponse) => void, config: Config = {}) {
  const seen: { method?: string; url?: string; headers: IncomingHttpHeaders; body: unknown }[] = [];
  const baseUrl = await listen(async (request, response) => {
    const body = JSON.parse(await readBody(request));
    seen.push({ method: request.method!, url: request.url!, headers: request.headers, body });
    answer(response);
  });
  return { client: new AgentRuntimeClient({ baseUrl, apiKey: 'rsk_test', ...config }), seen, baseUrl };
}

function streaming(text: string, config: Config = {}) {
  return agent((response) => {
    beginStream(response);
    response.end(text);
  }, config);
}

async function collect(
  client: AgentRuntimeClient,
  request: Partial<InvokeOpenaiRequest> = {},
): Promise<string> {
  let text = '';
  for await (const { choices } of await client.invokeOpenai('hello', undefined, {
    messages,
    ...request,
    stream: true,
  })) {
    text += choices[0]?.delta.content ?? '';
  }
  return text;
}

/** What `collect` read before it threw, and what it threw. */
async function collectUntilError(client: AgentRuntimeClient, request: Partial<InvokeOpenaiRequest> = {}) {
  let text = '';
  try {
    const stream = await client.invokeOpenai('hello', undefined, { messages, ...request, stream: true });
    for await (const { choices } of stream) text += choices[0]?.delta.content ?? '';
  } catch (error) {
    return { text, error };
  }
  throw new Error('nothing was thrown');
}

describe('invokeOpenai', () => {
  it('posts to the agent and gives its answer', async () => {
    const completion = {
      id: 'c1',
      object: 'chat.completion',
      choices: [{ index: 0, message: { role: 'assistant', content: 'Hello' }, finish_reason: 'stop' }],
      extension: { kept: true },
    };
    const { client, seen } = await agent((response) => response.end(JSON.stringify(completion)));
    const answer = await client.invokeOpenai('hello', undefined, {
      messages,
      temperature: 0.5,
      tools: [],
      config: { headers: { 'x-a': 'config', 'x-b': 'config' } },
      headers: { 'X-AgentRun-Session-ID': 's1', 'x-b': 'call' },
    });
    expect(answer).toEqual(completion);
    expect(seen).toHaveLength(1);
    expect(seen[0]).toMatchObject({
      method: 'POST',
      url: '/agent-runtimes/hello/endpoints/Default/invocations/openai/v1/chat/completions',
      headers: {
        accept: 'application/json',
        authorization: 'Bearer rsk_test',
        'content-type': 'application/json',
        'x-agentrun-session-id': 's1',
        'x-a': 'config',
        'x-b': 'call',
      },
    });
    expect(seen[0]?.body).toEqual({ messages, temperature: 0.5, tools: [], model: 'hello', stream: false });
  });

  it('takes another model and another endpoint', async () => {
    const { client, seen } = await agent((response) => response.end('{"choices":[]}'));
    await client.invokeOpenai('hello', 'prod/x', { messages, model: 'm' });
    expect(seen[0]?.url).toContain('/endpoints/prod%2Fx/invocations/');
    expect(seen[0]?.body).toMatchObject({ model: 'm' });
  });

  it('throws what an agent reports under a status of success', async () => {
    const { client } = await agent((response) => response.end('{"error":{"message":"no model","code":"x"}}'));
    await expect(client.invokeOpenai('hello', undefined, { messages })).rejects.toMatchObject({
      name: 'InvalidResponseError',
      message: 'no model',
      errorCode: 'x',
      origin: 'agent',
    });
  });
});

describe('invokeOpenai with stream', () => {
  it('yields every chunk and ends at the end mark', async () => {
    const { client, seen } = await streaming(
      `\uFEFF: hi\r\n\r\n${chunk('He')}${chunk('llo')}${DONE}${chunk('late')}`,
    );
    expect(await collect(client)).toBe('Hello');
    expect(seen[0]?.headers.accept).toBe('text/event-stream');
    expect(seen[0]?.body).toEqual({ messages, stream: true, model: 'hello' });
  });

  it('hands chunks over as they come, cut anywhere', async () => {
    const bytes = Buffer.from(`${chunk('你好')}${DONE}`);
    let send: (() => void) | undefined;
    const { client } = await agent((response) => {
      beginStream(response);
      response.write(chunk('first'));
      send = () => {
        for (const byte of bytes) response.write(Buffer.from([byte]));
        response.end();
      };
    });
    const texts: unknown[] = [];
    for await (const { choices } of await client.invokeOpenai('hello', undefined, {
      messages,
      stream: true,
    })) {
      texts.push(choices[0]?.delta.content);
      // The rest is not sent before the first chunk has arrived here.
      send?.();
      send = undefined;
    }
    expect(texts).toEqual(['first', '你好']);
  });

  it('takes a finish reason for the end where the mark is missing', async () => {
    const { client } = await streaming(chunk('a') + chunk('', 'stop'));
    expect(await collect(client)).toBe('a');
  });

  it('skips named events that are no chunks', async () => {
    const { client } = await streaming(`event: ping\ndata: {"t":1}\n\n${chunk('a')}${DONE}`);
    expect(await collect(client)).toBe('a');
  });

  it.each([
    [
      'an error object',
      'data: {"error":{"message":"boom rsk_test","code":"E1","type":"t"}}\n\n',
      'boom ***',
      'E1',
    ],
    ['an error text', 'data: {"error":"boom"}\n\n', 'boom', undefined],
    ['an error event', 'event: error\ndata: {"message":"boom","code":"E2"}\n\n', 'boom', 'E2'],
    ['an error event that is no JSON', 'event: error\ndata: boom\n\n', 'boom', undefined],
  ])('throws for %s', async (_, event, message, errorCode) => {
    const { client } = await streaming(chunk('a') + event + DONE);
    const { text, error } = await collectUntilError(client);
    expect(text).toBe('a');
    expect(error).toMatchObject({ name: 'StreamError', message, errorCode, requestId: 'q1' });
  });

  it.each([
    ['no end mark', chunk('a')],
    ['nothing at all', ''],
    ['a chunk cut off', `${chunk('a')}data: {"choices":[{"de`],
  ])('throws for an incomplete stream: %s', async (_, text) => {
    const { client } = await streaming(text);
    const { error } = await collectUntilError(client);
    expect(error).toMatchObject({ name: 'IncompleteStreamError' });
  });

  it('throws for a chunk that is no JSON', async () => {
    const { client } = await streaming(`data: <html>\n\n${DONE}`);
    expect((await collectUntilError(client)).error).toMatchObject({ name: 'StreamError' });
  });

  it('throws for a connection that breaks off', async () => {
    const { client } = await agent((response) => {
      beginStream(response);
      response.write(chunk('a'), () => response.destroy());
    });
    const { error } = await collectUntilError(client);
    expect(error).toMatchObject({ name: 'ConnectionError' });
  });

  it('throws for an answer that is no stream', async () => {
    const { client } = await agent((response) => {
      response.setHeader('content-type', 'text/html');
      response.end('<html></html>');
    });
    await expect(collect(client)).rejects.toMatchObject({ name: 'InvalidResponseError', statusCode: 200 });
  });

  it('rejects before the stream for a status of failure', async () => {
    const { client } = await agent((response) => {
      response.writeHead(503, { 'content-type': 'application/json', 'x-runstead-error-origin': 'agent' });
      response.end('{"error":{"message":"cannot start","code":"ERR_VERSION_FAILED"}}');
    });
    await expect(collect(client)).rejects.toMatchObject({
      name: 'ServerError',
      statusCode: 503,
      errorCode: 'ERR_VERSION_FAILED',
      origin: 'agent',
    });
  });

  describe('ends the work on the server', () => {
    async function endless() {
      let closed: () => void;
      const serverSawClose = new Promise<void>((resolve) => {
        closed = resolve;
      });
      const made = await agent((response) => {
        beginStream(response);
        response.write(chunk('a'));
        response.on('close', () => closed());
      });
      return { ...made, serverSawClose };
    }

    it('on break', async () => {
      const { client, serverSawClose } = await endless();
      for await (const _ of await client.invokeOpenai('hello', undefined, { messages, stream: true })) break;
      await serverSawClose;
    });

    it('on return while a chunk is awaited', async () => {
      const { client, serverSawClose } = await endless();
      const stream = await client.invokeOpenai('hello', undefined, { messages, stream: true });
      const iterator = stream[Symbol.asyncIterator]();
      await iterator.next();
      const waiting = iterator.next();
      await iterator.return?.();
      expect(await waiting).toEqual({ done: true, value: undefined });
      await serverSawClose;
    });

    it('on cancel of a stream nobody reads', async () => {
      const { client, serverSawClose } = await endless();
      const stream = await client.invokeOpenai('hello', undefined, { messages, stream: true });
      stream.cancel();
      await serverSawClose;
      const read = [];
      for await (const part of stream) read.push(part);
      expect(read).toEqual([]);
    });

    it.each(['signal', 'config.signal'])('on abort by %s', async (how) => {
      const { client, serverSawClose } = await endless();
      const controller = new AbortController();
      const { signal } = controller;
      const stream = await client.invokeOpenai('hello', undefined, {
        messages,
        stream: true,
        ...(how === 'signal' ? { signal } : { config: { signal } }),
      });
      const iterator = stream[Symbol.asyncIterator]();
      await iterator.next();
      const waiting = iterator.next();
      const reason = new Error('enough');
      controller.abort(reason);
      await expect(waiting).rejects.toMatchObject({ name: 'AbortError', cause: reason });
      expect(await iterator.next()).toEqual({ done: true, value: undefined });
      await serverSawClose;
    });
  });

  it('limits silence, not length', async () => {
    const { client } = await agent(
      (response) => {
        beginStream(response);
        response.write(chunk('a'));
      },
      { readTimeout: 30 },
    );
    const { text, error } = await collectUntilError(client);
    expect(text).toBe('a');
    expect(error).toMatchObject({ name: 'TimeoutError', timeoutMs: 30 });
  });

  it('can be read once', async () => {
    const { client } = await streaming(DONE);
    const stream = await client.invokeOpenai('hello', undefined, { messages, stream: true });
    stream[Symbol.asyncIterator]();
    expect(() => stream[Symbol.asyncIterator]()).toThrow('only once');
  });
});
