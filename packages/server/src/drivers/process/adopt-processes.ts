import { readdirSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { SecretBox } from '../../auth/secret-box.ts';
import type { Log } from '../../observe/log.ts';
import type { RunningInstance } from '../driver.ts';
import { type Ending, type InstanceRecord, isRunning, readEnding, readRecord } from './identity.ts';
import { findLog } from './instance-log.ts';
import type { KeptSpec } from './launch.ts';
import { sweepGroups } from './limits/control-groups.ts';
import { closeGroupsOf, settleCpu } from './limits/instance-groups.ts';
import type { Limits } from './limits/limits.ts';
import type { LogBounds } from './log-bounds.ts';
import type { LogKeeper } from './log-keeper.ts';
import type { LogShelf } from './log-shelf.ts';
import { LogTimes } from './log-times.ts';
import type { NodeStarts } from './node-start/node-starts.ts';
import type { QuickStarts } from './pool/quick-starts.ts';
import type { PortPool } from './port-pool.ts';
import {
  agentPidOf,
  explained,
  hostIn,
  type Instance,
  type Instances,
  isUp,
  newInstance,
} from './process-instance.ts';
import { isAlive, killAll } from './processes.ts';
import type { Host } from './readiness.ts';

/** Between two looks at whether an adopted instance still runs. */
const ADOPTED_CHECK_MS = 250;

/** How what an earlier server left on this machine is settled. */
export function createAdoption(parts: {
  dataMark: string;
  /** Of what is kept of each instance. */
  instancesDir: string;
  instances: Instances;
  ports: PortPool;
  shelf: LogShelf;
  bounds: LogBounds;
  logs: LogKeeper;
  quickStarts: QuickStarts;
  nodeStarts: NodeStarts | undefined;
  limits: Limits | undefined;
  box: () => SecretBox;
  log: Log;
  nowRunning: (instance: Instance, host: Host) => RunningInstance;
}) {
  const { dataMark, instancesDir, instances, ports, shelf, bounds, logs, quickStarts, limits, log } = parts;

  /** Takes over what runs, and removes all that is not taken over. */
  return async function adopt(): Promise<RunningInstance[]> {
    const adopted: RunningInstance[] = [];
    shelf.sealEarlier();
    const leftovers: string[] = [];
    for (const name of readdirSync(instancesDir)) {
      if (instances.has(name)) continue;
      const folder = join(instancesDir, name);
      const record = readRecord(folder);
      // A wrapper that has written how the agent ended is about to end itself.
      const runs = record?.instanceId === name && isRunning(record) && readEnding(folder) === undefined;
      if (runs) adopted.push(await takeOver(folder, record));
      else leftovers.push(folder);
    }
    const kept = new Set(
      [...instances.values()].flatMap((it) => [it.instanceId, it.bornAs ?? it.instanceId]),
    );
    // Also those whose wrapper was spawned but had not yet written its record, and processes that waited for a start.
    const stuck = await killAll((table) =>
      table.filter(
        (it) =>
          it.dataMark === dataMark &&
          it.pid !== process.pid &&
          !(it.instanceId !== undefined && kept.has(it.instanceId)),
      ),
    );
    for (const { pid } of stuck)
      log.warn({ pid }, 'a process of an earlier server cannot be signalled; left alone');
    parts.nodeStarts?.sweep();
    // Only now: nobody is left who could write into them.
    for (const folder of leftovers) {
      const { groups } = readKept(folder) ?? {};
      if (groups) await closeGroupsOf({ groups, instanceId: basename(folder) }, log);
      await rm(folder, { recursive: true, force: true, maxRetries: 3 });
    }
    if (limits) await sweepGroups(limits.places, (name) => instances.has(name) || kept.has(name));
    await quickStarts.sweep();
    bounds.begin().catch((error: unknown) => log.warn({ err: error }, 'logs could not be looked through'));
    // One of them may have ended meanwhile, with nobody to hear of it yet.
    return adopted.filter((it) => {
      const instance = instances.get(it.instanceId);
      return instance !== undefined && isUp(instance);
    });
  };

  async function takeOver(folder: string, record: InstanceRecord): Promise<RunningInstance> {
    const { pid, startTicks, bornAs, instanceId, runtimeId, revision, port, startedAt } = record;
    const leader = { pid, startTicks };
    const kept = readKept(folder) ?? { health: {}, agentPort: port };
    let timer: NodeJS.Timeout | undefined;
    const instance: Instance = newInstance({
      instanceId,
      runtimeId,
      revision,
      folder,
      log: findLog(shelf.path(runtimeId, instanceId), parts.box()),
      logTimes: new LogTimes(shelf.path(runtimeId, instanceId)),
      health: kept.health,
      agentPort: kept.agentPort,
      port,
      startedAt,
      isConfined: kept.isConfined ?? false,
      memoryBytes: kept.memoryBytes,
      groups: kept.groups ?? {},
      cpu: kept.cpu ?? 0,
      leader,
      bornAs,
      ended: new Promise<Ending>((resolve) => {
        timer = setInterval(() => {
          if (isAlive(leader)) return;
          clearInterval(timer);
          instance.ending = explained(instance, readEnding(folder) ?? {});
          resolve(instance.ending);
        }, ADOPTED_CHECK_MS);
        timer.unref();
      }),
      haltGraceMs: 0,
      detach: () => clearInterval(timer),
    });
    ports.hold(port);
    instances.set(instanceId, instance);
    logs.begin(instance);
    if (kept.cpu !== undefined) settleCpu(instance, log);
    await agentPidOf(instance);
    const running = parts.nowRunning(instance, hostIn(record.host));
    instance.starting = Promise.resolve(running);
    return running;
  }

  function readKept(folder: string): KeptSpec | undefined {
    try {
      return JSON.parse(readFileSync(join(folder, 'instance.json'), 'utf8')) as KeptSpec;
    } catch (error) {
      log.warn({ err: error, instanceId: basename(folder) }, 'what was kept of an instance cannot be read');
      return undefined;
    }
  }
}
