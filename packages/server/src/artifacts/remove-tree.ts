import { chmod, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '../observe/log.ts';

/**
 * Removes a folder with everything in it. Installs are read-only, and agents, which run as the server's user, may have
 * taken away the rights to their own folders; those are given back first.
 */
export async function removeAll(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true }).catch(async () => {
    await allowAll(path);
    // Whoever was killed a moment ago may still have been writing.
    await rm(path, { recursive: true, force: true, maxRetries: 3 });
  });
}

/** As `removeAll`. What stays is logged and left to the next start: neither a delete nor a start may fail over it. */
export async function removeTree(path: string, log: Log): Promise<void> {
  try {
    await removeAll(path);
  } catch (error) {
    log.warn({ err: error, path }, 'a folder could not be removed');
  }
}

async function allowAll(folder: string): Promise<void> {
  await chmod(folder, 0o700);
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) await allowAll(join(folder, entry.name));
  }
}
