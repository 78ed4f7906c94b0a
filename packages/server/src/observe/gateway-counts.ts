import type { GatewayCounts } from './call-counts.ts';

/** How long whoever wants to know waits for a gateway that is asked; after that, what it said last has to do. */
const PATIENCE_MS = 1000;

/** What the gateway says of itself, as the control process knows it. */
export class HeardCounts {
  #last: GatewayCounts | undefined;
  #ask: (() => void) | undefined;
  readonly #waiting = new Set<() => void>();

  /** There is a gateway. @param ask has it say what it counts now */
  attach(ask: () => void): void {
    this.#ask = ask;
  }

  /** It is gone, and what it counted with it: another one begins at 0. */
  detach(): void {
    this.#ask = undefined;
    this.#last = undefined;
    this.#wake();
  }

  hear(counts: GatewayCounts): void {
    this.#last = counts;
    this.#wake();
  }

  /** As it is now, or was lately if the gateway is too busy to say. Several that ask at a time ask once. */
  async now(patienceMs = PATIENCE_MS): Promise<GatewayCounts | undefined> {
    const ask = this.#ask;
    if (!ask) return undefined;
    const isFirst = this.#waiting.size === 0;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(done, patienceMs);
      const waiting = this.#waiting;
      function done() {
        clearTimeout(timer);
        waiting.delete(done);
        resolve();
      }
      waiting.add(done);
      if (isFirst) ask();
    });
    return this.#last;
  }

  #wake(): void {
    for (const done of [...this.#waiting]) done();
  }
}
