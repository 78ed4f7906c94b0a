/**
 * Takes one long string value out of a JSON text while the text streams by, so that a body of 120 MiB whose bulk is a
 * package in base64 never stands in memory as a whole. What is left is the same JSON with an empty string in its place.
 *
 * It only follows the nesting; whether the rest is valid JSON, the parser of the rest decides.
 */
export class StringValueExtractor {
  readonly #path: readonly string[];
  readonly #sink: (bytes: Buffer) => void;
  readonly #restLimit: number;
  readonly #rest: Buffer[] = [];
  #restBytes = 0;
  readonly #nesting: Container[] = [];
  #state: 'structure' | 'string' | 'diverted' = 'structure';
  /** Inside an escape sequence: what of it has been seen, the backslash included. */
  #escape = '';
  /** Bytes of the key being read; longer keys cannot match and are not kept. */
  #key: Buffer[] | undefined;
  #found = false;

  /**
   * @param path keys from the outermost object inward, such as `['codeConfiguration', 'zipFile']`
   * @param sink receives the value's bytes, escapes resolved
   * @param restLimit bytes that everything else may take
   */
  constructor(path: readonly string[], sink: (bytes: Buffer) => void, restLimit: number) {
    this.#path = path;
    this.#sink = sink;
    this.#restLimit = restLimit;
  }

  /** Whether the value was there. */
  get found(): boolean {
    return this.#found;
  }

  /** The text without the value; complete once everything was pushed. */
  rest(): string {
    return Buffer.concat(this.#rest).toString('utf8');
  }

  /** @throws RestTooLarge */
  push(chunk: Buffer): void {
    let position = 0;
    while (position < chunk.length) {
      if (this.#state === 'structure') position = this.#structure(chunk, position);
      else if (this.#escape !== '') position = this.#continueEscape(chunk, position);
      else position = this.#string(chunk, position);
    }
  }

  #structure(chunk: Buffer, start: number): number {
    let position = start;
    for (; position < chunk.length; position++) {
      const byte = chunk[position]!;
      const top = this.#nesting.at(-1);
      if (byte === QUOTE) {
        const divert = top !== undefined && !top.expectsKey && this.#isAtPath();
        this.#state = divert ? 'diverted' : 'string';
        if (divert) this.#found = true;
        this.#key = top?.expectsKey ? [] : undefined;
        this.#keep(chunk.subarray(start, position + 1));
        return position + 1;
      }
      if (byte === OPEN_BRACE) this.#nesting.push({ isObject: true, expectsKey: true, key: '' });
      else if (byte === OPEN_BRACKET) this.#nesting.push({ isObject: false, expectsKey: false, key: '' });
      else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) this.#nesting.pop();
      else if (byte === COLON && top) top.expectsKey = false;
      else if (byte === COMMA && top?.isObject) top.expectsKey = true;
    }
    this.#keep(chunk.subarray(start, position));
    return position;
  }

  #string(chunk: Buffer, start: number): number {
    const quote = chunk.indexOf(QUOTE, start);
    const untilQuote = quote === -1 ? chunk.length : quote;
    const backslash = chunk.subarray(start, untilQuote).indexOf(BACKSLASH);
    const end = backslash === -1 ? untilQuote : start + backslash;
    const piece = chunk.subarray(start, end);
    if (this.#state === 'diverted') {
      if (piece.length > 0) this.#sink(piece);
    } else {
      this.#keep(piece);
      this.#key?.push(piece);
    }
    if (end === chunk.length) return end;
    if (chunk[end] === BACKSLASH) {
      this.#escape = '\\';
      if (this.#state === 'string') this.#keep(chunk.subarray(end, end + 1));
      // A key written with escapes is not one of ours.
      this.#key = this.#key && [Buffer.from('\\')];
      return end + 1;
    }
    this.#keep(chunk.subarray(end, end + 1));
    const top = this.#nesting.at(-1);
    if (this.#key && top) top.key = Buffer.concat(this.#key).toString('utf8');
    this.#key = undefined;
    this.#state = 'structure';
    return end + 1;
  }

  #continueEscape(chunk: Buffer, position: number): number {
    const byte = chunk.subarray(position, position + 1);
    if (this.#state === 'string') this.#keep(byte);
    this.#escape += byte.toString('latin1');
    const complete = this.#escape[1] === 'u' ? this.#escape.length === 6 : true;
    if (complete) {
      if (this.#state === 'diverted') this.#sink(Buffer.from(resolveEscape(this.#escape), 'latin1'));
      this.#escape = '';
    }
    return position + 1;
  }

  #isAtPath(): boolean {
    return (
      this.#nesting.length === this.#path.length &&
      this.#path.every((key, depth) => this.#nesting[depth]!.isObject && this.#nesting[depth]!.key === key)
    );
  }

  #keep(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#restBytes += bytes.length;
    if (this.#restBytes > this.#restLimit) throw new RestTooLarge(this.#restLimit);
    // A copy: the caller reads the next piece into the same memory.
    this.#rest.push(Buffer.from(bytes));
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

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const COLON = 0x3a;
const COMMA = 0x2c;

function resolveEscape(sequence: string): string {
  try {
    return JSON.parse(`"${sequence}"`) as string;
  } catch {
    // No JSON escape: left as it is, for the decoder of the value to refuse.
    return sequence;
  }
}
