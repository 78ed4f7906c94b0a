import { createServer as createTcpServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import {
  AgentRunError,
  AgentRuntime,
  AgentRuntimeClient,
  AgentRuntimeEndpoint,
  type Config,
} from '../src/index.ts';
import { listen } from './listen.ts';

const unhandled: unknown[] = [];
const remember = (reason: unknown) => unhandled.push(reason);
beforeEach(() => {
  process.on('unhandledRejection', remember);
});
afterEach(async () => {
  // Unhandled rejections are reported after the microtasks of this turn.
  await new Promise(setImmediate);
  process.off('unhandledRejection', remember);
  expect(unhandled.splice(0)).toEqual([]);
});

function clientFor(baseUrl: string, config: Config = {}): AgentRuntimeClient {
  return new AgentRuntimeClient({ baseUrl, apiKey: 'rsk_test', maxRetries: 0, ...config });
}

/** Every kind of call, so that no path is left out. */
const calls: [string, (client: AgentRuntimeClient) => PromiseLike<unknown>][] = [
  ['get', (client) => client.get('r1')],
  ['list', (client) => client.list()],
  ['create', (client) => client.create({ agentRuntimeName: 'a', codeConfiguration: {} })],
  ['invokeOpenai', (client) => client.invokeOpenai('a', undefined, { messages: [] })],
  ['invokeOpenai, stream', (client) => client.invokeOpenai('a', undefined, { messages: [], stream: true })],
];

/** Calls that consist of several, or do more with an answer: each meets the same servers. */
const furtherCalls: [string, (config: Config) => PromiseLike<unknown>][] = [
  ['listAll', (config) => new AgentRuntimeClient(config).listAll()],
  ['list in for await', (config) => drain(new AgentRuntimeClient(config).list())],
  ['withResponse', (config) => new AgentRuntimeClient(config).get('r1').withResponse()],
  ['a workspace name', (config) => new AgentRuntimeClient(config).list({ workspaceName: 'w' })],
  ['getAccessToken', (config) => new AgentRuntimeClient(config).getAccessToken({ resourceName: 'a' })],
  ['waitUntilReadyOrFailed', (config) => runtimeAt(config).waitUntilReadyOrFailed({ intervalMs: 1 })],
  ['deleteAndWaitUntilFinished', (config) => runtimeAt(config).deleteAndWaitUntilFinished({ intervalMs: 1 })],
  ['delete by a signed call', (config) => runtimeAt({ ...config, ...signed }).delete()],
  [
    'a signed invokeOpenai',
    (config) => runtimeAt({ ...config, ...signed }).invokeOpenai('e', { messages: [] }),
  ],
  ["an endpoint's invokeOpenai", (config) => endpointAt(config).invokeOpenai({ messages: [] })],
];
const signed = { apiKey: undefined, accessKeyId: 'testak', accessKeySecret: 'testsk' };
const runtimeAt = (config: Config) => new AgentRuntime({ agentRuntimeId: 'r1' }, config);
const endpointAt = (config: Config) =>
  new AgentRuntimeEndpoint({ agentRuntimeId: 'r1', agentRuntimeEndpointId: 'e1' }, config);

async function drain(rows: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of rows) {
    // What comes before the error does not matter here.
  }
}

async function errorOf(promise: PromiseLike<unknown>): Promise<Error> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(AgentRunError);
  return error as Error;
}

/** A listener on bare sockets, for what no HTTP library would send. */
async function listenRaw(answer: string | undefined): Promise<string> {
  const server = createTcpServer((socket) => {
    socket.on('error', () => {});
    if (answer !== undefined) socket.once('data', () => socket.end(answer));
    onTestFinished(() => {
      socket.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
}

describe.each(calls)('%s', (_, call) => {
  it('a page with status 200', async () => {
    const url = await listen((_request, response) => {
      response.setHeader('content-type', 'text/html; charset=utf-8');
      response.end('<html><title>Welcome</title></html>');
    });
    const error = await errorOf(call(clientFor(url)));
    expect(error).toMatchObject({ name: 'InvalidResponseError', statusCode: 200 });
    expect(error.message).toContain('text/html');
  });

  it.each([404, 409])('a page with status %d says nothing about resources', async (status) => {
    const url = await listen((_request, response) => {
      response.writeHead(status, { 'content-type': 'text/html' });
      response.end('<html><head><title>Not here</title></head></html>');
    });
    const error = await errorOf(call(clientFor(url)));
    expect(error).toMatchObject({ name: 'ClientError', statusCode: status });
    expect(error.message).toContain('Not here');
  });

  it('502 of a proxy', async () => {
    const url = await listen((_request, response) => {
      response.writeHead(502, { 'content-type': 'text/plain', 'x-acs-request-id': 'q5' });
      response.end('upstream gone');
    });
    const error = await errorOf(call(clientFor(url)));
    expect(error).toMatchObject({ name: 'ServerError', statusCode: 502, requestId: 'q5' });
    expect(error.message).toContain('502 Bad Gateway: upstream gone');
  });

  it('an error whose body breaks off', async () => {
    const url = await listenRaw('HTTP/1.1 500 Oops\r\ncontent-length: 100\r\n\r\n{"message":');
    const error = await errorOf(call(clientFor(url)));
    expect(error).toMatchObject({ name: 'ServerError', statusCode: 500 });
  });

  it.each([301, 302, 307, 308])('a redirect (%d) is not followed', async (status) => {
    let followed = false;
    const target = await listen((_request, response) => {
      followed = true;
      response.end();
    });
    const url = await listen((_request, response) => {
      response.writeHead(status, { location: `${target}/x?token=secret` });
      response.end();
    });
    const error = await errorOf(call(clientFor(url)));
    expect(error).toMatchObject({ name: 'InvalidResponseError', statusCode: status });
    expect(error.message).toContain(target);
    expect(error.message).not.toContain('secret');
    expect(followed).toBe(false);
  });

  it('silence', async () => {
    const error = await errorOf(call(clientFor(await listenRaw(undefined), { timeout: 30 })));
    expect(error).toMatchObject({ name: 'TimeoutError', timeoutMs: 30 });
  });

  it('nothing, then the end', async () => {
    const error = await errorOf(call(clientFor(await listenRaw(''))));
    expect(error.name).toBe('ConnectionError');
  });

  it('something that is not HTTP', async () => {
    const error = await errorOf(call(clientFor(await listenRaw('SSH-2.0-OpenSSH\r\n\r\n'))));
    expect(error.name).toBe('ConnectionError');
  });

  it('nobody there', async () => {
    const server = createTcpServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    await new Promise((resolve) => server.close(resolve));
    const error = await errorOf(call(clientFor(`http://127.0.0.1:${port}`)));
    expect(error).toMatchObject({
      name: 'ConnectionError',
      message: `no answer from http://127.0.0.1:${port}: connection refused (ECONNREFUSED)`,
    });
  });

  it('a signal that was aborted before', async () => {
    let asked = false;
    const doFetch = async () => {
      asked = true;
      return new Response();
    };
    const signal = AbortSignal.abort('why');
    const error = await errorOf(call(clientFor('http://127.0.0.1:1', { signal, fetch: doFetch })));
    expect(error).toMatchObject({ name: 'AbortError', cause: 'why' });
    expect(asked).toBe(false);
  });

  it('a fetch that ignores its signal', async () => {
    const never = () => new Promise<Response>(() => {});
    const error = await errorOf(call(clientFor('http://127.0.0.1:1', { timeout: 20, fetch: never })));
    expect(error.name).toBe('TimeoutError');
  });

  it('a fetch that throws at once', async () => {
    const doFetch = () => {
      throw new TypeError('broken');
    };
    const error = await errorOf(call(clientFor('http://127.0.0.1:1', { fetch: doFetch })));
    expect(error).toMatchObject({ name: 'ConnectionError', message: expect.stringContaining('broken') });
  });
});

describe.each(calls.slice(0, 4))('%s, body', (_, call) => {
  it.each(['{"data":{"agentRun', '', 'null', '[]', '"text"'])('%j with status 200', async (body) => {
    const url = await listen((_request, response) => {
      response.setHeader('content-type', 'application/json');
      response.end(body);
    });
    expect(await errorOf(call(clientFor(url)))).toMatchObject({
      name: 'InvalidResponseError',
      statusCode: 200,
    });
  });

  it('shorter than announced', async () => {
    const url = await listenRaw('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"data":');
    expect((await errorOf(call(clientFor(url)))).name).toBe('ConnectionError');
  });

  it('that never ends', async () => {
    const url = await listen((_request, response) => {
      response.write('{');
    });
    const error = await errorOf(call(clientFor(url, { timeout: 30 })));
    expect(error.name).toBe('TimeoutError');
  });

  it('aborted halfway', async () => {
    const controller = new AbortController();
    const url = await listen((_request, response) => {
      response.write('{', () => controller.abort());
    });
    const error = await errorOf(call(clientFor(url, { signal: controller.signal })));
    expect(error.name).toBe('AbortError');
  });
});

describe.each(furtherCalls)('%s', (_, call) => {
  const servers: [string, () => Promise<string>, string[]][] = [
    ['a page', () => listen((_request, response) => void response.end('<html>')), ['InvalidResponseError']],
    [
      'JSON cut off',
      () => listen((_request, response) => void response.end('{"data":{"it')),
      ['InvalidResponseError'],
    ],
    [
      '502 of a proxy',
      () => listen((_request, response) => void response.writeHead(502, { 'retry-after': '0' }).end('gone')),
      ['ServerError'],
    ],
    [
      'a redirect to itself',
      () => listen((request, response) => void response.writeHead(307, { location: request.url }).end()),
      ['InvalidResponseError'],
    ],
    ['nothing, then the end', () => listenRaw(''), ['ConnectionError']],
    [
      'a refusal',
      () => listen((_request, response) => void response.writeHead(401).end('{"message":"no"}')),
      ['ClientError'],
    ],
  ];

  it.each(servers)('%s', async (_, serve, names) => {
    const error = await errorOf(call({ baseUrl: await serve(), apiKey: 'rsk_test', maxRetries: 1 }));
    expect(names).toContain(error.name);
  });

  it('silence', async () => {
    const error = await errorOf(
      call({ baseUrl: await listenRaw(undefined), apiKey: 'rsk_test', timeout: 30 }),
    );
    expect(error.name).toBe('TimeoutError');
  });

  it('a drip', async () => {
    const drips = new Set<NodeJS.Timeout>();
    const url = await listen((_request, response) => {
      response.write('{');
      drips.add(setInterval(() => response.write(' '), 5));
    });
    onTestFinished(() => {
      for (const drip of drips) clearInterval(drip);
    });
    const error = await errorOf(call({ baseUrl: url, apiKey: 'rsk_test', timeout: 60 }));
    expect(error.name).toBe('TimeoutError');
  });

  it('a signal, while an answer is awaited', async () => {
    const controller = new AbortController();
    const url = await listen(() => controller.abort('why'));
    const error = await errorOf(call({ baseUrl: url, apiKey: 'rsk_test', signal: controller.signal }));
    expect(error).toMatchObject({ name: 'AbortError', cause: 'why' });
  });
});

describe('JSON that is no envelope', () => {
  it.each(['{}', '{"data":null}', '{"data":[]}', '{"code":"SUCCESS"}'])('%s', async (body) => {
    const url = await listen((_request, response) => {
      response.end(body);
    });
    expect((await errorOf(clientFor(url).get('r1'))).name).toBe('InvalidResponseError');
  });
});

it('leaves no listener on a signal that lives longer', async () => {
  const url = await listen((_request, response) => {
    response.end('{"data":{}}');
  });
  const controller = new AbortController();
  const added: string[] = [];
  const { signal } = controller;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    added.push('added');
    add(...args);
  };
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    added.pop();
    remove(...args);
  };
  await clientFor(url, { signal }).get('r1');
  expect(added).toEqual([]);
});
