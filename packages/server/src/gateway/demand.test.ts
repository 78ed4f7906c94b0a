import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type Demand, DemandReport } from './demand.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function report() {
  const now: Demand = { queued: 0, inFlight: 0 };
  const sent: Demand[] = [];
  const demand = new DemandReport(
    () => ({ ...now }),
    (said) => sent.push(said),
  );
  const set = (queued: number, inFlight = 0) => {
    now.queued = queued;
    now.inFlight = inFlight;
    demand.changed();
  };
  return { demand, sent, set };
}

test('the first call that waits is told at once, the next ones together 50 ms later', () => {
  const { sent, set } = report();
  set(1);
  expect(sent).toEqual([{ queued: 1, inFlight: 0 }]);
  set(2);
  set(3);
  vi.advanceTimersByTime(49);
  expect(sent).toHaveLength(1);
  vi.advanceTimersByTime(1);
  expect(sent).toEqual([
    { queued: 1, inFlight: 0 },
    { queued: 3, inFlight: 0 },
  ]);
});

test('when none waits any more that is told once, and then nothing', () => {
  const { demand, sent, set } = report();
  set(1);
  set(0, 1);
  vi.advanceTimersByTime(50);
  set(0, 0);
  vi.advanceTimersByTime(1000);
  expect(sent).toEqual([
    { queued: 1, inFlight: 0 },
    { queued: 0, inFlight: 1 },
  ]);
  expect(demand.idle).toBe(true);
});

test('calls that need not wait are no demand', () => {
  const { sent, set } = report();
  set(0, 1);
  set(0, 2);
  vi.advanceTimersByTime(1000);
  expect(sent).toEqual([]);
});

test('a line that empties and fills again within 50 ms is not reported twice', () => {
  const { sent, set } = report();
  set(1);
  set(0);
  set(1);
  vi.advanceTimersByTime(50);
  expect(sent).toEqual([{ queued: 1, inFlight: 0 }]);
});

test('calls that are turned away ask for the version, however many, once per 50 ms', () => {
  const { demand, sent } = report();
  for (let at = 0; at < 100; at++) demand.turnedAway();
  vi.advanceTimersByTime(50);
  demand.turnedAway();
  vi.advanceTimersByTime(50);
  expect(sent.map(({ queued }) => queued)).toEqual([1, 0, 1, 0]);
});

test('what waits is told again when asked to repeat', () => {
  const { demand, sent, set } = report();
  demand.repeat();
  set(2);
  demand.repeat();
  expect(sent).toEqual([
    { queued: 2, inFlight: 0 },
    { queued: 2, inFlight: 0 },
  ]);
});
