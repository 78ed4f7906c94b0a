import { describe, expect, it } from 'vitest';
import { Base64Decoder, InvalidBase64 } from './base64-decoder.ts';

function decode(text: string, cut = text.length || 1): Buffer {
  const pieces: Buffer[] = [];
  const decoder = new Base64Decoder((bytes) => pieces.push(Buffer.from(bytes)));
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

  it('skips them wherever they stand, and however the text is cut', () => {
    const bytes = Buffer.from(Array.from({ length: 61 }, (_, i) => (i * 91) % 256));
    const text = `${bytes.toString('base64').replace(/.{7}/g, '$&\r\n')} \n`;
    for (let cut = 1; cut <= text.length; cut++) expect(decode(text, cut)).toEqual(bytes);
  });

  it('refuses a foreign character wherever it stands, and however the text is cut', () => {
    const text = Buffer.alloc(45, 'any').toString('base64');
    for (const odd of ['$', '-', '_', '=', '\u00e9', '\u0000', 'Q$', '==='])
      for (let at = 0; at < text.length - 4; at++) {
        const spoiled = text.slice(0, at) + odd + text.slice(at + odd.length);
        for (const cut of [1, 3, 4, 7, spoiled.length])
          expect(() => decode(spoiled, cut), `${spoiled} in pieces of ${cut}`).toThrow(InvalidBase64);
      }
  });

  it.each([
    ['a foreign character', 'QUJ$', /character "\$"/],
    ['the URL alphabet', 'QU-_', /character "-"/],
    ['a lost character', 'QUJDR', /within a group/],
    ['text after the padding', 'QQ==QUJD', /padding/],
    ['padding in the middle', 'Q===QUJD', /padding/],
    ['nothing but padding', '====', /padding/],
    ['too much padding', 'Q===', /padding/],
  ])('refuses %s', (_name, text, reason) => {
    expect(() => decode(text)).toThrow(InvalidBase64);
    expect(() => decode(text)).toThrow(reason);
    expect(() => decode(text, 4)).toThrow(InvalidBase64);
  });
});
