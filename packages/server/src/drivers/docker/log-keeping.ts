import { existsSync } from 'node:fs';
import type { Log } from '../../observe/log.ts';
import { boundLog, logExtent } from '../process/instance-log.ts';
import type { ContainerInstance } from './container-instance.ts';

export type LogKeeping = ReturnType<typeof createLogKeeping>;

/** How the files with what containers wrote are kept small, and when their lines were written. */
export function createLogKeeping(log: Log, limitBytes: number) {
  /** Looks when the newest lines were written. */
  function noteTime({ instanceId, log: { path }, logTimes }: ContainerInstance): void {
    try {
      if (!existsSync(path)) return;
      const { end, writtenMs } = logExtent(path);
      logTimes.note(end, writtenMs);
    } catch (error) {
      log.warn({ err: error, instanceId }, 'when lines were written could not be noted');
    }
  }

  async function keepSmall(instance: ContainerInstance): Promise<void> {
    // First: what gives blocks back counts as a change of the file.
    noteTime(instance);
    try {
      if (existsSync(instance.log.path)) await boundLog(instance.log.path, limitBytes);
    } catch (error) {
      log.warn({ err: error, instanceId: instance.instanceId }, 'a log could not be shortened');
    }
  }

  return { noteTime, keepSmall };
}
