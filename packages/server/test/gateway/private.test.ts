import { expect, test } from 'vitest';
import { call, INVOKE, rawConnection, runtime, startAgent, startTestGateway, until } from './harness.ts';

const chat = { host: 'chat.example.com', runtimeName: 'echo', endpointName: 'Default' };

async function start(privateHosts?: string[]) {
  const agent = await startAgent((_, response) => response.end('agent'));
  const routes = (disablePublicNetworkAccess: boolean, instances = [agent]) => {
    const route = runtime({ serves: [{ instances, slots: 1 }] });
    for (const endpoint of route.endpoints) endpoint.disablePublicNetworkAccess = disablePublicNetworkAccess;
    return route;
  };
  const gateway = await startTestGateway({
    settings: { domains: [chat], allowHosts: ['box.local'], privateHosts },
    runtimes: [routes(true)],
  });
  const under = (host: string, path = INVOKE, more: Record<string, string> = {}) =>
    call(gateway.port, path, { headers: { host, ...more } });
  return { gateway, agent, under, routes };
}

test('an endpoint without public access is called from this machine, and under no public name', async () => {
  const { under, agent, gateway } = await start();
  for (const host of ['localhost', '127.0.0.1', `localhost:${gateway.port}`, '[::1]:1'])
    expect((await under(host)).body, host).toBe('agent');
  const connections = agent.accepted.length;
  for (const [host, path] of [
    ['box.local', INVOKE],
    ['chat.example.com', '/'],
  ] as const) {
    const reply = await under(host, path);
    expect(reply.status, host).toBe(403);
    expect(reply.json().error).toEqual({
      message:
        "Forbidden: endpoint 'Default' of runtime 'echo' is closed to public network access; " +
        'call it under a private host of this server, from the private network',
      type: 'permission_error',
      code: 'Forbidden',
      param: null,
    });
  }
  expect(agent.accepted).toHaveLength(connections);
});

test('what a proxy passed on is not from this machine', async () => {
  const { under } = await start();
  expect((await under('localhost', INVOKE, { 'x-forwarded-for': '203.0.113.9' })).status).toBe(403);
});

test('an upgrade is refused in the same way', async () => {
  const { gateway } = await start();
  const { socket, state } = await rawConnection(gateway.port);
  socket.write(`GET ${INVOKE} HTTP/1.1\r\nHost: box.local\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n`);
  await until(() => state.ended, 'the answer');
  expect(state.text).toMatch(/^HTTP\/1\.1 403 /);
});

test('it is called under private hosts of one’s own, a custom domain among them', async () => {
  const { under } = await start(['box.local', 'chat.example.com']);
  expect((await under('box.local')).body).toBe('agent');
  expect((await under('chat.example.com', '/')).body).toBe('agent');
  expect((await under('localhost')).status).toBe(403);
});

test('nothing is woken by a call that is refused', async () => {
  const { gateway, under, routes } = await start();
  await gateway.routes(routes(true, []));
  expect((await under('box.local')).status).toBe(403);
  expect(gateway.of('demand')).toEqual([]);
});

test('a change takes effect with the routes: for new calls, and for those that wait', async () => {
  const { gateway, under, routes } = await start();
  await gateway.routes(routes(false));
  expect((await under('box.local')).body).toBe('agent');

  await gateway.routes(routes(false, []));
  const waiting = under('box.local');
  const privately = under('localhost');
  await until(() => gateway.of('demand').some(({ queued }) => queued === 2), 'both calls to wait');
  await gateway.routes(routes(true, []));
  expect((await waiting).status).toBe(403);
  await gateway.routes(routes(true));
  expect((await privately).body).toBe('agent');
  expect((await under('box.local')).status).toBe(403);
});
