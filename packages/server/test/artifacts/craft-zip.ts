import { deflateRawSync } from 'node:zlib';

/** An entry with every lie that a test may want to tell. */
export interface CraftedEntry {
  name: string;
  data?: Buffer | string;
  /** Type and permissions as Unix has them; default a regular file, or a folder for names that end in `/`. */
  mode?: number;
  /** Default: stored as it is. */
  deflate?: boolean;
  encrypted?: boolean;
  /** What the archive says the entry's size is; default the truth. */
  declaredSize?: number;
  /** Default true: the name is marked as UTF-8. */
  utf8?: boolean;
}

/**
 * Writes a ZIP archive byte by byte, as APPNOTE 6.3 sections 4.3.7, 4.3.12 and 4.3.16 have it, for archives that no
 * tool would make.
 */
export function craftZip(entries: readonly CraftedEntry[], declaredEntries = entries.length): Buffer {
  const files: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const entry of entries) {
    const name = Buffer.from(entry.name);
    const data = Buffer.from(entry.data ?? '');
    const packed = entry.deflate ? deflateRawSync(data) : data;
    // Encryption puts 12 bytes of its own in front (APPNOTE 6.1.3).
    const stored = entry.encrypted ? Buffer.concat([Buffer.alloc(12), packed]) : packed;
    const size = entry.declaredSize ?? data.length;
    const mode = entry.mode ?? (entry.name.endsWith('/') ? 0o040755 : 0o100644);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE((entry.encrypted ? 1 : 0) | (entry.utf8 === false ? 0 : 0x800), 2);
    common.writeUInt16LE(entry.deflate ? 8 : 0, 4);
    common.writeUInt32LE(0, 6);
    common.writeUInt32LE(crc32(data), 10);
    // A stored entry has one size, so its lie is told twice.
    common.writeUInt32LE(entry.deflate || entry.encrypted ? stored.length : size, 14);
    common.writeUInt32LE(size, 18);
    common.writeUInt16LE(name.length, 22);
    const local = Buffer.concat([signature(0x04034b50), common, name, stored]);
    const attributes = Buffer.alloc(14);
    attributes.writeUInt32LE((mode << 16) >>> 0, 6);
    attributes.writeUInt32LE(offset, 10);
    directory.push(signature(0x02014b50), Buffer.from([20, 3]), common, attributes, name);
    files.push(local);
    offset += local.length;
  }
  const listing = Buffer.concat(directory);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(declaredEntries, 4);
  end.writeUInt16LE(declaredEntries, 6);
  end.writeUInt32LE(listing.length, 8);
  end.writeUInt32LE(offset, 12);
  return Buffer.concat([...files, listing, signature(0x06054b50), end]);
}

function signature(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function crc32(data: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}
