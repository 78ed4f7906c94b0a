import { startBackoffMs } from './scaling.ts';

/** Ends soon after readiness, one after the other. */
export interface Crashes {
  count: number;
  /** Monotonic ms: of the last. */
  atMs: number;
}

/** An instance that has run for so long did not end because of how it is started. */
const STABLE_MS = 60_000;
/** Ends further apart have nothing to do with each other. */
const FORGOTTEN_MS = 10 * 60_000;

/**
 * What is remembered after an instance ended that nobody stopped.
 * @param ranMs since it was ready
 * @returns undefined: it ran well before, and is only one that ended
 */
export function crashesAfter(
  before: Crashes | undefined,
  end: { atMs: number; ranMs: number },
): Crashes | undefined {
  if (end.ranMs >= STABLE_MS) return undefined;
  const inARow = before && !isForgotten(before, end.atMs) ? before.count : 0;
  return { count: inARow + 1, atMs: end.atMs };
}

/**
 * How long a version rests before it is started again: after a first end not at all, then as after starts that failed, 1 s,
 * doubled each time, at most 30 s.
 */
export function restAfterMs({ count }: Crashes): number {
  return count < 2 ? 0 : startBackoffMs(count - 1);
}

/** Whether they are so long ago that they say nothing of the next. */
export function isForgotten({ atMs }: Crashes, nowMs: number): boolean {
  return nowMs - atMs >= FORGOTTEN_MS;
}
