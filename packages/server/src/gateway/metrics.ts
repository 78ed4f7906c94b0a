import {
  BUCKETS_MS,
  type GatewayCounts,
  type GatewayNow,
  HISTOGRAM_LENGTH,
  OTHERS,
  OUTCOMES,
  processCounts,
  type RuntimeCounts,
  STATUS_CLASSES,
} from '../observe/call-counts.ts';
import type { CallOutcome, CallRecord } from './call-record.ts';

/** Where what stands in the numbers of one runtime. */
const CALLS = 0;
const BYTES_IN = OUTCOMES.length * STATUS_CLASSES.length;
const BYTES_OUT = BYTES_IN + 1;
const QUEUE = BYTES_OUT + 1;
const FIRST_BYTE = QUEUE + HISTOGRAM_LENGTH;
const TOTAL = FIRST_BYTE + HISTOGRAM_LENGTH;
const LENGTH = TOTAL + HISTOGRAM_LENGTH;

const OUTCOME_AT = Object.fromEntries(OUTCOMES.map((outcome, at) => [outcome, at])) as Record<
  CallOutcome,
  number
>;

interface Row {
  runtimeName: string;
  numbers: Float64Array;
  lastMs: number;
}

export interface MetricsOptions {
  /** Runtimes that are counted one by one; default 100. A runtime is some fifty lines to whoever reads them all. */
  runtimesMax?: number;
  /** A runtime without a call for this long may give way to one that has; default 10 min. */
  idleMs?: number;
  /** Monotonic ms. */
  now?: () => number;
}

/**
 * Counts calls: some additions in arrays that are there already, well under a microsecond. What is shown under a
 * runtime's name is bounded: further ones are counted together, and an idle one gives way, to begin at 0 when it is back.
 */
export class Metrics {
  /** Kept up to date by whoever opens and closes. */
  readonly now: GatewayNow = { connections: 0, requests: 0, waiting: 0, streams: 0 };
  readonly #rows = new Map<string, Row>();
  readonly #none: Row;
  readonly #others: Row;
  readonly #connect = new Float64Array(HISTOGRAM_LENGTH);
  readonly #refusals = new Map<string, number>();
  readonly #runtimesMax: number;
  readonly #idleMs: number;
  readonly #clock: () => number;
  #retries = 0;
  #accounted = 0;

  constructor({ runtimesMax = 100, idleMs = 600_000, now = () => performance.now() }: MetricsOptions = {}) {
    this.#runtimesMax = runtimesMax;
    this.#idleMs = idleMs;
    this.#clock = now;
    this.#none = newRow('');
    this.#others = newRow(OTHERS);
  }

  /** How many calls were counted so far. */
  get accounted(): number {
    return this.#accounted;
  }

  /** Counts a call that has ended. Names in the record must be those of runtimes that there are. */
  account(record: CallRecord, nowMs = this.#clock()): void {
    this.#accounted++;
    const { numbers } = this.#rowOf(record.runtimeName, nowMs);
    const { status, queueMs, connectMs, firstByteMs, errorCode, retries } = record;
    const statusClass = status >= 100 && status < 600 ? Math.floor(status / 100) : 0;
    numbers[CALLS + OUTCOME_AT[record.outcome] * STATUS_CLASSES.length + statusClass]!++;
    numbers[BYTES_IN]! += record.bytesIn;
    numbers[BYTES_OUT]! += record.bytesOut;
    observe(numbers, TOTAL, record.totalMs);
    if (queueMs !== undefined) observe(numbers, QUEUE, queueMs);
    if (firstByteMs !== undefined) observe(numbers, FIRST_BYTE, firstByteMs);
    if (connectMs !== undefined) observe(this.#connect, 0, connectMs);
    if (errorCode !== undefined) this.#refusals.set(errorCode, (this.#refusals.get(errorCode) ?? 0) + 1);
    if (retries !== undefined) this.#retries += retries;
  }

  counts(): GatewayCounts {
    return {
      runtimes: [this.#none, this.#others, ...this.#rows.values()].flatMap(countsOf),
      connect: [...this.#connect],
      refusals: Object.fromEntries(this.#refusals),
      retries: this.#retries,
      now: { ...this.now },
      process: processCounts(),
    };
  }

  #rowOf(runtimeName: string | undefined, nowMs: number): Row {
    if (runtimeName === undefined) return this.#none;
    const known = this.#rows.get(runtimeName);
    if (known) {
      known.lastMs = nowMs;
      return known;
    }
    if (this.#rows.size >= this.#runtimesMax && !this.#makeRoom(nowMs)) return this.#others;
    const row = newRow(runtimeName);
    row.lastMs = nowMs;
    this.#rows.set(runtimeName, row);
    return row;
  }

  #makeRoom(nowMs: number): boolean {
    let oldest: Row | undefined;
    for (const row of this.#rows.values()) if (!oldest || row.lastMs < oldest.lastMs) oldest = row;
    if (!oldest || nowMs - oldest.lastMs < this.#idleMs) return false;
    return this.#rows.delete(oldest.runtimeName);
  }
}

function newRow(runtimeName: string): Row {
  return { runtimeName, numbers: new Float64Array(LENGTH), lastMs: 0 };
}

/** @param at where the histogram begins */
function observe(numbers: Float64Array, at: number, ms: number): void {
  let bucket = 0;
  while (bucket < BUCKETS_MS.length && ms > BUCKETS_MS[bucket]!) bucket++;
  numbers[at + bucket]!++;
  numbers[at + HISTOGRAM_LENGTH - 1]! += ms;
}

/** None, for one that has counted nothing. */
function countsOf({ runtimeName, numbers }: Row): RuntimeCounts[] {
  const calls = [...numbers.subarray(CALLS, BYTES_IN)];
  if (calls.every((count) => count === 0)) return [];
  const histogram = (at: number) => [...numbers.subarray(at, at + HISTOGRAM_LENGTH)];
  return [
    {
      runtimeName,
      calls,
      bytesIn: numbers[BYTES_IN]!,
      bytesOut: numbers[BYTES_OUT]!,
      queue: histogram(QUEUE),
      firstByte: histogram(FIRST_BYTE),
      total: histogram(TOTAL),
    },
  ];
}

/** Says what was counted, while there is something new. @returns stops it */
export function reportCounts(
  metrics: Metrics,
  send: (counts: GatewayCounts) => void,
  periodMs = 5000,
): () => void {
  let said = 0;
  const timer = setInterval(() => {
    if (metrics.accounted === said) return;
    said = metrics.accounted;
    send(metrics.counts());
  }, periodMs).unref();
  return () => clearInterval(timer);
}
