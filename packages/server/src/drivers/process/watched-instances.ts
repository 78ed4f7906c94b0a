import { join } from 'node:path';
import type { Log } from '../../observe/log.ts';
import { forbidForks, type Resource } from './limits/control-groups.ts';
import { type Limits, shareOf } from './limits/limits.ts';
import type { Held, Watched } from './limits/watch-limits.ts';
import type { QuickStarts } from './pool/quick-starts.ts';
import type { Instances } from './process-instance.ts';
import { killAll, listProcesses, membersOf } from './processes.ts';

/** What is watched for limits: instances, and what code of a version runs in before it is one. */
export function createWatched(parts: {
  dataMark: string;
  instances: Instances;
  quickStarts: QuickStarts;
  limits: Limits;
  log: Log;
}): Watched {
  const { dataMark, instances, quickStarts, limits, log } = parts;

  return { current: held, end: endFor, log };

  /** Those that may break a limit now. */
  async function held(): Promise<Held[]> {
    const table = await listProcesses();
    const preparing = quickStarts.preparing.map(({ waiting, spec }) => ({
      instanceId: waiting.bornAs,
      processes: membersOf(table, { instanceId: waiting.bornAs, leader: waiting.leader, dataMark }),
      memoryBytes: shareOf(limits, spec).memoryBytes,
      folders: waiting.folders,
      isHeldByGroup: (resource: Resource) => waiting.groups[resource] !== undefined,
    }));
    const running = [...instances.values()]
      .filter((it) => it.leader !== undefined && it.clearing === undefined && it.verdict === undefined)
      .map((it) => ({
        instanceId: it.instanceId,
        processes: membersOf(table, { ...it, dataMark }),
        memoryBytes: it.memoryBytes,
        folders: ['home', 'tmp', 'shm'].map((name) => join(it.folder, name)),
        isHeldByGroup: (resource: Resource) => it.groups[resource] !== undefined,
      }));
    return [...preparing, ...running];
  }

  /** Ends all of it but the wrapper, which writes down that it was ended. */
  async function endFor(instanceId: string, reason: string): Promise<void> {
    if (quickStarts.endPreparing(instanceId, reason)) return;
    const instance = instances.get(instanceId);
    if (!instance || instance.clearing !== undefined) return;
    instance.verdict = reason;
    log.warn({ instanceId, agentRuntimeId: instance.runtimeId }, `an instance is ended: ${reason}`);
    forbidForks(instance.groups);
    const { leader, bornAs } = instance;
    await killAll((table, seen) =>
      membersOf(table, { instanceId, dataMark, bornAs, leader, seen }).filter((it) => it.pid !== leader?.pid),
    );
  }
}
