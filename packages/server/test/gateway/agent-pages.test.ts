import { expect, test } from 'vitest';
import { call, INVOKE, runtime, startAgent, startControl, startTestGateway } from './harness.ts';

const CONFINED = 'sandbox allow-scripts allow-forms';
const chat = { host: 'chat.example.com', runtimeName: 'echo', endpointName: 'Default' };

async function start() {
  const agent = await startAgent((request, response) => {
    const own = request.url === '/own' ? { 'content-security-policy': "default-src 'self'" } : {};
    const status = Number(/\/status\/(\d+)/.exec(request.url!)?.[1] ?? 200);
    response.writeHead(status, own).end();
  });
  const controlSocket = await startControl((_, response) => response.end('control'));
  const gateway = await startTestGateway({
    controlSocket,
    runtimes: [runtime({ serves: [{ instances: [agent], slots: 9 }] })],
    settings: { domains: [chat], agentHosts: ['agents.localhost'] },
  });
  const ask = (path: string, host = 'localhost', headers: Record<string, string> = {}) =>
    call(gateway.port, path, { headers: { host, ...headers } });
  const policies = (reply: Awaited<ReturnType<typeof call>>) =>
    reply.rawHeaders.filter((_, at) => reply.rawHeaders[at - 1]?.toLowerCase() === 'content-security-policy');
  return { ask, policies };
}

test.each(['', '/status/304', '/status/404', '/status/500'])(
  'whatever an agent answers under a shared host is confined: %s',
  async (path) => {
    const { ask, policies } = await start();
    expect(policies(await ask(`${INVOKE}${path}`))).toEqual([CONFINED]);
  },
);

test('a policy of the agent’s own stays beside it, as a field of its own', async () => {
  const { ask, policies } = await start();
  expect(policies(await ask(`${INVOKE}/own`))).toEqual(["default-src 'self'", CONFINED]);
});

test('the platform’s own answers are as they were', async () => {
  const { ask, policies } = await start();
  expect(policies(await ask('/runstead/v1/instances'))).toEqual([]);
  expect(policies(await ask('/health'))).toEqual([]);
});

test('where agents have a host to themselves their answers are as they made them', async () => {
  const { ask, policies } = await start();
  expect(policies(await ask(`${INVOKE}/own`, 'agents.localhost'))).toEqual(["default-src 'self'"]);
  expect(policies(await ask(INVOKE, 'Agents.LocalHost:7700'))).toEqual([]);
  expect(policies(await ask('/', 'chat.example.com'))).toEqual([]);
});

test.each(['/', '/docs', '/runstead/v1/instances', '/2025-09-10/agents/runtimes', '/agent-runtimes/echo'])(
  'nothing else is served there: %s',
  async (path) => {
    const { ask } = await start();
    const reply = await ask(path, 'agents.localhost');
    expect(reply.status).toBe(404);
    expect(reply.headers['x-runstead-error-origin']).toBe('platform');
    expect(reply.body).toContain('Nothing but calls to agents is served under the host');
    expect(reply.body).not.toContain('control');
  },
);

test('its pages may call their agents, and nothing else', async () => {
  const { ask } = await start();
  const origin = 'http://agents.localhost';
  expect((await ask(INVOKE, 'agents.localhost', { origin })).status).toBe(200);
  expect((await ask(INVOKE, 'localhost', { origin })).status).toBe(403);
  expect((await ask('/runstead/v1/instances', 'localhost', { origin })).status).toBe(403);
});

test('/health is there under every host', async () => {
  const { ask } = await start();
  expect((await ask('/health', 'agents.localhost')).json()).toEqual({ status: 'ok' });
});
