import { readFileSync } from 'node:fs';

/** Kept for what is no client's: listeners, the feed, logs, those who are being sent away, the runtime's own. */
const RESERVED = 96;
/** A call holds its client's and one to the agent, and one more lies idle for a moment after a call. */
const PER_CLIENT = 3;
/** However few descriptors there are: with less there is no serving. */
const LEAST = 8;
/** Of the connections, so many beside them may be agreeing on TLS. */
const HANDSHAKES = 1 / 4;
/** A handshake takes milliseconds, so that many unfinished ones are no clients that mean it. */
const MOST_HANDSHAKES = 1024;

/**
 * How many connections clients may have open, so that there are always descriptors left for the calls on them.
 * @param descriptors what the process may have open; undefined: not known, and nothing is limited
 */
export function mostConnections(descriptors: number | undefined): number {
  if (descriptors === undefined) return Number.POSITIVE_INFINITY;
  return Math.max(LEAST, Math.floor((descriptors - RESERVED) / PER_CLIENT));
}

/** @param connections how many clients may have open */
export function mostHandshakes(connections: number): number {
  return Math.min(MOST_HANDSHAKES, Math.ceil(connections * HANDSHAKES));
}

/** How many descriptors this process may have open. Undefined where the system does not say: without `/proc`. */
export function descriptorLimit(): number | undefined {
  try {
    return descriptorsIn(readFileSync('/proc/self/limits', 'utf8'));
  } catch {
    return undefined;
  }
}

/** @param limits as the kernel writes them; the soft limit is the one that holds */
export function descriptorsIn(limits: string): number | undefined {
  const soft = Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? Number.NaN);
  return Number.isNaN(soft) ? undefined : soft;
}
