import { listVersions, namedVersions, versionsToRemove } from '../domain/retention.ts';
import { isLeaving } from '../domain/status.ts';
import type { Log } from '../observe/log.ts';
import type { RuntimeRecord, Store } from '../store/store.ts';
import type { InstanceSet } from './instance-set.ts';

export interface RetentionOptions {
  store: Store;
  instances: Pick<InstanceSet, 'of'>;
  /** Of each runtime so many of the newest versions stay. */
  keptVersions: number;
  log: Log;
}

/** @returns whether a version is gone, and with it perhaps the last word for a package */
export type RetainVersions = (runtime: RuntimeRecord) => Promise<boolean>;

/**
 * Removes the versions of a runtime that nothing asks to keep. What an endpoint names is held against in the store
 * again, in the transaction that removes: an endpoint that comes to name one meanwhile keeps it, or is refused.
 */
export function createRetention({ store, instances, keptVersions, log }: RetentionOptions): RetainVersions {
  return async ({ id, headVersion, revision, status }) => {
    if ((headVersion ?? 0) <= keptVersions || isLeaving(status)) return false;
    const versions = await store.versions(id);
    if (versions.length <= keptVersions) return false;
    const endpoints = await store.endpoints(id);
    const revisions = new Set(instances.of(id).map((instance) => instance.revision));
    const going = versionsToRemove({
      versions: versions.map(({ version }) => version),
      head: headVersion,
      named: new Set(endpoints.flatMap(({ spec }) => namedVersions(spec))),
      running: new Set(versions.filter((it) => revisions.has(it.revision)).map(({ version }) => version)),
      keep: keptVersions,
    });
    if (going.length === 0) return false;
    const removed = await store.removeVersions(id, going, (gone) => ({
      runtimeId: id,
      revision,
      phase: 'retention',
      startedAt: new Date().toISOString(),
      durationMs: 0,
      outcome: 'ok',
      reason: `${listVersions(gone)} removed: the newest ${keptVersions} are kept, and those that an endpoint names or an instance runs (RUNSTEAD_KEPT_VERSIONS)`,
    }));
    if (removed.length === 0) return false;
    log.info({ agentRuntimeId: id, versions: removed }, 'versions were removed by retention');
    return true;
  };
}
