import { type ByteSource, shown, uint64, ZipFault } from './zip-bytes.ts';
import {
  type DirectoryEntry,
  decodeName,
  FLAG_SIZES_FOLLOW,
  FLAGS_OF_ENCRYPTION,
  METHOD_DEFLATED,
  METHOD_STORED,
  readDirectory,
  readExtraFields,
  readZip64Numbers,
  type Zip64Numbers,
} from './zip-directory.ts';
import { findDirectory } from './zip-end.ts';

/** An entry whose place in the archive is known and belongs to it alone. */
export interface PlacedEntry extends DirectoryEntry {
  dataOffset: number;
}

interface Span {
  entry: PlacedEntry;
  end: number;
  /** Sizes and checksum may stand after the data. */
  sizesFollow: boolean;
  /** The header in front of the data tells them already. */
  sizesKnown: boolean;
}

const HEADER = 0x04034b50;
const HEADER_BYTES = 30;
const DESCRIPTOR = 0x08074b50;
/** Left by packers that were ready to write several parts and needed only one (APPNOTE 8.5.4). */
const ONE_PART_MARKER = 0x30304b50;

/**
 * Lists an archive's entries in the order of its directory, after holding every header against the directory and
 * making sure that each byte before the directory belongs to one entry and no two share one: readers that go by the
 * headers and readers that go by the directory then see the same archive, and no byte is unpacked twice.
 * @throws ZipFault
 */
export function readEntries(bytes: ByteSource, maxEntries: number): PlacedEntry[] {
  const place = findDirectory(bytes);
  if (place.entryCount > maxEntries) {
    throw new ZipFault(`the package has ${place.entryCount} entries; at most ${maxEntries} are allowed`);
  }
  const entries = readDirectory(bytes, place);
  const spans = entries.map((entry) => placeEntry(bytes, entry, place.offset));
  const inOrder = [...spans].sort((a, b) => a.entry.headerOffset - b.entry.headerOffset);
  const begin = bytes.size >= 4 && bytes.read(0, 4).readUInt32LE(0) === ONE_PART_MARKER ? 4 : 0;
  const first = inOrder[0]?.entry.headerOffset ?? place.offset;
  if (first !== begin) throw new ZipFault(`the package has ${first - begin} bytes before its first entry`);
  for (const [index, span] of inOrder.entries()) {
    const next = inOrder[index + 1]?.entry;
    checkGap(bytes, span, next?.headerOffset ?? place.offset, next);
  }
  return spans.map(({ entry }) => entry);
}

/** Reads the header in front of an entry's data (APPNOTE 4.3.7); it must say what the directory says. */
function placeEntry(bytes: ByteSource, entry: DirectoryEntry, limit: number): Span {
  const { name, headerOffset } = entry;
  const fault = (rule: string) => new ZipFault(`entry ${shown(name)} ${rule}`);
  const otherwise = (what: string) => fault(`has ${what} in its own header than in the archive's directory`);
  if (headerOffset + HEADER_BYTES > limit) throw fault('is said to begin past the archive’s data');
  const header = bytes.read(headerOffset, HEADER_BYTES);
  if (header.readUInt32LE(0) !== HEADER) throw fault('does not begin where the directory says');
  const nameBytes = header.readUInt16LE(26);
  const extraBytes = header.readUInt16LE(28);
  const dataOffset = headerOffset + HEADER_BYTES + nameBytes + extraBytes;
  const end = dataOffset + entry.compressedSize;
  if (end > limit) throw fault('has data that run past the archive’s data');
  const variable = bytes.read(headerOffset + HEADER_BYTES, nameBytes + extraBytes);
  const rawName = variable.subarray(0, nameBytes);
  const extraFields = readExtraFields(variable.subarray(nameBytes), entry.rawName);
  const flags = header.readUInt16LE(6);
  if (!rawName.equals(entry.rawName)) throw otherwise('another name');
  if (decodeName({ flags, host: entry.host, rawName, extraFields }) !== name) throw otherwise('another name');
  if ((flags ^ entry.flags) & FLAGS_OF_ENCRYPTION) throw otherwise('another mark of encryption');
  if (header.readUInt16LE(8) !== (entry.deflated ? METHOD_DEFLATED : METHOD_STORED)) {
    throw otherwise('another compression method');
  }
  const sizesFollow = (flags & FLAG_SIZES_FOLLOW) !== 0;
  const crc32 = header.readUInt32LE(14);
  const sizes: Zip64Numbers = {
    compressedSize: header.readUInt32LE(18),
    uncompressedSize: header.readUInt32LE(22),
  };
  readZip64Numbers(sizes, extraFields, name);
  const agrees = (here: number, there: number) => here === there || (sizesFollow && here === 0);
  if (!agrees(sizes.compressedSize, entry.compressedSize)) throw otherwise('another compressed size');
  if (!agrees(sizes.uncompressedSize, entry.uncompressedSize)) throw otherwise('another size');
  if (!agrees(crc32, entry.crc32)) throw otherwise('another checksum');
  const sizesKnown =
    sizes.compressedSize === entry.compressedSize &&
    sizes.uncompressedSize === entry.uncompressedSize &&
    crc32 === entry.crc32;
  return { entry: { ...entry, dataOffset }, end, sizesFollow, sizesKnown };
}

/** Between one entry's data and the next header is nothing, or the descriptor announced (APPNOTE 4.3.9). */
function checkGap(bytes: ByteSource, span: Span, nextOffset: number, next: DirectoryEntry | undefined): void {
  const { entry, end, sizesFollow, sizesKnown } = span;
  const gap = nextOffset - end;
  if (gap < 0) throw new ZipFault(`entry ${shown(next!.name)} overlaps entry ${shown(entry.name)}`);
  if (gap === 0) {
    if (sizesKnown) return;
    throw new ZipFault(`entry ${shown(entry.name)} has no sizes after its data, where its header puts them`);
  }
  if (sizesFollow && [12, 16, 20, 24].includes(gap)) {
    const [crc32, compressedSize, uncompressedSize] = readDescriptor(bytes.read(end, gap));
    if (
      crc32 === entry.crc32 &&
      compressedSize === entry.compressedSize &&
      uncompressedSize === entry.uncompressedSize
    ) {
      return;
    }
    throw new ZipFault(
      `entry ${shown(entry.name)} has other sizes after its data than in the archive's directory`,
    );
  }
  throw new ZipFault(`the package has ${gap} bytes after entry ${shown(entry.name)} that belong to no entry`);
}

/** With or without a signature, with sizes of 4 or 8 bytes: its length tells which. */
function readDescriptor(bytes: Buffer): (number | undefined)[] {
  const signed = bytes.length % 8 === 0;
  if (signed && bytes.readUInt32LE(0) !== DESCRIPTOR) return [];
  const numbers = bytes.subarray(signed ? 4 : 0);
  return numbers.length === 12
    ? [numbers.readUInt32LE(0), numbers.readUInt32LE(4), numbers.readUInt32LE(8)]
    : [numbers.readUInt32LE(0), uint64(numbers, 4), uint64(numbers, 12)];
}
