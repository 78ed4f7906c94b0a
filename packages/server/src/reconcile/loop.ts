/**
 * Work by key, level-based: a key says "look again", never what happened. One worker a key at a time; a key that comes
 * in while its worker runs is worked once more afterwards.
 */
export interface Loop {
  enqueue(key: string): void;
  /** Like `enqueue`, and the run under way is told to stop: what it works for is out of date. */
  supersede(key: string): void;
  /** Tells all runs to stop, waits for them, and takes no more keys. */
  close(): Promise<void>;
}

export interface LoopOptions {
  /** Must be safe to repeat. The signal aborts with a `Superseded` or when the loop closes. */
  work: (key: string, signal: AbortSignal) => Promise<void>;
  /** Hears of runs that failed; they are tried again after 1 s, doubled each time, at most 30 s. */
  onError: (key: string, error: unknown) => void;
}

/** The reason of an abort when newer work has come. */
export class Superseded extends Error {
  override readonly name = 'Superseded';
  constructor() {
    super('Superseded by a newer change');
  }
}

interface Run {
  again: boolean;
  controller: AbortController;
  done: Promise<void>;
}

export function createLoop({ work, onError }: LoopOptions): Loop {
  const runs = new Map<string, Run>();
  const retries = new Map<string, { failures: number; timer: NodeJS.Timeout }>();
  let closed = false;

  const begin = (key: string) => {
    const controller = new AbortController();
    const run: Run = { again: false, controller, done: Promise.resolve() };
    runs.set(key, run);
    run.done = work(key, controller.signal)
      .then(
        () => settleRetry(key),
        (error: unknown) => {
          if (controller.signal.aborted) return;
          onError(key, error);
          retryLater(key);
        },
      )
      .then(() => {
        runs.delete(key);
        if (run.again && !closed) begin(key);
      });
  };

  const settleRetry = (key: string) => {
    clearTimeout(retries.get(key)?.timer);
    retries.delete(key);
  };

  const retryLater = (key: string) => {
    const failures = (retries.get(key)?.failures ?? 0) + 1;
    const timer = setTimeout(() => enqueue(key), Math.min(30_000, 500 * 2 ** failures));
    retries.set(key, { failures, timer });
  };

  const enqueue = (key: string) => {
    if (closed) return;
    const run = runs.get(key);
    if (run) run.again = true;
    else begin(key);
  };

  return {
    enqueue,
    supersede(key) {
      runs.get(key)?.controller.abort(new Superseded());
      enqueue(key);
    },
    async close() {
      closed = true;
      for (const { timer } of retries.values()) clearTimeout(timer);
      const open = [...runs.values()];
      for (const { controller } of open) controller.abort(new Error('The server is stopping'));
      await Promise.all(open.map(({ done }) => done));
    },
  };
}
