import { randomUUID } from 'node:crypto';
import { readdir, readlink, rename } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import type { Log } from '../observe/log.ts';
import type { DataFolders } from './folders.ts';
import { madeOf } from './install/kept-install.ts';
import { removeTree } from './remove-tree.ts';

/** A folder that an agent is started in: a package as it was unpacked, or built. */
interface Home {
  /** The package's digest. */
  of: string;
  /** Where it links to its installs. */
  codeDir: string;
  /** What goes when it goes. */
  folder: string;
}

/**
 * Removes what was prepared of a runtime for packages that it does not refer to any more, with the installs that only
 * those used. Nothing may be under way for the runtime but starts of packages that are kept.
 * @param kept digests of the packages that the runtime and its versions refer to
 */
export async function letGoOfOthers(
  folders: DataFolders,
  runtimeId: string,
  kept: ReadonlySet<string>,
  log: Log,
): Promise<void> {
  for (const path of await setAsideOthers(folders, runtimeId, kept, log)) await removeTree(path, log);
}

/**
 * The quick part of `letGoOfOthers`: afterwards they are out of the way, under names that a start sweeps away.
 * @returns what is still to be removed
 */
export async function setAsideOthers(
  folders: DataFolders,
  runtimeId: string,
  kept: ReadonlySet<string>,
  log: Log,
): Promise<string[]> {
  const deps = join(folders.deps, runtimeId);
  const homes = [...(await unpacked(join(folders.code, runtimeId))), ...(await built(deps))];
  const leaving = homes.filter(({ of }) => !kept.has(of));
  if (leaving.length === 0) return [];
  const inUse = new Set<string>();
  for (const { of, codeDir } of homes) {
    if (!kept.has(of)) continue;
    for (const install of await installsOf(codeDir, deps)) inUse.add(install);
  }
  const aside: (string | undefined)[] = [];
  for (const { codeDir, folder } of leaving) {
    // Installs first: when the server ends in between, the folder still tells which they were.
    for (const install of await installsOf(codeDir, deps)) {
      if (!inUse.has(install)) aside.push(await setAside(join(deps, install), log));
    }
    aside.push(await setAside(folder, log));
  }
  return aside.filter((path) => path !== undefined);
}

/** What is prepared of a runtime, by package. */
export async function preparedOf(
  folders: DataFolders,
  runtimeId: string,
): Promise<{ digest: string; folders: string[] }[]> {
  const deps = join(folders.deps, runtimeId);
  const homes = [...(await unpacked(join(folders.code, runtimeId))), ...(await built(deps))];
  const byDigest = new Map<string, Set<string>>();
  for (const { of, codeDir, folder } of homes) {
    const own = byDigest.get(of) ?? new Set();
    byDigest.set(of, own.add(folder));
    for (const install of await installsOf(codeDir, deps)) own.add(join(deps, install));
  }
  return [...byDigest].map(([digest, own]) => ({ digest, folders: [...own] }));
}

/** Ids of runtimes of which something is prepared. */
export async function preparedRuntimes({ code, deps }: DataFolders): Promise<Set<string>> {
  const lists = await Promise.all([code, deps].map((folder) => readdir(folder).catch(() => [])));
  return new Set(lists.flat());
}

async function unpacked(code: string): Promise<Home[]> {
  const names = (await readdir(code).catch(() => [])).filter((name) => /^[0-9a-f]{64}$/.test(name));
  return names.map((name) => ({ of: name, codeDir: join(code, name), folder: join(code, name) }));
}

async function built(deps: string): Promise<Home[]> {
  const homes: Home[] = [];
  for (const key of await readdir(deps).catch(() => [])) {
    const folder = join(deps, key);
    const of = key.endsWith('.tmp') ? undefined : await madeOf(folder);
    if (of !== undefined) homes.push({ of, codeDir: join(folder, 'tree'), folder });
  }
  return homes;
}

/** The installs of the runtime that a home links to, by their names in `deps/<runtimeId>`. */
async function installsOf(codeDir: string, deps: string): Promise<string[]> {
  const modules = join(codeDir, 'node_modules');
  const links = [modules, join(codeDir, '.venv'), ...(await linksIn(modules))];
  const targets = await Promise.all(links.map((link) => readlink(link).catch(() => undefined)));
  const names = targets.flatMap((target) =>
    target === undefined ? [] : relative(deps, target).split(sep)[0]!,
  );
  return [...new Set(names)].filter((name) => /^[\w-]+$/.test(name));
}

/** What a build found its dependencies by: a `node_modules` of links, scopes being folders in it. */
async function linksIn(modules: string): Promise<string[]> {
  const entries = await readdir(modules, { withFileTypes: true }).catch(() => []);
  const links = entries.filter((entry) => entry.isSymbolicLink()).map(({ name }) => join(modules, name));
  // All of them lead to one install.
  if (links.length > 0) return links.slice(0, 1);
  for (const { name } of entries.filter((entry) => entry.name.startsWith('@') && entry.isDirectory())) {
    const [link] = await linksIn(join(modules, name));
    if (link !== undefined) return [link];
  }
  return [];
}

/** Under a name that a start sweeps away before it goes: half of it must not be taken for the whole. */
export async function setAside(path: string, log: Log): Promise<string | undefined> {
  const leaving = `${path}.${randomUUID()}.tmp`;
  try {
    await rename(path, leaving);
    return leaving;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      log.warn({ err: error, path }, 'a folder could not be removed');
    return undefined;
  }
}
