import { expect, test } from 'vitest';
import { waitFor } from '../wait-for.ts';
import { call, INVOKE, rawConnection, runtime, startAgent, startTestGateway, until } from './harness.ts';

/** As many connections as there may be: who comes then, and who goes. */

async function startFull() {
  const agent = await startAgent((request, response) => {
    // The first call goes on until the test is over.
    if (request.url === '/hang') response.write('begun');
    else response.end('hello');
  });
  const runtimes = [runtime({ serves: [{ instances: [agent], slots: 50 }] })];
  const { port } = await startTestGateway({ runtimes, mostConnections: 2, times: { tickMs: 5 } });
  const ask = (path: string) => `GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`;
  const busy = await rawConnection(port);
  busy.socket.write(ask(`${INVOKE}/hang`));
  await until(() => busy.state.text.includes('begun'), 'the call to begin');
  const idle = await rawConnection(port);
  idle.socket.write(ask(INVOKE));
  await until(() => idle.state.text.includes('hello'), 'its answer');
  return { port, busy, idle, ask };
}

test('a client too many is told so when it asks, in the shape that clients read', async () => {
  const { port, busy, idle, ask } = await startFull();
  const late = await rawConnection(port);
  late.socket.write(ask(INVOKE));
  await until(() => late.state.ended, 'the answer');
  const [head = '', body = ''] = late.state.text.split('\r\n\r\n');
  expect(head).toMatch(/^HTTP\/1\.1 503 Service Unavailable\r\n/);
  expect(head).toMatch(/\r\nconnection: close\r\n/i);
  expect(head).toMatch(/\r\nretry-after: 1\r\n/i);
  expect(head).toMatch(/\r\nx-runstead-error-origin: platform/i);
  expect(JSON.parse(body)).toMatchObject({
    code: 'ERR_UNAVAILABLE',
    error: { code: 'ERR_UNAVAILABLE', type: 'platform_error' },
  });
  expect([busy.state.ended, idle.state.ended]).toEqual([false, false]);
});

test('a connection that has waited for a while makes room; one that is answered never does', async () => {
  const { port, busy, idle } = await startFull();
  await waitFor('somebody new to be served', async () => (await call(port, INVOKE)).status === 200);
  await until(() => idle.state.ended, 'the one that asked nothing to be closed');
  expect(busy.state.ended).toBe(false);
});
