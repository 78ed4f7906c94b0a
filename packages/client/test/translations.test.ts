import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';

/** Translations follow their originals: what can be compared without knowing the language is compared. */

const root = join(import.meta.dirname, '..', '..', '..');

interface Outline {
  headings: number[];
  code: string[];
  /** Of each table, how many cells each row has; then its cells that are code alone. */
  tables: number[][];
  cells: string[];
  /** Of each list, how many entries. */
  entries: number;
  paragraphs: number;
}

function outline(text: string): Outline {
  const code = text.match(/^```.*?^```$/gms) ?? [];
  const prose = text.replace(/^```.*?^```$/gms, '```');
  const lines = prose.split('\n');
  const tables: number[][] = [];
  for (const [index, line] of lines.entries()) {
    if (!line.startsWith('|')) continue;
    if (!lines[index - 1]?.startsWith('|')) tables.push([]);
    tables.at(-1)!.push(line.split(' | ').length);
  }
  const blocks = prose.split(/\n{2,}/).map((block) => block.trim());
  return {
    headings: lines.filter((line) => /^#+ /.test(line)).map((line) => line.indexOf(' ')),
    code,
    tables,
    cells: lines.flatMap((line) =>
      line.startsWith('|') ? (line.match(/(?<=\| )`[^`]+`(?= \|)/g) ?? []) : [],
    ),
    entries: lines.filter((line) => line.startsWith('- ')).length,
    // The line that leads to the other language stands in both.
    paragraphs: blocks.filter((block) => block !== '' && !/^(#|\||- |\[|```)/.test(block)).length,
  };
}

describe.each([
  ['README.md', 'README.zh-CN.md'],
  ['docs/client.md', 'docs/client.zh-CN.md'],
])('%s', (original, translation) => {
  const english = readFileSync(join(root, original), 'utf8');
  const chinese = readFileSync(join(root, translation), 'utf8');

  it('has the same headings, code, tables, lists and paragraphs in its translation', () => {
    expect(outline(chinese)).toEqual(outline(english));
    expect(outline(english).headings.length).toBeGreaterThan(2);
  });

  it('names the same code in its paragraphs', () => {
    const names = (text: string) =>
      [...new Set(text.replace(/^```.*?^```$/gms, '').match(/`[^`\n]+`/g))].sort();
    expect(names(chinese)).toEqual(names(english));
  });

  it('leads to its translation and back, and to nothing that is not there', () => {
    const links = (text: string) => [...text.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)].map(([, link]) => link!);
    const [file, translated] = [original, translation].map((path) => path.split('/').at(-1)!);
    expect(links(english)).toContain(translated);
    expect(links(chinese)).toContain(file);
    for (const link of [...links(english), ...links(chinese)]) {
      if (/^https?:/.test(link)) continue;
      expect({ link, isThere: existsSync(join(root, dirname(original), link)) }).toEqual({
        link,
        isThere: true,
      });
    }
  });
});

it('links within the client’s documentation lead to a heading', () => {
  for (const file of ['docs/client.md', 'docs/client.zh-CN.md']) {
    const text = readFileSync(join(root, file), 'utf8');
    const anchors = [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
      heading!
        .toLowerCase()
        .replace(/[^\p{L}\p{N} -]/gu, '')
        .replaceAll(' ', '-'),
    );
    for (const [, anchor] of text.matchAll(/\]\(#([^)]+)\)/g)) expect(anchors).toContain(anchor);
  }
});
