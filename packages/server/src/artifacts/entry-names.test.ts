import { describe, expect, it } from 'vitest';
import { EntryNames } from './entry-names.ts';
import { ZipFault } from './zip-bytes.ts';

function added(...names: string[]): EntryNames {
  const all = new EntryNames();
  for (const name of names) all.add(name);
  return all;
}

describe('EntryNames', () => {
  it('counts files, folders, and folders that names imply, each once', () => {
    expect(added('a', 'b/', 'b/c', 'd/e/f', 'd/e/g', 'd/').count).toBe(7);
  });

  it('accepts a folder before, after and between its content', () => {
    expect(() => added('a/', 'a/b/c', 'a/b/', 'd/e', 'd/')).not.toThrow();
  });

  it.each([
    ['a file', ['Read.me', 'READ.ME']],
    ['a folder', ['lib/', 'LIB/']],
    ['an implied folder', ['lib/a', 'Lib/b']],
    ['an implied folder further in', ['x/lib/a', 'x/Lib/b']],
    ['a file and a folder', ['lib/a', 'LIB']],
    ['letters beyond ASCII', ['Ärger', 'ärger']],
    ['letters that two languages fold alike', ['σίγμας', 'ΣΊΓΜΑΣ']],
    ['a letter that becomes two', ['straße', 'STRASSE']],
    ['composed and decomposed letters', ['caf\u00e9', 'cafe\u0301']],
    ['composed and decomposed letters in a folder', ['caf\u00e9/a', 'cafe\u0301/b']],
    ['case and form at once', ['CAF\u00c9', 'cafe\u0301']],
    ['syllables and their parts', ['\ud55c', '\u1112\u1161\u11ab']],
    ['the sign for kelvin', ['\u212a', 'k']],
  ])('refuses names that differ only in form: %s', (_what, names) => {
    expect(() => added(...names)).toThrow(/only in case or Unicode form/);
    expect(() => added(...names.toReversed())).toThrow(ZipFault);
  });

  it('tells names apart that look alike and are not the same anywhere', () => {
    expect(() => added('a', 'a.', 'a ', 'à', 'ａ', 'а')).not.toThrow();
  });
});
