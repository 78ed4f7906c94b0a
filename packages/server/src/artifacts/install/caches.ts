import { join } from 'node:path';
import type { DataFolders } from '../folders.ts';

/** The runtime's own folder for the caches of package managers; see docs/decisions/0012. */
export function ownCache(folders: DataFolders, runtimeId: string): string {
  return join(ownCaches(folders), runtimeId);
}

/** Where those of all runtimes lie. It may not exist yet. */
export function ownCaches({ cache }: DataFolders): string {
  return join(cache, 'runtimes');
}

/** What all runtimes may share: what is taken from it is checked against a checksum that each package brings itself. */
export function sharedCache({ cache }: DataFolders): string {
  return join(cache, 'shared');
}
