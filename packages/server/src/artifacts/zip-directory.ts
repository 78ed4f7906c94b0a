import { isUtf8 } from 'node:buffer';
import * as yauzl from 'yauzl';
import { type ByteSource, notAZip, shown, uint64, ZipFault } from './zip-bytes.ts';
import type { DirectoryPlace } from './zip-end.ts';

export interface ExtraField {
  id: number;
  data: Buffer;
}

/** An entry as the archive's directory describes it (APPNOTE 4.3.12). */
export interface DirectoryEntry {
  name: string;
  rawName: Buffer;
  /** The system whose attributes the entry carries (APPNOTE 4.4.2). */
  host: number;
  flags: number;
  deflated: boolean;
  crc32: number;
  compressedSize: number;
  uncompressedSize: number;
  attributes: number;
  extraFields: readonly ExtraField[];
  headerOffset: number;
}

// The types on the registry are older than these two functions of the library.
const { parseExtraFields, getFileNameLowLevel } = yauzl as unknown as {
  parseExtraFields(bytes: Buffer): ExtraField[];
  getFileNameLowLevel(flags: number, name: Buffer, extra: readonly ExtraField[], strict: boolean): string;
};

const HEADER = 0x02014b50;
const HEADER_BYTES = 46;
const HOST_UNIX = 3;
const HOST_MACOS = 19;

/** Bits of the general purpose flag (APPNOTE 4.4.4). */
export const FLAG_ENCRYPTED = 1 << 0;
export const FLAG_SIZES_FOLLOW = 1 << 3;
const FLAG_PATCH = 1 << 5;
const FLAG_STRONG_ENCRYPTION = 1 << 6;
const FLAG_UTF8 = 1 << 11;
const FLAG_HEADER_MASKED = 1 << 13;
export const FLAGS_OF_ENCRYPTION = FLAG_ENCRYPTED | FLAG_STRONG_ENCRYPTION | FLAG_HEADER_MASKED;

export const METHOD_STORED = 0;
export const METHOD_DEFLATED = 8;
const METHOD_AES = 99;
/** Two bits are the least that stands for a repetition, and 258 bytes the longest one (RFC 1951, 3.2.5). */
const DEFLATE_MAX_RATIO = 1032;

const EXTRA_ZIP64 = 0x0001;

/**
 * Reads the directory: exactly as many entries as the end record promised, in exactly the bytes it gave.
 * @throws ZipFault also for entries that this reader could not read: encrypted, patches, other methods
 */
export function readDirectory(bytes: ByteSource, place: DirectoryPlace): DirectoryEntry[] {
  const entries: DirectoryEntry[] = [];
  const end = place.offset + place.size;
  let position = place.offset;
  while (position < end) {
    if (entries.length === place.entryCount) {
      throw notAZip(`its directory has more than the ${place.entryCount} entries that its end record counts`);
    }
    if (position + HEADER_BYTES > end) throw damaged(entries.length);
    const header = bytes.read(position, HEADER_BYTES);
    if (header.readUInt32LE(0) !== HEADER) throw damaged(entries.length);
    const nameBytes = header.readUInt16LE(28);
    const extraBytes = header.readUInt16LE(30);
    const next = position + HEADER_BYTES + nameBytes + extraBytes + header.readUInt16LE(32);
    if (next > end) throw damaged(entries.length);
    const variable = bytes.read(position + HEADER_BYTES, nameBytes + extraBytes);
    entries.push(readEntry(header, variable.subarray(0, nameBytes), variable.subarray(nameBytes)));
    position = next;
  }
  if (entries.length < place.entryCount) {
    throw notAZip(
      `its directory has ${entries.length} entries, and its end record counts ${place.entryCount}`,
    );
  }
  return entries;
}

function damaged(index: number) {
  return notAZip(`its directory is damaged at entry ${index + 1}`);
}

function readEntry(header: Buffer, rawName: Buffer, extra: Buffer): DirectoryEntry {
  const host = header.readUInt8(5);
  const flags = header.readUInt16LE(8);
  const method = header.readUInt16LE(10);
  const extraFields = readExtraFields(extra, rawName);
  const name = decodeName({ flags, host, rawName, extraFields });
  const numbers = {
    uncompressedSize: header.readUInt32LE(24),
    compressedSize: header.readUInt32LE(20),
    headerOffset: header.readUInt32LE(42),
    disk: header.readUInt16LE(34),
  };
  readZip64Numbers(numbers, extraFields, name);
  const { disk, ...sizes } = numbers;
  if (flags & FLAGS_OF_ENCRYPTION || method === METHOD_AES) {
    throw new ZipFault(`entry ${shown(name)} is encrypted`);
  }
  if (flags & FLAG_PATCH) throw new ZipFault(`entry ${shown(name)} is a patch to another file`);
  if (method !== METHOD_STORED && method !== METHOD_DEFLATED) {
    throw new ZipFault(
      `entry ${shown(name)} is compressed with method ${method}; only stored (0) and deflated (8) can be read`,
    );
  }
  if (disk !== 0)
    throw new ZipFault(`entry ${shown(name)} is in another part of an archive in several parts`);
  const { compressedSize, uncompressedSize } = sizes;
  if (method === METHOD_STORED && compressedSize !== uncompressedSize) {
    throw new ZipFault(`entry ${shown(name)} is stored as it is, and yet its two sizes differ`);
  }
  if (uncompressedSize > compressedSize * DEFLATE_MAX_RATIO) {
    throw new ZipFault(
      `entry ${shown(name)} is said to be ${uncompressedSize} bytes in ${compressedSize} compressed: no compressor does that`,
    );
  }
  return {
    name,
    rawName,
    host,
    flags,
    deflated: method === METHOD_DEFLATED,
    crc32: header.readUInt32LE(16),
    attributes: header.readUInt32LE(38),
    extraFields,
    ...sizes,
  };
}

/** @throws ZipFault */
export function readExtraFields(extra: Buffer, rawName: Buffer): ExtraField[] {
  if (extra.length === 0) return [];
  try {
    return parseExtraFields(extra);
  } catch {
    throw new ZipFault(`entry ${shown(rawName.toString())} has extra fields that run past their end`);
  }
}

/**
 * Names without the UTF-8 mark are in code page 437 by the letter (APPNOTE appendix D); but Unix and macOS tools write
 * the file system's bytes without it, and those are UTF-8. An Info-ZIP Unicode Path field (APPNOTE 4.6.9) goes first.
 * @throws ZipFault
 */
export function decodeName({
  flags,
  host,
  rawName,
  extraFields,
}: Pick<DirectoryEntry, 'flags' | 'host' | 'rawName' | 'extraFields'>): string {
  const utf8 = isUtf8(rawName);
  if (flags & FLAG_UTF8 && !utf8) {
    throw new ZipFault(`entry ${shown(rawName.toString())} has a name that is marked as UTF-8 and is not`);
  }
  const fileSystemBytes = utf8 && (host === HOST_UNIX || host === HOST_MACOS);
  return getFileNameLowLevel(fileSystemBytes ? flags | FLAG_UTF8 : flags, rawName, extraFields, true);
}

export interface Zip64Numbers {
  uncompressedSize: number;
  compressedSize: number;
  headerOffset?: number;
  disk?: number;
}

/**
 * Replaces the numbers that were too large for their fields by those in the zip64 field, where they stand in this order
 * (APPNOTE 4.5.3).
 * @throws ZipFault
 */
export function readZip64Numbers(
  numbers: Zip64Numbers,
  extraFields: readonly ExtraField[],
  name: string,
): void {
  const fields = extraFields.filter(({ id }) => id === EXTRA_ZIP64);
  if (fields.length > 1) throw new ZipFault(`entry ${shown(name)} has two zip64 fields`);
  let at = 0;
  const missing = () => new ZipFault(`entry ${shown(name)} refers to a zip64 field that it does not have`);
  for (const key of ['uncompressedSize', 'compressedSize', 'headerOffset'] as const) {
    if (numbers[key] !== 0xffffffff) continue;
    if (!fields[0] || fields[0].data.length < at + 8) throw missing();
    numbers[key] = uint64(fields[0].data, at);
    at += 8;
  }
  if (numbers.disk === 0xffff) {
    if (!fields[0] || fields[0].data.length < at + 4) throw missing();
    numbers.disk = fields[0].data.readUInt32LE(at);
  }
}
