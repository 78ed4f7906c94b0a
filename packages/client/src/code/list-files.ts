import type { Dirent, Stats } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ValueError } from '../errors.ts';
import { type IgnoreRules, isIgnored, readIgnoreRules } from './ignore-rules.ts';

export interface PackageFile {
  /** Relative to the folder, with `/` between names. */
  path: string;
  /** Bytes, not yet packed. */
  size: number;
  /** Whether it may be run. */
  executable: boolean;
}

/**
 * Every file of a folder that belongs into a package, sorted by path (by code unit, so that the order is the same on
 * every machine).
 *
 * Left out: `.git`, and what the ignore rules leave out. Links to files count as the files; links to folders and
 * anything that is neither are refused, because no archive holds them in a way that unpacks everywhere.
 * @throws ValueError naming the path
 */
export async function listFiles(root: string): Promise<PackageFile[]> {
  const files: PackageFile[] = [];
  await walk(root, '', [], files);
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}

async function walk(
  root: string,
  folder: string,
  outerRules: readonly IgnoreRules[],
  files: PackageFile[],
): Promise<void> {
  const entries = await readdir(join(root, folder), { withFileTypes: true });
  const own = await readIgnoreRules(root, folder, new Set(entries.map(({ name }) => name)));
  const rules = own === undefined ? outerRules : [...outerRules, own];
  for (const entry of entries) {
    // A folder, or in a worktree or submodule a file.
    if (entry.name === '.git') continue;
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (isIgnored(path, entry.isDirectory(), rules)) continue;
    if (entry.isDirectory()) await walk(root, path, rules, files);
    else files.push(await describeFile(root, path, entry));
  }
}

async function describeFile(root: string, path: string, entry: Dirent): Promise<PackageFile> {
  const remedy = 'replace it, or list it in .runsteadignore';
  // Zip readers take a backslash for a separator: one name would become a folder and another name.
  if (path.includes('\\')) throw new ValueError(`${path} has a backslash in its name: ${remedy}`);
  if (!entry.isFile() && !entry.isSymbolicLink()) {
    throw new ValueError(`${path} is neither a file nor a folder: ${remedy}`);
  }
  const target = await statTarget(join(root, path));
  if (target === undefined)
    throw new ValueError(`${path} is a link to something that is not there: ${remedy}`);
  if (target.isDirectory()) throw new ValueError(`${path} is a link to a folder: ${remedy}`);
  if (!target.isFile()) throw new ValueError(`${path} is a link to what is no file: ${remedy}`);
  return { path, size: target.size, executable: (target.mode & 0o111) !== 0 };
}

async function statTarget(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch {
    return undefined;
  }
}
