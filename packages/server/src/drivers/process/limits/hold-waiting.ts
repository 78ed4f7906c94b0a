import { execFile } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import type { LaunchInput } from '../launch.ts';

/**
 * Holds a process that waited for a start to the limits of the instance it is about to become; others are put under
 * theirs by the wrapper.
 * @throws Error when it cannot be put into a group: it must not be used then
 */
export function holdWaiting(
  pid: number,
  { doors, niceness, processors }: Pick<LaunchInput, 'doors' | 'niceness' | 'processors'>,
): void {
  for (const door of doors) appendFileSync(door, String(pid));
  if (niceness !== undefined) setPriority(pid, niceness);
  // As long as that takes, it has all of them; a system without the program leaves it at that.
  if (processors !== undefined) execFile('taskset', ['-cp', processors.join(','), String(pid)], () => {});
}
