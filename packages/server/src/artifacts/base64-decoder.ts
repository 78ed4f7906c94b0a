/** Strict base64 (RFC 4648 section 4) in pieces; line breaks and blanks between the characters are skipped. */
export class Base64Decoder {
  readonly #sink: (bytes: Buffer) => void;
  #carry = '';
  #padded = false;

  constructor(sink: (bytes: Buffer) => void) {
    this.#sink = sink;
  }

  /** @throws InvalidBase64 */
  push(bytes: Buffer): void {
    let text = bytes.toString('latin1');
    if (/[\r\n\t ]/.test(text)) text = text.replace(/[\r\n\t ]+/g, '');
    if (text === '') return;
    text = this.#carry + text;
    const usable = text.length - (text.length % 4);
    this.#carry = text.slice(usable);
    if (usable > 0) this.#decode(text.slice(0, usable));
  }

  /** @throws InvalidBase64 when the text stops within a group of four */
  end(): void {
    if (this.#carry !== '') throw new InvalidBase64('it ends within a group of four characters');
  }

  #decode(text: string): void {
    if (this.#padded) throw new InvalidBase64('there are characters after the padding');
    if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text)) {
      const odd = /[^A-Za-z0-9+/=]/.exec(text)?.[0];
      throw new InvalidBase64(
        odd === undefined ? 'padding stands in the middle' : `it has the character ${JSON.stringify(odd)}`,
      );
    }
    this.#padded = text.endsWith('=');
    this.#sink(Buffer.from(text, 'base64'));
  }
}

export class InvalidBase64 extends Error {
  override readonly name = 'InvalidBase64';
}
