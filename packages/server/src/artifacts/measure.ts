import { lstatSync, readdirSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';

/** What a folder takes up. */
export interface Usage {
  /** On the disk: a file full of holes counts for what it holds. */
  bytes: number;
  /** Files, folders and links. */
  entries: number;
}

const BLOCK = 512;

/**
 * Measures everything below a folder, while others may be writing into it. Synchronous: for the package thread.
 * A folder that is not there takes up nothing.
 */
export function measure(folder: string): Usage {
  const usage: Usage = { bytes: 0, entries: 0 };
  const left = [folder];
  for (let path = left.pop(); path !== undefined; path = left.pop()) {
    for (const entry of list(path)) {
      const inside = join(path, entry.name);
      if (entry.isDirectory()) left.push(inside);
      usage.entries++;
      usage.bytes += BLOCK * (lstatSync(inside, { throwIfNoEntry: false })?.blocks ?? 0);
    }
  }
  return usage;
}

/** Bytes that are free for this server's user on the disk of a folder. */
export async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

/** A size for a person: `1.5 GiB`, `300 MiB`, `12 KiB`. */
export function said(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  let value = bytes;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${Math.round(value * 10) / 10} ${units[unit]}`;
}

function list(folder: string) {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return []; // Gone meanwhile, or closed to us: then nobody can be filling it either.
  }
}
