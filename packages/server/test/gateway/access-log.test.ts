import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { GatewaySettings } from '../../src/gateway/settings.ts';
import {
  call,
  closeAtEnd,
  INVOKE,
  keyRoute,
  openCall,
  rawConnection,
  runtime,
  startAgent,
  startControl,
  startTestGateway,
  until,
} from './harness.ts';

const KEY = 'rsk_planted-key';

/** Whole lines of the record so far. */
async function start(settings: Partial<GatewaySettings>) {
  const folder = mkdtempSync(join(tmpdir(), 'runstead-access-'));
  closeAtEnd(() => rmSync(folder, { recursive: true, force: true }));
  const accessLogFile = join(folder, 'access.log');
  const agent = await startAgent(
    (request, response) => {
      if (request.url!.startsWith('/hang')) return;
      const cut = request.url!.startsWith('/cut');
      response.statusCode = request.url!.startsWith('/broken') ? 500 : 200;
      if (cut) response.write('a part', () => request.socket.destroy());
      else response.end('agent');
    },
    {
      setUp: (server) =>
        server.on('upgrade', (_, socket) =>
          socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'),
        ),
    },
  );
  const controlSocket = await startControl((_, response) => response.end('control'));
  const gateway = await startTestGateway({
    controlSocket,
    settings: { accessLogFile, ...settings },
    keys: [keyRoute(KEY)],
    runtimes: [runtime({ serves: [{ version: 7, instances: [agent], slots: 9 }] })],
  });
  const text = () => {
    try {
      return readFileSync(accessLogFile, 'utf8');
    } catch {
      return '';
    }
  };
  const lines = () =>
    text()
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line));
  return { gateway, agent, text, lines };
}

test('each call to an agent is one line, from its caller to its end', async () => {
  const { gateway, agent, lines } = await start({ accessLog: 'all' });
  const reply = await call(gateway.port, `${INVOKE}/x`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${KEY}` },
  });
  await until(() => lines().length === 1, 'the line');
  expect(lines()[0]).toMatchObject({
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    requestId: reply.headers['x-acs-request-id'],
    caller: '127.0.0.1',
    method: 'PUT',
    agentRuntimeId: 'runtime-1',
    agentRuntimeName: 'echo',
    endpointName: 'Default',
    version: 7,
    instanceId: `instance-${agent.port}`,
    keyId: 'key-1',
    queueMs: 0,
    totalMs: expect.any(Number),
    status: 200,
    outcome: 'answered',
  });
});

test('however it ends, it is told how', async () => {
  const { gateway, lines } = await start({ accessLog: 'all', trustProxy: ['127.0.0.1'] });
  await call(gateway.port, `${INVOKE}/broken`, { headers: { 'x-forwarded-for': '203.0.113.9' } });
  await call(gateway.port, `${INVOKE}/cut`).catch(() => {});
  await call(gateway.port, INVOKE.replace('echo', 'nowhere'));
  await call(gateway.port, INVOKE, { headers: { authorization: 'Bearer rsk_wrong' } });
  await call(gateway.port, INVOKE, { headers: { host: 'evil.test' } });
  const { request } = openCall(gateway.port, `${INVOKE}/hang`, { method: 'GET' });
  request.end();
  // Another call that came later has been answered: so that one is under way.
  await call(gateway.port, INVOKE);
  request.destroy();
  const { socket, state } = await rawConnection(gateway.port);
  socket.write(`GET ${INVOKE} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n`);
  await until(() => state.ended, 'the end');
  socket.end();
  // None of these are calls to agents.
  await call(gateway.port, '/health');
  await call(gateway.port, '/runstead/v1/instances');
  await until(() => lines().length === 8, 'all lines');
  const seen = lines().map(({ status, outcome, errorCode, caller }) => [status, outcome, errorCode, caller]);
  const here = '127.0.0.1';
  expect(seen.sort()).toEqual(
    [
      [500, 'answered', undefined, '203.0.113.9'],
      [200, 'cut', undefined, here],
      [404, 'refused', 'ERR_NOT_FOUND', here],
      [401, 'refused', 'InvalidAccessKeyId.NotFound', here],
      [403, 'refused', 'Forbidden', undefined],
      [0, 'client-gone', undefined, here],
      [200, 'answered', undefined, here],
      [101, 'answered', undefined, here],
    ].sort(),
  );
});

test('nothing that lets anybody in is written: no key, token, session, cookie, path or query', async () => {
  const { gateway, lines, text } = await start({ accessLog: 'all' });
  const planted = {
    authorization: `Bearer ${KEY}`,
    'x-agentrun-session-id': 'planted-session',
    cookie: 'runstead-session=planted-cookie; a=planted-own',
    'agentrun-access-token': '',
    'x-api-key': 'planted-field',
  };
  const path = `${INVOKE}/planted-path?token=planted-query`;
  await call(gateway.port, path, { headers: planted, body: 'planted-body' });
  await call(gateway.port, path, { headers: { ...planted, authorization: 'Bearer rsk_planted-wrong' } });
  await call(gateway.port, path, { headers: { ...planted, authorization: 'Bearer sk-planted' } });
  await call(gateway.port, path.replace('echo', 'planted-name'), { headers: planted });
  await until(() => lines().length === 4, 'the lines');
  expect(text()).not.toContain('planted');
});

test.each<[GatewaySettings['accessLog'], number, number[]]>([
  ['off', 1, []],
  ['errors', 1, [500]],
  ['all', 0, [500]],
  ['all', 1, [200, 500]],
])('"%s" with a share of %d writes down %j', async (accessLog, accessLogShare, expected) => {
  const { gateway, lines } = await start({ accessLog, accessLogShare });
  await call(gateway.port, INVOKE);
  await call(gateway.port, `${INVOKE}/broken`);
  // All there is is written when it ends.
  await gateway.running.close();
  await until(() => lines().length >= expected.length, 'the lines');
  expect(lines().map(({ status }) => status)).toEqual(expected);
});
