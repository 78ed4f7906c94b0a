import { expect, test } from 'vitest';
import { describeRateLimit, parseRateLimit, type RateLimit, takeToken, waitForToken } from './rate-limit.ts';

test.each<[string, RateLimit, string]>([
  ['100/s', { count: 100, periodMs: 1000, burst: 100 }, '100 a second, 100 at once'],
  ['600/m', { count: 600, periodMs: 60_000, burst: 600 }, '600 a minute, 600 at once'],
  ['1/h:5', { count: 1, periodMs: 3_600_000, burst: 5 }, '1 an hour, 5 at once'],
  ['100/s:200', { count: 100, periodMs: 1000, burst: 200 }, '100 a second, 200 at once'],
  ['600/m:1', { count: 600, periodMs: 60_000, burst: 1 }, '600 a minute, 1 at once'],
  ['1000000/s', { count: 1e6, periodMs: 1000, burst: 1e6 }, '1000000 a second, 1000000 at once'],
])('"%s" is a rate', (text, limit, described) => {
  expect(parseRateLimit(text)).toEqual(limit);
  expect(describeRateLimit(limit)).toBe(described);
});

test.each([
  '',
  '100',
  '100/',
  '/s',
  '0/s',
  '100/s:0',
  '100/d',
  '100/10s',
  '-1/s',
  '1.5/s',
  '100/s:',
  ' 100/s',
  '1000001/s',
  '99999999999/s',
])('"%s" is none', (text) => {
  expect(parseRateLimit(text)).toBeUndefined();
});

/** Tries at the moments given. @returns what each had to wait, in ms */
function tries(limit: RateLimit, moments: number[]): number[] {
  let fullAt = 0;
  return moments.map((at) => {
    const wait = waitForToken(fullAt, at, limit);
    if (wait === 0) fullAt = takeToken(fullAt, at, limit);
    return Math.round(wait);
  });
}

test.each<[string, RateLimit, number[], number[]]>([
  [
    'a burst at once, then one a period',
    { count: 10, periodMs: 1000, burst: 3 },
    [5000, 5000, 5000, 5000, 5099, 5100, 5100],
    [0, 0, 0, 100, 1, 0, 100],
  ],
  [
    'a burst of one spaces them out',
    { count: 2, periodMs: 1000, burst: 1 },
    [5000, 5001, 5499, 5500, 6000],
    [0, 499, 1, 0, 0],
  ],
  [
    'a quiet time fills it, and no more than full',
    { count: 1, periodMs: 1000, burst: 2 },
    [5000, 5000, 5000, 900_000, 900_000, 900_000],
    [0, 0, 1000, 0, 0, 1000],
  ],
  [
    'what was refused costs nothing',
    { count: 1, periodMs: 1000, burst: 1 },
    [5000, 5100, 5200, 5300, 6000],
    [0, 900, 800, 700, 0],
  ],
])('tokens: %s', (_, limit, moments, waits) => {
  expect(tries(limit, moments)).toEqual(waits);
});

test.each([3, 7, 999])('over a long time exactly %i a second are let through', (count) => {
  const limit = { count, periodMs: 1000, burst: 1 };
  let fullAt = 0;
  let taken = 0;
  for (let at = 1_000_000; at < 1_000_000 + 20_000; at += 0.25) {
    if (waitForToken(fullAt, at, limit) > 0) continue;
    fullAt = takeToken(fullAt, at, limit);
    taken++;
  }
  // Looked at every quarter of a millisecond, each token may be taken up to that much late.
  expect(taken).toBeLessThanOrEqual(20 * count + 1);
  expect(taken).toBeGreaterThanOrEqual(Math.floor((20 * count) / (1 + count * 0.00025)));
});
