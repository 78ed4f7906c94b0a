import { shown, ZipFault } from './zip-bytes.ts';
import type { DirectoryEntry } from './zip-directory.ts';

const TYPE_MASK = 0o170000;
const TYPE_FILE = 0o100000;
const TYPE_FOLDER = 0o040000;
const TYPE_LINK = 0o120000;
const SPECIAL_BITS = 0o7000;

/** Systems whose attributes are those of DOS and Windows (APPNOTE 4.4.2). */
const HOSTS_OF_WINDOWS: readonly number[] = [0, 10, 11, 14];
const WINDOWS_DEVICE = 0x40;
const WINDOWS_REPARSE_POINT = 0x400;

/** PKWARE's Unix field (APPNOTE 4.5.7): times and owner in 12 bytes, then what a link leads to. */
const EXTRA_UNIX = 0x000d;
const EXTRA_UNIX_BYTES = 12;
/** ASi's Unix field: CRC-32, mode, then the length of what a link leads to. */
const EXTRA_ASI_UNIX = 0x756e;

/** What Linux file systems hold; the package's own folders come on top, and the system has the last word on those. */
const COMPONENT_MAX_BYTES = 255;
const PATH_MAX_BYTES = 4096;
const DEPTH_MAX = 64;

/** The path of an entry: its name without the slash that marks folders. */
export function pathOf(name: string): string {
  return name.endsWith('/') ? name.slice(0, -1) : name;
}

/** Permissions as Unix has them, with the type; 0 when the archive carries none (APPNOTE 4.4.15). */
export function modeOf({ attributes }: Pick<DirectoryEntry, 'attributes'>): number {
  return attributes >>> 16;
}

/**
 * Accepts only regular files and folders, whose names lead downwards and nowhere else on any system.
 * @throws ZipFault
 */
export function checkEntry(entry: DirectoryEntry): void {
  const rule = brokenNameRule(entry.name) ?? brokenKindRule(entry);
  if (rule !== undefined) throw new ZipFault(`entry ${shown(entry.name)} ${rule}`);
}

function brokenNameRule(name: string): string | undefined {
  const path = pathOf(name);
  // First, so that no rule below works through 64 KiB of slashes.
  if (Buffer.byteLength(path) > PATH_MAX_BYTES) return `has a name longer than ${PATH_MAX_BYTES} bytes`;
  const parts = path.split('/');
  // A name with a NUL ends there for the system; a backslash and a drive separate folders on Windows.
  if (name.includes('\0')) return 'does not stay inside the package: its name has a NUL';
  if (name.includes('\\')) return 'does not stay inside the package: its name has a backslash';
  if (/^[a-z]:/i.test(name)) return 'does not stay inside the package: its name begins with a drive';
  if (name.startsWith('/')) return 'does not stay inside the package: its name is absolute';
  for (const part of parts) {
    if (part === '') return 'does not stay inside the package: its name has an empty part';
    // Windows drops dots and spaces at the end of a part, and would see '..' in '.. '.
    if (/^ +$|^\.{1,2}(?: [. ]*)?$/.test(part)) {
      return `does not stay inside the package: its name has the part ${shown(part)}`;
    }
    if (Buffer.byteLength(part) > COMPONENT_MAX_BYTES) {
      return `has a name with a part that is too long; ${COMPONENT_MAX_BYTES} bytes are the most`;
    }
  }
  if (parts.length > DEPTH_MAX) return `is ${parts.length} levels deep; ${DEPTH_MAX} are the most`;
  return undefined;
}

function brokenKindRule(entry: DirectoryEntry): string | undefined {
  const mode = modeOf(entry);
  const type = mode & TYPE_MASK;
  const isFolder = entry.name.endsWith('/');
  if (type === TYPE_LINK || leadsElsewhere(entry)) return 'is a link';
  if (type !== 0 && type !== (isFolder ? TYPE_FOLDER : TYPE_FILE)) {
    return 'is neither a regular file nor a folder';
  }
  if (mode & SPECIAL_BITS) return 'has a setuid, setgid or sticky bit';
  if (HOSTS_OF_WINDOWS.includes(entry.host) && entry.attributes & WINDOWS_DEVICE) {
    return 'is neither a regular file nor a folder';
  }
  if (isFolder && (entry.uncompressedSize > 0 || entry.crc32 !== 0)) return 'is a folder and has content';
  return undefined;
}

/** Links that do not show in the mode: hard links, and those of Windows. */
function leadsElsewhere({ host, attributes, extraFields }: DirectoryEntry): boolean {
  if (HOSTS_OF_WINDOWS.includes(host) && attributes & WINDOWS_REPARSE_POINT) return true;
  return extraFields.some(({ id, data }) => {
    if (id === EXTRA_UNIX) return data.length > EXTRA_UNIX_BYTES;
    if (id !== EXTRA_ASI_UNIX || data.length < 10) return false;
    return (data.readUInt16LE(4) & TYPE_MASK) === TYPE_LINK || data.readUInt32LE(6) > 0;
  });
}
