/**
 * Machines sleep and processes are stopped: then every timer is late at once, and "idle for five minutes" or "did not
 * answer for three periods" would be believed of instances that had no chance to do otherwise.
 */
export const CLOCK_GAP_MS = 30_000;

/**
 * Whether so long has passed between two looks at a monotonic clock that expiry and health verdicts must be suspended
 * and counted anew.
 */
export function isClockGap(lastMs: number | undefined, nowMs: number): boolean {
  return lastMs !== undefined && nowMs - lastMs > CLOCK_GAP_MS;
}
