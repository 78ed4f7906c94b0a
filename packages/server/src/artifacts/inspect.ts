import { text } from 'node:stream/consumers';
import { findEntry, type PackageListing } from '../domain/entry.ts';
import type { Entry } from '../domain/runtime.ts';
import { openZip } from './zip-reader.ts';

export interface InspectResult {
  /** The archive's structure is sound. If not, unpacking will say why. */
  readable: boolean;
  entry?: Entry;
}

const MANIFEST_MAX_BYTES = 1024 * 1024;
const ENTRIES_MAX = 100_000;

/** Looks into a package, without unpacking it, for what starts the agent. */
export async function inspect(packageFile: string): Promise<InspectResult> {
  let zip: Awaited<ReturnType<typeof openZip>>;
  try {
    zip = await openZip(packageFile, ENTRIES_MAX);
  } catch {
    return { readable: false };
  }
  try {
    const files = new Set<string>();
    let manifest: PackageListing['manifest'];
    for (const entry of zip.entries) {
      if (!entry.isFolder) files.add(entry.name);
      if (entry.name === 'package.json' && entry.uncompressedSize <= MANIFEST_MAX_BYTES) {
        manifest = parseManifest(await text(await entry.open()));
      }
    }
    const entry = findEntry({ files, manifest });
    return entry ? { readable: true, entry } : { readable: true };
  } catch {
    return { readable: false };
  } finally {
    zip.close();
  }
}

function parseManifest(json: string): PackageListing['manifest'] {
  try {
    const value: unknown = JSON.parse(json);
    return value !== null && typeof value === 'object' ? value : undefined;
  } catch {
    // npm or the agent will name the fault better than a search for an entry could.
    return undefined;
  }
}
