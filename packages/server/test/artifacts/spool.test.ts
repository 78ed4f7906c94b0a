import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BodyTooLarge, spool } from '../../src/artifacts/spool.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'runstead-spool-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('spool', () => {
  it('writes each body to a file of its own, for the owner alone', async () => {
    const bodies = await Promise.all(
      ['one', 'two', ''].map((text) =>
        spool(Readable.from(text === '' ? [] : [Buffer.from(text)]), folder, 100),
      ),
    );
    const files = bodies.map(({ file }) => file);
    expect(new Set(files).size).toBe(3);
    expect(files.map((file) => readFileSync(file, 'utf8'))).toEqual(['one', 'two', '']);
    for (const file of files) expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it('gives the SHA-256 of the bytes, however they come in pieces', async () => {
    const bytes = randomBytes(300_000);
    const expected = createHash('sha256').update(bytes).digest('hex');
    for (const size of [1000, 70_000, 300_000]) {
      const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
        bytes.subarray(i * size, (i + 1) * size),
      );
      expect((await spool(Readable.from(pieces), folder, 300_000)).sha256).toBe(expected);
    }
    const empty = await spool(Readable.from([]), folder, 100);
    expect(empty.sha256).toBe(createHash('sha256').digest('hex'));
  });

  it('takes as much as the limit, and no byte more', async () => {
    const pieces = () => Readable.from([Buffer.alloc(60), Buffer.alloc(40)]);
    await spool(pieces(), folder, 100);
    expect(readdirSync(folder)).toHaveLength(1);
    await expect(spool(pieces(), folder, 99)).rejects.toThrow(BodyTooLarge);
    await expect(spool(pieces(), folder, 99)).rejects.toThrow('99 bytes');
    expect(readdirSync(folder)).toHaveLength(1);
  });

  it('stops reading at the limit', async () => {
    let given = 0;
    const endless = new Readable({
      read() {
        given += 65_536;
        this.push(Buffer.alloc(65_536));
      },
    });
    await expect(spool(endless, folder, 1_000_000)).rejects.toThrow(BodyTooLarge);
    expect(given).toBeLessThan(3_000_000);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('leaves no file of a body that breaks off, however early', async () => {
    for (let round = 0; round < 200; round++) {
      const body = new PassThrough();
      const spooled = spool(body, folder, 1_000_000);
      if (round % 4 > 0) body.write(Buffer.alloc(1000));
      // Before the file is open, while it is being opened, after some of it was written.
      for (let turn = 0; turn < round % 7; turn++) await new Promise(setImmediate);
      body.destroy(new Error('gone'));
      await expect(spooled).rejects.toThrow('gone');
      expect(readdirSync(folder)).toEqual([]);
    }
  });

  it('leaves no file of a caller who hangs up', async () => {
    let rejected: (reason: unknown) => void;
    const outcome = new Promise<unknown>((resolve) => {
      rejected = resolve;
    });
    let arrived: () => void;
    const arrival = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    const server = createServer((incoming: IncomingMessage) => {
      incoming.once('readable', () => arrived());
      spool(incoming, folder, 1_000_000).then(() => rejected(undefined), rejected);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = server.address() as AddressInfo;
      const call = request({
        port,
        host: '127.0.0.1',
        method: 'POST',
        headers: { 'content-length': 500_000 },
      });
      call.on('error', () => {});
      call.write(Buffer.alloc(10_000));
      await arrival;
      call.destroy();
      expect(await outcome).toBeInstanceOf(Error);
      expect(readdirSync(folder)).toEqual([]);
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });

  it('says so when there is nowhere to write', async () => {
    const missing = join(folder, 'missing');
    await expect(spool(Readable.from([Buffer.from('x')]), missing, 10)).rejects.toMatchObject({
      code: 'ENOENT',
    });
  });
});
