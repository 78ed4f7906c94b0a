import { fstatSync, readSync } from 'node:fs';

/** Something in an archive that is not as it must be; the message is a sentence for whoever packed it. */
export class ZipFault extends Error {
  override readonly name = 'ZipFault';
}

export function notAZip(reason: string): ZipFault {
  return new ZipFault(`the package is no readable ZIP archive: ${reason}`);
}

/** The bytes of an archive, at any position. What is handed out is never written to again. */
export interface ByteSource {
  readonly size: number;
  /** @throws ZipFault where the archive has no such bytes */
  read(position: number, length: number): Buffer;
}

/** Headers stand close together: one system call brings many of them. */
const WINDOW_BYTES = 16 * 1024;

/** Reads synchronously: it runs in the package thread, where many small waits would cost more than they free. */
export function fileBytes(fd: number): ByteSource {
  const { size } = fstatSync(fd);
  let window: Buffer = Buffer.alloc(0);
  let windowStart = 0;
  return {
    size,
    read(position, length) {
      refuseOutside(position, length, size);
      if (position < windowStart || position + length > windowStart + window.length) {
        window = readFully(fd, position, Math.min(Math.max(length, WINDOW_BYTES), size - position));
        windowStart = position;
        // The file became shorter meanwhile.
        refuseOutside(position, length, position + window.length);
      }
      return window.subarray(position - windowStart, position - windowStart + length);
    },
  };
}

function readFully(fd: number, position: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafeSlow(length);
  let filled = 0;
  while (filled < length) {
    const count = readSync(fd, bytes, filled, length - filled, position + filled);
    if (count === 0) break;
    filled += count;
  }
  return bytes.subarray(0, filled);
}

function refuseOutside(position: number, length: number, size: number): void {
  if (!(position >= 0 && position + length <= size)) throw notAZip('it ends too early');
}

/** Numbers too large to be exact become Infinity, which no size or position in a file can equal. */
export function uint64(bytes: Buffer, at: number): number {
  const value = bytes.readBigUInt64LE(at);
  return value > BigInt(Number.MAX_SAFE_INTEGER) ? Number.POSITIVE_INFINITY : Number(value);
}

const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
const SHOWN_CHARACTERS = 120;

/** A name for a message: in quotes, cut when long, and nothing in it can steer the terminal it is shown on. */
export function shown(name: string): string {
  const characters = [...name.slice(0, 2 * SHOWN_CHARACTERS + 2)];
  const cut = characters.length > SHOWN_CHARACTERS;
  const text = (cut ? `${characters.slice(0, SHOWN_CHARACTERS).join('')}…` : name).replace(
    UNPRINTABLE,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return `'${text}'`;
}
