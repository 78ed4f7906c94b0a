import { readdirSync, realpathSync } from 'node:fs';
import { join, sep } from 'node:path';

/**
 * Where a package's links to its dependencies lead, so that they can be seen at the same place in a container.
 * @returns real paths of folders outside of the package, and those of Python's packages among all
 */
export function linkedFolders(codeDir: string): { folders: string[]; sitePackages: string[] } {
  const folders: string[] = [];
  for (const name of ['node_modules', '.venv']) {
    const target = realPath(join(codeDir, name));
    if (target !== undefined && !target.startsWith(codeDir + sep)) folders.push(target);
  }
  const venv = realPath(join(codeDir, '.venv'));
  const library = venv === undefined ? undefined : join(venv, 'lib');
  const pythons = library === undefined ? [] : namesIn(library).filter((it) => it.startsWith('python'));
  return { folders, sitePackages: pythons.map((it) => join(library!, it, 'site-packages')) };
}

function realPath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
