import { pathOf } from './entry-rules.ts';
import { shown, ZipFault } from './zip-bytes.ts';

type Kind = 'file' | 'folder';

/**
 * The names of a package, with the folders that names imply: each once, none a file here and a folder there, and none
 * that another system would take for another, because it does not tell capital letters or Unicode forms apart.
 */
export class EntryNames {
  readonly #listed = new Set<string>();
  readonly #known = new Map<string, { path: string; kind: Kind }>();

  /** Files and folders, listed or implied. */
  get count(): number {
    return this.#known.size;
  }

  /** @throws ZipFault */
  add(name: string): void {
    const path = pathOf(name);
    if (this.#listed.has(path)) throw new ZipFault(`entry ${shown(name)} stands in the package twice`);
    this.#listed.add(path);
    let kind: Kind = name.endsWith('/') ? 'folder' : 'file';
    // Where a folder is known, so are those above it.
    for (let place = path; place !== '' && this.#isNew(name, place, kind); place = parentOf(place)) {
      kind = 'folder';
    }
  }

  #isNew(name: string, path: string, kind: Kind): boolean {
    const key = foldForm(path);
    const known = this.#known.get(key);
    if (!known) {
      this.#known.set(key, { path, kind });
      return true;
    }
    if (known.path !== path) {
      throw new ZipFault(
        `entry ${shown(name)} has a name that differs from ${shown(known.path)} only in case or Unicode form`,
      );
    }
    if (known.kind !== kind) {
      throw new ZipFault(`entry ${shown(name)} would need one name to be a file and a folder at once`);
    }
    return false;
  }
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

/** Equal for names that some file system takes for the same. Lower case first: it has letters that upper case lacks. */
function foldForm(path: string): string {
  return /^[\u0000-\u007f]*$/.test(path)
    ? path.toUpperCase()
    : path.normalize('NFD').toLowerCase().toUpperCase().normalize('NFC');
}
