import { randomUUID } from 'node:crypto';
import { readdir, readlink, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Log } from '../observe/log.ts';
import type { DataFolders } from './folders.ts';
import { removeTree } from './remove-tree.ts';

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
  const code = join(folders.code, runtimeId);
  const names = (await readdir(code).catch(() => [])).filter((name) => /^[0-9a-f]{64}$/.test(name));
  const leaving = names.filter((name) => !kept.has(name));
  if (leaving.length === 0) return;
  const inUse = new Set<string>();
  for (const name of names) {
    if (!kept.has(name)) continue;
    for (const install of await installsOf(join(code, name))) inUse.add(install);
  }
  for (const name of leaving) {
    // Installs first: when the server ends in between, the folder still tells which they were.
    for (const install of await installsOf(join(code, name))) {
      const isOurs = dirname(install) === join(folders.deps, runtimeId);
      if (isOurs && !inUse.has(install)) await removeWhole(install, log);
    }
    await removeWhole(join(code, name), log);
  }
}

/** The installs that an unpacked package is linked to: `deps/<runtimeId>/<key>`. */
async function installsOf(codeDir: string): Promise<string[]> {
  const installs: string[] = [];
  for (const link of ['node_modules', '.venv']) {
    const target = await readlink(join(codeDir, link)).catch(() => undefined);
    // …/<key>/tree/node_modules
    if (target !== undefined) installs.push(dirname(dirname(target)));
  }
  return installs;
}

/** Under a name that a start sweeps away before it goes: half of it must not be taken for the whole. */
async function removeWhole(path: string, log: Log): Promise<void> {
  const leaving = `${path}.${randomUUID()}.tmp`;
  try {
    await rename(path, leaving);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      log.warn({ err: error, path }, 'a folder could not be removed');
    return;
  }
  await removeTree(leaving, log);
}
