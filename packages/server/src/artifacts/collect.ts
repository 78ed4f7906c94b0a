import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { DataFolders } from './folders.ts';

/** Removes packages that are not among those to keep. */
export async function collectBlobs(folders: DataFolders, kept: ReadonlySet<string>): Promise<void> {
  for (const name of await readdir(folders.blobs)) {
    const digest = /^([0-9a-f]{64})\.zip$/.exec(name)?.[1];
    if (digest !== undefined && !kept.has(digest)) await rm(join(folders.blobs, name), { force: true });
  }
}

/** Empties what a crash left on its way in. Before the API opens. */
export async function sweepIncoming(folders: DataFolders): Promise<void> {
  for (const name of await readdir(folders.incoming)) await rm(join(folders.incoming, name), { force: true });
}
