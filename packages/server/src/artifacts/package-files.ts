import { existsSync, realpathSync } from 'node:fs';
import { dirname, relative, sep } from 'node:path';
import { crc32 } from './crc32.ts';
import { pathOf } from './entry-rules.ts';
import { blobFile, type DataFolders } from './folders.ts';
import { completedAt, madeOf, treeOf } from './install/kept-install.ts';
import { openZip } from './zip-reader.ts';

/** What a prepared folder is certain to hold, whatever agents that may write into it have put there since. */
export interface PackageFiles {
  /** Nobody writes into it any more: an install. */
  sealed: boolean;
  /**
   * Whether a file is as it was prepared.
   * @param path relative to the folder, with `/`
   */
  holds(path: string, bytes: Uint8Array, stat: { ctimeMs: number }): boolean;
}

/** More than any package has: see `RUNSTEAD_UNPACKED_ENTRIES`. */
const ENTRIES_MAX = 10_000_000;

/**
 * The files of a folder below `code/` or `deps/`; undefined for any other, and for one whose package is gone.
 * @param folder a real path
 */
export async function packageFilesOf(
  folders: DataFolders,
  folder: string,
): Promise<PackageFiles | undefined> {
  const inCode = partsBelow(folders.code, folder);
  if (inCode?.length === 2) return unpackedFiles(blobFile(folders, inCode[1]!));
  const inDeps = partsBelow(folders.deps, folder);
  if (inDeps?.length !== 3) return undefined;
  const install = dirname(folder);
  if (treeOf(install) !== folder) return undefined;
  const completeAt = completedAt(install);
  if (completeAt === undefined) return undefined;
  // A build leaves its folder open to the agent.
  const sealed = (await madeOf(install)) === undefined;
  return { sealed, holds: (_path, _bytes, { ctimeMs }) => ctimeMs <= completeAt };
}

async function unpackedFiles(packageFile: string): Promise<PackageFiles | undefined> {
  if (!existsSync(packageFile)) return undefined;
  const zip = await openZip(packageFile, ENTRIES_MAX);
  zip.close();
  const files = new Map(zip.entries.map((entry) => [pathOf(entry.name), entry]));
  return {
    sealed: false,
    holds(path, bytes) {
      const entry = files.get(path);
      return entry?.uncompressedSize === bytes.length && entry.crc32 === crc32(bytes);
    },
  };
}

function partsBelow(parent: string, path: string): string[] | undefined {
  const parts = relative(realpathSync(parent), path).split(sep);
  return parts[0] === '..' || parts[0] === '' ? undefined : parts;
}
