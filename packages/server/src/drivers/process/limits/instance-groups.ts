import type { Log } from '../../../observe/log.ts';
import { closeGroups, type Groups, setCpu } from './control-groups.ts';

/** An instance as far as it is held by control groups. */
interface InGroups {
  instanceId: string;
  groups: Groups;
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
