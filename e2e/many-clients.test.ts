import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { create, ready } from './harness/deploy.ts';
import { startServerForTest } from './harness/server.ts';
import { waitFor } from './harness/wait-for.ts';

/** More clients than a process may have files open. */

const CLIENTS = 1000;
const AGENT = `
import { createServer } from 'node:http';
createServer((_request, response) => response.end('hello')).listen(Number(process.env.PORT), '127.0.0.1');
`;

/** What of a client's call there is to be seen; `closed`: the connection, without an answer. */
interface Client {
  socket: Socket;
  seen: number | 'closed' | undefined;
}

/** Asks on a connection of its own, which it then keeps. */
function ask(port: number, path: string): Client {
  const client: Client = { socket: connect({ host: '127.0.0.1', port }), seen: undefined };
  let text = '';
  client.socket.on('connect', () => client.socket.write(`GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`));
  client.socket.on('data', (piece) => {
    text += piece;
    client.seen ??= Number(/^HTTP\/1\.1 (\d+) /.exec(text)?.[1] ?? Number.NaN) || undefined;
  });
  client.socket.on('error', () => {});
  client.socket.on('close', () => {
    client.seen ??= 'closed';
  });
  return client;
}

const mayOpen = () =>
  Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? 0);

test('a thousand clients at 256 open files: some are served, the others are sent away, and nothing ends', async (it) => {
  if (process.platform !== 'linux') return it.skip('the limit of open files is read from /proc');
  if (mayOpen() < 2 * CLIENTS) return it.skip(`this test needs ${2 * CLIENTS} open files of its own`);
  const folder = mkdtempSync(join(tmpdir(), 'runstead-clients-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'index.mjs'), AGENT);
  const server = await startServerForTest({ openFiles: 256 });
  const runtime = ready(await create(server.client(), { folder, sessionConcurrencyLimitPerInstance: 200 }));
  const invocation = new URL(server.invocationUrl(runtime.agentRuntimeName)).pathname;
  const gateway = server.gatewayPid();

  for (const path of [invocation, '/health']) {
    const clients = Array.from({ length: CLIENTS }, () => ask(server.port, path));
    await waitFor('each to have an answer, or none', () => clients.every(({ seen }) => seen !== undefined), {
      withinMs: 60_000,
    });
    const counts = new Map<Client['seen'], number>();
    for (const { seen } of clients) counts.set(seen, (counts.get(seen) ?? 0) + 1);
    expect([...counts.keys()].filter((seen) => ![200, 503, 429, 'closed'].includes(seen!))).toEqual([]);
    expect(counts.get(200)).toBeGreaterThanOrEqual(40);
    expect(counts.get(503)).toBeGreaterThan(0);
    for (const { socket } of clients) socket.destroy();
    // There is room again.
    await waitFor('the next to be served', async () => {
      const response = await fetch(server.invocationUrl(runtime.agentRuntimeName)).catch(() => undefined);
      return response?.status === 200 && (await response.text()) === 'hello';
    });
  }
  expect(server.gatewayPid()).toBe(gateway);
  expect((await server.client().get(runtime.agentRuntimeId)).status).toBe('READY');
  expect(server.stderr).not.toMatch(/EMFILE|ENFILE/);
});
