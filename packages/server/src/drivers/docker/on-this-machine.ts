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
  /** In bytes, all processes together; undefined where the kernel does not say. */
  memoryUsed(): number | undefined;
}

/** @param pid as the engine says; whose it is here, is told by the container's id in its control group */
export function containerProcess(pid: number, containerId: string): ContainerProcess | undefined {
  const groups = read(`/proc/${pid}/cgroup`);
  if (!groups?.includes(containerId)) return undefined;
  const usage = memoryFile(groups);
  return {
    listeners: () => (isStill(pid, containerId) ? listeners(`/proc/${pid}/net`) : undefined),
    memoryUsed() {
      const value = usage === undefined ? undefined : Number(read(usage));
      return value !== undefined && value > 0 ? value : undefined;
    },
  };
}

function isStill(pid: number, containerId: string): boolean {
  return read(`/proc/${pid}/cgroup`)?.includes(containerId) ?? false;
}

/** @param groups `/proc/PID/cgroup` */
function memoryFile(groups: string): string | undefined {
  const v1 = /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(.+)$/m.exec(groups)?.[1];
  if (v1 !== undefined) return join('/sys/fs/cgroup/memory', v1, 'memory.usage_in_bytes');
  const v2 = /^0::(.+)$/m.exec(groups)?.[1];
  return v2 === undefined ? undefined : join('/sys/fs/cgroup', v2, 'memory.current');
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}
