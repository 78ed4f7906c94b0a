import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { smallDisk } from '../small-disk.ts';
import { openInstallBench } from './install-bench.ts';
import { openTarballs, type Tarballs } from './tarballs.ts';

const json = (value: unknown) => JSON.stringify(value, null, 2);
const MIB = 1024 * 1024;

const many = Object.fromEntries(Array.from({ length: 3000 }, (_, i) => [`d${i % 9}/f${i}.js`, '']));
const thing = (name: string) => ({ 'package.json': json({ name, version: '1.0.0' }) });
const registry: Tarballs = await openTarballs(
  {
    large: { ...thing('large'), ...parts(24, 2 * MIB) },
    // Larger than the disk of the test below.
    huge: { ...thing('huge'), ...parts(100, MIB) },
    single: { ...thing('single'), 'blob.bin': zeros(40 * MIB) },
    many: { ...thing('many'), ...many },
    small: { ...thing('small'), 'index.js': 'module.exports = "small"', 'blob.bin': randomBytes(1000) },
  },
  ['huge'],
);
afterAll(() => registry.close());

/** Small on their way, large where they arrive; but not so that npm itself takes them for a bomb. */
function zeros(bytes: number): Buffer {
  const content = Buffer.alloc(bytes);
  const noise = randomBytes(64);
  for (let at = 0; at < bytes; at += 4096) noise.copy(content, at);
  return content;
}

function parts(count: number, bytes: number): Record<string, Buffer> {
  return Object.fromEntries(Array.from({ length: count }, (_, i) => [`part${i}.bin`, zeros(bytes)]));
}

const needing = (name: string, code = '') => {
  const manifest = { name: 'agent', version: '1.0.0', dependencies: { [name]: '1.0.0' } };
  return { 'package.json': json(manifest), 'package-lock.json': registry.lock(manifest), 'index.js': code };
};

describe('an install', () => {
  const bench = openInstallBench();
  const { preparing, failure, installs } = bench;

  it('may not take more of the disk than the operator gives it', async () => {
    const { message } = await failure(needing('large'), { rules: { diskBytes: 20 * MIB } });
    expect(message).toBe(
      'the dependencies take more than 20 MiB on the disk; that is the limit (RUNSTEAD_INSTALL_DISK)',
    );
    await preparing(needing('large'), { rules: { diskBytes: 100 * MIB } });
  });

  it('may not write a single file larger than that either', async () => {
    const { message } = await failure(needing('single'), { rules: { diskBytes: 20 * MIB } });
    expect(message).toMatch(
      /^a file was to become larger than 20 MiB|take more than 20 MiB|killed by SIGXFSZ/,
    );
  });

  it('may not make more files than the operator gives it', async () => {
    const { message } = await failure(needing('many'), { rules: { diskEntries: 2000 } });
    expect(message).toBe(
      'the dependencies take more than 2000 files and folders; that is the limit (RUNSTEAD_INSTALL_ENTRIES)',
    );
    await preparing(needing('many'), { rules: { diskEntries: 20_000 } });
  });

  it('does not begin where too little is free, and says how much is', async () => {
    const rules = { freeSpaceReserveBytes: 2 ** 62 };
    const ready = await preparing(needing('small', '1'));
    // Unpacked already; another lock would have to be installed.
    expect(await preparing(needing('small', '1'), { rules })).toBe(ready);
    expect(installs()).toHaveLength(1);
    const error = await preparing(needing('small', '2'), { rules }).catch((reason: Error) => reason);
    expect(error).toMatchObject({ phase: 'unpack' });
    expect((error as Error).message).toMatch(
      /^the package unpacks to .* has [\d.]+ \w+ free, and .* must stay free; .*RUNSTEAD_FREE_SPACE_RESERVE$/,
    );
  });
});

const disk = smallDisk(64);

describe.skipIf(disk === undefined)('a package that fills the disk', () => {
  const dataDir = disk === undefined ? undefined : join(disk, 'data');
  if (dataDir !== undefined) mkdirSync(dataDir);
  const bench = openInstallBench({ dataDir });
  const { preparing, installs } = bench;
  const free = () => {
    const { bavail, bsize } = statfsSync(disk!);
    return (bavail * bsize) / MIB;
  };
  const load = (codeDir: string) =>
    execFileSync(process.execPath, ['-p', 'require("small")'], { cwd: codeDir, encoding: 'utf8' }).trim();

  it.each([
    ['is ended before what must stay free is taken', 24 * MIB, /must stay free.*RUNSTEAD_FREE_SPACE_RESERVE/],
    ['is told apart where nothing is to stay free', 0, /^no space is left on the disk of the data folder/],
  ])('%s; what it took comes back, and others go on', async (_name, freeSpaceReserveBytes, reason) => {
    const before = free();
    // Others work at the same time, and after it.
    const [error, other] = await Promise.all([
      preparing(needing('huge'), { rules: { freeSpaceReserveBytes } }).catch((failed: Error) => failed),
      preparing(needing('small', 'beside')).catch(() => undefined),
    ]);
    expect(error).toMatchObject({ phase: 'install', message: expect.stringMatching(reason) });
    expect(load(other ?? (await preparing(needing('small', 'beside'))))).toBe('small');
    expect(installs()).toHaveLength(1);
    // The small one is kept, and the huge one's archive in the cache.
    expect(free()).toBeGreaterThan(before - 8);
    expect(existsSync(join(bench.folders.deps, bench.runtimeId(), installs()[0]!, 'work'))).toBe(false);
    expect(readdirSync(bench.folders.code)).toContain(bench.runtimeId());
  });

  it('is not unpacked when it would not fit', async () => {
    const before = free();
    const error = await preparing({ 'index.js': '', 'zeros.bin': Buffer.alloc(70 * MIB) }).catch(
      (reason: Error) => reason,
    );
    expect(error).toMatchObject({ phase: 'unpack' });
    expect((error as Error).message).toMatch(
      /^the package unpacks to 70 MiB, the disk of the data folder has/,
    );
    expect(free()).toBeGreaterThan(before - 2);
  });
});
