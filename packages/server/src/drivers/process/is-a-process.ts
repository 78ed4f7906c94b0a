import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathSegment } from './log-shelf.ts';

/** Whether an instance is, or is about to be, processes of this machine. */
export function isAProcess(dataDir: string, instanceId: string): boolean {
  return existsSync(join(dataDir, 'instances', pathSegment(instanceId)));
}
