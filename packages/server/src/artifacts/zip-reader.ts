import { closeSync, openSync } from 'node:fs';
import { pipeline, type Readable, Transform } from 'node:stream';
import * as yauzl from 'yauzl';
import { crc32 } from './crc32.ts';
import { fileBytes, ZipFault } from './zip-bytes.ts';
import { type PlacedEntry, readEntries } from './zip-layout.ts';

/** An entry that can be read. */
export interface ZipEntry extends PlacedEntry {
  isFolder: boolean;
  /** Its content: exactly as many bytes as the directory says, with the checksum it says, or else a failure. */
  open(): Promise<Readable>;
}

interface ZipFile {
  openReadStreamLowLevel(
    dataOffset: number,
    compressedSize: number,
    from: number,
    to: number,
    inflate: boolean,
    uncompressedSize: number,
    callback: (error: Error | null, stream: Readable) => void,
  ): void;
  close(): void;
}
// The types on the registry are older than the library's promise and low-level interfaces.
const { fromFdPromise } = yauzl as unknown as {
  fromFdPromise(fd: number, options: object): Promise<ZipFile>;
};

export interface ZipReader {
  entries: readonly ZipEntry[];
  close(): void;
}

/**
 * Opens an archive whose structure is beyond doubt. The library only decodes the data: the entries come from this
 * project's own pass, which looks at what the library leaves out (APPNOTE 4.3.7 against 4.3.12, overlaps, disks).
 * @throws ZipFault
 */
export async function openZip(path: string, maxEntries: number): Promise<ZipReader> {
  const fd = openSync(path, 'r');
  let entries: PlacedEntry[];
  let zip: ZipFile;
  try {
    entries = readEntries(fileBytes(fd), maxEntries);
    zip = await fromFdPromise(fd, { autoClose: false, validateEntrySizes: true });
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return {
    entries: entries.map((entry) => ({
      ...entry,
      isFolder: entry.name.endsWith('/'),
      open: () => openEntry(zip, entry),
    })),
    close: () => zip.close(),
  };
}

function openEntry(zip: ZipFile, entry: PlacedEntry): Promise<Readable> {
  const { dataOffset, compressedSize, uncompressedSize, deflated } = entry;
  return new Promise((resolve, reject) => {
    zip.openReadStreamLowLevel(
      dataOffset,
      compressedSize,
      0,
      compressedSize,
      deflated,
      uncompressedSize,
      (error, stream) => {
        if (error) reject(error);
        // A failure reaches whoever reads the result.
        else resolve(pipeline(stream, verify(entry), () => {}));
      },
    );
  });
}

/** The library counts the bytes, and lets none pass beyond those promised; their checksum is left to this. */
function verify({ crc32: expected }: PlacedEntry): Transform {
  let crc = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      crc = crc32(chunk, crc);
      done(null, chunk);
    },
    flush(done) {
      done(crc === expected ? null : new ZipFault('its CRC-32 is not the one it is said to have'));
    },
  });
}
