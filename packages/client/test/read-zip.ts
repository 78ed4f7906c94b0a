import { inflateRawSync } from 'node:zlib';

export interface ZipEntry {
  path: string;
  /** `0o100644` and the like. */
  mode: number;
  /** DOS date and time as they stand there. */
  date: number;
  text: string;
}

/** Reads what these tests need of an archive by its central directory (APPNOTE 4.3.12, 4.3.16). */
export function readZip(zip: Buffer): ZipEntry[] {
  const end = zip.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'));
  let at = zip.readUInt32LE(end + 16);
  const entries: ZipEntry[] = [];
  for (let left = zip.readUInt16LE(end + 10); left > 0; left--) {
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((offset) =>
      zip.readUInt16LE(at + offset),
    );
    const local = zip.readUInt32LE(at + 42);
    const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
    const packed = zip.subarray(start, start + zip.readUInt32LE(at + 20));
    const stored = zip.readUInt16LE(at + 10) === 0;
    entries.push({
      path: zip.toString('utf8', at + 46, at + 46 + nameLength!),
      mode: zip.readUInt32LE(at + 38) >>> 16,
      date: zip.readUInt32LE(at + 12),
      text: (stored ? packed : inflateRawSync(packed)).toString(),
    });
    at += 46 + nameLength! + extraLength! + commentLength!;
  }
  return entries;
}
