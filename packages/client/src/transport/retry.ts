import { ConnectionError, HTTPError, TimeoutError } from '../errors.ts';

/** How often and how soon a call is made again; resolved once per call, then only read. */
export interface RetryPolicy {
  /** Attempts beyond the first. */
  readonly maxRetries: number;
  /** The first pause; each further one is twice as long. */
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
  /** Longest `Retry-After` that is waited for. A longer one ends the call: coming earlier than told helps nobody. */
  readonly maxRetryAfterMs: number;
}

export const DEFAULT_RETRY_POLICY: RetryPolicy = {
  maxRetries: 2,
  firstDelayMs: 250,
  maxDelayMs: 8000,
  maxRetryAfterMs: 60_000,
};

/**
 * What making a call twice does.
 *
 * - `safe`: the same as once. GET; DELETE, of which a second one finds the work done; PUT, whose fields are values and not
 *   steps; a create under an `Idempotency-Key` that the server honours.
 * - `create`: perhaps two of something. Only where the first attempt certainly did nothing.
 * - `invocation`: an agent works twice. Only where the agent certainly did not see it.
 */
export type Repetition = 'safe' | 'create' | 'invocation';

/** Statuses of 500 and above that another attempt finds again: what is missing stays missing, what is full stays full. */
const LASTING = new Set([501, 505, 506, 507, 508, 510, 511]);

/**
 * @param error what the last attempt threw
 * @param retries how often the call was made again so far
 * @param chance in [0, 1); spreads callers that failed at the same moment
 * @returns milliseconds to wait before the next attempt, or `undefined` where there is none
 */
export function retryDelay(
  error: unknown,
  retries: number,
  repetition: Repetition,
  policy: RetryPolicy,
  chance: number,
): number | undefined {
  if (retries >= policy.maxRetries || !mayRepeat(error, repetition)) return undefined;
  const told = error instanceof HTTPError ? error.retryAfterMs : undefined;
  if (told !== undefined) return told <= policy.maxRetryAfterMs ? told : undefined;
  const whole = Math.min(policy.firstDelayMs * 2 ** retries, policy.maxDelayMs);
  return whole * (0.5 + chance / 2);
}

function mayRepeat(error: unknown, repetition: Repetition): boolean {
  // The time for the whole call is over, or somebody's own fetch has spent its.
  if (error instanceof TimeoutError) return false;
  if (error instanceof ConnectionError) return repetition === 'safe' || !error.mayHaveArrived;
  if (!(error instanceof HTTPError)) return false;
  const { statusCode, origin, retryAfterMs } = error;
  switch (repetition) {
    case 'safe':
      // A conflict that passes says when. A name that is taken stays taken.
      if (statusCode === 409) return retryAfterMs !== undefined;
      return statusCode === 408 || statusCode === 429 || (statusCode >= 500 && !LASTING.has(statusCode));
    case 'create':
      return statusCode === 429;
    case 'invocation':
      // A full queue, no instance in time, a server about to close: the platform invites to come again, and has passed
      // nothing on. Without the invitation, and from anybody else, the same status may come after the agent began.
      return (
        origin === 'platform' && retryAfterMs !== undefined && (statusCode === 429 || statusCode === 503)
      );
  }
}

/**
 * `Retry-After` (RFC 9110, section 10.2.3): seconds or a date.
 * @returns milliseconds from `nowMs` on, at least 0; `undefined` for anything else
 */
export function parseRetryAfter(value: string | null, nowMs: number): number | undefined {
  const text = value?.trim() ?? '';
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  // Dates have letters: `Date.parse` takes a bare "-5" for a year.
  if (!/[a-z]/i.test(text)) return undefined;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs);
}
