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

/**
 * Gives a package its dependencies: those of its lockfile or its list, without development ones and without running
 * anything that came with them. A package that brings them, or that names none, is left as it is.
 *
 * The results are kept under a key of everything that went in, so a change of code alone installs nothing.
 * @throws PhaseFailure
 */
export async function installDependencies(options: InstallOptions): Promise<void> {
  const { codeDir } = options;
  const root = await rootOf(codeDir);
  const node = planNode(root);
  if (node) {
    const tree = await installNode(options, node, root);
    await pointTo(join(codeDir, 'node_modules'), join(tree, 'node_modules'));
  }
  const uv = root.has('uv.lock') ? findTool('uv') : undefined;
  const python = planPython(root, { uv: uv !== undefined });
  if (python) {
    const tree = await (python === 'uv' ? installWithUv(options, uv!) : installWithPip(options, python));
    const made = tree === undefined ? undefined : join(tree, 'venv');
    if (made !== undefined && existsSync(made)) await pointTo(join(codeDir, '.venv'), made);
  }
}

async function rootOf(codeDir: string): Promise<RootListing> {
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
