import { describe, expect, it } from 'vitest';
import { type Dependence, dependencesOf, type Lookup } from './lookup-rule.ts';

/** The package's folder, into which agents may write, and its install, into which nobody does. */
const [OPEN, SEALED] = [0, 1];

function hangsOn(lookup: Partial<Lookup> & Pick<Lookup, 'specifier' | 'target'>): string[] | undefined {
  const found = dependencesOf({
    parent: { root: OPEN, path: 'src/agent.js' },
    isExact: false,
    sealed: [false, true],
    ...lookup,
  });
  return found?.map(
    ({ root, path, what }: Dependence) => `${what} ${root === OPEN ? '' : 'install:'}${path}`,
  );
}

const open = (path: string) => ({ root: OPEN, path });
const installed = (path: string) => ({ root: SEALED, path: `node_modules/${path}` });

describe('a lookup is kept', () => {
  it('inside an install, whatever was searched for', () => {
    const parent = installed('a/index.js');
    expect(hangsOn({ specifier: './lib', parent, target: installed('a/lib/index.js') })).toEqual([]);
    expect(hangsOn({ specifier: 'b', parent, target: installed('b/index.js') })).toEqual([]);
  });

  it('when a file was named, as long as it and the package.json above it are the same', () => {
    expect(hangsOn({ specifier: './tools/add.js', target: open('src/tools/add.js'), isExact: true })).toEqual(
      [
        'content src/tools/add.js',
        'content src/tools/package.json',
        'content src/package.json',
        'content package.json',
        'content src/agent.js',
        'content src/package.json',
        'content package.json',
      ],
    );
  });

  it('for a package of the install, as long as no nearer one of the name comes up', () => {
    const found = hangsOn({ specifier: '@scope/b/sub', target: installed('@scope/b/sub.js') });
    expect(found).toContain('presence src/node_modules/@scope/b');
    expect(found).not.toContain('presence node_modules/@scope/b');
  });

  it('for a package that came with the agent, as long as its own folder is the same', () => {
    const found = hangsOn({ specifier: 'b', target: open('node_modules/b/lib/main.js') });
    expect(found).toContain('presence src/node_modules/b');
    expect(found).toContain('content node_modules/b/package.json');
    expect(found).toContain('listing node_modules/b/lib');
    expect(found).not.toContain('content package.json, of the agent');
    const inside = { parent: open('node_modules/b/lib/main.js'), target: open('node_modules/b/lib/more.js') };
    expect(hangsOn({ specifier: './more', ...inside })).toContain('listing node_modules/b/lib');
  });
});

describe('a lookup is not kept', () => {
  it.each<[string, Partial<Lookup> & Pick<Lookup, 'specifier' | 'target'>]>([
    ['a search in the folders of the agent', { specifier: './tools', target: open('src/tools/index.js') }],
    ['a search with a bare slash', { specifier: '/src/tools', target: open('src/tools.js') }],
    ['an internal name', { specifier: '#inner', target: open('src/inner.js') }],
    ['the package by its own name', { specifier: 'mine', target: open('src/index.js') }],
    ['out of an install', { specifier: 'x', parent: installed('a/i.js'), target: open('src/x.js') }],
    [
      'what the process itself searched for',
      { specifier: 'agent', parent: undefined, target: open('agent.js') },
    ],
    ['a place of the install that is no package', { specifier: 'b', target: { root: SEALED, path: 'b.js' } }],
    ['a URL', { specifier: 'data:text/javascript,1', target: open('src/x.js') }],
  ])('%s', (_what, lookup) => {
    expect(hangsOn(lookup)).toBeUndefined();
  });
});
