import { createHook } from 'node:async_hooks';

/** A point that work has come to and does not go past until the test lets it. */
export interface Gate {
  readonly label: string;
  open(): void;
}

/**
 * The points at which one server waits. After `kill` nothing of that server goes on: what waits, waits for ever, and so
 * does whatever comes to a gate later. That is what the end of a process looks like to what it was doing.
 */
export class Gates {
  readonly waiting: Gate[] = [];
  /** How often something has come to a gate. */
  arrivals = 0;
  #dead = false;

  get dead(): boolean {
    return this.#dead;
  }

  /** @param signal whoever is aborted here does not wait on, unless the server is dead */
  pass(label: string, signal?: AbortSignal): Promise<void> {
    this.arrivals++;
    return new Promise((resolve, reject) => {
      if (this.#dead) return;
      const leave = () => {
        signal?.removeEventListener('abort', abort);
        this.waiting.splice(this.waiting.indexOf(gate), 1);
      };
      const abort = () => {
        if (this.#dead) return;
        leave();
        reject(signal!.reason as Error);
      };
      const gate: Gate = {
        label,
        open: () => {
          leave();
          resolve();
        },
      };
      this.waiting.push(gate);
      signal?.addEventListener('abort', abort);
      if (signal?.aborted) abort();
    });
  }

  kill(): void {
    this.#dead = true;
    this.waiting.length = 0;
  }
}

/** Work on files that has begun and not ended, in this whole process. */
const openFileWork = new Set<number>();
createHook({
  init(id, type) {
    if (/^(?:FSREQ|FILEHANDLECLOSEREQ)/.test(type)) openFileWork.add(id);
  },
  after: (id) => void openFileWork.delete(id),
  destroy: (id) => void openFileWork.delete(id),
}).enable();

/** How many turns in a row nothing may happen before all is taken to be waiting. */
const QUIET_TURNS = 12;

/** Resolves when everything waits: for gates, for timers, or for nothing. */
export async function settled(gates: Gates): Promise<void> {
  for (let quiet = 0; quiet < QUIET_TURNS; ) {
    const before = gates.arrivals;
    await new Promise((resolve) => setImmediate(resolve));
    quiet = openFileWork.size > 0 || gates.arrivals !== before ? 0 : quiet + 1;
  }
}
