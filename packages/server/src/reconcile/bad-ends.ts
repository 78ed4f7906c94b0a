import type { InstanceExit } from '../drivers/driver.ts';
import type { Log } from '../observe/log.ts';
import type { NewEvent, Store } from '../store/store.ts';
import type { Instance } from './instance-set.ts';
import type { Rests } from './rests.ts';
import type { AddScaleEvent } from './scale-events.ts';

export interface BadEndsOptions {
  store: Store;
  rests: Rests;
  addEvent: AddScaleEvent;
  /** Monotonic, in ms. */
  now: () => number;
  log: Log;
}

export type BadEnds = ReturnType<typeof createBadEnds>;

/** Instances that ended by themselves or are not well: told as events, and their versions may have to rest. */
export function createBadEnds({ store, rests, addEvent, now, log }: BadEndsOptions) {
  /** Numbers of versions that have instances, by runtime and revision. */
  const numbers = new Map<string, number>();
  const key = (runtimeId: string, revision: number) => `${runtimeId}/${revision}`;

  const endedBadly = async (
    instance: Instance,
    how: string,
    event: Pick<NewEvent, 'phase' | 'reason' | 'exitCode' | 'exitSignal' | 'output'>,
  ): Promise<void> => {
    const { id, runtimeId, revision, readyAt = now() } = instance;
    const ranMs = now() - readyAt;
    // At once, if that can be: else another would be started already.
    let version = numbers.get(key(runtimeId, revision));
    // One that no version was made of yet is its deploy's to tell of.
    version ??= (await store.versions(runtimeId)).find((known) => known.revision === revision)?.version;
    const resting = version === undefined ? undefined : rests.ended(runtimeId, version, ranMs, how);
    await addEvent({ runtimeId, revision, instanceId: id, outcome: 'failed', ...event });
    if (resting === undefined) return;
    log.warn({ agentRuntimeId: runtimeId, version, reason: resting }, 'a version rests');
    await addEvent({
      runtimeId,
      revision,
      outcome: 'failed',
      reason: `version ${version} rests: ${resting}`,
    });
  };

  return {
    /** Which version instances of a revision are of; undefined: there are none. */
    number(runtimeId: string, revision: number, version: number | undefined): void {
      if (version === undefined) numbers.delete(key(runtimeId, revision));
      else numbers.set(key(runtimeId, revision), version);
    },

    forget(runtimeId: string): void {
      for (const id of numbers.keys()) if (id.startsWith(`${runtimeId}/`)) numbers.delete(id);
    },

    /** An instance is not well. */
    sick: (instance: Instance, reason: string): Promise<void> =>
      endedBadly(instance, reason, { phase: 'health', reason }),

    /** An instance ended that nobody stopped. */
    ended(instance: Instance, exit: InstanceExit): Promise<void> {
      const { code, signal, reason, lastLines } = exit;
      const exited = code === undefined ? 'ended' : `exited with code ${code}`;
      const how = reason ?? (signal === undefined ? exited : `killed by ${signal}`);
      log.warn({ instanceId: instance.id, agentRuntimeId: instance.runtimeId }, `instance ${how}`);
      const told = [how, ...lastLines].join(' | ');
      const event = { phase: 'exit', reason: told, exitCode: code, exitSignal: signal, output: lastLines };
      return endedBadly(instance, told, event).catch((error: unknown) =>
        log.error({ err: error }, 'the end of an instance could not be looked into'),
      );
    },
  };
}
