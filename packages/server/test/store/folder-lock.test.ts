import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FolderInUse, type FolderLock, lockFolder, type ServerRecord } from '../../src/folder-lock.ts';

const HOLDER = fileURLToPath(new URL('./lock-holder.mjs', import.meta.url));

let dataDir: string;
let held: FolderLock[];
let children: ChildProcess[];

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'runstead-lock-'));
  held = [];
  children = [];
});

afterEach(async () => {
  for (const lock of held) lock.release();
  for (const child of children) await kill(child);
  rmSync(dataDir, { recursive: true, force: true });
});

function take(): FolderLock {
  const lock = lockFolder(dataDir);
  held.push(lock);
  return lock;
}

/** Lets another process take the folder; gives it and the first line it said. */
async function takeElsewhere(): Promise<{ child: ChildProcess; said: string }> {
  const child = spawn(process.execPath, [HOLDER, dataDir], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  const [said] = (await once(createInterface({ input: child.stdout! }), 'line')) as [string];
  return { child, said };
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

const recordFile = () => join(dataDir, 'run', 'server.json');
const readRecord = () => JSON.parse(readFileSync(recordFile(), 'utf8')) as ServerRecord;

function refusal(): string {
  try {
    take();
  } catch (error) {
    expect(error).toBeInstanceOf(FolderInUse);
    return (error as Error).message;
  }
  throw new Error('the folder was taken twice');
}

describe('lockFolder', () => {
  it('writes down who serves the folder, and where once that is known, for its owner alone', () => {
    const lock = take();
    expect(readRecord()).toEqual({ pid: process.pid, startedAt: expect.any(String) });
    lock.listening({ url: 'http://127.0.0.1:7700' });
    expect(readRecord()).toMatchObject({ pid: process.pid, url: 'http://127.0.0.1:7700' });
    expect(statSync(recordFile()).mode & 0o777).toBe(0o600);
    expect(statSync(join(dataDir, 'run')).mode & 0o777).toBe(0o700);
  });

  it('refuses the folder to a second server of the same process, naming pid and time', () => {
    take();
    const { startedAt } = readRecord();
    const message = refusal();
    expect(message).toContain(`pid ${process.pid}`);
    expect(message).toContain(startedAt);
    expect(message).toContain(dataDir);
    expect(message).not.toContain('listening');
    expect(message).toContain('--data');
  });

  it('refuses it to another process, naming the address too', async () => {
    take().listening({ url: 'http://127.0.0.1:7700' });
    const { said } = await takeElsewhere();
    expect(said).toMatch(/^FolderInUse: /);
    expect(said).toContain(
      `pid ${process.pid}, listening on http://127.0.0.1:7700, since ${readRecord().startedAt}`,
    );
  });

  it('learns of a holder in another process', async () => {
    const { child, said } = await takeElsewhere();
    expect(said).toBe('held');
    const before = readFileSync(recordFile(), 'utf8');
    expect(refusal()).toContain(`pid ${child.pid}, listening on http://127.0.0.1:7701`);
    // Who was refused leaves the holder's record alone.
    expect(readFileSync(recordFile(), 'utf8')).toBe(before);
    expect(refusal()).toContain(`pid ${child.pid}`);
  });

  it('is free at once after kill -9 of the holder, whose record does no harm', async () => {
    for (let round = 0; round < 3; round++) {
      const { child, said } = await takeElsewhere();
      expect(said).toBe('held');
      await kill(child);
      expect(readRecord().pid).toBe(child.pid);
      const lock = take();
      expect(readRecord()).toEqual({ pid: process.pid, startedAt: expect.any(String) });
      lock.release();
      expect(existsSync(recordFile())).toBe(false);
    }
  });

  it('is free after release, which may come twice', async () => {
    const lock = take();
    lock.release();
    const next = take();
    lock.release();
    expect(readRecord().pid).toBe(process.pid);
    expect(refusal()).toContain(`pid ${process.pid}`);
    next.release();
    expect((await takeElsewhere()).said).toBe('held');
  });

  it('locks one folder, not its neighbours', () => {
    take();
    const neighbour = mkdtempSync(join(tmpdir(), 'runstead-lock-'));
    try {
      lockFolder(neighbour).release();
    } finally {
      rmSync(neighbour, { recursive: true, force: true });
    }
  });

  const records: [string, string][] = [
    ['nothing', ''],
    ['half a record', '{"pid": 12'],
    ['another shape', '{}'],
    ['no object', 'null'],
    ['a process that is alive', JSON.stringify({ pid: 1, startedAt: '2020-01-01T00:00:00.000Z' })],
  ];
  it.each(records)('goes by the lock, not by a record that says %s', (_name, text) => {
    mkdirSync(join(dataDir, 'run'));
    writeFileSync(recordFile(), text);
    const lock = take();
    expect(readRecord().pid).toBe(process.pid);
    writeFileSync(recordFile(), text);
    const message = refusal();
    expect(message).toContain(`${dataDir} is in use by`);
    expect(message).not.toContain('undefined');
    lock.release();
  });
});
