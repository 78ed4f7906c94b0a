import type { KeptLog } from '../drivers/driver.ts';
import { QUIET_MS } from './log-lines.ts';

/** How often the logs of a runtime are looked at while somebody follows them. */
const LOOK_MS = 150;

/** Somebody's part in a watch. */
export interface Watching {
  /** As they were at the last look. */
  logs(): readonly KeptLog[];
  /** Resolves when there is something new since the last call, when `forMs` are over, or at the signal. */
  changed(forMs: number, signal: AbortSignal): Promise<void>;
  end(): void;
}

interface Watch {
  logs: readonly KeptLog[];
  /** Raised at every change. */
  change: number;
  seen: string;
  waiting: Set<() => void>;
  followers: number;
  timer: NodeJS.Timeout;
}

/** Looks at the logs of runtimes that are followed: once for all who follow one, and not at all when nobody does. */
export class LogWatches {
  readonly #logsOf: (runtimeId: string) => readonly KeptLog[];
  readonly #now: () => number;
  readonly #watches = new Map<string, Watch>();

  constructor(logsOf: (runtimeId: string) => readonly KeptLog[], now: () => number) {
    this.#logsOf = logsOf;
    this.#now = now;
  }

  /** Runtimes that are looked at, and how many follow them. */
  get size(): { runtimes: number; followers: number } {
    const all = [...this.#watches.values()];
    return { runtimes: all.length, followers: all.reduce((sum, { followers }) => sum + followers, 0) };
  }

  watch(runtimeId: string): Watching {
    const watch = this.#watches.get(runtimeId) ?? this.#begin(runtimeId);
    watch.followers++;
    let known = watch.change;
    let isOver = false;
    return {
      logs: () => {
        known = watch.change;
        return watch.logs;
      },
      async changed(forMs, signal) {
        if (known !== watch.change || signal.aborted) return;
        await new Promise<void>((resolve) => {
          const done = () => {
            clearTimeout(timer);
            watch.waiting.delete(done);
            signal.removeEventListener('abort', done);
            resolve();
          };
          const timer = setTimeout(done, forMs);
          watch.waiting.add(done);
          signal.addEventListener('abort', done);
        });
      },
      end: () => {
        if (isOver) return;
        isOver = true;
        if (--watch.followers > 0) return;
        clearInterval(watch.timer);
        this.#watches.delete(runtimeId);
      },
    };
  }

  #begin(runtimeId: string): Watch {
    const watch: Watch = {
      logs: [],
      change: 0,
      seen: '',
      waiting: new Set(),
      followers: 0,
      timer: setInterval(() => this.#look(runtimeId, watch), LOOK_MS),
    };
    watch.timer.unref();
    this.#look(runtimeId, watch);
    this.#watches.set(runtimeId, watch);
    return watch;
  }

  #look(runtimeId: string, watch: Watch): void {
    const logs = this.#logsOf(runtimeId);
    const now = this.#now();
    // A last line without its end is shown once its writer has been quiet.
    const seen = logs
      .map(({ instanceId, end, isOver, writtenMs }) =>
        [instanceId, end, isOver, now - writtenMs >= QUIET_MS].join(),
      )
      .join('|');
    if (seen === watch.seen) return;
    watch.seen = seen;
    watch.logs = logs;
    watch.change++;
    for (const wake of [...watch.waiting]) wake();
  }
}
