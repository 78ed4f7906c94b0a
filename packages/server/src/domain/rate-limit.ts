/** How often something may be done: as many times a period on average, and in a burst as many at once. */
export interface RateLimit {
  /** Times a period, at least 1. */
  count: number;
  periodMs: number;
  /** At once, after a quiet time; at least 1. */
  burst: number;
}

const PERIODS: Record<string, { ms: number; name: string }> = {
  s: { ms: 1000, name: 'a second' },
  m: { ms: 60_000, name: 'a minute' },
  h: { ms: 3_600_000, name: 'an hour' },
};
/** More than one process could ever count, and far from where numbers lose their last digit. */
const MOST = 1_000_000;

/**
 * Reads `100/s`, `600/m` or `1000/h`, with a burst after a colon; without one the burst is the number itself.
 * @returns undefined for what is none, also for numbers under 1 or over a million
 * @example parseRateLimit('600/m:50') // { count: 600, periodMs: 60000, burst: 50 }
 */
export function parseRateLimit(text: string): RateLimit | undefined {
  const match = /^(\d{1,7})\/([smh])(?::(\d{1,7}))?$/.exec(text);
  if (!match) return undefined;
  const count = Number(match[1]);
  const burst = Number(match[3] ?? count);
  if (count < 1 || count > MOST || burst < 1 || burst > MOST) return undefined;
  return { count, periodMs: PERIODS[match[2]!]!.ms, burst };
}

/** @example describeRateLimit({ count: 600, periodMs: 60000, burst: 50 }) // '600 a minute, 50 at once' */
export function describeRateLimit({ count, periodMs, burst }: RateLimit): string {
  const { name } = Object.values(PERIODS).find(({ ms }) => ms === periodMs)!;
  return `${count} ${name}, ${burst} at once`;
}

/**
 * A token bucket is kept as one number: the moment at which it will be full again. Every token taken puts that off by
 * the time in which one comes back; one whose moment has passed is full, and need not be kept at all.
 * @param fullAtMs of the bucket; any moment in the past, such as 0 on a clock that began later, is a full one
 * @returns 0 if there is a token, else in how many ms there is one
 */
export function waitForToken(fullAtMs: number, nowMs: number, limit: RateLimit): number {
  const perToken = limit.periodMs / limit.count;
  const missing = Math.max(0, fullAtMs - nowMs);
  const wait = missing + perToken - limit.burst * perToken;
  // Sums of such thirds as 1000 / 3 miss by rounding; a token must not be late by that.
  return wait > perToken * 1e-6 ? wait : 0;
}

/** Takes a token that is there. @returns when the bucket will be full again */
export function takeToken(fullAtMs: number, nowMs: number, limit: RateLimit): number {
  return Math.max(fullAtMs, nowMs) + limit.periodMs / limit.count;
}
