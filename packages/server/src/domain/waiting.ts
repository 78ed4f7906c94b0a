/** What waits for an instance: how much may, and for how long it is likely to. From values; time is an argument. */

/**
 * Whether a call that holds memory may wait, by what all that wait hold together. A runtime may hold as much as is still
 * free: one alone gets half of the bound, and the more runtimes hold their share, the less each further byte of one of
 * them is let in, while there is always room for one that holds little. Nobody who waits is put out for it.
 *
 * Worked example: of 64 MiB one runtime's flood fills 32; a second one's 16, a third one's 8; the first call of a
 * fourth is let in if it has no more than the 8 MiB that are left.
 */
export function hasRoomToWait(room: {
  /** Bytes that the call brings. */
  bytes: number;
  /** Bytes that waiting calls of its runtime hold. */
  ofRuntime: number;
  /** Bytes that all waiting calls hold. */
  inAll: number;
  limit: number;
}): boolean {
  return room.ofRuntime + room.bytes <= room.limit - room.inAll;
}

/** How fast a line moves: calls it has let go, and the ms in which it did. */
export interface Pace {
  left: number;
  spanMs: number;
  /** Monotonic ms: when one left last, or when the line began. */
  sinceMs: number;
}

/** Of how many calls the speed of a line is made: half of what was counted is forgotten whenever there are so many. */
const REMEMBERED = 32;

/** The pace after a call has left a line in which others may still wait. */
export function paceAfter(pace: Pace, nowMs: number): Pace {
  const left = pace.left + 1;
  const spanMs = pace.spanMs + (nowMs - pace.sinceMs);
  const keep = left >= REMEMBERED ? 0.5 : 1;
  return { left: left * keep, spanMs: spanMs * keep, sinceMs: nowMs };
}

/**
 * In how many seconds a call that is turned away would find the calls that wait now let in: whole, at least 1, at most
 * the time after which none of them waits any more. A line that has not moved yet is expected to take as long again.
 */
export function retryAfterSeconds(pace: Pace, waiting: number, nowMs: number, mostMs: number): number {
  const stillMs = nowMs - pace.sinceMs;
  // One that has come to a stop slows down with every moment.
  const expectedMs = pace.left === 0 ? stillMs : (waiting * (pace.spanMs + stillMs)) / pace.left;
  return Math.max(1, Math.ceil(Math.min(expectedMs, mostMs) / 1000));
}
