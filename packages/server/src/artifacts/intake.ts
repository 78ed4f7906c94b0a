import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Artifact } from '../domain/runtime.ts';
import { collectBlobs } from './collect.ts';
import { flushFolder } from './flush.ts';
import { blobFile, type DataFolders } from './folders.ts';
import type { PackageThread } from './package-thread.ts';

/** A create or update body taken apart: the configuration as text, the package in the blob folder. */
export interface Intake {
  json: string;
  artifact?: Artifact;
  /** False when the package's directory could not be read, so that nothing is known of its entry. */
  packageReadable?: boolean;
  /** What the caller has to mend. */
  fault?: string;
  /** Lets the package go again unless something refers to it by now. */
  release(): void;
}

/** A package that is kept. */
export interface KeptPackage {
  artifact: Artifact;
  packageReadable: boolean;
  release(): void;
}

/** Takes packages in, content-addressed: the same bytes are kept once. */
export interface PackageIntake {
  accept(bodyFile: string): Promise<Intake>;
  /**
   * Keeps a package whose bytes are all there, flushed, in a file of its own in the folder `incoming`. The file is gone
   * afterwards, whatever happens.
   */
  keep(packageFile: string, received: { digest: string; crc64: string }): Promise<KeptPackage>;
  /**
   * Removes packages that nothing refers to. While a package is on its way to its row nothing is removed, and while
   * something is removed no package is taken in: the same bytes may be about to be used again. What could not be done
   * at once is made up for when the last package has arrived.
   */
  collect(referenced: References): Promise<void>;
}

/** Reads the digests of all packages that something refers to. */
type References = () => Promise<ReadonlySet<string>>;

export function createPackageIntake(folders: DataFolders, thread: PackageThread): PackageIntake {
  const pins = new Map<string, number>();
  const pin = (digest: string) => {
    pins.set(digest, (pins.get(digest) ?? 0) + 1);
    let released = false;
    return () => {
      if (released) return;
      released = true;
      const left = pins.get(digest)! - 1;
      if (left === 0) pins.delete(digest);
      else pins.set(digest, left);
      // What keeps it from being done now will be said to the next who asks.
      if (pins.size === 0 && owed !== undefined) collect(owed).catch(() => {});
    };
  };

  let collecting: Promise<void> | undefined;
  let owed: References | undefined;

  const collect = async (referenced: References): Promise<void> => {
    // Read anew afterwards: what the collection under way has read may be older than the wish for this one.
    while (collecting !== undefined) await collecting.catch(() => {});
    if (pins.size > 0) {
      owed = referenced;
      return;
    }
    owed = undefined;
    collecting = referenced().then((kept) => collectBlobs(folders, kept));
    try {
      await collecting;
    } finally {
      collecting = undefined;
    }
  };

  const keep: PackageIntake['keep'] = async (packageFile, { digest, crc64 }) => {
    while (collecting !== undefined) await collecting.catch(() => {});
    const release = pin(digest);
    try {
      const { readable, entry } = await thread.run('inspect', packageFile);
      await moveOnce(packageFile, blobFile(folders, digest), folders.blobs);
      return {
        artifact: { digest, crc64, ...(entry && { entry }) },
        packageReadable: readable,
        release,
      };
    } catch (error) {
      release();
      await rm(packageFile, { force: true });
      throw error;
    }
  };

  return {
    keep,
    collect,

    async accept(bodyFile) {
      const packageFile = join(folders.incoming, `${randomUUID()}.zip`);
      const {
        json,
        package: found,
        fault,
      } = await thread.run('extract', { bodyFile, packageFile }).catch(async (error: unknown) => {
        // The thread may have ended before it could clear up.
        await rm(packageFile, { force: true });
        throw error;
      });
      if (fault !== undefined) return { json, fault, release: () => {} };
      if (!found) return { json, release: () => {} };
      return { json, ...(await keep(packageFile, found)) };
    },
  };
}

/** Gives a complete, flushed file its final name, durably; a file of that name has the same bytes already. */
async function moveOnce(from: string, to: string, folder: string): Promise<void> {
  if (existsSync(to)) {
    await rm(from);
    return;
  }
  await rename(from, to);
  await flushFolder(folder);
}
