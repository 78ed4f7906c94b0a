import { once } from 'node:events';
import { createServer } from 'node:net';
import { expect, it } from 'vitest';
import { PortPool } from './port-pool.ts';

const range = { from: 23_000, to: 23_003 };

it('gives no port out twice, and says when there is none', async () => {
  const pool = new PortPool(range, 60_000);
  const ports = await Promise.all([pool.take(), pool.take(), pool.take(), pool.take()]);
  expect([...ports].sort()).toEqual([23_000, 23_001, 23_002, 23_003]);
  await expect(pool.take()).rejects.toThrow('no port is free between 23000 and 23003');
});

it('lets a freed port rest', async () => {
  let nowMs = 0;
  const pool = new PortPool({ from: 23_010, to: 23_010 }, 60_000, () => nowMs);
  expect(await pool.take()).toBe(23_010);
  pool.release(23_010);
  nowMs = 59_999;
  await expect(pool.take()).rejects.toThrow('no port is free');
  nowMs = 60_000;
  expect(await pool.take()).toBe(23_010);
});

it('passes over ports that somebody listens on, on either loopback address or all', async () => {
  const servers = await Promise.all(
    [
      { host: '127.0.0.1', port: 23_020 },
      { host: '::1', port: 23_021 },
      { host: '0.0.0.0', port: 23_022 },
    ].map(async (address) => {
      const server = createServer().listen(address);
      await once(server, 'listening');
      return server;
    }),
  );
  const pool = new PortPool({ from: 23_020, to: 23_023 }, 60_000);
  expect(await pool.take()).toBe(23_023);
  for (const server of servers) server.close();
});

it('keeps the ports of adopted instances', async () => {
  const pool = new PortPool({ from: 23_030, to: 23_031 }, 60_000);
  pool.hold(23_030);
  expect(await pool.take()).toBe(23_031);
});
