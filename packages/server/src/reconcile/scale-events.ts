import type { Log } from '../observe/log.ts';
import type { NewEvent, Store } from '../store/store.ts';

export type AddScaleEvent = (
  event: Omit<NewEvent, 'startedAt' | 'durationMs' | 'phase'> & Partial<NewEvent>,
) => Promise<void>;

/** Writes down what scaling did and what became of instances. That it cannot be written down keeps nothing from being done. */
export function scaleEvents(store: Store, log: Log): AddScaleEvent {
  return (event) =>
    store
      .addEvent({ phase: 'scale', startedAt: new Date().toISOString(), durationMs: 0, ...event })
      .catch((error: unknown) => log.error({ err: error }, 'what scaling did could not be recorded'));
}
