import { describe, expect, it } from 'vitest';
import { findEntry } from './entry.ts';

const files = (...names: string[]) => new Set(names);

describe('findEntry', () => {
  const cases: [string, Parameters<typeof findEntry>[0], string[] | undefined][] = [
    [
      'a start script of plain words',
      { files: files(), manifest: { scripts: { start: 'node  agent.mjs --x=1' } } },
      ['node', 'agent.mjs', '--x=1'],
    ],
    [
      'a start script that needs a shell',
      { files: files(), manifest: { scripts: { start: 'A=1 node a.js && true' } } },
      ['sh', '-c', 'A=1 node a.js && true'],
    ],
    [
      'main before index.js',
      { files: files('lib/run.js', 'index.js'), manifest: { main: './lib/run.js' } },
      ['node', 'lib/run.js'],
    ],
    [
      'index.js when main is not there',
      { files: files('index.js'), manifest: { main: 'gone.js' } },
      ['node', 'index.js'],
    ],
    [
      'main that is yet to be built, before what is there',
      { files: files('src/a.ts', 'index.js'), manifest: { main: './dist/a.js', scripts: { build: 'tsc' } } },
      ['node', 'dist/a.js'],
    ],
    [
      'no main outside the package, whatever is built',
      { files: files('index.js'), manifest: { main: '../a.js', scripts: { build: 'tsc' } } },
      ['node', 'index.js'],
    ],
    ['server.mjs', { files: files('server.mjs', 'main.py') }, ['node', 'server.mjs']],
    ['main.py', { files: files('app.py', 'main.py') }, ['python3', 'main.py']],
    ['app.py', { files: files('app.py') }, ['python3', 'app.py']],
    ['nothing in a sub-folder', { files: files('src/index.js') }, undefined],
    [
      'nothing for scripts that are no text',
      { files: files(), manifest: { scripts: { start: 3 } } },
      undefined,
    ],
  ];
  it.each(cases)('finds %s', (_name, listing, command) => {
    expect(findEntry(listing)?.command).toEqual(command);
  });
});
