import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  read,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished, test, vi } from 'vitest';
import { LineSink } from './line-sink.ts';

const SOON = { flushMs: 1, lookMs: 0, againMs: 1, closeMs: 8000 };
// Other suites may keep the machine busy.
vi.setConfig({ testTimeout: 30_000 });

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'runstead-lines-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

function sinkTo(target: { path: string } | { fd: number }, limits: Record<string, number> = {}) {
  const warned: unknown[] = [];
  const log = { warn: (...said: unknown[]) => void warned.push(said) } as never;
  return { sink: new LineSink({ target, log, limits: { ...SOON, ...limits } }), warned };
}

const linesIn = (file: string) => readFileSync(file, 'utf8').split('\n').filter(Boolean);
const until = (condition: () => boolean) => vi.waitFor(() => expect(condition()).toBe(true), 8000);

/** A pipe with both its ends; made with a name, since nothing else gives descriptors. */
function pipe(): { reader: number; writer: number } {
  const path = join(folder(), 'pipe');
  execFileSync('mkfifo', [path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writer = openSync(path, constants.O_WRONLY);
  return { reader, writer };
}

test('lines come in order, in a file that its owner alone may read', async () => {
  const path = join(folder(), 'access.log');
  const { sink } = sinkTo({ path });
  for (let number = 0; number < 5000; number++) sink.write(String(number));
  await sink.close();
  expect(linesIn(path)).toEqual(Array.from({ length: 5000 }, (_, number) => String(number)));
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

test('what a file held stays in front', async () => {
  const path = join(folder(), 'access.log');
  writeFileSync(path, 'before\n');
  const { sink } = sinkTo({ path });
  sink.write('after');
  await until(() => linesIn(path).length === 2);
  await sink.close();
  expect(linesIn(path)).toEqual(['before', 'after']);
});

test.each(['moved', 'removed'])(
  'a file that was %s is followed by a new one, and no line is lost',
  async (how) => {
    const path = join(folder(), 'access.log');
    const { sink } = sinkTo({ path });
    sink.write('first');
    await until(() => linesIn(path).length === 1);
    if (how === 'moved') renameSync(path, `${path}.1`);
    else rmSync(path);
    sink.write('second');
    await sink.close();
    expect(linesIn(path)).toEqual(['second']);
    if (how === 'moved') expect(linesIn(`${path}.1`)).toEqual(['first']);
  },
);

test('while a file cannot be written lines are lost and counted, and said once; then it goes on', async () => {
  const parent = join(folder(), 'later');
  const path = join(parent, 'access.log');
  const { sink, warned } = sinkTo({ path });
  sink.write('lost');
  await until(() => warned.length === 1);
  mkdirSync(parent);
  await until(() => {
    sink.write('kept');
    try {
      return linesIn(path).length > 1;
    } catch {
      return false;
    }
  });
  await sink.close();
  const [note, ...kept] = linesIn(path);
  expect(JSON.parse(note!).lostLines).toBeGreaterThanOrEqual(1);
  expect(new Set(kept)).toEqual(new Set(['kept']));
  expect(warned).toHaveLength(1);
});

test('into a pipe that others write to as well go whole lines', async () => {
  const { reader, writer } = pipe();
  onTestFinished(() => [reader, writer].forEach((fd) => void closeSync(fd)));
  const { sink } = sinkTo({ fd: writer }, { flushBytes: 40_000 });
  for (let number = 0; number < 60; number++) sink.write(String(number % 10).repeat(1023));
  const buffer = Buffer.alloc(4096);
  let lines = 0;
  while (lines < 60) {
    // Four lines are a piece, and so much is read at a time.
    const size = await new Promise<number>((resolve) =>
      read(reader, buffer, 0, buffer.length, null, (_, bytesRead) => resolve(bytesRead ?? 0)),
    );
    const pieces = buffer.toString('latin1', 0, size).split('\n');
    expect(pieces.pop()).toBe('');
    for (const piece of pieces) expect(piece).toMatch(/^(\d)\1{1022}$/);
    lines += pieces.length;
  }
  await sink.close();
});

test('a reader that is gone costs nothing but the lines', async () => {
  const { reader, writer } = pipe();
  onTestFinished(() => closeSync(writer));
  const { sink, warned } = sinkTo({ fd: writer });
  closeSync(reader);
  sink.write('nobody reads this');
  await until(() => warned.length === 1);
  expect(JSON.stringify(warned)).toContain('EPIPE');
  for (let number = 0; number < 100_000; number++) sink.write('x'.repeat(100));
  await sink.close();
  expect(warned).toHaveLength(1);
});

test('a reader that does not read holds up nobody: what is kept for it is bounded, the rest counted', async () => {
  const { reader, writer } = pipe();
  onTestFinished(() => [reader, writer].forEach((fd) => void closeSync(fd)));
  const { sink } = sinkTo({ fd: writer }, { pendingBytes: 300_000, flushBytes: 1 });
  const line = 'x'.repeat(999);
  // More than the pipe and all that is kept can hold; each comes back at once.
  for (let number = 0; number < 2000; number++) {
    sink.write(line);
    if (number % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  let text = '';
  const buffer = Buffer.alloc(1 << 20);
  const readSome = promisify(read) as (
    fd: number,
    buffer: Buffer,
    at: number,
    length: number,
    from: null,
  ) => Promise<{ bytesRead: number }>;
  const drained = async () => {
    const { bytesRead } = await readSome(reader, buffer, 0, buffer.length, null).catch(() => ({
      bytesRead: 0,
    }));
    text += buffer.toString('latin1', 0, bytesRead);
    return /"lostLines":\d+/.test(text);
  };
  await vi.waitFor(async () => {
    sink.write('later');
    expect(await drained()).toBe(true);
  }, 8000);
  const lost = [...text.matchAll(/"lostLines":(\d+)/g)].reduce((sum, [, count]) => sum + Number(count), 0);
  expect(lost).toBeGreaterThan(1000);
  expect(text.split('\n').filter((one) => one === line).length).toBeLessThan(1000);
  await sink.close();
});
