/** Bytes a second that all large uploads together may pass while calls are open. */
const BUSY_BYTES_PER_SECOND = 12 * 1024 * 1024;
/**
 * How long after a call others are taken to be on their way. Callers who wait for their answers have none open again
 * and again, and an upload that used each of these moments would be as fast as with no caller at all.
 */
const BUSY_FOR_MS = 250;
/** Bodies up to this size are passed at once. */
const BULK_BYTES = 1024 * 1024;

/**
 * Large uploads to the control plane yield to calls: each piece costs both processes time that a call may be waiting
 * for. While there are no calls they go as fast as they can.
 */
export class BulkPace {
  readonly #isBusy: () => boolean;
  readonly #now: () => number;
  /** When the next piece may go, on the monotonic clock. */
  #nextMs = 0;
  #busyUntilMs = Number.NEGATIVE_INFINITY;

  /** @param isBusy whether calls are open or waiting */
  constructor(isBusy: () => boolean, now: () => number) {
    this.#isBusy = isBusy;
    this.#now = now;
  }

  /**
   * How long a piece has to wait for its turn, in ms; 0 for none.
   * @param seen bytes of the body so far, this piece included
   */
  delayMs(bytes: number, seen: number): number {
    if (seen <= BULK_BYTES) return 0;
    const now = this.#now();
    if (this.#isBusy()) this.#busyUntilMs = now + BUSY_FOR_MS;
    if (now >= this.#busyUntilMs) return 0;
    const at = Math.max(now, this.#nextMs);
    this.#nextMs = at + (bytes / BUSY_BYTES_PER_SECOND) * 1000;
    return at - now;
  }
}
