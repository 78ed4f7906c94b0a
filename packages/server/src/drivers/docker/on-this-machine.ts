import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Listener, listeners } from '../process/sockets.ts';

/**
 * What this machine's kernel says of a container: engines that are here show its first process, and the kernel shows
 * what that listens on and how much memory its group takes. Nothing is said where the engine lives in a virtual
 * machine.
 */
export interface ContainerProcess {
  listeners(): Listener[] | undefined;
  /**
   * In bytes, all processes together, without what the kernel can drop at will; undefined where it does not say.
   */
  memoryUsed(): number | undefined;
  /**
   * How many of its processes the kernel has killed for want of memory. Undefined where that is not counted for the
   * asking, and with control groups of version 2, by which every engine hears of it.
   */
  memoryKills(): number | undefined;
}

/** @param pid as the engine says; whose it is here, is told by the container's id in its control group */
export function containerProcess(pid: number, containerId: string): ContainerProcess | undefined {
  const groups = read(`/proc/${pid}/cgroup`);
  if (!groups?.includes(containerId)) return undefined;
  const group = memoryGroup(groups);
  return {
    listeners: () => (isStill(pid, containerId) ? listeners(`/proc/${pid}/net`) : undefined),
    memoryUsed() {
      // The counter is exact; what it is made of is added up by the kernel every other second.
      const total = group === undefined ? undefined : read(join(group.folder, group.counter));
      const statistics = group === undefined ? undefined : read(join(group.folder, 'memory.stat'));
      if (total === undefined || statistics === undefined) return undefined;
      const field = (name: string) =>
        Number(new RegExp(`^(?:total_)?${name} (\\d+)$`, 'm').exec(statistics)?.[1] ?? 0);
      return Math.max(0, Number(total) - field('inactive_file') - field('active_file'));
    },
    memoryKills() {
      if (group?.kills === undefined) return undefined;
      const count = /^oom_kill (\d+)$/m.exec(read(join(group.folder, group.kills)) ?? '')?.[1];
      return count === undefined ? undefined : Number(count);
    },
  };
}

function isStill(pid: number, containerId: string): boolean {
  return read(`/proc/${pid}/cgroup`)?.includes(containerId) ?? false;
}

/** @param groups `/proc/PID/cgroup` */
function memoryGroup(groups: string): { folder: string; counter: string; kills?: string } | undefined {
  const v1 = /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(.+)$/m.exec(groups)?.[1];
  if (v1 !== undefined)
    return {
      folder: join('/sys/fs/cgroup/memory', v1),
      counter: 'memory.usage_in_bytes',
      kills: 'memory.oom_control',
    };
  const v2 = /^0::(.+)$/m.exec(groups)?.[1];
  return v2 === undefined ? undefined : { folder: join('/sys/fs/cgroup', v2), counter: 'memory.current' };
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}
