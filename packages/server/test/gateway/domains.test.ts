import { describe, expect, test } from 'vitest';
import {
  call,
  INVOKE,
  rawConnection,
  runtime,
  startAgent,
  startControl,
  startTestGateway,
  until,
} from './harness.ts';

const chat = { host: 'chat.example.com', runtimeName: 'echo', endpointName: 'Default' };
const lost = { host: 'lost.example.com', runtimeName: 'nowhere', endpointName: 'Default' };

async function start() {
  const agent = await startAgent(
    (request, response) =>
      response.end(`${request.method} ${request.url} ${request.headers['x-forwarded-host']}`),
    {
      setUp: (server) =>
        server.on('upgrade', (request, socket) => {
          socket.end(
            `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n${request.url}`,
          );
        }),
    },
  );
  const controlSocket = await startControl((_, response) => response.end('control'));
  const gateway = await startTestGateway({
    controlSocket,
    runtimes: [runtime({ serves: [{ instances: [agent], slots: 9 }] })],
    settings: { domains: [chat, lost], allowOrigins: ['http://localhost:5173'] },
  });
  const under = (host: string, path: string, more: Record<string, string> = {}, method = 'GET') =>
    call(gateway.port, path, { method, headers: { host, ...more } });
  return { gateway, under };
}

describe('a custom domain', () => {
  test.each([
    '/',
    '/openai/v1/models?x=1',
    '/health',
    '/2025-09-10/agents/runtimes',
    '/runstead/v1/instances',
    INVOKE,
  ])('is its agent’s alone: GET %s', async (path) => {
    const { under } = await start();
    expect((await under('Chat.Example.com:8443', path)).body).toBe(`GET ${path} Chat.Example.com:8443`);
  });

  test('leaves other hosts as they are', async () => {
    const { under } = await start();
    expect((await under('localhost', '/2025-09-10/agents/runtimes')).body).toBe('control');
    expect((await under('localhost', '/health')).json()).toEqual({ status: 'ok' });
    expect((await under('localhost', INVOKE)).body).toBe('GET / localhost');
    expect((await under('example.com', '/')).status).toBe(403);
  });

  test('carries upgrades', async () => {
    const { gateway } = await start();
    const { socket, state } = await rawConnection(gateway.port);
    socket.write('GET /ws?x HTTP/1.1\r\nHost: chat.example.com\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n');
    await until(() => state.text.endsWith('/ws?x'), 'the upgrade');
  });

  test('answers errors in the form of the data plane, whatever the path', async () => {
    const { under, gateway } = await start();
    const missing = await under('lost.example.com', '/2025-09-10/agents/runtimes');
    expect(missing.status).toBe(404);
    expect(missing.json()).toEqual({
      error: {
        message: "Runtime 'nowhere' does not exist",
        type: 'not_found_error',
        code: 'ERR_NOT_FOUND',
        param: null,
      },
    });
    const foreign = await under('chat.example.com', '/', { origin: 'http://evil.test' });
    expect(foreign.status).toBe(403);
    expect(foreign.json().error.code).toBe('Forbidden');
    const { socket, state } = await rawConnection(gateway.port);
    socket.write('OPTIONS * HTTP/1.1\r\nHost: chat.example.com\r\nConnection: close\r\n\r\n');
    await until(() => state.ended, 'the answer');
    expect(state.text).toMatch(
      /^HTTP\/1\.1 400 [\s\S]*"error":\{"message":"The request target must start with/,
    );
  });

  test('takes a platform key that is wrong for wrong, as the endpoint’s own path does', async () => {
    const { under } = await start();
    const reply = await under('chat.example.com', '/', { authorization: 'Bearer rsk_wrong' });
    expect(reply.status).toBe(401);
    expect(reply.json().error.type).toBe('authentication_error');
  });

  test('answers the preflight of an allowed page, and lets its own pages call', async () => {
    const { under } = await start();
    const preflight = await under(
      'chat.example.com',
      '/x',
      { origin: 'http://localhost:5173', 'access-control-request-method': 'POST' },
      'OPTIONS',
    );
    expect(preflight.status).toBe(204);
    expect((await under('chat.example.com', '/x', { origin: 'https://chat.example.com' })).status).toBe(200);
  });
});
