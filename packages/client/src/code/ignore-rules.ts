import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import ignore, { type Ignore } from 'ignore';

/**
 * Which entries of a folder belong into a package. Git's rules: a file of patterns counts for its own folder and all
 * below it, the deeper one wins, and what lies in an excluded folder cannot be taken in again.
 *
 * In one folder, from weak to strong: `node_modules/` beside a lockfile is left out (the server installs from the
 * lockfile); `.gitignore`; `.runsteadignore`, which can take in again what `.gitignore` leaves out, such as a build.
 */
export interface IgnoreRules {
  /** The folder they stand in, relative to the package, `''` for the package itself; `/` between names. */
  readonly folder: string;
  readonly patterns: Ignore;
}

const lockfiles = [
  'package-lock.json',
  'npm-shrinkwrap.json',
  'yarn.lock',
  'pnpm-lock.yaml',
  'bun.lock',
  'bun.lockb',
];

const ignoreFiles = ['.gitignore', '.runsteadignore'];

/** The rules of one folder, if it has any. `names`: what stands in it. */
export async function readIgnoreRules(
  root: string,
  folder: string,
  names: ReadonlySet<string>,
): Promise<IgnoreRules | undefined> {
  const patterns = ignore();
  let any = false;
  if (lockfiles.some((name) => names.has(name))) {
    patterns.add('/node_modules/');
    any = true;
  }
  for (const name of ignoreFiles) {
    if (!names.has(name)) continue;
    patterns.add(await readFile(join(root, folder, name), 'utf8'));
    any = true;
  }
  return any ? { folder, patterns } : undefined;
}

/** @param rules of the folders above `path`, outermost first */
export function isIgnored(path: string, isFolder: boolean, rules: readonly IgnoreRules[]): boolean {
  for (const { folder, patterns } of rules.toReversed()) {
    const relative = folder === '' ? path : path.slice(folder.length + 1);
    const verdict = patterns.test(isFolder ? `${relative}/` : relative);
    if (verdict.ignored) return true;
    if (verdict.unignored) return false;
  }
  return false;
}
