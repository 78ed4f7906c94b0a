import { describe, expect, it } from 'vitest';
import { RestTooLarge, StringValueExtractor } from './json-extract.ts';

const PATH = ['codeConfiguration', 'zipFile'];

function extract(text: string, cut: number, limit = 10_000) {
  const taken: Buffer[] = [];
  const extractor = new StringValueExtractor(PATH, (bytes) => taken.push(Buffer.from(bytes)), limit);
  const bytes = Buffer.from(text);
  // One piece of memory for all, as whoever reads a file has it.
  const memory = Buffer.alloc(cut);
  for (let i = 0; i < bytes.length; i += cut) {
    extractor.push(memory.subarray(0, bytes.copy(memory, 0, i, i + cut)));
  }
  return { value: Buffer.concat(taken).toString('latin1'), rest: extractor.rest(), found: extractor.found };
}

const without = (value: unknown) =>
  JSON.parse(
    JSON.stringify(value, (key, item: unknown) => (key === 'zipFile' && item !== 'decoy' ? '' : item)),
  );

describe('StringValueExtractor', () => {
  const cases: [string, string, string][] = [
    [
      'a plain value',
      '{"a":1,"codeConfiguration":{"zipFile":"QUJD","language":"nodejs20"},"b":[1,{"c":"d"}]}',
      'QUJD',
    ],
    ['an empty value', '{"codeConfiguration":{"zipFile":""}}', ''],
    ['escaped slashes and line breaks', '{"codeConfiguration":{"zipFile":"A\\/B\\nC\\u002bD"}}', 'A/B\nC+D'],
    ['white space anywhere', '{ "codeConfiguration" : { "language":"x" , "zipFile" : "QQ==" } }', 'QQ=='],
    [
      'quotes and braces in other strings',
      '{"d":"\\"}{[,:\\\\","codeConfiguration":{"zipFile":"QQ=="}}',
      'QQ==',
    ],
    ['text beyond ASCII around it', '{"d":"日本語","codeConfiguration":{"zipFile":"QQ=="},"e":"é"}', 'QQ=='],
  ];
  it.each(cases)('takes out %s, however the bytes are cut', (_name, text, value) => {
    for (let cut = 1; cut <= text.length; cut++) {
      const result = extract(text, cut);
      expect(result.value).toBe(value);
      expect(result.found).toBe(true);
      expect(JSON.parse(result.rest)).toEqual(without(JSON.parse(text)));
    }
  });

  const untouched: [string, string][] = [
    ['the same key at the top', '{"zipFile":"decoy"}'],
    ['the same key deeper down', '{"codeConfiguration":{"x":{"zipFile":"decoy"}}}'],
    ['the same key in a list', '{"codeConfiguration":[{"zipFile":"decoy"}]}'],
    ['the same word as a value', '{"codeConfiguration":{"a":"zipFile","b":"decoy"}}'],
    ['a value that is no string', '{"codeConfiguration":{"zipFile":7}}'],
    ['a list of strings', '{"codeConfiguration":{"zipFile":["decoy"]}}'],
    ['nothing of the kind', '{"agentRuntimeName":"a"}'],
  ];
  it.each(untouched)('leaves alone %s', (_name, text) => {
    for (const cut of [1, 2, 5, text.length]) {
      expect(extract(text, cut)).toEqual({ value: '', rest: text, found: false });
    }
  });

  it('follows any nesting, with little kept of it', () => {
    const deep = `${'['.repeat(4000)}{"codeConfiguration":{"zipFile":"decoy"}}${']'.repeat(4000)}`;
    const text = `{"a":${deep},"codeConfiguration":{"b":${deep},"zipFile":"QQ=="}}`;
    expect(extract(text, 100, 20_000)).toMatchObject({ value: 'QQ==', found: true });
  });

  it('says when the value stands there twice', () => {
    const pushed = (text: string) => {
      const extractor = new StringValueExtractor(PATH, () => {}, 1000);
      extractor.push(Buffer.from(text));
      return extractor.repeated;
    };
    expect(pushed('{"codeConfiguration":{"zipFile":"QQ=="}}')).toBe(false);
    expect(pushed('{"codeConfiguration":{"zipFile":"QQ==","zipFile":"Qg=="}}')).toBe(true);
    expect(pushed('{"codeConfiguration":{"zipFile":"QQ=="},"codeConfiguration":{"zipFile":""}}')).toBe(true);
  });

  it('hands a value with many escapes over in few pieces', () => {
    let pieces = 0;
    let bytes = 0;
    const extractor = new StringValueExtractor(
      PATH,
      (piece) => {
        pieces++;
        bytes += piece.length;
      },
      1000,
    );
    const body = Buffer.from(`{"codeConfiguration":{"zipFile":"${'\\/A'.repeat(200_000)}"}}`);
    for (let i = 0; i < body.length; i += 65_536) extractor.push(body.subarray(i, i + 65_536));
    expect(bytes).toBe(400_000);
    expect(pieces).toBeLessThan(30);
  });

  it('bounds what is not the value', () => {
    const text = `{"codeConfiguration":{"zipFile":"${'A'.repeat(5000)}"},"x":"${'y'.repeat(300)}"}`;
    expect(extract(text, 64, 400).value).toHaveLength(5000);
    expect(() => extract(text, 64, 200)).toThrow(RestTooLarge);
  });
});
