import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { EntryNames } from './entry-names.ts';
import { checkEntry, modeOf, pathOf } from './entry-rules.ts';
import { flushTree } from './flush.ts';
import { freeBytes, said } from './measure.ts';
import { shown, ZipFault } from './zip-bytes.ts';
import { openZip, type ZipEntry } from './zip-reader.ts';

export interface UnpackJob {
  packageFile: string;
  /** An empty folder that exists. On failure the caller removes it. */
  targetDir: string;
  limitBytes: number;
  /** Of entries, and of files and folders that they make. */
  limitEntries: number;
  /** What stays free on the disk. Default 0. */
  freeSpaceReserveBytes?: number;
}

/** Why a package is not unpacked. Of something in it the message names the entry. */
export class PackageRefused extends Error {
  override readonly name = 'PackageRefused';
}

/**
 * Unpacks a zip into a folder and flushes it: regular files and folders only, each name once, all inside the folder, within the
 * limits. Everything that the archive's directory tells is checked before the first byte is written; sizes and
 * checksums are held to it while writing.
 * @throws PackageRefused
 */
export async function unpack(job: UnpackJob): Promise<void> {
  const { packageFile, targetDir, limitBytes, limitEntries, freeSpaceReserveBytes = 0 } = job;
  try {
    const zip = await openZip(packageFile, limitEntries);
    try {
      const total = checkEntries(zip.entries, limitBytes, limitEntries);
      await checkSpace(targetDir, total, freeSpaceReserveBytes);
      const folders = new Set<string>();
      for (const entry of zip.entries) await write(entry, targetDir, folders);
      await flushTree(targetDir);
    } finally {
      zip.close();
    }
  } catch (error) {
    if (error instanceof ZipFault) throw new PackageRefused(error.message);
    throw error;
  }
}

/** @returns how many bytes it unpacks to. @throws ZipFault */
function checkEntries(entries: readonly ZipEntry[], limitBytes: number, limitEntries: number): number {
  if (entries.length === 0) throw new ZipFault('the package is empty');
  const names = new EntryNames();
  let total = 0;
  for (const entry of entries) {
    const past = (what: string) =>
      new ZipFault(
        `the package unpacks to more than ${what} (at entry ${shown(entry.name)}); that is the limit`,
      );
    checkEntry(entry);
    names.add(entry.name);
    // Every entry may bring dozens of folders that are not listed.
    if (names.count > limitEntries) throw past(`${limitEntries} files and folders`);
    total += entry.uncompressedSize;
    if (total > limitBytes) throw past(`${limitBytes} bytes`);
  }
  return total;
}

async function checkSpace(folder: string, needed: number, reserve: number): Promise<void> {
  const free = await freeBytes(folder);
  if (free - needed >= reserve) return;
  throw new PackageRefused(
    `the package unpacks to ${said(needed)}, the disk of the data folder has ${said(free)} free, and ${said(reserve)} ` +
      'must stay free; make room there, or lower RUNSTEAD_FREE_SPACE_RESERVE',
  );
}

async function write(entry: ZipEntry, targetDir: string, folders: Set<string>): Promise<void> {
  const target = join(targetDir, pathOf(entry.name));
  const folder = entry.isFolder ? target : dirname(target);
  if (!folders.has(folder)) {
    await mkdir(folder, { recursive: true }).catch(asRefusal(entry));
    folders.add(folder);
  }
  if (entry.isFolder) return;
  const mode = modeOf(entry) & 0o111 ? 0o755 : 0o644;
  // Nothing that stands there is written to or followed.
  const file = createWriteStream(target, { flags: 'wx', mode });
  await pipeline(await entry.open(), file).catch(asRefusal(entry));
}

/** Names the entry, and of the system's own faults only the code: their messages show the server's folders. */
function asRefusal({ name }: ZipEntry) {
  return (error: NodeJS.ErrnoException): never => {
    const reason =
      error.syscall === undefined
        ? error.message
        : (OFTEN_MET[error.code!] ?? `the system answers ${error.code}`);
    throw new PackageRefused(`entry ${shown(name)} cannot be unpacked: ${reason}`);
  };
}

const OFTEN_MET: Record<string, string> = {
  ENAMETOOLONG: 'its name is too long',
  ENOSPC: 'no space is left on the disk',
  EDQUOT: 'no space is left on the disk',
};
