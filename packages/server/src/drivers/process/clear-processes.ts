import { rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../../observe/log.ts';
import { forbidForks } from './limits/control-groups.ts';
import { closeGroupsOf } from './limits/instance-groups.ts';
import type { LogKeeper } from './log-keeper.ts';
import type { PortPool } from './port-pool.ts';
import { agentPidOf, type Instance, type Instances } from './process-instance.ts';
import {
  isAlive,
  killAll,
  listProcesses,
  membersOf,
  type ProcessId,
  type ProcessInfo,
  signalGroup,
} from './processes.ts';
import type { UsageMeter } from './usage.ts';

/** How an instance is ended, and everything that was made for it is given back. */
export function createClear(parts: {
  dataMark: string;
  instances: Instances;
  members: (instance: Instance) => Promise<ProcessInfo[]>;
  ports: PortPool;
  logs: LogKeeper;
  usage: UsageMeter;
  /** Removes the oldest of what a runtime's ended instances wrote. */
  clearLogs: (runtimeId: string) => Promise<void>;
  log: Log;
}) {
  const { dataMark, instances, members, ports, logs, usage, log } = parts;

  /** Ends all processes of an instance, then forgets it but for its log. Calls share one end. */
  return function clear(instance: Instance, graceMs: number): Promise<void> {
    instance.clearing ??= (async () => {
      const { leader, bornAs, instanceId } = instance;
      if (leader) {
        const mayEnd = graceMs > 0 && !instance.ending && (await askToEnd(instance, leader));
        if (mayEnd) await endOf(instance, leader, graceMs);
        forbidForks(instance.groups);
        const stuck = await killAll((table, seen) =>
          membersOf(table, { instanceId, dataMark, bornAs, leader, seen }),
        );
        for (const { pid } of stuck)
          log.warn({ instanceId, pid }, 'a process cannot be signalled; left alone');
      }
      await closeGroupsOf(instance, log);
      await logs.end(instance);
      // What cannot be removed now is for the next server's `adopt`; the end of an instance must not fail over it.
      await rm(instance.folder, { recursive: true, force: true, maxRetries: 3 }).catch((error: unknown) => {
        log.warn({ err: error, instanceId }, "an ended instance's folder could not be removed");
      });
      if (instance.port !== undefined) ports.release(instance.port);
      if (instances.get(instanceId) === instance) instances.delete(instanceId);
      instance.detach();
      usage.forget(instanceId);
      await parts.clearLogs(instance.runtimeId);
      logs.bound(instance.runtimeId);
    })();
    return instance.clearing;
  };

  /** @returns false when there is nobody to ask */
  async function askToEnd(instance: Instance, leader: ProcessId): Promise<boolean> {
    if (!instance.isConfined) return signalGroup(leader, 'SIGTERM');
    const agentPid = await agentPidOf(instance);
    const agent = (await members(instance)).find((it) => it.pid === agentPid);
    // Not begun yet: with the launcher all ends at once.
    if (!agent) return signalGroup(leader, 'SIGTERM');
    // Not the launcher, with which it would end at once. Its group is led by the sandbox's first process, for which
    // the kernel ignores the signal.
    const first = (await listProcesses()).find((it) => it.pid === agent.groupId);
    return signalGroup(first ?? agent, 'SIGTERM');
  }

  /** Waits for the wrapper to be gone, at most this long. */
  async function endOf(instance: Instance, leader: ProcessId, graceMs: number): Promise<void> {
    const over = new AbortController();
    const patience = delay(graceMs, undefined, { signal: over.signal }).catch(() => {});
    // An adopted wrapper is no child of ours: nobody tells us of its end.
    const watch = setInterval(() => {
      if (!isAlive(leader)) over.abort();
    }, 10);
    await Promise.race([instance.ended, patience]);
    clearInterval(watch);
    over.abort();
  }
}
