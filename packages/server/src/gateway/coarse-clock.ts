/** How fine the time is that idle connections are measured by, in ms. */
const TICK_MS = 250;

/** What is looked at in every tick. */
export interface Ticked {
  /** @param nowMs monotonic */
  tick(nowMs: number): void;
}

/**
 * A clock that is read for nothing, a quarter of a second fine, for whatever only has to know whether somebody has
 * been silent for a minute. One timer for all connections costs less than one that is set anew by each of their bytes.
 */
export class CoarseClock {
  nowMs = performance.now();
  readonly #ticked: Ticked[] = [];
  readonly #timer: NodeJS.Timeout;

  constructor(tickMs = TICK_MS) {
    this.#timer = setInterval(() => this.#tick(), tickMs).unref();
  }

  add(ticked: Ticked): void {
    this.#ticked.push(ticked);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    this.nowMs = performance.now();
    for (const ticked of this.#ticked) ticked.tick(this.nowMs);
  }
}
