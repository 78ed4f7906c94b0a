import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { openZip, type ZipEntry } from './zip-reader.ts';

export interface UnpackJob {
  packageFile: string;
  /** An empty folder that exists. On failure the caller removes it. */
  targetDir: string;
  limitBytes: number;
  limitEntries: number;
}

/** Something in the package that is not accepted; the message names the entry. */
export class PackageRefused extends Error {
  override readonly name = 'PackageRefused';
}

const FILE_TYPE_MASK = 0o170000;
const REGULAR_FILE = 0o100000;
const FOLDER = 0o040000;
const SYMBOLIC_LINK = 0o120000;

/**
 * Unpacks a zip into a folder: regular files and folders only, each name once, all inside the folder, within the
 * limits. Sizes are held to what the archive's directory declares, so a bomb is refused before it is written.
 * @throws PackageRefused
 */
export async function unpack({ packageFile, targetDir, limitBytes, limitEntries }: UnpackJob): Promise<void> {
  const zip = await openZip(packageFile).catch((error: Error) => {
    throw new PackageRefused(`the package is no readable ZIP archive: ${error.message}`);
  });
  try {
    if (zip.entryCount > limitEntries) {
      throw new PackageRefused(
        `the package has ${zip.entryCount} entries; at most ${limitEntries} are allowed`,
      );
    }
    const names = new EntryNames();
    const folders = new Set<string>();
    let total = 0;
    for await (const entry of zip.entries()) {
      refuseOddities(entry);
      const path = entry.name.replace(/\/+$/, '');
      names.add(entry, path);
      total += entry.uncompressedSize;
      if (total > limitBytes) {
        throw new PackageRefused(
          `the package unpacks to more than ${limitBytes} bytes (at entry '${entry.name}'); that is the limit`,
        );
      }
      await write(entry, path, targetDir, folders);
    }
    if (names.count === 0) throw new PackageRefused('the package is empty');
  } catch (error) {
    if (error instanceof PackageRefused) throw error;
    throw new PackageRefused((error as Error).message);
  } finally {
    zip.close();
  }
}

/** The names unpacked so far: each once, and none a file here and a folder there. */
class EntryNames {
  readonly #listed = new Set<string>();
  readonly #files = new Set<string>();
  readonly #folders = new Set<string>();

  get count(): number {
    return this.#listed.size;
  }

  /** @throws PackageRefused */
  add(entry: ZipEntry, path: string): void {
    if (this.#listed.has(path)) throw new PackageRefused(`entry '${entry.name}' stands in the package twice`);
    this.#listed.add(path);
    if (!entry.isFolder) {
      if (this.#folders.has(path)) throw bothKinds(entry);
      this.#files.add(path);
    }
    let folder = entry.isFolder ? path : parentOf(path);
    // Where a folder is known, so are those above it.
    while (folder !== '' && !this.#folders.has(folder)) {
      if (this.#files.has(folder)) throw bothKinds(entry);
      this.#folders.add(folder);
      folder = parentOf(folder);
    }
  }
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

function bothKinds({ name }: ZipEntry): PackageRefused {
  return new PackageRefused(`entry '${name}' would need one name to be a file and a folder at once`);
}

function refuseOddities(entry: ZipEntry): void {
  const { name, mode } = entry;
  const parts = name.replace(/\/+$/, '').split('/');
  if (
    name.startsWith('/') ||
    parts.some((part) => part === '..' || part === '.' || part === '') ||
    name.includes('\0')
  ) {
    throw new PackageRefused(`entry '${name}' does not stay inside the package`);
  }
  if (entry.encrypted) throw new PackageRefused(`entry '${name}' is encrypted`);
  const type = mode & FILE_TYPE_MASK;
  if (type === SYMBOLIC_LINK) throw new PackageRefused(`entry '${name}' is a link`);
  if (type !== 0 && type !== (entry.isFolder ? FOLDER : REGULAR_FILE)) {
    throw new PackageRefused(`entry '${name}' is neither a regular file nor a folder`);
  }
}

async function write(entry: ZipEntry, path: string, targetDir: string, folders: Set<string>): Promise<void> {
  const target = join(targetDir, path);
  const folder = entry.isFolder ? target : dirname(target);
  if (!folders.has(folder)) {
    await mkdir(folder, { recursive: true }).catch(asRefusal(entry));
    folders.add(folder);
  }
  if (entry.isFolder) return;
  const mode = entry.mode & 0o111 ? 0o755 : 0o644;
  await pipeline(await entry.open(), createWriteStream(target, { flags: 'wx', mode })).catch(
    asRefusal(entry),
  );
}

/** Names the entry, and of the system's own faults only the code: their messages show the server's folders. */
function asRefusal({ name }: ZipEntry) {
  return (error: NodeJS.ErrnoException): never => {
    const reason =
      error.syscall === undefined
        ? error.message
        : (OFTEN_MET[error.code!] ?? `the system answers ${error.code}`);
    throw new PackageRefused(`entry '${name}' cannot be unpacked: ${reason}`);
  };
}

const OFTEN_MET: Record<string, string> = {
  ENAMETOOLONG: 'its name is too long',
  ENOSPC: 'no space is left on the disk',
  EDQUOT: 'no space is left on the disk',
  // Only where the file system does not tell capital letters or Unicode forms apart.
  EEXIST: 'its name differs from that of another entry only in form',
};
