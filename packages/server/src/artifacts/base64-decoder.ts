const MINUS = 0x2d;
const UNDERSCORE = 0x5f;

/** Strict base64 (RFC 4648 section 4) in pieces; line breaks and blanks between the characters are skipped. */
export class Base64Decoder {
  readonly #sink: (bytes: Buffer) => void;
  #carry = '';
  #padded = false;
  /** Used again for every piece: fresh memory for each would pile up faster than it is collected. */
  #decoded = Buffer.allocUnsafe(0);

  /** @param sink receives the bytes; the memory is used again afterwards */
  constructor(sink: (bytes: Buffer) => void) {
    this.#sink = sink;
  }

  /** @throws InvalidBase64 */
  push(bytes: Buffer): void {
    const text = this.#carry + bytes.toString('latin1');
    // Node reads the URL alphabet as well, which is another one.
    const isPlain = !bytes.includes(MINUS) && !bytes.includes(UNDERSCORE);
    if (!isPlain || !this.#take(text)) this.#takeCarefully(text);
  }

  /** @throws InvalidBase64 when the text stops within a group of four */
  end(): void {
    if (this.#carry !== '') throw new InvalidBase64('it ends within a group of four characters');
  }

  /**
   * Decodes whole groups and keeps the rest. Node skips what is no base64, and then there are fewer bytes than the
   * characters stand for: their number alone tells that all is well, some ten times quicker than a look at each.
   * @returns false, and nothing has happened, when all is not well
   */
  #take(text: string): boolean {
    if (this.#padded) return text === '';
    const usable = text.length - (text.length % 4);
    const groups = usable === text.length ? text : text.slice(0, usable);
    const rest = text.slice(usable);
    if (/[^A-Za-z0-9+/=]/.test(rest)) return false;
    const padding = groups.endsWith('==') ? 2 : groups.endsWith('=') ? 1 : 0;
    const wanted = (usable / 4) * 3 - padding;
    if (this.#decoded.length < wanted) this.#decoded = Buffer.allocUnsafe(wanted);
    if (this.#decoded.write(groups, 0, wanted, 'base64') !== wanted) return false;
    this.#carry = rest;
    this.#padded = padding > 0;
    if (wanted > 0) this.#sink(this.#decoded.subarray(0, wanted));
    return true;
  }

  /** @throws InvalidBase64 for anything but base64 and the space between its characters */
  #takeCarefully(text: string): void {
    const packed = text.replace(/[\r\n\t ]+/g, '');
    if (this.#padded && packed !== '') throw new InvalidBase64('there are characters after the padding');
    const odd = /[^A-Za-z0-9+/=]/.exec(packed)?.[0];
    if (odd !== undefined) throw new InvalidBase64(`it has the character ${JSON.stringify(odd)}`);
    const groups = packed.slice(0, packed.length - (packed.length % 4));
    if (!/^[^=]*={0,2}$/.test(groups)) throw new InvalidBase64('padding stands in the middle');
    this.#take(packed);
  }
}

export class InvalidBase64 extends Error {
  override readonly name = 'InvalidBase64';
}
