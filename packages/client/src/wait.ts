import type { Config } from './config/config.ts';
import {
  type AgentRunError,
  ConnectionError,
  describeSeen,
  HTTPError,
  type ResourceReference,
  type SeenResource,
  TimeoutError,
  ValueError,
} from './errors.ts';
import { CallClock } from './transport/call-clock.ts';

export interface DeleteOptions<Resource> {
  /** Milliseconds for everything together. Default 300 000; `Infinity`: no limit. */
  timeoutMs?: number | undefined;
  /** Milliseconds between two looks. Default: from 250, each half as long again as the one before, up to 5000. */
  intervalMs?: number | undefined;
  /** Ends the wait with an `AbortError`. */
  signal?: AbortSignal | undefined;
  /** Called after each look; what it throws ends the wait. */
  onProgress?: ((resource: Resource) => unknown) | undefined;
}

export interface WaitOptions<Resource> extends DeleteOptions<Resource> {
  /** `false`: a `*_FAILED` ends the wait like `READY`, and its status is yours to read. Default `true`. */
  throwOnFailure?: boolean | undefined;
}

const DEFAULT_TIMEOUT_MS = 300_000;
const FIRST_INTERVAL_MS = 250;
const INTERVAL_FACTOR = 1.5;
const MAX_INTERVAL_MS = 5000;
/** Looks that may fail in a row, each after its retries: a server that starts anew is there again by then. */
const MAX_FAILED_LOOKS = 3;

/**
 * What a status says about waiting (contract: status machine). `ACTIVE` and `FAILED` are in examples of the API and in
 * other tools; waiting on would be waiting for ever.
 */
export function stateOf(status: unknown): 'ready' | 'failed' | 'pending' {
  const name = String(status ?? '');
  if (name === '' || name === 'READY' || name === 'ACTIVE') return 'ready';
  return name === 'FAILED' || name.endsWith('_FAILED') ? 'failed' : 'pending';
}

export interface Poll {
  options: DeleteOptions<never>;
  config: Config | undefined;
  signals: readonly (AbortSignal | undefined)[];
  /** Completes "was not …". */
  goal: string;
  reference: ResourceReference;
  seen: () => SeenResource;
  /** One look; `true` ends the wait. To be made under these settings, whose signal ends it with the wait. */
  look: (settings: Config) => Promise<boolean>;
}

export async function poll({ options, config, signals, goal, reference, seen, look }: Poll): Promise<void> {
  const timeoutMs = positive('timeoutMs', options.timeoutMs) ?? DEFAULT_TIMEOUT_MS;
  const fixedMs = positive('intervalMs', options.intervalMs);
  const clock = new CallClock(signals);
  clock.limit(timeoutMs, 'end of the wait');
  let intervalMs = FIRST_INTERVAL_MS;
  let failedLooks = 0;
  let lastError: unknown;
  try {
    for (;;) {
      try {
        if (await clock.race(look({ ...config, signal: clock.signal }))) return;
        failedLooks = 0;
      } catch (error) {
        if (clock.reason !== undefined || !passes(error) || ++failedLooks >= MAX_FAILED_LOOKS) throw error;
        lastError = error;
      }
      await clock.pause(fixedMs ?? intervalMs);
      intervalMs = Math.min(intervalMs * INTERVAL_FACTOR, MAX_INTERVAL_MS);
    }
  } catch (error) {
    if (!(clock.reason instanceof TimeoutError)) throw clock.reason ?? error;
    const what = `${reference.type} '${reference.id}' was not ${goal} within ${timeoutMs} ms`;
    const last = failedLooks > 0 ? (lastError as AgentRunError).message : describeSeen(seen());
    throw new TimeoutError(`${what}; last seen: ${last}`, timeoutMs);
  } finally {
    clock.close();
  }
}

/** Whether a later look may well succeed. */
function passes(error: unknown): boolean {
  if (error instanceof ConnectionError) return true;
  return error instanceof HTTPError && (error.statusCode >= 500 || error.statusCode === 429);
}

function positive(name: string, value: number | undefined): number | undefined {
  if (value === undefined || value > 0) return value;
  throw new ValueError(`${name} must be a number of milliseconds above 0: ${value}`);
}
