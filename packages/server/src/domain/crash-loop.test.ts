import { expect, it } from 'vitest';
import { type Crashes, crashesAfter, isForgotten, restAfterMs } from './crash-loop.ts';

it('ends soon after readiness add up, and the rest between them grows', () => {
  const rests: number[] = [];
  let crashes: Crashes | undefined;
  for (let i = 0; i < 8; i++) {
    crashes = crashesAfter(crashes, { atMs: i * 40_000, ranMs: 100 });
    rests.push(restAfterMs(crashes!));
  }
  expect(rests).toEqual([0, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
});

it.each<[string, Crashes | undefined, { atMs: number; ranMs: number }, number | undefined]>([
  ['the first counts', undefined, { atMs: 0, ranMs: 59_999 }, 1],
  [
    'one that has run for a minute is none',
    { count: 5, atMs: 0 },
    { atMs: 60_000, ranMs: 60_000 },
    undefined,
  ],
  ['one within ten minutes follows on the one before', { count: 5, atMs: 0 }, { atMs: 599_999, ranMs: 1 }, 6],
  ['one after ten minutes is a first', { count: 5, atMs: 0 }, { atMs: 600_000, ranMs: 1 }, 1],
])('%s', (_name, before, end, count) => {
  expect(crashesAfter(before, end)?.count).toBe(count);
});

it('what happened ten minutes ago is forgotten', () => {
  expect([599_999, 600_000].map((nowMs) => isForgotten({ count: 1, atMs: 0 }, nowMs))).toEqual([false, true]);
});
