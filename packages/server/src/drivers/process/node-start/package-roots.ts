import { existsSync, lstatSync, readdirSync, realpathSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Place } from './lookup-rule.ts';

/** A folder that modules of a package lie in: its own, and that of its install. */
export interface PackageRoot {
  /** Where the server finds it; a real path. */
  host: string;
  /** Where the agent finds it; a real path there. */
  seen: string;
}

/**
 * The folders that an agent's modules come from: its package, and the install that `node_modules` in it leads to,
 * as one link or as a folder of links.
 * @param codeSeen where the agent finds its package. Default: where it is. Installs are always found where they are.
 */
export function packageRoots(codeDir: string, codeSeen?: string): PackageRoot[] {
  const code = realpathSync(codeDir);
  const install = installOf(join(code, 'node_modules'));
  const isElsewhere = install !== undefined && relative(code, install).startsWith('..');
  return [{ host: code, seen: codeSeen ?? code }, ...(isElsewhere ? [{ host: install, seen: install }] : [])];
}

function installOf(modules: string): string | undefined {
  if (!existsSync(modules)) return undefined;
  const link = lstatSync(modules).isSymbolicLink() ? modules : linkIn(modules);
  if (link === undefined) return undefined;
  const target = realpathSync(link);
  for (let at = target; at !== dirname(at); at = dirname(at)) {
    if (basename(at) === 'node_modules') return dirname(at);
  }
  return undefined;
}

/** All of them lead to one install. */
function linkIn(modules: string): string | undefined {
  const entries = readdirSync(modules, { withFileTypes: true });
  const link = entries.find((entry) => entry.isSymbolicLink());
  if (link) return join(modules, link.name);
  const scope = entries.find((entry) => entry.name.startsWith('@') && entry.isDirectory());
  return scope && linkIn(join(modules, scope.name));
}

/** What URLs of a folder's files begin with. */
export function rootUrl({ seen }: PackageRoot): string {
  return `${pathToFileURL(seen).href}/`;
}

/** The place that a URL names; undefined outside of the folders, and for one that is not written as Node writes it. */
export function placeOf(url: string, roots: readonly PackageRoot[]): Place | undefined {
  const bare = url.replace(/[?#].*$/s, '');
  for (const [root, { seen }] of roots.entries()) {
    if (!bare.startsWith(rootUrl(roots[root]!))) continue;
    let path: string;
    try {
      path = fileURLToPath(bare);
    } catch {
      return undefined;
    }
    if (pathToFileURL(path).href !== bare) return undefined;
    return { root, path: relative(seen, path) };
  }
  return undefined;
}
