/**
 * What a gateway counts, as plain numbers: they cross from its process to the control process, which shows them.
 * Everything only grows from the gateway's start on, but `now`.
 */

/** How a call ended; the order is that of `RuntimeCounts.calls`. */
export const OUTCOMES = ['answered', 'cut', 'refused', 'client-gone'] as const;
/** Of a status: none, 1xx to 5xx. */
export const STATUS_CLASSES = ['none', '1xx', '2xx', '3xx', '4xx', '5xx'] as const;

/** Upper bounds of a histogram's buckets, in ms; one bucket more is for all that is above. */
export const BUCKETS_MS = [
  1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000,
] as const;
/** Of a histogram, as numbers in a row: how many fell into each bucket, and the sum of all in ms. */
export const HISTOGRAM_LENGTH = BUCKETS_MS.length + 2;

export interface RuntimeCounts {
  /** Empty: calls that reached none. `OTHERS`: those beyond the number that is counted one by one. */
  runtimeName: string;
  /** By outcome, and within that by class of the status. */
  calls: number[];
  bytesIn: number;
  bytesOut: number;
  /** Histograms. */
  queue: number[];
  firstByte: number[];
  total: number[];
}

/** No runtime is called so: names begin with a letter. */
export const OTHERS = '_others';

export interface GatewayCounts {
  runtimes: RuntimeCounts[];
  /** A histogram. */
  connect: number[];
  /** Answers of the platform in an agent's place, by the code of the error. */
  refusals: Record<string, number>;
  /** Calls sent to an agent again: the connection was stale, or the instance was not there. */
  retries: number;
  now: GatewayNow;
  process: ProcessCounts;
}

/** What is open at this moment. */
export interface GatewayNow {
  connections: number;
  /** Requests under way, those that wait and those of the control plane included. */
  requests: number;
  /** Calls that wait for an instance. */
  waiting: number;
  /** Event streams and upgraded connections. */
  streams: number;
}

export interface ProcessCounts {
  cpuSeconds: number;
  residentBytes: number;
  /** Seconds since 1970. */
  startedAt: number;
}

export function processCounts(): ProcessCounts {
  const { user, system } = process.cpuUsage();
  return {
    cpuSeconds: (user + system) / 1e6,
    residentBytes: process.memoryUsage.rss(),
    startedAt: Math.round((Date.now() / 1000 - process.uptime()) * 1000) / 1000,
  };
}
