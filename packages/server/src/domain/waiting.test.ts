import { expect, test } from 'vitest';
import { hasRoomToWait, type Pace, paceAfter, retryAfterSeconds } from './waiting.ts';

test.each([
  ['nothing held', 1, 0, 0, true],
  ['alone up to half', 2, 48, 48, true],
  ['alone beyond half', 2, 50, 50, false],
  ['more than there is', 101, 0, 0, false],
  ['the first of another beside it', 25, 0, 50, true],
  ['another as far as what is left', 13, 25, 75, false],
  ['a small one beside many', 1, 0, 99, true],
  ['a full bound', 1, 0, 100, false],
  ['no bytes at all', 0, 0, 100, true],
])('room to wait: %s', (_, bytes, ofRuntime, inAll, expected) => {
  expect(hasRoomToWait({ bytes, ofRuntime, inAll, limit: 100 })).toBe(expected);
});

test('however many runtimes flood, the first call of another is let in', () => {
  const held = new Map<number, number>();
  let inAll = 0;
  for (let round = 0; round < 2000; round++) {
    for (let runtime = 0; runtime < 20; runtime++) {
      const ofRuntime = held.get(runtime) ?? 0;
      if (!hasRoomToWait({ bytes: 4, ofRuntime, inAll, limit: 10_000 })) continue;
      held.set(runtime, ofRuntime + 4);
      inAll += 4;
    }
  }
  expect(hasRoomToWait({ bytes: 400, ofRuntime: 0, inAll, limit: 10_000 })).toBe(true);
  // And the floods have had the same.
  const shares = [...held.values()];
  expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(4);
});

const begun: Pace = { left: 0, spanMs: 0, sinceMs: 1000 };
const after = (...moments: number[]) => moments.reduce(paceAfter, begun);

test.each<[string, Pace, number, number, number]>([
  ['a line that has only begun', begun, 5, 1000, 1],
  ['one that has not moved for 7 s', begun, 5, 8000, 7],
  ['half a second each', after(1500, 2000, 2500), 10, 2500, 5],
  ['quick ones', after(1001, 1002, 1003), 100, 1003, 1],
  ['several at once count together', after(3000, 3000, 3000, 3000), 10, 3000, 5],
  ['one that stopped', after(1500, 2000), 10, 7000, 30],
  ['never longer than any may wait', after(10_000), 100, 10_000, 60],
])('when to come again: %s', (_, pace, waiting, now, seconds) => {
  expect(retryAfterSeconds(pace, waiting, now, 60_000)).toBe(seconds);
});

test('a line that has become quick is soon said to be', () => {
  let pace = after(11_000, 21_000, 31_000);
  for (let at = 1; at <= 100; at++) pace = paceAfter(pace, 31_000 + at * 10);
  expect(retryAfterSeconds(pace, 50, 32_000, 60_000)).toBeLessThanOrEqual(4);
});
