import { existsSync, mkdirSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { flushFolder } from './flush.ts';

/** Where things lie in the data folder; every path below it is made here. */
export interface DataFolders {
  database: string;
  /** Bodies and packages on their way in; emptied at start. */
  incoming: string;
  /** Code packages, named by their SHA-256. */
  blobs: string;
  /** Unpacked packages: `code/<runtimeId>/<digest>`. */
  code: string;
  /** Installed dependencies: `deps/<runtimeId>/<key>`. */
  deps: string;
  /** Packages that the operator puts there: `buckets/<bucket>/<object>`; only read. */
  buckets: string;
  /** Package managers' own caches: what runtimes share, and `cache/runtimes/<runtimeId>`. */
  cache: string;
  /** Releases of Node that were got for agents. */
  interpreters: string;
  /** Recorded starts: `starts/<runtimeId>/<key>`. */
  starts: string;
  /** Sockets and the record of the running server. */
  run: string;
  localKey: string;
  /** Opens the secrets in the database. */
  secretsKey: string;
}

/** Makes the folders, for their owner alone. */
export function openDataFolders(dataDir: string): DataFolders {
  const folder = (...parts: string[]) => {
    const path = join(dataDir, ...parts);
    mkdirSync(path, { recursive: true, mode: 0o700 });
    return path;
  };
  folder();
  return {
    database: join(dataDir, 'db.sqlite'),
    incoming: folder('blobs', 'incoming'),
    blobs: folder('blobs'),
    code: folder('code'),
    deps: folder('deps'),
    buckets: folder('buckets'),
    cache: folder('cache'),
    interpreters: folder('interpreters'),
    starts: folder('starts'),
    run: folder('run'),
    localKey: join(dataDir, 'local-key.json'),
    secretsKey: join(folder('keys'), 'secrets.key'),
  };
}

export function blobFile(folders: DataFolders, digest: string): string {
  return join(folders.blobs, `${digest}.zip`);
}

/** Gives a finished, flushed folder its final name, durably. If another of the same content was quicker, that one stays and this one goes. */
export async function renameOnce(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (!existsSync(to)) throw error;
    await rm(from, { recursive: true, force: true });
  }
  await flushFolder(dirname(to));
}
