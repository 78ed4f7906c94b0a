import { describe, expect, test } from 'vitest';
import type { GatewaySettings } from '../../src/gateway/settings.ts';
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

const CLAIMS = {
  'x-forwarded-for': '203.0.113.9',
  'x-forwarded-proto': 'https',
  'x-forwarded-host': 'public.test',
  'x-real-ip': '203.0.113.9',
};

/** An agent, and a control process, that answer with the fields they got. */
async function start(settings: Partial<GatewaySettings> = {}, isPrivate = false) {
  const agent = await startAgent((request, response) => response.end(JSON.stringify(request.headers)), {
    setUp: (server) =>
      server.on('upgrade', (request, socket) => {
        const seen = JSON.stringify(request.headers);
        socket.end(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n${seen}`);
      }),
  });
  const controlSocket = await startControl((request, response) =>
    response.end(JSON.stringify(request.headers)),
  );
  const route = runtime({ serves: [{ instances: [agent], slots: 9 }] });
  for (const endpoint of route.endpoints) endpoint.disablePublicNetworkAccess = isPrivate;
  const gateway = await startTestGateway({ controlSocket, settings, runtimes: [route] });
  const ask = async (headers: Record<string, string>, path = INVOKE) =>
    (await call(gateway.port, path, { headers })).json();
  return { gateway, ask };
}

describe('what an agent reads of where a call comes from', () => {
  test('is the connection alone, unless the peer is trusted', async () => {
    const { ask, gateway } = await start();
    const host = `127.0.0.1:${gateway.port}`;
    const seen = await ask(CLAIMS);
    expect(seen).toMatchObject({
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-proto': 'http',
      'x-forwarded-host': host,
      forwarded: `for=127.0.0.1;host="${host}";proto=http`,
    });
    expect(JSON.stringify(seen)).not.toMatch(/203\.0\.113|public\.test/);
  });

  test('is what a trusted proxy says, with the proxy at its end', async () => {
    const { ask } = await start({ trustProxy: ['127.0.0.0/8'] });
    expect(await ask(CLAIMS)).toMatchObject({
      'x-forwarded-for': '203.0.113.9, 127.0.0.1',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'public.test',
      forwarded: 'for=203.0.113.9, for=127.0.0.1;host="public.test";proto=https',
    });
  });

  test('is the same on an upgrade', async () => {
    const { gateway } = await start({ trustProxy: ['127.0.0.1'] });
    const { socket, state } = await rawConnection(gateway.port);
    socket.write(
      `GET ${INVOKE} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: x\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n`,
    );
    await until(() => state.text.includes('"x-forwarded-for":"203.0.113.9, 127.0.0.1"'), 'the fields');
  });
});

describe('the control process', () => {
  test.each([
    [[], '127.0.0.1'],
    [['127.0.0.1'], '203.0.113.9'],
  ])('hears of the caller by the same rule (trusted: %j)', async (trustProxy, peer) => {
    const { ask } = await start({ trustProxy });
    const headers = { ...CLAIMS, 'x-runstead-peer': '6.6.6.6' };
    expect((await ask(headers, '/runstead/v1/instances'))['x-runstead-peer']).toBe(peer);
  });
});

describe('an endpoint without public access', () => {
  const settings = {
    privateHosts: ['agents.internal', 'localhost'],
    privateNetworks: ['10.0.0.0/8', '127.0.0.0/8'],
  };
  const status = async (fields: Record<string, string>, trustProxy: string[], host = 'agents.internal') => {
    const { gateway } = await start({ ...settings, trustProxy }, true);
    return (await call(gateway.port, INVOKE, { headers: { host, ...fields } })).status;
  };

  test('behind a trusted proxy is private to those whom the proxy names', async () => {
    const trusted = ['127.0.0.1'];
    expect(await status({ 'x-forwarded-for': '10.1.2.3' }, trusted)).toBe(200);
    expect(await status({ 'x-forwarded-for': '203.0.113.9' }, trusted)).toBe(403);
    // What the caller wrote before it came to the proxy.
    expect(await status({ 'x-forwarded-for': '10.1.2.3, 203.0.113.9' }, trusted)).toBe(403);
    expect(await status({ forwarded: 'for=10.1.2.3', 'x-forwarded-for': '203.0.113.9' }, trusted)).toBe(403);
    expect(await status({ via: '1.1 proxy' }, trusted)).toBe(403);
    // The proxy's own, such as its look whether we are well.
    expect(await status({}, trusted)).toBe(200);
  });

  test('takes no word of a peer that is not trusted', async () => {
    const { gateway } = await start({ ...settings, privateNetworks: ['10.0.0.0/8'] }, true);
    const headers = { host: 'agents.internal', 'x-forwarded-for': '10.1.2.3' };
    expect((await call(gateway.port, INVOKE, { headers })).status).toBe(403);
  });

  test('no proxy, however trusted, makes a caller one of this machine', async () => {
    expect(await status({}, ['127.0.0.1'], 'localhost')).toBe(200);
    expect(await status({ 'x-forwarded-for': '127.0.0.1' }, ['127.0.0.1'], 'localhost')).toBe(403);
  });
});

describe('a trace', () => {
  const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

  test('goes on with its state', async () => {
    const { ask } = await start();
    expect(await ask({ traceparent: TRACE, tracestate: 'a=1' })).toMatchObject({
      traceparent: TRACE,
      tracestate: 'a=1',
    });
  });

  test.each([
    [true, '01'],
    [false, '00'],
  ])('begins where there is none that can be read, sampled as set: %s', async (traceSampled, flags) => {
    const { ask } = await start({ traceSampled });
    const first = await ask({});
    const second = await ask({ traceparent: `${TRACE}-more`, tracestate: 'a=1' });
    for (const { traceparent } of [first, second])
      expect(traceparent).toMatch(new RegExp(`^00-[0-9a-f]{32}-[0-9a-f]{16}-${flags}$`));
    expect(first.traceparent).not.toBe(second.traceparent);
    expect(second.tracestate).toBeUndefined();
  });
});
