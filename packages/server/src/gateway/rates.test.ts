import type { RunsteadError } from '@runstead/contract';
import { expect, test } from 'vitest';
import { Buckets, type RateLimits, Rates } from './rates.ts';

const SECOND = { count: 2, periodMs: 1000, burst: 2 };
const MINUTE = { count: 1, periodMs: 60_000, burst: 1 };
const ECHO = { runtimeId: 'r1', name: 'echo' };
const OTHER = { runtimeId: 'r2', name: 'other' };

function rates(limits: Partial<RateLimits>) {
  const clock = { ms: 50_000 };
  const table = new Rates({ runtime: undefined, key: undefined, ...limits }, () => clock.ms);
  const refused = (runtime: typeof ECHO | undefined, keyId?: string): RunsteadError | undefined => {
    try {
      table.count(runtime, keyId);
      return undefined;
    } catch (error) {
      return error as RunsteadError;
    }
  };
  return { clock, refused };
}

test('without limits nothing is turned away', () => {
  const { refused } = rates({});
  for (let at = 0; at < 1000; at++) expect(refused(ECHO, 'key')).toBeUndefined();
});

test('a runtime over its limit is told so, and when to come again; another is not touched', () => {
  const { clock, refused } = rates({ runtime: SECOND });
  expect([refused(ECHO), refused(ECHO, 'key')]).toEqual([undefined, undefined]);
  expect(refused(ECHO)).toMatchObject({
    code: 'ERR_TOO_MANY_REQUESTS',
    retryAfterSeconds: 1,
    message: "Too many calls to runtime 'echo': at most 2 a second, 2 at once; try again in 1 s",
  });
  expect(refused(OTHER)).toBeUndefined();
  clock.ms += 500;
  expect(refused(ECHO)).toBeUndefined();
  expect(refused(ECHO)).toBeDefined();
});

test('a key over its limit is told so on every runtime; other keys and anonymous callers are not touched', () => {
  const { refused } = rates({ key: MINUTE });
  expect(refused(ECHO, 'a')).toBeUndefined();
  expect(refused(OTHER, 'a')).toMatchObject({
    retryAfterSeconds: 60,
    message: 'Too many calls with this key: at most 1 a minute, 1 at once; try again in 60 s',
  });
  expect(refused(OTHER, 'b')).toBeUndefined();
  for (let at = 0; at < 10; at++) expect(refused(ECHO)).toBeUndefined();
});

test('calls to what does not exist count for the key alone', () => {
  const { refused } = rates({ key: MINUTE, runtime: MINUTE });
  for (let at = 0; at < 10; at++) expect(refused(undefined)).toBeUndefined();
  expect(refused(undefined, 'a')).toBeUndefined();
  expect(refused(undefined, 'a')).toBeDefined();
});

test('what one limit turns away costs nothing of the other', () => {
  const { clock, refused } = rates({ runtime: SECOND, key: MINUTE });
  expect(refused(ECHO, 'a')).toBeUndefined();
  // Turned away by the key: the runtime's second token is still there.
  for (let at = 0; at < 10; at++) expect(refused(ECHO, 'a')).toBeDefined();
  expect(refused(ECHO, 'b')).toBeUndefined();
  // Turned away by the runtime: the key's is still there.
  expect(refused(ECHO, 'c')).toMatchObject({ message: expect.stringContaining("runtime 'echo'") });
  clock.ms += 1000;
  expect(refused(ECHO, 'c')).toBeUndefined();
});

test('of two limits that are both reached the longer wait is told', () => {
  const { refused } = rates({ runtime: { ...SECOND, burst: 1 }, key: MINUTE });
  refused(ECHO, 'a');
  expect(refused(ECHO, 'a')).toMatchObject({ retryAfterSeconds: 60 });
});

test('buckets that are full again are let go, and the others are never more than may be kept', () => {
  const buckets = new Buckets(SECOND, 3000);
  for (let at = 0; at < 10_000; at++) {
    buckets.take(`id-${at}`, 1000 + at * 10);
    expect(buckets.kept).toBeLessThanOrEqual(1024);
  }
  const slow = new Buckets({ ...MINUTE, burst: 1000 }, 3000);
  for (let at = 0; at < 10_000; at++) {
    slow.take(`id-${at}`, 1000);
    expect(slow.kept).toBeLessThanOrEqual(3000);
  }
  expect(slow.kept).toBeGreaterThan(2000);
  expect(slow.wait('id-9999', 1000)).toBe(0);
});
