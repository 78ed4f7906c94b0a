import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectTo } from './connect.ts';
import type { Instance } from './instances.ts';

const server = createServer((socket) => socket.on('error', () => {}).resume());
let address: { host: string; port: number };
beforeAll(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  address = { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
});
afterAll(() => void server.close());

const instance = () => ({ ...address, links: undefined }) as Instance;

function outcomes(signal: AbortSignal) {
  const all: { error: Error | null; destroyed: boolean }[] = [];
  connectTo(instance())({ ...address, unwanted: signal }, (error, socket) => {
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
  const socket = await new Promise<Socket>((resolve, reject) => {
    connectTo(instance())({ ...address, unwanted: controller.signal }, (error, it) => {
      made.push(error === null);
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
