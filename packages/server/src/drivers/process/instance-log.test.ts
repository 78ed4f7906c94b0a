import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createSecretBox } from '../../auth/secret-box.ts';
import { boundLog, cutLog, findLog, logExtent, openLog, readLogBytes, readTail } from './instance-log.ts';
import { LogShelf } from './log-shelf.ts';

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'runstead-log-'));
  path = join(folder, 'x.log');
});

afterEach(() => rmSync(folder, { recursive: true }));

const lines = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => `line ${from + i} ${'x'.repeat(90)}`);

it('a log that was shortened is small on disk and whole at its end', async () => {
  writeFileSync(path, '');
  const limit = 64 * 1024;
  for (let n = 0; n < 20_000; n += 500) {
    appendFileSync(path, `${lines(n, n + 500).join('\n')}\n`);
    await boundLog(path, limit);
    const { blocks } = statSync(path);
    expect(blocks * 512).toBeLessThan(2 * limit + 64 * 1024);
    expect(readTail({ path, secrets: [] }, 400)).toEqual(lines(n + 100, n + 500));
  }
});

it('where the head cannot be given back, older lines go to a second file', async () => {
  writeFileSync(path, '');
  const limit = 64 * 1024;
  for (let n = 0; n < 5000; n += 500) {
    appendFileSync(path, `${lines(n, n + 500).join('\n')}\n`);
    await boundLog(path, limit, async () => false);
    expect(statSync(path).size).toBeLessThan(2 * limit + 64 * 1024);
    expect(readTail({ path, secrets: [] }, 400)).toEqual(lines(n + 100, n + 500));
  }
});

it('a log within its bounds is left alone', async () => {
  writeFileSync(path, 'a\nb\n');
  await boundLog(path, 1024);
  await boundLog(join(folder, 'never-there.log'), 1024);
  expect(readTail({ path, secrets: [] }, 10)).toEqual(['a', 'b']);
  expect(readTail({ path: join(folder, 'never-there.log'), secrets: [] }, 10)).toEqual([]);
});

it('only the end of a huge file is read, and a secret cut in two does not show', () => {
  const secret = 'sesame-open-yourself';
  // One endless line of nothing but secrets: wherever the reading begins, it may be inside one.
  writeFileSync(path, secret.repeat(200_000));
  const [line, ...others] = readTail({ path, secrets: [secret] }, 20);
  expect(others).toEqual([]);
  expect(line).not.toMatch(/[a-rt-z]{4}-open|open-your/);
  expect(line!.length).toBeLessThanOrEqual(500);
});

it('what is to be masked is kept for the next server, and nobody else can read it', () => {
  const box = createSecretBox(Buffer.alloc(32, 7));
  closeSync(openLog({ path, secrets: ['sesame'] }, box));
  appendFileSync(path, 'open sesame');
  expect(readFileSync(`${path}.secrets`, 'utf8')).not.toContain('sesame');
  expect(readTail(findLog(path, box), 1)).toEqual(['open ***']);
});

it('what a release before left in the plain to be masked is sealed, once', () => {
  const box = createSecretBox(Buffer.alloc(32, 7));
  mkdirSync(join(folder, 'runtime'));
  path = join(folder, 'runtime', 'x.log');
  writeFileSync(path, 'open sesame');
  writeFileSync(`${path}.secrets`, '["sesame"]');
  const shelf = new LogShelf(folder, () => box);
  shelf.sealEarlier();
  const sealed = readFileSync(`${path}.secrets`, 'utf8');
  expect(sealed).not.toContain('sesame');
  expect(readTail(shelf.find('x')!, 1)).toEqual(['open ***']);
  shelf.sealEarlier();
  expect(readFileSync(`${path}.secrets`, 'utf8')).toBe(sealed);
});

it('a log that is cut keeps whole lines of its end, goes on behind them, and positions say what was lost', async () => {
  writeFileSync(path, `${lines(0, 400).join('\n')}\nhalf a li`);
  const size = statSync(path).size;
  const cut = cutLog(path, 16 * 1024);
  // Until the kernel has come to it, what is about to go is not shown again.
  expect(logExtent(path)).toMatchObject({ end: size });
  await cut;
  expect(statSync(path).size).toBe(0);
  const { start, end } = logExtent(path);
  expect(end).toBe(size);
  const kept = readLogBytes(path, start, size);
  expect(kept.from).toBe(start);
  expect(kept.bytes.toString()).toBe(`${lines(400 - Math.floor(kept.bytes.length / 100), 400).join('\n')}\n`);
  expect(kept.bytes.length).toBeGreaterThan(15 * 1024);
  expect(readLogBytes(path, start + kept.bytes.length, 100)).toEqual({ from: size, bytes: Buffer.alloc(0) });

  // The rest of the line whose beginning is lost: it may be the end of a secret.
  appendFileSync(path, 'ne with sesame');
  expect(readLogBytes(path, size, 100).bytes.toString()).toBe('');
  appendFileSync(path, '\nnext\n');
  const next = readLogBytes(path, size, 100);
  expect(next.bytes.toString()).toBe('next\n');
  expect(next.from).toBe(size + 'ne with sesame\n'.length);
  expect(readTail({ path, secrets: [] }, 2)).toEqual([lines(399, 400)[0], 'next']);
});

it('a log that was cut is shortened as any other: what was kept beside it goes first', async () => {
  writeFileSync(path, `${lines(0, 2000).join('\n')}\n`);
  await cutLog(path, 64 * 1024);
  const before = logExtent(path).end;
  appendFileSync(path, `x\n${lines(2000, 4000).join('\n')}\n`);
  await boundLog(path, 64 * 1024);
  expect(existsSync(`${path}.1`)).toBe(false);
  const { start, end } = logExtent(path);
  expect(end).toBe(before + statSync(path).size);
  const { from, bytes } = readLogBytes(path, 0, end);
  expect([from, from + bytes.length]).toEqual([start, end]);
  expect(bytes.toString().endsWith(`${lines(3500, 4000).join('\n')}\n`)).toBe(true);
});

it('one endless line that is cut keeps its end', async () => {
  writeFileSync(path, 'x'.repeat(3 * 1024 * 1024));
  await cutLog(path, 8 * 1024 * 1024);
  expect(statSync(`${path}.1`).size).toBe(1024 * 1024);
  expect(readTail({ path, secrets: [] }, 5)).toEqual([`${'x'.repeat(499)}…`]);
});
