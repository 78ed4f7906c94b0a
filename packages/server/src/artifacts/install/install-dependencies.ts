import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readlink, rename, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { findTool } from './environment.ts';
import type { InstallOptions } from './kept-install.ts';
import { installNode } from './node.ts';
import { installWithPip } from './pip.ts';
import { planNode, planPython, type RootListing } from './plan.ts';
import { installWithUv } from './uv.ts';

/** Where a package's dependencies lie; absent where it brings them, or names none. */
export interface Dependencies {
  /** A `node_modules` folder. */
  nodeModules?: string | undefined;
  /** A virtual environment. */
  venv?: string | undefined;
}

/**
 * Gets the dependencies of a package: those of its lockfile or its list, without running anything that came with them
 * unless the rules say so. A package that brings them, or that names none, is left as it is.
 *
 * The results are kept under a key of everything that went in, so a change of code alone installs nothing.
 * @param development whether Node's development dependencies are wanted, too
 * @throws PhaseFailure
 */
export async function installDependencies(
  options: InstallOptions,
  root: RootListing,
  { development }: { development: boolean },
): Promise<Dependencies> {
  const found: Dependencies = {};
  const node = planNode(root);
  if (node) {
    found.nodeModules = join(await installNode(options, node, root, { development }), 'node_modules');
  }
  const uv = root.has('uv.lock') ? findTool('uv') : undefined;
  const python = planPython(root, { uv: uv !== undefined });
  if (python) {
    const tree = await (python === 'uv' ? installWithUv(options, uv!) : installWithPip(options, python));
    const made = tree === undefined ? undefined : join(tree, 'venv');
    if (made !== undefined && existsSync(made)) found.venv = made;
  }
  return found;
}

/** Puts dependencies where the agent looks for them. */
export async function linkDependencies(codeDir: string, { nodeModules, venv }: Dependencies): Promise<void> {
  if (nodeModules !== undefined) await pointTo(join(codeDir, 'node_modules'), nodeModules);
  if (venv !== undefined) await pointTo(join(codeDir, '.venv'), venv);
}

/** The names at the root of an unpacked package. */
export async function rootOf(codeDir: string): Promise<RootListing> {
  const entries = await readdir(codeDir, { withFileTypes: true });
  return new Map(
    entries.map((entry) => [
      entry.name,
      entry.isDirectory() ? 'folder' : entry.isSymbolicLink() ? 'link' : 'file',
    ]),
  );
}

/** Makes or turns a link in one step, so that an instance starting at the same time finds the old or the new one. */
async function pointTo(link: string, target: string): Promise<void> {
  if ((await readlink(link).catch(() => undefined)) === target) return;
  const fresh = `${link}.${randomUUID()}.tmp`;
  await symlink(target, fresh);
  await rename(fresh, link);
}
