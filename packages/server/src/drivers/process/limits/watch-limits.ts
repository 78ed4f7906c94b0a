import type { Log } from '../../../observe/log.ts';
import type { ProcessInfo } from '../processes.ts';
import type { Resource } from './control-groups.ts';
import type { Limits } from './limits.ts';
import { diskUsage, memoryBeyond, outOfDisk, outOfMemory, outOfProcesses } from './usage.ts';

/** An instance as it is held to its limits. */
export interface Held {
  instanceId: string;
  /** All of its processes. */
  processes: readonly ProcessInfo[];
  /** Undefined: it may take what there is. */
  memoryBytes: number | undefined;
  /** What it may write into. */
  folders: readonly string[];
  isHeldByGroup(resource: Resource): boolean;
}

export interface Watched {
  current(): Promise<Held[]>;
  end(instanceId: string, reason: string): Promise<void>;
  log: Log;
}

/** So many looks at memory and processes for one at the disk, which takes longer; and so much of the time at most. */
const LOOKS_PER_DISK_LOOK = 10;
const DISK_TIME_SHARE = 0.05;

/** Looks again and again whether instances keep to what no control group holds them to, and ends those that do not. */
export function watchLimits(limits: Limits, { current, end, log }: Watched): { stop(): void } {
  const { processes: processLimit, diskBytes, watchMs } = limits;
  let nextDiskLook = 0;
  let stopped = false;
  let timer: NodeJS.Timeout;
  const again = () => {
    if (stopped) return;
    timer = setTimeout(() => void look().catch(told).finally(again), watchMs);
    timer.unref();
  };
  const told = (error: unknown) => log.error({ err: error }, 'limits could not be looked at');
  const look = async () => {
    const isDiskDue = performance.now() >= nextDiskLook;
    const needsProcesses = limits.places.memory === undefined || limits.places.processes === undefined;
    if (!needsProcesses && !isDiskDue) return;
    const all = await current();
    for (const it of all) {
      const reason = memoryFault(it) ?? processFault(it);
      if (reason !== undefined) void end(it.instanceId, reason).catch(told);
    }
    if (isDiskDue) await lookAtDisk(all);
  };
  const lookAtDisk = async (all: readonly Held[]) => {
    const begun = performance.now();
    for (const { instanceId, folders } of all) {
      if (stopped) return;
      const used = await diskUsage(folders, diskBytes);
      if (used > diskBytes) void end(instanceId, outOfDisk(used, diskBytes)).catch(told);
    }
    const now = performance.now();
    nextDiskLook = now + Math.max(LOOKS_PER_DISK_LOOK * watchMs, (now - begun) / DISK_TIME_SHARE);
  };
  again();
  return {
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };

  function memoryFault({ processes, memoryBytes, isHeldByGroup }: Held): string | undefined {
    if (memoryBytes === undefined || isHeldByGroup('memory')) return undefined;
    const used = memoryBeyond(processes, memoryBytes);
    return used === undefined ? undefined : outOfMemory(used, memoryBytes);
  }

  function processFault({ processes, isHeldByGroup }: Held): string | undefined {
    if (isHeldByGroup('processes') || processes.length <= processLimit) return undefined;
    return outOfProcesses(processes.length, processLimit);
  }
}
