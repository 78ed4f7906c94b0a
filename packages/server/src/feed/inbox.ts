/** What has come for one end of a feed, until somebody listens. */
export class Inbox<T> {
  readonly #early: T[] = [];
  #listener: ((message: T) => void) | undefined;
  readonly #closeListeners: (() => void)[] = [];
  #closed = false;

  deliver(message: T): void {
    if (this.#closed) return;
    this.#early.push(message);
    this.#handOver();
  }

  onMessage(listener: ((message: T) => void) | undefined): void {
    this.#listener = listener;
    this.#handOver();
  }

  onClose(listener: () => void): void {
    if (this.#closed) listener();
    else this.#closeListeners.push(listener);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const listener of this.#closeListeners.splice(0)) listener();
  }

  /** A listener may step back while it hears: what comes after is the next one's. */
  #handOver(): void {
    while (this.#listener && this.#early.length > 0) this.#listener(this.#early.shift()!);
  }
}
