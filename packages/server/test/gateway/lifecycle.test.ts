import { randomUUID } from 'node:crypto';
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

async function occupied() {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
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

test('when the control process is gone the address is free at once, and open calls are finished', async () => {
  let finish = () => {};
  const agent = await startAgent((_, response) => {
    response.write('begun ');
    finish = () => response.end('and finished');
  });
  const gateway = await startTestGateway({ runtimes: [runtime({ serves: [{ instances: [agent] }] })] });
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

  finish();
  expect(await readAll(stream)).toBe('begun and finished');
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
