import { describe, expect, it } from 'vitest';
import { readClaim } from './start-claim.ts';

const resolve = ['file:///a.mjs', 'node,import', '', './b.mjs', 'file:///b.mjs', ['module']];
const load = ['file:///b.mjs', 'import', 'module', 'ab'];
const claim = (changes: object) =>
  readClaim(JSON.stringify({ node: 'v24.0.0', resolves: [resolve], loads: [load], ...changes }));

describe('what an agent says of its start', () => {
  it('is read into values', () => {
    expect(claim({})).toEqual({
      node: 'v24.0.0',
      resolves: [
        {
          parent: 'file:///a.mjs',
          conditions: ['node', 'import'],
          type: '',
          specifier: './b.mjs',
          url: 'file:///b.mjs',
          format: 'module',
        },
      ],
      loads: [{ url: 'file:///b.mjs', kind: 'import', format: 'module', hash: 'ab' }],
    });
    expect(claim({ resolves: [[...resolve.slice(0, 5), []]] }).resolves[0]!.format).toBeUndefined();
    expect(claim({ unfit: 'because' })).toMatchObject({ unfit: 'because', loads: [] });
  });

  it.each([
    ['no Node', { node: 24 }, /names no Node/],
    ['a list that is none', { loads: { length: 1 } }, /a list in it is none/],
    ['a resolution of numbers', { resolves: [[1, 2, 3, 4, 5, []]] }, /a resolution in it is malformed/],
    ['a format that is none', { resolves: [[...resolve.slice(0, 5), [{}]]] }, /a resolution/],
    ['a module of an unknown kind', { loads: [['file:///b', 'eval', 'module', 'ab']] }, /a module in it/],
    ['a text that no package holds', { loads: [['f'.repeat(10_000), 'import', 'module', 'ab']] }, /a module/],
  ])('is refused with %s', (_what, changes, message) => {
    expect(() => claim(changes)).toThrow(message);
  });
});
