import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { UpMessage } from '../../src/feed/messages.ts';
import { createFeedPair } from '../../src/feed/port.ts';
import { startGateway } from '../../src/gateway/start-gateway.ts';
import {
  call,
  closeAtEnd,
  faultLog,
  INVOKE,
  instanceOf,
  openCall,
  rawConnection,
  readAll,
  runtime,
  SETTINGS,
  startAgent,
  startTestGateway,
  until,
} from './harness.ts';

function start(port: number) {
  const { control, gateway } = createFeedPair();
  const said: UpMessage[] = [];
  control.onMessage((message) => said.push(message));
  const running = startGateway({
    feed: gateway,
    controlSocket: join(tmpdir(), `nobody-${randomUUID()}.sock`),
    log: faultLog(),
    settings: { ...SETTINGS, port, queueLength: 10, queueTimeoutMs: 1000, bodyLimitBytes: 1000 },
  });
  running.catch(() => {});
  closeAtEnd(async () => (await running.catch(() => undefined))?.close());
  return { control, said, running };
}

async function occupied(port = 0) {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  closeAtEnd(() => new Promise((resolve) => server.close(resolve)));
  return { server, port: (server.address() as { port: number }).port };
}

test('the real port is told when a free one was asked for', async () => {
  const gateway = await startTestGateway();
  expect(gateway.of('listening')).toEqual([{ type: 'listening', host: '127.0.0.1', port: gateway.port }]);
  expect(gateway.port).toBeGreaterThan(0);
});

test('an address that is taken is told by name, with what to do', async () => {
  const { port } = await occupied();
  const { said, running } = start(port);
  await expect(running).rejects.toThrow(`Cannot listen on 127.0.0.1:${port}: the address is in use`);
  await until(() => said.length > 0, 'listen-failed');
  expect(said).toMatchObject([{ type: 'listen-failed', reason: expect.stringContaining('--port') }]);
});

test('an address that is just being given up is waited for', async () => {
  const { server, port } = await occupied();
  const { running } = start(port);
  await new Promise((resolve) => server.close(resolve));
  expect((await running).port).toBe(port);
});

test('without a control process calls go on, and it is told at /health', async () => {
  let finish = () => {};
  const agent = await startAgent((request, response) => {
    if (request.url === '/now') return response.end('at once');
    response.write('begun ');
    finish = () => response.end('and finished');
  });
  const gateway = await startTestGateway({
    runtimes: [runtime({ serves: [{ slots: 2, instances: [agent] }] })],
  });
  const { request, answer } = openCall(gateway.port, INVOKE, { method: 'GET' });
  request.end();
  const stream = await answer;

  gateway.control.close();
  const health = async () => (await call(gateway.port, '/health')).json() as { status: string };
  let told: string | undefined;
  await until(() => {
    void health().then(({ status }) => {
      told = status;
    });
    return told === 'degraded';
  }, 'the gateway to notice');
  expect((await call(gateway.port, '/health')).status).toBe(200);
  expect((await call(gateway.port, `${INVOKE}/now`)).body).toBe('at once');
  const refused = await call(gateway.port, '/2025-09-10/agents/runtimes');
  expect([refused.status, refused.headers['retry-after']]).toEqual([503, '1']);

  gateway.nextControl();
  await until(() => gateway.said.length > 0, 'listening');
  expect(gateway.said[0]).toEqual({ type: 'listening', host: '127.0.0.1', port: gateway.port });
  expect(await health()).toEqual({ status: 'ok' });
  finish();
  expect(await readAll(stream)).toBe('begun and finished');
});

test('a call that waits for an instance is told to the next control process, and answered', async () => {
  const agent = await startAgent((_, response) => response.end('started for you'));
  const gateway = await startTestGateway({ runtimes: [runtime()] });
  gateway.control.close();
  const waiting = call(gateway.port, INVOKE);
  const second = call(gateway.port, INVOKE);
  await until(() => call(gateway.port, '/health').then(() => true), 'both to have come');
  gateway.nextControl();
  await gateway.snapshot([runtime()]);
  await until(() => gateway.of('demand').at(-1)?.queued === 2, 'the demand of both');
  await gateway.routes(runtime({ serves: [{ slots: 2, instances: [agent] }] }));
  expect((await waiting).body).toBe('started for you');
  expect((await second).body).toBe('started for you');
});

test('what a control process missed is told to the next: drained instances and usage', async () => {
  const agent = await startAgent((_, response) => response.end());
  const draining = runtime({ serves: [{ instances: [instanceOf(agent, 'draining')] }] });
  const gateway = await startTestGateway({ runtimes: [draining] });
  await until(() => gateway.of('drained').length > 0, 'drained');
  gateway.nextControl();
  await gateway.snapshot([draining]);
  expect(gateway.of('drained')).toEqual([{ type: 'drained', instanceId: `instance-${agent.port}` }]);
  await until(() => gateway.of('usage').length > 0, 'usage');
});

test('requests to the control plane do not meet connections that lead to the one before', async () => {
  const answerBodies: RequestListener = (request, response) => {
    request.resume();
    request.on('end', () => response.end('{}'));
  };
  const folder = await mkdtemp(join(tmpdir(), 'gateway-test-'));
  closeAtEnd(() => rm(folder, { recursive: true, force: true }));
  const at = join(folder, 'control.sock');
  const before = await startAgent(answerBodies, { at });
  const gateway = await startTestGateway({ controlSocket: at });
  const post = () => call(gateway.port, '/2025-09-10/agents/runtimes', { body: '{}' });
  const first = await Promise.all(Array.from({ length: 8 }, post));
  expect(first.map(({ status }) => status)).toEqual(Array(8).fill(200));
  for (let round = 0; round < 5; round++) {
    gateway.control.close();
    await before.close();
    const after = await startAgent(answerBodies, { at });
    before.close = after.close;
    gateway.nextControl();
    const replies = await Promise.all(Array.from({ length: 8 }, post));
    expect(replies.map(({ status }) => status)).toEqual(Array(8).fill(200));
  }
});

test('when no other control process comes it ends: the address is free, waiting calls are told, open ones finish', async () => {
  let finish = () => {};
  const agent = await startAgent((_, response) => {
    response.write('begun ');
    finish = () => response.end('and finished');
  });
  const gateway = await startTestGateway({
    settings: { gatewayWaitMs: 50 },
    runtimes: [runtime({ serves: [{ instances: [agent] }] })],
  });
  const idle = await rawConnection(gateway.port);
  idle.socket.write('GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await until(() => idle.state.text.includes('"ok"'), 'health');
  const { request, answer } = openCall(gateway.port, INVOKE, { method: 'GET' });
  request.end();
  const stream = await answer;
  const waiting = call(gateway.port, INVOKE);
  await until(() => gateway.of('demand').at(-1)?.queued === 1, 'a call that waits');

  gateway.control.close();
  // Nobody will start an instance any more.
  expect((await waiting).status).toBe(503);
  await until(() => idle.state.ended || idle.state.closed, 'the idle connection to close');
  const successor = start(gateway.port);
  expect((await successor.running).port).toBe(gateway.port);
  // One that comes too late is told so.
  gateway.nextControl();
  await until(() => gateway.of('listen-failed').length === 1, 'listen-failed');

  finish();
  expect(await readAll(stream)).toBe('begun and finished');
  await gateway.running.ended;
});

test('a signal ends it only while there is no control process', async () => {
  const gateway = await startTestGateway();
  gateway.running.endIfUnattended();
  expect((await call(gateway.port, '/health')).json()).toEqual({ status: 'ok' });
  gateway.control.close();
  await until(() => call(gateway.port, '/health').then(() => true), 'the gateway to notice');
  gateway.running.endIfUnattended();
  await gateway.running.ended;
});

test('shutdown finishes open calls, then says closed', async () => {
  let finish = () => {};
  const agent = await startAgent((_, response) => {
    response.write('begun ');
    finish = () => response.end('and finished');
  });
  const gateway = await startTestGateway({ runtimes: [runtime({ serves: [{ instances: [agent] }] })] });
  const { request, answer } = openCall(gateway.port, INVOKE, { method: 'GET' });
  request.end();
  const stream = await answer;
  gateway.control.send({ type: 'shutdown', graceMs: 10_000 });
  let refused = false;
  await until(() => {
    call(gateway.port, '/health').catch(() => {
      refused = true;
    });
    return refused;
  }, 'new connections to be refused');
  expect(gateway.of('closed')).toEqual([]);
  finish();
  expect(await readAll(stream)).toBe('begun and finished');
  await until(() => gateway.of('closed').length === 1, 'closed');
  await gateway.running.ended;
});

test('shutdown cuts what is still open when the time is over', async () => {
  const agent = await startAgent((_, response) => {
    response.write('for ever');
  });
  const gateway = await startTestGateway({ runtimes: [runtime({ serves: [{ instances: [agent] }] })] });
  const { request, answer } = openCall(gateway.port, INVOKE, { method: 'GET' });
  request.end();
  const stream = await answer;
  gateway.control.send({ type: 'shutdown', graceMs: 20 });
  await expect(readAll(stream)).rejects.toThrow();
  await until(() => gateway.of('closed').length === 1, 'closed');
});

test('a call that comes before the first routes waits for them', async () => {
  const agent = await startAgent((_, response) => response.end('known'));
  const { control, running } = start(0);
  const { port } = await running;
  const early = call(port, INVOKE);
  await until(() => call(port, '/health').then(() => true), 'the gateway to listen');
  control.send({
    type: 'snapshot',
    sequence: 1,
    runtimes: [runtime({ serves: [{ instances: [agent] }] })],
    keys: [],
  });
  expect((await early).body).toBe('known');
});

test('after `released` the address is another’s, while open calls are finished', async () => {
  let finish = () => {};
  const agent = await startAgent((_, response) => {
    response.write('begun ');
    finish = () => response.end('and finished');
  });
  const gateway = await startTestGateway({ runtimes: [runtime({ serves: [{ instances: [agent] }] })] });
  const { request, answer } = openCall(gateway.port, INVOKE, { method: 'GET' });
  request.end();
  const stream = await answer;
  gateway.control.send({ type: 'shutdown', graceMs: 10_000 });
  await until(() => gateway.of('released').length === 1, 'released');
  const other = await occupied(gateway.port);
  expect(other.port).toBe(gateway.port);
  finish();
  expect(await readAll(stream)).toBe('begun and finished');
  await until(() => gateway.of('closed').length === 1, 'closed');
});
