import { describe, expect, it } from 'vitest';
import { Base64Decoder, InvalidBase64 } from './base64-decoder.ts';

function decode(text: string, cut = text.length || 1): Buffer {
  const pieces: Buffer[] = [];
  const decoder = new Base64Decoder((bytes) => pieces.push(bytes));
  for (let i = 0; i < text.length; i += cut) decoder.push(Buffer.from(text.slice(i, i + cut), 'latin1'));
  decoder.end();
  return Buffer.concat(pieces);
}

describe('Base64Decoder', () => {
  it('gives the bytes back, however the text is cut', () => {
    for (let length = 0; length < 20; length++) {
      const bytes = Buffer.from(Array.from({ length }, (_, i) => (i * 37 + 255) % 256));
      const text = bytes.toString('base64');
      for (let cut = 1; cut <= text.length; cut++) expect(decode(text, cut)).toEqual(bytes);
    }
  });

  it('skips line breaks', () => {
    expect(decode('QUJD\r\nREVG\n', 3).toString()).toBe('ABCDEF');
  });

  it.each([
    ['a foreign character', 'QUJ$', /character "\$"/],
    ['the URL alphabet', 'QU-_', /character "-"/],
    ['a lost character', 'QUJDR', /within a group/],
    ['text after the padding', 'QQ==QUJD', /padding/],
    ['padding in the middle', 'Q===QUJD', /padding/],
  ])('refuses %s', (_name, text, reason) => {
    expect(() => decode(text)).toThrow(InvalidBase64);
    expect(() => decode(text)).toThrow(reason);
    expect(() => decode(text, 4)).toThrow(InvalidBase64);
  });
});
