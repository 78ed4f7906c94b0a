/**
 * Takes one long string value out of a JSON text while the text streams by, so that a body of 120 MiB whose bulk is a
 * package in base64 never stands in memory as a whole. What is left is the same JSON with an empty string in its place.
 *
 * It only follows the nesting; whether the rest is valid JSON, the parser of the rest decides.
 */
export class StringValueExtractor {
  readonly #path: readonly string[];
  readonly #keyBytesMax: number;
  readonly #sink: (bytes: Buffer) => void;
  readonly #restLimit: number;
  #rest = Buffer.allocUnsafe(4096);
  #restBytes = 0;
  /** The outermost containers, as deep as the path goes; of those further in only the number is kept. */
  readonly #nesting: Container[] = [];
  #deeper = 0;
  #state: 'structure' | 'string' | 'diverted' = 'structure';
  /** Inside an escape sequence: what of it has been seen, the backslash included. */
  #escape = '';
  /** The key being read; one longer than any on the path cannot match, and its end is not kept. */
  #key: Buffer | undefined;
  #keyBytes = 0;
  #times = 0;
  /** The value on its way to the sink, so that one with many escapes is not handed over character by character. */
  readonly #value = Buffer.allocUnsafe(VALUE_PIECE_BYTES);
  #valueBytes = 0;

  /**
   * @param path keys from the outermost object inward, such as `['codeConfiguration', 'zipFile']`
   * @param sink receives the value's bytes, escapes resolved; the memory is used again afterwards
   * @param restLimit bytes that everything else may take
   */
  constructor(path: readonly string[], sink: (bytes: Buffer) => void, restLimit: number) {
    this.#path = path;
    this.#keyBytesMax = Math.max(...path.map((key) => Buffer.byteLength(key)));
    this.#sink = sink;
    this.#restLimit = restLimit;
  }

  /** Whether the value was there. */
  get found(): boolean {
    return this.#times > 0;
  }

  /** Whether it was there more than once, as JSON allows; the sink then got all of them in a row. */
  get repeated(): boolean {
    return this.#times > 1;
  }

  /** The text without the value; complete once everything was pushed. */
  rest(): string {
    return this.#rest.toString('utf8', 0, this.#restBytes);
  }

  /** @throws RestTooLarge */
  push(chunk: Buffer): void {
    let position = 0;
    while (position < chunk.length) {
      position =
        this.#state === 'structure' ? this.#structure(chunk, position) : this.#string(chunk, position);
    }
    this.#flushValue();
  }

  #structure(chunk: Buffer, start: number): number {
    let position = start;
    for (; position < chunk.length; position++) {
      const byte = chunk[position]!;
      const top = this.#deeper === 0 ? this.#nesting.at(-1) : undefined;
      if (byte === QUOTE) {
        const divert = top !== undefined && !top.expectsKey && this.#isAtPath();
        this.#state = divert ? 'diverted' : 'string';
        if (divert) this.#times++;
        this.#key = top?.expectsKey ? Buffer.allocUnsafe(this.#keyBytesMax + 1) : undefined;
        this.#keyBytes = 0;
        this.#keep(chunk, start, position + 1);
        return position + 1;
      }
      if (byte === OPEN_BRACE) this.#open(true);
      else if (byte === OPEN_BRACKET) this.#open(false);
      else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) this.#close();
      else if (byte === COLON && top) top.expectsKey = false;
      else if (byte === COMMA && top?.isObject) top.expectsKey = true;
    }
    this.#keep(chunk, start, position);
    return position;
  }

  #open(isObject: boolean): void {
    if (this.#nesting.length < this.#path.length)
      this.#nesting.push({ isObject, expectsKey: isObject, key: '' });
    else this.#deeper++;
  }

  #close(): void {
    if (this.#deeper > 0) this.#deeper--;
    else this.#nesting.pop();
  }

  #string(chunk: Buffer, start: number): number {
    let position = start;
    if (this.#escape !== '') position = this.#continueEscape(chunk, position);
    // Looked for once, not after every escape: the end may be far, and the escapes many.
    let quote = indexOrEnd(chunk, QUOTE, position);
    while (position < chunk.length) {
      const backslash =
        chunk[position] === BACKSLASH ? 0 : chunk.subarray(position, quote).indexOf(BACKSLASH);
      const end = backslash === -1 ? quote : position + backslash;
      this.#take(chunk, position, end);
      if (backslash === -1) {
        if (quote === chunk.length) return quote;
        this.#keep(chunk, quote, quote + 1);
        const top = this.#nesting.at(-1);
        if (this.#key && top) top.key = this.#key.toString('utf8', 0, this.#keyBytes);
        this.#key = undefined;
        this.#flushValue();
        this.#state = 'structure';
        return quote + 1;
      }
      this.#escape = '\\';
      // Taken as it stands, so a key written with escapes is not one of ours.
      if (this.#state === 'string') this.#take(chunk, end, end + 1);
      position = this.#continueEscape(chunk, end + 1);
      if (position > quote) quote = indexOrEnd(chunk, QUOTE, position);
    }
    return position;
  }

  #continueEscape(chunk: Buffer, start: number): number {
    let position = start;
    while (this.#escape !== '' && position < chunk.length) {
      const byte = chunk[position]!;
      if (this.#state === 'string') this.#take(chunk, position, position + 1);
      position++;
      const plain = this.#state === 'diverted' && this.#escape === '\\' ? SHORT_ESCAPES[byte]! : 0;
      if (plain !== 0) {
        if (this.#valueBytes === VALUE_PIECE_BYTES) this.#flushValue();
        this.#value[this.#valueBytes++] = plain;
        this.#escape = '';
        continue;
      }
      this.#escape += String.fromCharCode(byte);
      const complete = this.#escape[1] === 'u' ? this.#escape.length === 6 : true;
      if (!complete) continue;
      if (this.#state === 'diverted') this.#takeValue(Buffer.from(resolveEscape(this.#escape), 'latin1'));
      this.#escape = '';
    }
    return position;
  }

  /** Bytes of the string being read go where they belong. */
  #take(chunk: Buffer, start: number, end: number): void {
    if (start === end) return;
    if (this.#state === 'diverted') {
      this.#takeValue(chunk.subarray(start, end));
      return;
    }
    this.#keep(chunk, start, end);
    // A copy: the caller may read the next piece into the same memory, and the key may go on there.
    if (this.#key) this.#keyBytes += chunk.copy(this.#key, this.#keyBytes, start, end);
  }

  #takeValue(bytes: Buffer): void {
    if (this.#valueBytes + bytes.length > VALUE_PIECE_BYTES) this.#flushValue();
    if (bytes.length > VALUE_PIECE_BYTES) this.#sink(bytes);
    else this.#valueBytes += bytes.copy(this.#value, this.#valueBytes);
  }

  #flushValue(): void {
    if (this.#valueBytes === 0) return;
    this.#sink(this.#value.subarray(0, this.#valueBytes));
    this.#valueBytes = 0;
  }

  #isAtPath(): boolean {
    return (
      this.#nesting.length === this.#path.length &&
      this.#path.every((key, depth) => this.#nesting[depth]!.isObject && this.#nesting[depth]!.key === key)
    );
  }

  #keep(chunk: Buffer, start: number, end: number): void {
    const bytes = this.#restBytes + end - start;
    if (bytes > this.#restLimit) throw new RestTooLarge(this.#restLimit);
    if (bytes > this.#rest.length) {
      const larger = Buffer.allocUnsafe(Math.max(bytes, 2 * this.#rest.length));
      this.#rest.copy(larger, 0, 0, this.#restBytes);
      this.#rest = larger;
    }
    chunk.copy(this.#rest, this.#restBytes, start, end);
    this.#restBytes = bytes;
  }
}

export class RestTooLarge extends Error {
  override readonly name = 'RestTooLarge';

  constructor(limit: number) {
    super(`The body apart from the package is larger than ${limit} bytes`);
  }
}

interface Container {
  isObject: boolean;
  /** Of an object: the next string is a key. */
  expectsKey: boolean;
  /** The key whose value is being read. */
  key: string;
}

const VALUE_PIECE_BYTES = 64 * 1024;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const COLON = 0x3a;
const COMMA = 0x2c;

/** What the escapes of two characters stand for that base64 can meet; 0 for the others. */
const SHORT_ESCAPES = new Uint8Array(256);
for (const [letter, byte] of [
  ['/', '/'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
] as const) {
  SHORT_ESCAPES[letter.charCodeAt(0)] = byte.charCodeAt(0);
}

function indexOrEnd(chunk: Buffer, byte: number, start: number): number {
  const index = chunk.indexOf(byte, start);
  return index === -1 ? chunk.length : index;
}

function resolveEscape(sequence: string): string {
  try {
    return JSON.parse(`"${sequence}"`) as string;
  } catch {
    // No JSON escape: left as it is, for the decoder of the value to refuse.
    return sequence;
  }
}
