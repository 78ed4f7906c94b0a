import { createHash } from 'node:crypto';
import { chmodSync, lstatSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Addresses of unix sockets are at most 104 bytes long (108 on Linux); deep data folders get one elsewhere. */
const SOCKET_PATH_MAX = 100;

/**
 * Where a unix socket of a data folder lies: in a folder that no other user may enter. Always the same for the same
 * folder and name.
 * @throws Error when the folder for it is not this user's own
 */
export function privateSocketPath(dataDir: string, name: string): string {
  const path = join(dataDir, 'run', name);
  if (Buffer.byteLength(path) <= SOCKET_PATH_MAX) return path;
  const hash = createHash('sha256').update(dataDir).digest('hex').slice(0, 16);
  const folder = join(tmpdir(), `runstead-${hash}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { uid } = lstatSync(folder);
  // Anybody may make folders there. Nor is a link followed: it could lead the next line anywhere.
  if (!lstatSync(folder).isDirectory() || (process.getuid !== undefined && uid !== process.getuid()))
    throw new Error(
      `${folder} is to hold the sockets of ${dataDir}, whose path is too long for them, and is not this user's own folder. Remove it, or choose a data folder with a shorter path with --data`,
    );
  chmodSync(folder, 0o700);
  return join(folder, name);
}
