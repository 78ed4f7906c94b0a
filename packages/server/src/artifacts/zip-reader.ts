import type { Readable } from 'node:stream';
import * as yauzl from 'yauzl';

/** What this project reads of a zip entry. */
export interface ZipEntry {
  /** As written in the archive, with `/`; folders end in `/`. */
  name: string;
  isFolder: boolean;
  /** POSIX mode of the entry, 0 when the archive carries none. */
  mode: number;
  uncompressedSize: number;
  encrypted: boolean;
  open(): Promise<Readable>;
}

interface PromiseZipFile {
  entryCount: number;
  eachEntry(): AsyncIterable<yauzl.Entry>;
  openReadStreamPromise(entry: yauzl.Entry): Promise<Readable>;
  close(): void;
}
// The types on the registry are older than the library's promise interface.
const { openPromise } = yauzl as unknown as {
  openPromise(path: string, options: object): Promise<PromiseZipFile>;
};

export interface ZipReader {
  entryCount: number;
  /** One entry after the other; each must be read, or passed over, before the next is asked for. */
  entries(): AsyncIterable<ZipEntry>;
  close(): void;
}

/**
 * Opens an archive. Absolute names, names with `..` or backslashes, and sizes that lie make the iteration fail with
 * the name in the message.
 */
export async function openZip(path: string): Promise<ZipReader> {
  const zip = await openPromise(path, {
    lazyEntries: true,
    autoClose: false,
    strictFileNames: true,
    validateEntrySizes: true,
  });
  return {
    entryCount: zip.entryCount,
    async *entries() {
      for await (const entry of zip.eachEntry()) {
        const name = entry.fileName;
        yield {
          name,
          isFolder: name.endsWith('/'),
          mode: (entry.externalFileAttributes >>> 16) & 0xffff,
          uncompressedSize: entry.uncompressedSize,
          encrypted: (entry.generalPurposeBitFlag & 1) === 1,
          open: () => zip.openReadStreamPromise(entry),
        };
      }
    },
    close: () => zip.close(),
  };
}
