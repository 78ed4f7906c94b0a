import { AbortError, TimeoutError } from '../errors.ts';

/** Timers cannot be set further ahead (2^31 − 1 ms, 24.8 days); beyond it a limit counts as none. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * What can end a call from outside while it waits: the caller's signals and a time limit. Ends the fetch through
 * `signal`, and the waiting itself through `race`, so that a fetch which ignores its signal cannot hold a caller.
 */
export class CallClock {
  readonly #controller = new AbortController();
  readonly #unlink: (() => void)[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #interrupt: ((reason: Error) => void) | undefined;
  #reason: Error | undefined;
  #endsAtMs = Number.POSITIVE_INFINITY;

  constructor(signals: readonly (AbortSignal | undefined)[]) {
    for (const signal of signals) {
      if (signal === undefined) continue;
      const abort = () => this.stop(new AbortError('the call was aborted', { cause: signal.reason }));
      if (signal.aborted) {
        abort();
        break;
      }
      signal.addEventListener('abort', abort, { once: true });
      this.#unlink.push(() => signal.removeEventListener('abort', abort));
    }
  }

  /** For fetch. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Why the call was ended, if it was. */
  get reason(): Error | undefined {
    return this.#reason;
  }

  /** Milliseconds until the time limit; Infinity without one. */
  get remainingMs(): number {
    return this.#endsAtMs - performance.now();
  }

  /** (Re)starts the time limit. `what` completes "no … within 600000 ms". */
  limit(milliseconds: number, what: string): void {
    clearTimeout(this.#timer);
    this.#endsAtMs = performance.now() + milliseconds;
    if (this.#reason !== undefined || milliseconds > MAX_TIMER_MS) return;
    this.#timer = setTimeout(
      () => this.stop(new TimeoutError(`no ${what} within ${milliseconds} ms`, milliseconds)),
      milliseconds,
    );
  }

  /** Ends the call; the first reason stays. */
  stop(reason: Error): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.close();
    this.#controller.abort(reason);
    this.#interrupt?.(reason);
  }

  /** Waits for `work`, at most until the call is ended. One wait at a time. */
  race<T>(work: Promise<T>): Promise<T> {
    // Not Promise.race against one lasting promise: that would keep a reaction for every chunk of a long stream.
    return new Promise<T>((resolve, reject) => {
      this.#interrupt = reject;
      if (this.#reason !== undefined) reject(this.#reason);
      work.then(resolve, reject).finally(() => {
        // Whoever waited goes on before this runs, and may have begun to wait anew.
        if (this.#interrupt === reject) this.#interrupt = undefined;
      });
    });
  }

  /** A pause; rejects as soon as the call is ended. */
  async pause(milliseconds: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      await this.race(
        new Promise<void>((resolve) => {
          timer = setTimeout(resolve, milliseconds);
        }),
      );
    } finally {
      clearTimeout(timer);
    }
  }

  /** The call is over: no timer and no listener stays behind. */
  close(): void {
    clearTimeout(this.#timer);
    for (const unlink of this.#unlink.splice(0)) unlink();
  }
}
