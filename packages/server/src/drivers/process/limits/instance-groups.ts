import type { Log } from '../../../observe/log.ts';
import { closeGroups, type Groups, openGroups, setCpu } from './control-groups.ts';
import { type Limits, shareAtStart, waitingShare } from './limits.ts';

/** An instance as far as it is held by control groups. */
interface InGroups {
  instanceId: string;
  groups: Groups;
}

/** Makes the groups of a process that waits for a start: of an instance of which so much is known, or of any. */
export function openWaitingGroups(
  limits: Limits,
  name: string,
  { memoryMiB, cpu }: { memoryMiB?: number | undefined; cpu?: number },
): Groups {
  const share =
    memoryMiB !== undefined && cpu !== undefined
      ? shareAtStart(limits, { memoryMiB, cpu })
      : waitingShare(limits, memoryMiB);
  return openGroups(limits.places, name, share);
}

export async function closeGroupsOf({ groups, instanceId }: InGroups, log: Log): Promise<void> {
  if (!(await closeGroups(groups))) log.warn({ instanceId }, 'its control groups could not be removed');
}

/** It is ready, and has what it was given from now on. */
export function settleCpu({ instanceId, groups, cpu }: InGroups & { cpu: number }, log: Log): void {
  try {
    setCpu(groups, cpu);
  } catch (error) {
    log.warn({ err: error, instanceId }, 'its share of the processors could not be set');
  }
}
