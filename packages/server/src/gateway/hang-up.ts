/**
 * Tells that a client is gone, to whatever of its call is still waiting. An `AbortSignal` is one, too; the gateway's own
 * costs a tenth of it, and there is one per call.
 */
export interface HangUpSignal {
  readonly aborted: boolean;
  addEventListener(type: 'abort', listener: () => void, options?: { once?: boolean }): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

/** Never pushed to. */
const NOBODY: (() => void)[] = [];

/** The signal of one call, and the switch for it. Listeners are called once at most. */
export class HangUp implements HangUpSignal {
  #aborted = false;
  #listeners: (() => void)[] = NOBODY;

  get aborted(): boolean {
    return this.#aborted;
  }

  addEventListener(_type: 'abort', listener: () => void): void {
    if (this.#aborted) return;
    // Mostly there is one at a time; a list that has been pushed to keeps room for more.
    if (this.#listeners.length === 0) this.#listeners = [listener];
    else if (!this.#listeners.includes(listener)) this.#listeners.push(listener);
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    const at = this.#listeners.indexOf(listener);
    if (at === -1) return;
    if (this.#listeners.length === 1) this.#listeners = NOBODY;
    else this.#listeners.splice(at, 1);
  }

  /** To be called when the client is gone; more than once is harmless. */
  abort(): void {
    if (this.#aborted) return;
    this.#aborted = true;
    const listeners = this.#listeners;
    this.#listeners = NOBODY;
    for (const listener of listeners) listener();
  }
}
