import { copyFile, cp, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { PhaseFailure } from '../../domain/failure.ts';
import type { InstallOptions } from './kept-install.ts';
import type { RootListing } from './plan.ts';

/** What a package manager for Node works from. */
export interface NodeProject {
  /** The lockfile's text. */
  lock: string;
  /** Everything of the package that the result depends on. */
  inputs: string[];
  /** Puts it into a folder, without any of the package's settings for the package manager. */
  copyTo(folder: string): Promise<void>;
}

/** Settings of package managers, some of which name programs to run. Compared in lower case: some file systems do. */
const LEFT_OUT = [
  'node_modules',
  '.npmrc',
  '.yarnrc',
  '.yarnrc.yml',
  '.pnp.cjs',
  '.pnpmfile.cjs',
  '.pnpmfile.mjs',
  'pnpm-workspace.yaml',
];

/**
 * Reads manifest and lockfile.
 * @param isLocal whether the lockfile refers to folders of the package itself; those need to be there then
 * @throws PhaseFailure
 */
export async function readNodeProject(
  { codeDir }: InstallOptions,
  lockName: string,
  root: RootListing,
  isLocal: (lock: string) => boolean,
): Promise<NodeProject> {
  if (root.get('package.json') !== 'file') {
    throw new PhaseFailure('install', `${lockName} stands in the package without a package.json`);
  }
  const lock = await readFile(join(codeDir, lockName), 'utf8');
  const manifest = await readFile(join(codeDir, 'package.json'), 'utf8');
  const local = isLocal(lock);
  return {
    lock,
    // Folders of the package are among what goes in, and nothing but the package's own name stands for their content.
    inputs: [lockName, lock, manifest, ...(local ? [basename(codeDir)] : [])],
    async copyTo(folder) {
      if (local) {
        const filter = (source: string) =>
          dirname(source) !== codeDir || !LEFT_OUT.includes(basename(source).toLowerCase());
        await cp(codeDir, folder, { recursive: true, filter });
      } else await copyFile(join(codeDir, lockName), join(folder, lockName));
      await writeFile(join(folder, 'package.json'), withoutOwnWill(manifest));
    },
  };
}

/** What a package manager runs of the project itself while it installs; the package's code is not there then. */
const INSTALL_SCRIPTS = [
  'preinstall',
  'install',
  'postinstall',
  'prepublish',
  'preprepare',
  'prepare',
  'postprepare',
];

/**
 * Without what makes a package manager fetch and run another one, or another release of itself, and without what
 * it would run of the package itself.
 */
function withoutOwnWill(manifest: string): string {
  try {
    const { packageManager, devEngines, ...rest } = JSON.parse(manifest) as Record<string, unknown>;
    const scripts = Object.entries((rest.scripts ?? {}) as Record<string, unknown>);
    const kept = scripts.filter(([name]) => !INSTALL_SCRIPTS.includes(name));
    if (kept.length < scripts.length) rest.scripts = Object.fromEntries(kept);
    else if (packageManager === undefined && devEngines === undefined) return manifest;
    return JSON.stringify(rest, null, 2);
  } catch {
    // The package manager will name the fault.
    return manifest;
  }
}
