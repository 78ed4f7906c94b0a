import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Connection, ConnectionPool } from './connection-pool.ts';

const server = createServer((socket) => socket.on('error', () => {}).resume());
let address: { host: string; port: number };
beforeAll(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  address = { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
});
afterAll(() => void server.close());

function outcomes(signal: AbortSignal) {
  const all: { error: Error | undefined; destroyed: boolean }[] = [];
  new ConnectionPool(address, 60_000).connect(signal, (error, { socket }) => {
    all.push({ error, destroyed: socket.destroyed });
    socket.destroy();
  });
  return all;
}

/** Another connection has come and gone, and so has everything before it. */
async function settled(): Promise<void> {
  const other = connect(address);
  await once(other, 'connect');
  other.destroy();
  await once(other, 'close');
}

test('a connection that nobody wants any more is given up while it is being made, and said once', async () => {
  const already = outcomes(AbortSignal.abort());
  const during = new AbortController();
  const given = outcomes(during.signal);
  during.abort();
  await settled();
  for (const all of [already, given]) {
    expect(all).toEqual([{ error: expect.any(Error) as Error, destroyed: true }]);
  }
});

test('one that was made is not touched', async () => {
  const controller = new AbortController();
  const made: boolean[] = [];
  const { socket } = await new Promise<Connection>((resolve, reject) => {
    new ConnectionPool(address, 60_000).connect(controller.signal, (error, it) => {
      made.push(error === undefined);
      if (error) reject(error);
      else resolve(it);
    });
  });
  controller.abort();
  await settled();
  expect(socket.destroyed).toBe(false);
  expect(made).toEqual([true]);
  socket.destroy();
});
