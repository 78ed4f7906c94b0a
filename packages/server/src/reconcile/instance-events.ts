import type { Log } from '../observe/log.ts';
import type { NewEvent, Store } from '../store/store.ts';
import type { Instance } from './instance-set.ts';

export interface InstanceEventsOptions {
  store: Store;
  /** Events of all runtimes that are older go. */
  maxAgeMs: number;
  /** ms since 1970. */
  now: () => number;
  log: Log;
}

const PRUNE_EVERY_MS = 3_600_000;

/** Keeps with the runtimes what happens to their instances; old events go, of whatever kind. */
export function createInstanceEvents({ store, maxAgeMs, now, log }: InstanceEventsOptions) {
  let writes: Promise<void> = Promise.resolve();
  const write = (work: () => Promise<void>, failed: string) => {
    writes = writes.then(work).catch((error: unknown) => log.error({ err: error }, failed));
  };
  const prune = () =>
    write(
      () => store.removeEvents(new Date(now() - maxAgeMs).toISOString()),
      'old events could not be removed',
    );
  const timer = setInterval(prune, PRUNE_EVERY_MS);
  timer.unref();
  prune();

  return {
    add(
      { id, runtimeId, revision }: Pick<Instance, 'id' | 'runtimeId' | 'revision'>,
      what: Pick<NewEvent, 'phase' | 'outcome' | 'reason' | 'exitCode' | 'exitSignal' | 'output'>,
    ): void {
      const startedAt = new Date(now()).toISOString();
      write(
        () => store.addEvent({ runtimeId, revision, startedAt, durationMs: 0, instanceId: id, ...what }),
        'what happened to an instance could not be recorded',
      );
    },

    /** Resolves when all is written. */
    async close(): Promise<void> {
      clearInterval(timer);
      await writes;
    },
  };
}
