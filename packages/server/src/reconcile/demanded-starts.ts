import { type PhaseFailure, statusReason } from '../domain/failure.ts';
import type { ScaleInstance } from '../domain/scaling.ts';
import type { Log } from '../observe/log.ts';
import type { RuntimeRecord, VersionRecord } from '../store/store.ts';
import { type Instance, type InstanceSet, StartCalledOff } from './instance-set.ts';
import type { Rests } from './rests.ts';
import type { AddScaleEvent } from './scale-events.ts';
import { RuntimeLeaving, type Starter } from './starter.ts';

export interface DemandedStartsOptions {
  instances: InstanceSet;
  start: Starter;
  rests: Rests;
  addEvent: AddScaleEvent;
  /** Monotonic, in ms. */
  now: () => number;
  log: Log;
}

export type DemandedStarts = ReturnType<typeof createDemandedStarts>;

/** Starts that scaling asked for: how they went is recorded, and those that callers wait for may be called off again. */
export function createDemandedStarts({ instances, start, rests, addEvent, now, log }: DemandedStartsOptions) {
  const stopping = new AbortController();
  const starts = new Set<Promise<void>>();
  /** Starts that somebody waits for, by instance, and since when they are one too many. */
  const forCallers = new Map<string, number | undefined>();

  return {
    /** @param isForCallers whether it is for calls that wait, and for nothing else */
    begin(runtime: RuntimeRecord, version: VersionRecord, why: string, isForCallers: boolean): void {
      log.info({ agentRuntimeId: runtime.id, version: version.version, reason: why }, 'starting instance');
      const startedAt = new Date();
      const begun = now();
      const report = (outcome: 'ok' | 'failed' | 'superseded', reason: string) =>
        addEvent({
          runtimeId: runtime.id,
          revision: version.revision,
          startedAt: startedAt.toISOString(),
          durationMs: now() - begun,
          outcome,
          reason: `version ${version.version}: ${reason}`,
        });
      const before = new Set(instances.of(runtime.id).map(({ id }) => id));
      const starting = start({
        runtimeId: runtime.id,
        runtimeName: runtime.name,
        revision: version.revision,
        spec: version.spec,
        signal: stopping.signal,
      });
      // It counts from the moment it is asked for.
      const id = instances.of(runtime.id).find((instance) => !before.has(instance.id))?.id;
      if (id !== undefined && isForCallers) forCallers.set(id, undefined);
      const started = starting
        .then(
          () => {
            rests.started(runtime.id, version.version);
            return report('ok', why);
          },
          (error: Error) => {
            if (stopping.signal.aborted || error instanceof RuntimeLeaving) return undefined;
            if (error instanceof StartCalledOff) return report('superseded', `${why}; ${error.message}`);
            const reason =
              error.name === 'PhaseFailure' ? statusReason(error as PhaseFailure) : String(error.message);
            log.warn(
              { agentRuntimeId: runtime.id, version: version.version, reason },
              'version could not be started',
            );
            rests.startFailed(runtime.id, version.version, reason);
            return report('failed', reason);
          },
        )
        .catch((error: unknown) => log.error({ err: error }, 'start could not be recorded'))
        .then(() => {
          if (id !== undefined) forCallers.delete(id);
          starts.delete(started);
        });
      starts.add(started);
    },

    /** How far a start is that somebody waits for. */
    stageOf({ id, state, startStage }: Instance): Pick<ScaleInstance, 'start'> {
      if (state !== 'starting' || !forCallers.has(id)) return {};
      if (startStage === 'waiting') return { start: { state: 'waiting' } };
      if (startStage !== 'running') return {};
      const since = forCallers.get(id);
      return { start: { state: 'running', surplusMs: since === undefined ? 0 : now() - since } };
    },

    /**
     * Notes which starts nobody waits for.
     * @param isCalled whether calls wait for a runtime
     * @returns their runtimes
     */
    markSurplus(at: number, isCalled: (runtimeId: string) => boolean): string[] {
      const runtimeIds: string[] = [];
      const all = new Map(instances.all().map((instance) => [instance.id, instance]));
      for (const [id, since] of forCallers) {
        const instance = all.get(id);
        if (!instance) continue;
        if (isCalled(instance.runtimeId)) forCallers.set(id, undefined);
        else {
          forCallers.set(id, since ?? at);
          runtimeIds.push(instance.runtimeId);
        }
      }
      return runtimeIds;
    },

    /** Gives up those under way. */
    async close(beforeTheyEnd: () => Promise<void>): Promise<void> {
      stopping.abort(new Error('The server is stopping'));
      await beforeTheyEnd();
      await Promise.all(starts);
    },
  };
}
