import { posix } from 'node:path';

/** A file of the package: in which of its folders, and the path in that. */
export interface Place {
  root: number;
  path: string;
}

/**
 * Something that a kept answer depends on in a folder which agents may write into. It is looked at before each start.
 * `content`: the file is the same one, or still absent; `presence`: it is there, or is not; `listing`: a folder's names.
 */
export interface Dependence extends Place {
  what: 'content' | 'presence' | 'listing';
}

export interface Lookup {
  specifier: string;
  /** Undefined: the process itself. */
  parent: Place | undefined;
  target: Place;
  /** Whether the specifier, taken as a path or URL seen from the parent, is the target itself: nothing was searched for. */
  isExact: boolean;
  /** By folder of the package: nobody writes into it. */
  sealed: readonly boolean[];
}

/**
 * Whether Node would answer a lookup in the same way at the next start, and what that hangs on.
 * Inside an install that is sealed it would. Elsewhere a search may find another file as soon as an agent writes one:
 * it is kept only if all that was searched can be looked at again cheaply.
 * @returns undefined: it is not to be kept
 */
export function dependencesOf({
  specifier,
  parent,
  target,
  isExact,
  sealed,
}: Lookup): Dependence[] | undefined {
  if (isExact) return ofScopes([target, ...(parent ? [parent] : [])], sealed);
  if (!parent) return undefined;
  if (sealed[parent.root]) return target.root === parent.root ? [] : undefined;
  const scopes = ofScopes([parent, target], sealed);
  if (/^\.{0,2}\//.test(specifier) || specifier === '.' || specifier === '..') {
    // The agent's own folders hold its logs and data bases as well: their listings change.
    if (target.root !== parent.root || !isInModules(parent.path)) return undefined;
    const wanted = posix.join(posix.dirname(parent.path), specifier);
    return [
      ...scopes,
      listing(parent.root, posix.dirname(wanted)),
      listing(target.root, posix.dirname(target.path)),
    ];
  }
  const name = packageName(specifier);
  if (name === undefined) return undefined;
  const found: Dependence[] = [];
  for (const folder of upwards(posix.dirname(parent.path))) {
    if (posix.basename(folder) === 'node_modules') continue;
    const candidate = posix.join(folder, 'node_modules', name);
    if (target.root === parent.root && target.path.startsWith(`${candidate}/`))
      return [...scopes, ...found, listing(target.root, posix.dirname(target.path))];
    // At the top, `node_modules` leads to the install, and where it leads is known otherwise.
    if (folder !== '.' || target.root === parent.root)
      found.push({ root: parent.root, path: candidate, what: 'presence' });
  }
  const isInstalled =
    target.root !== parent.root && sealed[target.root] && target.path.startsWith('node_modules/');
  return isInstalled ? [...scopes, ...found] : undefined;
}

/** What a file's format hangs on: itself and every package.json up to its package's. */
function ofScopes(places: readonly Place[], sealed: readonly boolean[]): Dependence[] {
  return places.flatMap(({ root, path }) => {
    if (sealed[root]) return [];
    const found: Dependence[] = [{ root, path, what: 'content' }];
    for (const folder of upwards(posix.dirname(path))) {
      found.push({ root, path: posix.join(folder, 'package.json'), what: 'content' });
      if (posix.basename(posix.dirname(folder)) === 'node_modules') break;
    }
    return found;
  });
}

function listing(root: number, path: string): Dependence {
  return { root, path, what: 'listing' };
}

function isInModules(path: string): boolean {
  return path.split('/').includes('node_modules');
}

/** The folder and those above it, up to the top, which is `.`. */
function upwards(folder: string): string[] {
  return folder === '.' ? ['.'] : [folder, ...upwards(posix.dirname(folder))];
}

/** Undefined for what names no package: `#internal`, URLs. */
function packageName(specifier: string): string | undefined {
  return /^(?:@[^/\\%:]+\/)?[^@#./\\%:][^/\\%:]*/.exec(specifier)?.[0];
}
