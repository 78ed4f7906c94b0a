import { FORBIDDEN, readFields } from './fields.ts';
import { excerpt, Malformed } from './malformed.ts';

/** For each message, all its chunks together. */
const EXTENSION_BYTES = 4 * 1024;
const TRAILER_BYTES = 16 * 1024;
/** Twelve hex digits are 2^48 bytes. */
const SIZE_DIGITS = 12;

/** Fields that must not come behind the body they would be about (RFC 9110 section 6.5.1). */
const NOT_TRAILERS = new Set([
  'transfer-encoding',
  'content-length',
  'host',
  'connection',
  'upgrade',
  'expect',
  'te',
  'trailer',
  'content-encoding',
  'content-type',
  'content-range',
  'authorization',
  'proxy-authorization',
  'cookie',
  'set-cookie',
]);

const SIZE = 0;
const EXTENSION = 1;
const SIZE_LF = 2;
const DATA = 3;
const DATA_CR = 4;
const DATA_LF = 5;
const TRAILER = 6;
const DONE = 7;

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
  /** Set when the bytes cannot be read; nothing more may then be. */
  fault: Malformed | undefined = undefined;
  #state = SIZE;
  #size = 0;
  #digits = 0;
  #extension = '';
  #extensionBytes = 0;
  #trailer = '';

  /** Whether the body has ended. */
  get done(): boolean {
    return this.#state === DONE;
  }

  /**
   * Reads on from where it was left.
   * @returns where the body ended, or `to`
   */
  read(source: Buffer, from: number, to: number): number {
    const { runs } = this;
    runs.length = 0;
    let at = from;
    while (at < to) {
      switch (this.#state) {
        case SIZE: {
          const code = source[at]!;
          const digit = hexDigit(code);
          if (digit !== -1) {
            if (++this.#digits > SIZE_DIGITS) return this.#refuse(at, 'a chunk is larger than any body');
            this.#size = this.#size * 16 + digit;
          } else if (this.#digits === 0) {
            return this.#refuse(at, 'a chunk has no size');
          } else if (code === 0x0d) {
            this.#state = SIZE_LF;
          } else if (code === 0x3b) {
            this.#extension = ';';
            this.#state = EXTENSION;
          } else {
            return this.#refuse(at, "a chunk's size is no number");
          }
          at++;
          break;
        }
        case EXTENSION: {
          const code = source[at++]!;
          if (++this.#extensionBytes > EXTENSION_BYTES) {
            return this.#refuse(at, `chunk extensions have more than ${EXTENSION_BYTES} bytes`);
          }
          if (code !== 0x0d) {
            this.#extension += String.fromCharCode(code);
          } else {
            if (!EXTENSIONS.test(this.#extension)) {
              return this.#refuse(at, `a chunk extension is not readable: ${excerpt(this.#extension)}`);
            }
            this.#extension = '';
            this.#state = SIZE_LF;
          }
          break;
        }
        case SIZE_LF:
          if (source[at++] !== 0x0a) return this.#refuse(at, "a chunk's size is not followed by CRLF");
          this.#digits = 0;
          this.#state = this.#size === 0 ? TRAILER : DATA;
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
          if (source[at++] !== 0x0d) return this.#refuse(at, 'a chunk is not followed by CRLF');
          this.#state = DATA_LF;
          break;
        case DATA_LF:
          if (source[at++] !== 0x0a) return this.#refuse(at, 'a chunk is not followed by CRLF');
          this.#state = SIZE;
          break;
        case TRAILER: {
          this.#trailer += String.fromCharCode(source[at++]!);
          const seen = this.#trailer;
          if (seen === '\r\n') {
            this.#state = DONE;
            return at;
          }
          if (seen.length > TRAILER_BYTES)
            return this.#refuse(at, `trailers have more than ${TRAILER_BYTES} bytes`);
          if (seen.endsWith('\r\n\r\n')) {
            const fault = trailerFault(seen);
            if (fault !== undefined) return this.#refuse(at, fault);
            this.#state = DONE;
            return at;
          }
          break;
        }
        default:
          return at;
      }
    }
    return at;
  }

  #refuse(at: number, why: string): number {
    this.fault = new Malformed(400, `The chunked body is not readable: ${why}`);
    this.#state = DONE;
    return at;
  }
}

function trailerFault(text: string): string | undefined {
  if (FORBIDDEN.test(text)) return 'trailers hold control characters, or CR or LF alone';
  const section = readFields(text, 0, text.length - 2);
  if (section instanceof Malformed) return section.reason;
  const bad = section.names.find((name) => NOT_TRAILERS.has(name));
  return bad === undefined ? undefined : `${bad} may not come behind the body`;
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  if (code >= 0x61 && code <= 0x66) return code - 0x61 + 10;
  if (code >= 0x41 && code <= 0x46) return code - 0x41 + 10;
  return -1;
}
