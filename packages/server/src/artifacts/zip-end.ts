import { type ByteSource, notAZip, uint64 } from './zip-bytes.ts';

/** Where an archive's directory is, and how many entries it is said to have. */
export interface DirectoryPlace {
  offset: number;
  size: number;
  entryCount: number;
}

const END = Buffer.from('PK\x05\x06');
const END_BYTES = 22;
const COMMENT_MAX_BYTES = 0xffff;
const LOCATOR = 0x07064b50;
const LOCATOR_BYTES = 20;
const ZIP64_END = 0x06064b50;
const ZIP64_END_BYTES = 56;
const DIRECTORY_ENTRY_MIN_BYTES = 46;

/**
 * Finds the directory by the record at the archive's end (APPNOTE 4.3.14 to 4.3.16). Readers of ZIP differ in what
 * they make of an archive with several end records, or with bytes around them, so that one package could be two; only
 * archives with one reading are accepted.
 * @throws ZipFault
 */
export function findDirectory(bytes: ByteSource): DirectoryPlace {
  const position = findEnd(bytes);
  const end = bytes.read(position, END_BYTES);
  const place = {
    entryCount: end.readUInt16LE(10),
    size: end.readUInt32LE(12),
    offset: end.readUInt32LE(16),
  };
  const disks = [end.readUInt16LE(4), end.readUInt16LE(6)];
  let directoryEnd = position;
  const locator = position >= LOCATOR_BYTES ? bytes.read(position - LOCATOR_BYTES, LOCATOR_BYTES) : undefined;
  if (locator?.readUInt32LE(0) === LOCATOR) {
    const zip64 = readZip64End(bytes, locator, position - LOCATOR_BYTES);
    // The small fields either point to the large ones or repeat them (APPNOTE 4.4.1.4).
    const agrees = (small: number, large: number, pointer: number) => small === pointer || small === large;
    if (
      !agrees(place.entryCount, zip64.entryCount, 0xffff) ||
      !agrees(end.readUInt16LE(8), zip64.entryCount, 0xffff) ||
      !agrees(place.size, zip64.size, 0xffffffff) ||
      !agrees(place.offset, zip64.offset, 0xffffffff) ||
      disks.some((disk) => !agrees(disk, 0, 0xffff))
    ) {
      throw notAZip('its end record and its zip64 end record disagree');
    }
    Object.assign(place, { entryCount: zip64.entryCount, size: zip64.size, offset: zip64.offset });
    directoryEnd = zip64.position;
  } else {
    if (disks.some((disk) => disk !== 0)) throw inSeveralParts();
    if (place.size === 0xffffffff || place.offset === 0xffffffff) {
      throw notAZip('its end record refers to a zip64 end record that is missing');
    }
    if (end.readUInt16LE(8) !== place.entryCount) throw inSeveralParts();
  }
  if (place.offset + place.size !== directoryEnd) {
    throw notAZip(
      `its directory is said to end at byte ${place.offset + place.size}, and its end record begins at byte ` +
        `${directoryEnd}: bytes were added, or are missing`,
    );
  }
  if (place.entryCount * DIRECTORY_ENTRY_MIN_BYTES > place.size) {
    throw notAZip(`its directory is too small for the ${place.entryCount} entries it is said to have`);
  }
  return place;
}

/** The position of the one end record; its comment must reach the last byte. */
function findEnd(bytes: ByteSource): number {
  const tailBytes = Math.min(bytes.size, END_BYTES + COMMENT_MAX_BYTES);
  const tail = bytes.read(bytes.size - tailBytes, tailBytes);
  const reachesEnd = (at: number) => at + END_BYTES + tail.readUInt16LE(at + 20) === tail.length;
  let at = tail.length < END_BYTES ? -1 : tail.lastIndexOf(END, tail.length - END_BYTES);
  if (at === -1) throw notAZip('it has no end record; it was cut short, or is something else');
  if (!reachesEnd(at)) throw notAZip('there are bytes after its end');
  const found = at;
  while (at > 0) {
    at = tail.lastIndexOf(END, at - 1);
    if (at !== -1 && reachesEnd(at)) throw notAZip('it has two end records');
  }
  return bytes.size - tailBytes + found;
}

function readZip64End(bytes: ByteSource, locator: Buffer, locatorPosition: number) {
  const position = uint64(locator, 8);
  if (locator.readUInt32LE(4) !== 0 || locator.readUInt32LE(16) > 1) throw inSeveralParts();
  if (position + ZIP64_END_BYTES > locatorPosition) throw notAZip('its zip64 end record is missing');
  const end = bytes.read(position, ZIP64_END_BYTES);
  if (end.readUInt32LE(0) !== ZIP64_END) throw notAZip('its zip64 end record is missing');
  // The size leaves out the 12 bytes up to and including itself (APPNOTE 4.3.14.1).
  if (position + 12 + uint64(end, 4) !== locatorPosition) {
    throw notAZip('its zip64 end record has a size that cannot be');
  }
  const entryCount = uint64(end, 32);
  if (end.readUInt32LE(16) !== 0 || end.readUInt32LE(20) !== 0 || uint64(end, 24) !== entryCount) {
    throw inSeveralParts();
  }
  return { position, entryCount, size: uint64(end, 40), offset: uint64(end, 48) };
}

function inSeveralParts() {
  return notAZip('it is one part of an archive in several parts');
}
