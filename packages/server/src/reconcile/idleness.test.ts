import { expect, test } from 'vitest';
import type { Driver } from '../drivers/driver.ts';
import { createIdleness } from './idleness.ts';
import type { Instance, InstanceSet } from './instance-set.ts';

/** One instance that had its last call at 0, and a clock. */
function watched() {
  let nowMs = 0;
  const instance = {
    id: 'one',
    runtimeId: 'runtime',
    state: 'ready',
    sessions: 0,
    inFlight: 0,
    idleSince: 0,
  };
  const idleness = createIdleness({
    driver: {} as Driver,
    instances: { all: () => [instance as unknown as Instance] } as InstanceSet,
    idleStopMs: 1000,
    busyLimitMs: 1000,
    drainTimeoutMs: 1000,
    now: () => nowMs,
    onAnswer: () => {},
  });
  return {
    idleness,
    /** Goes on by steps in which no gap is seen. */
    until(ms: number) {
      for (; nowMs < ms; nowMs += 100) idleness.tick(nowMs);
      return idleness.tick(nowMs);
    },
    report() {
      idleness.reported(nowMs);
    },
  };
}

test('what was told before the idle time was over says nothing of the time since', () => {
  const { until, report } = watched();
  until(900);
  report();
  expect(until(1800)).toEqual([]);
  report();
  expect(until(1900)).toEqual(['runtime']);
});

test('where nothing is told any more, the clock counts', () => {
  const { until, report } = watched();
  until(900);
  report();
  expect(until(3300)).toEqual([]);
  expect(until(3600)).toEqual(['runtime']);
});
