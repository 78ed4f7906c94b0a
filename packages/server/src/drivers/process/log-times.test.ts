import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { LogTimes } from './log-times.ts';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'runstead-times-'));
  path = join(folder, 'x.log');
});
afterEach(() => rmSync(folder, { recursive: true }));

it('a line was written by the first mark behind it', () => {
  const times = new LogTimes(path);
  times.note(100, 1000.7);
  times.note(100, 9999);
  times.note(250, 2000);
  expect([0, 1, 100, 101, 250, 251].map((position) => times.at(position))).toEqual([
    1000,
    1000,
    1000,
    2000,
    2000,
    undefined,
  ]);
  expect([0, 1000, 1001, 2000, 2001].map((ms) => times.positionAt(ms))).toEqual([0, 0, 100, 100, 250]);
});

it('a clock that is set back does not change the order', () => {
  const times = new LogTimes(path);
  times.note(10, 5000);
  times.note(20, 3000);
  expect([times.at(20), times.lastMs]).toEqual([5000, 5000]);
});

it('the next server takes marks up, half a line after a crash aside', () => {
  const times = new LogTimes(path);
  times.note(10, 1000);
  times.note(20, 2000);
  appendFileSync(`${path}.times`, '30 ');
  const next = new LogTimes(path);
  expect([next.at(5), next.at(20), next.end]).toEqual([1000, 2000, 20]);
});

it('many marks are thinned on disk and in memory: what is new stays exact, what is old is late but in order', () => {
  const times = new LogTimes(path);
  const count = 20_000;
  for (let n = 1; n <= count; n++) times.note(n * 10, n * 1000);
  expect(readFileSync(`${path}.times`, 'latin1').split('\n').length).toBeLessThan(1030);
  expect(times.at(count * 10)).toBe(count * 1000);
  expect(times.at((count - 200) * 10)).toBe((count - 200) * 1000);
  let before = 0;
  for (let n = 1; n <= count; n += 97) {
    const time = times.at(n * 10)!;
    expect(time).toBeGreaterThanOrEqual(Math.max(before, n * 1000));
    before = time;
  }
  expect(new LogTimes(path).at(70)).toBe(times.at(70));
});
