import { EXTENSION_BYTES, HEAD_FIELDS, TRAILER_BYTES } from './limits.ts';
import { Malformed } from './malformed.ts';
import { COLON, CR, LF, nameOf, SEMICOLON, TEXT_BYTE, TOKEN_BYTE } from './octets.ts';

/** Twelve hex digits are 2^48 bytes. */
const SIZE_DIGITS = 12;

/** Fields that must not come behind the body they would be about (RFC 9110 section 6.5.1). */
const NOT_TRAILERS = new Set([
  'transfer-encoding',
  'content-length',
  'host',
  'connection',
  'keep-alive',
  'upgrade',
  'expect',
  'te',
  'trailer',
  'max-forwards',
  'content-encoding',
  'content-type',
  'content-range',
  'authorization',
  'proxy-authorization',
  'proxy-connection',
  'cookie',
  'set-cookie',
]);
const LONGEST_NOT_TRAILER = Math.max(...Array.from(NOT_TRAILERS, (name) => name.length));

const SIZE = 0;
const EXTENSION = 1;
const SIZE_LF = 2;
const DATA = 3;
const DATA_CR = 4;
const DATA_LF = 5;
const TRAILER_NAME = 6;
const TRAILER_VALUE = 7;
const TRAILER_LF = 8;
const END_LF = 9;
const DONE = 10;
const FAULTY = 11;

/** A chunk's extensions (RFC 9112 section 7.1.1), without the white space it would allow. */
const EXTENSIONS =
  /^(?:;[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:=(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"))?)*$/;

/**
 * Reads a chunked body (RFC 9112 section 7.1), however it is cut. Extensions and trailers are checked and dropped:
 * bodies are framed anew when they are sent on.
 */
export class ChunkedReader {
  /** Begin and end of each run of the body's bytes in what was read last, by turns. */
  readonly runs: number[] = [];
  /** Bytes of the body so far. */
  bytes = 0;
  /**
   * Set when the bytes cannot be read; nothing more is read then, and the body is not `done`. Its status is that of a
   * request.
   */
  fault: Malformed | undefined = undefined;
  #state = SIZE;
  #size = 0;
  #digits = 0;
  #extension = '';
  #extensionBytes = 0;
  #trailerBytes = 0;
  #trailers = 0;
  /** What came of the name of the trailer that is being read, as far as it is of interest. */
  #name = '';
  #nameBytes = 0;

  /** Whether the body has ended. */
  get done(): boolean {
    return this.#state === DONE;
  }

  /**
   * Reads on from where it was left. The runs of what came before a fault are the body's, too.
   * @returns where the body ended, or the fault is, or `to`
   */
  read(source: Buffer, from: number, to: number): number {
    const { runs } = this;
    runs.length = 0;
    let at = from;
    while (at < to) {
      const code = source[at]!;
      switch (this.#state) {
        case SIZE: {
          const digit = hexDigit(code);
          if (digit !== -1) {
            if (++this.#digits > SIZE_DIGITS) return this.#refuse(at, 'a chunk is larger than any body');
            this.#size = this.#size * 16 + digit;
          } else if (this.#digits === 0) {
            return this.#refuse(at, `a chunk begins with ${nameOf(code)} and not with its size`);
          } else if (code === CR) {
            this.#state = SIZE_LF;
          } else if (code === SEMICOLON) {
            this.#extension = ';';
            this.#extensionBytes++;
            this.#state = EXTENSION;
          } else {
            return this.#refuse(at, `the size of a chunk is followed by ${nameOf(code)}`);
          }
          at++;
          break;
        }
        case EXTENSION: {
          const begin = at;
          while (at < to && TEXT_BYTE[source[at]!] === 1) at++;
          this.#extensionBytes += at - begin;
          if (this.#extensionBytes > EXTENSION_BYTES) {
            return this.#refuse(at, `chunk extensions have more than ${EXTENSION_BYTES} bytes`);
          }
          this.#extension += source.toString('latin1', begin, at);
          if (at === to) break;
          if (source[at] !== CR) return this.#refuse(at, `a chunk extension holds ${nameOf(source[at]!)}`);
          if (!EXTENSIONS.test(this.#extension)) {
            return this.#refuse(at, 'a chunk extension is not of the form ;name or ;name=value');
          }
          this.#extension = '';
          this.#state = SIZE_LF;
          at++;
          break;
        }
        case SIZE_LF:
          if (code !== LF) return this.#refuse(at, "a chunk's size is not followed by CRLF");
          this.#digits = 0;
          this.#state = this.#size === 0 ? TRAILER_NAME : DATA;
          at++;
          break;
        case DATA: {
          const taken = Math.min(this.#size, to - at);
          runs.push(at, at + taken);
          this.bytes += taken;
          this.#size -= taken;
          at += taken;
          if (this.#size === 0) this.#state = DATA_CR;
          break;
        }
        case DATA_CR:
          if (code !== CR) return this.#refuse(at, 'a chunk is not followed by CRLF');
          this.#state = DATA_LF;
          at++;
          break;
        case DATA_LF:
          if (code !== LF) return this.#refuse(at, 'a chunk is not followed by CRLF');
          this.#state = SIZE;
          at++;
          break;
        case TRAILER_NAME: {
          const begin = at;
          while (at < to && TOKEN_BYTE[source[at]!] === 1) at++;
          if (!this.#isTrailerRoom(at - begin)) return this.#refuseTrailers(at);
          this.#nameBytes += at - begin;
          // Longer names are none of those that may not come.
          if (this.#name.length <= LONGEST_NOT_TRAILER) {
            this.#name += source.toString('latin1', begin, Math.min(at, begin + LONGEST_NOT_TRAILER + 1));
          }
          if (at === to) break;
          const fault = this.#trailerFault(source[at]!);
          if (fault !== undefined) return this.#refuse(at, fault);
          at++;
          break;
        }
        case TRAILER_VALUE: {
          const begin = at;
          while (at < to && TEXT_BYTE[source[at]!] === 1) at++;
          if (!this.#isTrailerRoom(at - begin)) return this.#refuseTrailers(at);
          if (at === to) break;
          if (source[at] !== CR) return this.#refuse(at, `a trailer holds ${nameOf(source[at]!)}`);
          this.#state = TRAILER_LF;
          at++;
          break;
        }
        case TRAILER_LF:
          if (code !== LF) return this.#refuse(at, 'a trailer is not followed by CRLF');
          this.#state = TRAILER_NAME;
          at++;
          break;
        case END_LF:
          if (code !== LF) return this.#refuse(at, 'the end is not followed by CRLF');
          this.#state = DONE;
          return at + 1;
        default:
          return at;
      }
    }
    return at;
  }

  /** Goes on behind the name of a trailer, or behind the last one; a string: that it cannot. */
  #trailerFault(next: number): string | undefined {
    if (next === CR && this.#nameBytes === 0) {
      this.#state = END_LF;
      return undefined;
    }
    if (next !== COLON || this.#nameBytes === 0)
      return `the name of a trailer is followed by ${nameOf(next)}`;
    if (++this.#trailers > HEAD_FIELDS) return `there are more than ${HEAD_FIELDS} trailers`;
    // Some servers read `_` as `-`.
    const name = this.#name.toLowerCase().replaceAll('_', '-');
    if (NOT_TRAILERS.has(name)) return `${name} may not come behind the body`;
    this.#name = '';
    this.#nameBytes = 0;
    this.#state = TRAILER_VALUE;
    return undefined;
  }

  #isTrailerRoom(more: number): boolean {
    this.#trailerBytes += more;
    return this.#trailerBytes <= TRAILER_BYTES;
  }

  #refuseTrailers(at: number): number {
    return this.#refuse(at, `trailers have more than ${TRAILER_BYTES} bytes`);
  }

  #refuse(at: number, why: string): number {
    this.fault = new Malformed(400, `The chunked body is not readable: ${why}`);
    this.#state = FAULTY;
    return at;
  }
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  if (code >= 0x61 && code <= 0x66) return code - 0x61 + 10;
  if (code >= 0x41 && code <= 0x46) return code - 0x41 + 10;
  return -1;
}
