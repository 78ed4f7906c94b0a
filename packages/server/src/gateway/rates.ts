import { RunsteadError } from '@runstead/contract';
import { describeRateLimit, type RateLimit, takeToken, waitForToken } from '../domain/rate-limit.ts';

/** So many are kept before those that say nothing any more are let go. */
const SWEEP_FROM = 1024;
/** More than there are runtimes or keys: beyond it those that began first are forgotten, and are full again. */
const MOST_KEPT = 100_000;
/** Of the most that are kept: so many stay, so that not every further one has them all looked through. */
const STAY = 0.75;

export interface RateLimits {
  /** Undefined: no limit. */
  runtime: RateLimit | undefined;
  key: RateLimit | undefined;
}

/** Counts calls by runtime and by key, each with a bucket of its own, and turns away those that are too many. */
export class Rates {
  readonly #runtimes: Buckets | undefined;
  readonly #keys: Buckets | undefined;
  readonly #now: () => number;

  /** @param now monotonic ms */
  constructor({ runtime, key }: RateLimits, now: () => number) {
    this.#runtimes = runtime && new Buckets(runtime);
    this.#keys = key && new Buckets(key);
    this.#now = now;
  }

  /**
   * Counts a call; one that is turned away is not counted.
   * @param runtime undefined: there is none of that name
   * @param keyId undefined: anonymous callers, who share the limit of the runtime alone
   * @throws RunsteadError ERR_TOO_MANY_REQUESTS, with the time after which there is room for one more
   */
  count(runtime: { runtimeId: string; name: string } | undefined, keyId: string | undefined): void {
    if (!this.#runtimes && !this.#keys) return;
    const now = this.#now();
    const runtimes = runtime && this.#runtimes;
    const keys = keyId === undefined ? undefined : this.#keys;
    const runtimeWait = runtimes ? runtimes.wait(runtime.runtimeId, now) : 0;
    const keyWait = keys ? keys.wait(keyId!, now) : 0;
    if (runtimeWait > 0 || keyWait > 0) {
      throw runtimeWait >= keyWait
        ? tooMany(`to runtime '${runtime!.name}'`, runtimes!.limit, runtimeWait)
        : tooMany('with this key', keys!.limit, keyWait);
    }
    runtimes?.take(runtime!.runtimeId, now);
    keys?.take(keyId!, now);
  }
}

/** The buckets of one limit. Only those are kept that are not full. */
export class Buckets {
  readonly limit: RateLimit;
  readonly #fullAt = new Map<string, number>();
  readonly #mostKept: number;
  #sweepAt = SWEEP_FROM;

  constructor(limit: RateLimit, mostKept = MOST_KEPT) {
    this.limit = limit;
    this.#mostKept = mostKept;
  }

  get kept(): number {
    return this.#fullAt.size;
  }

  wait(id: string, nowMs: number): number {
    return waitForToken(this.#fullAt.get(id) ?? 0, nowMs, this.limit);
  }

  take(id: string, nowMs: number): void {
    this.#fullAt.set(id, takeToken(this.#fullAt.get(id) ?? 0, nowMs, this.limit));
    if (this.#fullAt.size >= Math.min(this.#sweepAt, this.#mostKept + 1)) this.#sweep(nowMs);
  }

  #sweep(nowMs: number): void {
    for (const [id, fullAt] of this.#fullAt) if (fullAt <= nowMs) this.#fullAt.delete(id);
    if (this.#fullAt.size > this.#mostKept) {
      for (const id of this.#fullAt.keys()) {
        if (this.#fullAt.size <= this.#mostKept * STAY) break;
        this.#fullAt.delete(id);
      }
    }
    // What is looked through is then at most half of what was added since.
    this.#sweepAt = Math.max(SWEEP_FROM, this.#fullAt.size * 2);
  }
}

function tooMany(what: string, limit: RateLimit, waitMs: number): RunsteadError {
  const seconds = Math.max(1, Math.ceil(waitMs / 1000));
  return new RunsteadError(
    'ERR_TOO_MANY_REQUESTS',
    `Too many calls ${what}: at most ${describeRateLimit(limit)}; try again in ${seconds} s`,
    { retryAfterSeconds: seconds },
  );
}
