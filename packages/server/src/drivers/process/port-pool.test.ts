import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { expect, it } from 'vitest';
import { PortPool } from './port-pool.ts';

/** Somewhere else each time: others may run the same test beside this one. */
const base = 10_000 + 100 * randomInt(90);
const range = { from: base, to: base + 3 };

it('gives no port out twice, and says when there is none', async () => {
  const pool = new PortPool(range, 60_000);
  const ports = await Promise.all([pool.take(), pool.take(), pool.take(), pool.take()]);
  expect([...ports].sort()).toEqual([base, base + 1, base + 2, base + 3]);
  await expect(pool.take()).rejects.toThrow(`no port is free between ${base} and ${base + 3}`);
});

it('lets a freed port rest', async () => {
  let nowMs = 0;
  const pool = new PortPool({ from: base + 10, to: base + 10 }, 60_000, () => nowMs);
  expect(await pool.take()).toBe(base + 10);
  pool.release(base + 10);
  nowMs = 59_999;
  await expect(pool.take()).rejects.toThrow('no port is free');
  nowMs = 60_000;
  expect(await pool.take()).toBe(base + 10);
});

it('passes over ports that somebody listens on, on either loopback address or all', async () => {
  const servers = await Promise.all(
    [
      { host: '127.0.0.1', port: base + 20 },
      { host: '::1', port: base + 21 },
      { host: '0.0.0.0', port: base + 22 },
    ].map(async (address) => {
      const server = createServer().listen(address);
      await once(server, 'listening');
      return server;
    }),
  );
  const pool = new PortPool({ from: base + 20, to: base + 23 }, 60_000);
  expect(await pool.take()).toBe(base + 23);
  for (const server of servers) server.close();
});

it('keeps the ports of adopted instances', async () => {
  const pool = new PortPool({ from: base + 30, to: base + 31 }, 60_000);
  pool.hold(base + 30);
  expect(await pool.take()).toBe(base + 31);
});
