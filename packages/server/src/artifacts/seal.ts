import { chmodSync, lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const WRITE = 0o222;

/**
 * Takes the right to write from everything below a folder, itself included. A fence for agents that do not run as
 * root: root is not asked for rights. Synchronous: for the package thread.
 */
export function seal(folder: string): void {
  const { mode } = lstatSync(folder);
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) seal(path);
    // A link has no rights of its own, and what it points to may lie elsewhere.
    else if (entry.isFile()) chmodSync(path, lstatSync(path).mode & ~WRITE & 0o7777);
  }
  chmodSync(folder, mode & ~WRITE & 0o7777);
}
