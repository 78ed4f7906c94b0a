import { expect, it } from 'vitest';
import { linesIn } from './import-record.ts';

it('takes names of modules with their places, variables and the two signs, each once', () => {
  const lines = [
    'json\t/lib/json/__init__.py',
    'json.decoder',
    'näme\t',
    '=HOME',
    '!chdir',
    '!hooks A PathFinder',
  ];
  expect(linesIn([...lines, 'json.decoder', ''].join('\n'))).toEqual(lines);
});

it.each(['../x', 'a b', 'os; import evil', '-m', '!run x', 'a\tb\tc', '=', `a${'b'.repeat(5000)}`, '\0'])(
  'refuses %j',
  (line) => {
    expect(linesIn(`${line}\nlast\n`)).toEqual(['last']);
  },
);

it('is bounded', () => {
  expect(linesIn(Array.from({ length: 30_000 }, (_, i) => `m${i}`).join('\n'))).toHaveLength(20_000);
});
