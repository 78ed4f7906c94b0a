import { deflateRawSync } from 'node:zlib';
import { crc32ByTable } from '../../src/artifacts/crc32.ts';
import { type ByteSource, notAZip } from '../../src/artifacts/zip-bytes.ts';

/** What both headers of an entry tell, and where either may be made to lie. */
export interface HeaderFields {
  name?: string | Buffer;
  flags?: number;
  method?: number;
  crc32?: number;
  compressedSize?: number;
  uncompressedSize?: number;
  extra?: Buffer;
}

/** An entry with every lie that a test may want to tell. */
export interface CraftedEntry {
  name: string;
  data?: Buffer | string;
  /** Type and permissions as Unix has them; default a regular file, or a folder for names that end in `/`. */
  mode?: number;
  /** The low half of the attributes, as DOS and Windows have them. */
  dosAttributes?: number;
  /** The system that made the entry; default Unix. */
  host?: number;
  /** Default: stored as it is. */
  deflate?: boolean;
  encrypted?: boolean;
  /** What the archive says the entry's size is; default the truth. */
  declaredSize?: number;
  /** Default true: the name is marked as UTF-8. */
  utf8?: boolean;
  /** Bytes added to the entry's data, and counted as such. */
  trailing?: Buffer;
  /** Sizes and checksum stand after the data: with or without a signature, of 4 or 8 bytes, or as given. */
  descriptor?: 'signed' | 'bare' | 'signed64' | 'bare64' | Buffer;
  /** Bytes that stand in front of the entry and belong to none. */
  before?: Buffer;
  /** Both headers say so. */
  both?: HeaderFields;
  /** Only the header in front of the data says so. */
  local?: HeaderFields;
  /** Only the directory says so. */
  central?: HeaderFields & { offset?: number; disk?: number };
}

export interface CraftedEnd {
  entryCount?: number;
  entriesOnDisk?: number;
  disk?: number;
  directoryDisk?: number;
  directorySize?: number;
  directoryOffset?: number;
  comment?: Buffer;
}

export interface CraftedArchive {
  end?: CraftedEnd;
  /** The zip64 record and its locator are written too; the end record then only points to them. */
  zip64?: Omit<CraftedEnd, 'comment'> & {
    recordSize?: number;
    locatorOffset?: number;
    locatorDisk?: number;
    disks?: number;
    withoutRecord?: boolean;
  };
  /** Bytes between the last entry and the directory. */
  beforeDirectory?: Buffer;
  /** Bytes between the directory and the records at the end. */
  afterDirectory?: Buffer;
}

/**
 * Writes a ZIP archive byte by byte, as APPNOTE 6.3 sections 4.3.7 to 4.3.16 have it, for archives that no tool would
 * make. A number as second argument is the count of entries that the end record shall claim.
 */
export function craftZip(entries: readonly CraftedEntry[], archive: number | CraftedArchive = {}): Buffer {
  const {
    end = {},
    zip64,
    beforeDirectory,
    afterDirectory,
  } = typeof archive === 'number' ? { end: { entryCount: archive } } : (archive as CraftedArchive);
  const files: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const entry of entries) {
    if (entry.before) {
      files.push(entry.before);
      offset += entry.before.length;
    }
    const { file, listing } = craftEntry(entry, offset);
    files.push(file);
    directory.push(listing);
    offset += file.length;
  }
  if (beforeDirectory) {
    files.push(beforeDirectory);
    offset += beforeDirectory.length;
  }
  const listing = Buffer.concat(directory);
  const place = { entryCount: entries.length, directorySize: listing.length, directoryOffset: offset };
  const extraBytes = afterDirectory?.length ?? 0;
  const records: Buffer[] = [];
  if (zip64) {
    const recordOffset = offset + listing.length + extraBytes;
    const { recordSize = 44, locatorOffset = recordOffset, locatorDisk = 0, disks = 1 } = zip64;
    const fields = { ...place, ...zip64 };
    if (!zip64.withoutRecord) {
      records.push(u32(0x06064b50), u64(recordSize), Buffer.from([45, 3, 45, 0]));
      records.push(u32(fields.disk ?? 0), u32(fields.directoryDisk ?? 0));
      records.push(u64(fields.entriesOnDisk ?? fields.entryCount), u64(fields.entryCount));
      records.push(u64(fields.directorySize), u64(fields.directoryOffset));
    }
    records.push(u32(0x07064b50), u32(locatorDisk), u64(locatorOffset), u32(disks));
    Object.assign(place, { entryCount: 0xffff, directorySize: 0xffffffff, directoryOffset: 0xffffffff });
  }
  const fields = { ...place, ...end };
  const comment = end.comment ?? Buffer.alloc(0);
  records.push(u32(0x06054b50), u16(fields.disk ?? 0), u16(fields.directoryDisk ?? 0));
  records.push(u16(fields.entriesOnDisk ?? fields.entryCount), u16(fields.entryCount));
  records.push(u32(fields.directorySize), u32(fields.directoryOffset), u16(comment.length), comment);
  return Buffer.concat([...files, listing, afterDirectory ?? Buffer.alloc(0), ...records]);
}

function craftEntry(entry: CraftedEntry, offset: number): { file: Buffer; listing: Buffer } {
  const data = Buffer.from(entry.data ?? '');
  const packed = entry.deflate ? deflateRawSync(data) : data;
  const stored = Buffer.concat([
    // Encryption puts 12 bytes of its own in front (APPNOTE 6.1.3).
    Buffer.alloc(entry.encrypted ? 12 : 0),
    packed,
    entry.trailing ?? Buffer.alloc(0),
  ]);
  const size = entry.declaredSize ?? data.length;
  const truth = {
    name: entry.name,
    flags: (entry.encrypted ? 1 : 0) | (entry.descriptor ? 8 : 0) | (entry.utf8 === false ? 0 : 0x800),
    method: entry.deflate ? 8 : 0,
    crc32: crc32ByTable(data),
    // A stored entry has one size, so its lie is told twice.
    compressedSize: entry.deflate || entry.encrypted || entry.trailing ? stored.length : size,
    uncompressedSize: size,
    extra: Buffer.alloc(0),
    ...entry.both,
  };
  const unknownYet = entry.descriptor ? { crc32: 0, compressedSize: 0, uncompressedSize: 0 } : {};
  const file = Buffer.concat([
    u32(0x04034b50),
    headerFields({ ...truth, ...unknownYet, ...entry.local }),
    stored,
    descriptorOf(entry, truth),
  ]);
  const mode = entry.mode ?? (entry.name.endsWith('/') ? 0o040755 : 0o100644);
  const central = { ...truth, ...entry.central };
  const listing = Buffer.concat([
    u32(0x02014b50),
    Buffer.from([45, entry.host ?? 3]),
    headerFields(
      central,
      Buffer.concat([
        u16(0),
        u16(entry.central?.disk ?? 0),
        u16(0),
        u32(((mode << 16) >>> 0) + (entry.dosAttributes ?? 0)),
        u32(entry.central?.offset ?? offset),
      ]),
    ),
  ]);
  return { file, listing };
}

/** What both headers have in common; the directory's has more between the lengths and the name. */
function headerFields(fields: Required<HeaderFields>, between = Buffer.alloc(0)): Buffer {
  const name = Buffer.from(fields.name as string);
  return Buffer.concat([
    u16(20),
    u16(fields.flags),
    u16(fields.method),
    u32(0),
    u32(fields.crc32),
    u32(fields.compressedSize),
    u32(fields.uncompressedSize),
    u16(name.length),
    u16(fields.extra.length),
    between,
    name,
    fields.extra,
  ]);
}

function descriptorOf({ descriptor }: CraftedEntry, truth: Required<HeaderFields>): Buffer {
  if (descriptor === undefined) return Buffer.alloc(0);
  if (typeof descriptor !== 'string') return descriptor;
  const size = descriptor.endsWith('64') ? u64 : u32;
  return Buffer.concat([
    descriptor.startsWith('signed') ? u32(0x08074b50) : Buffer.alloc(0),
    u32(truth.crc32),
    size(truth.compressedSize),
    size(truth.uncompressedSize),
  ]);
}

/** An archive that is not in a file. */
export function bufferBytes(bytes: Buffer): ByteSource {
  return {
    size: bytes.length,
    read(position, length) {
      if (position < 0 || position + length > bytes.length) throw notAZip('it ends too early');
      return bytes.subarray(position, position + length);
    },
  };
}

/** An extra field (APPNOTE 4.5.1). */
export function extraField(id: number, ...data: Buffer[]): Buffer {
  const content = Buffer.concat(data);
  return Buffer.concat([u16(id), u16(content.length), content]);
}

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

export function u64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}
