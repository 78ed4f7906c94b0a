import { describe, expect, it } from 'vitest';
import { startedFile } from './started-file.ts';

const manifest = {
  scripts: { start: 'NODE_ENV=production node dist/index.js', go: 'tsx a.ts' },
  main: './lib/run.js',
};

describe('startedFile', () => {
  it.each([
    [['node', 'dist/index.js'], 'dist/index.js'],
    [['node', './dist/index.js', 'x.js'], 'dist/index.js'],
    [['/usr/bin/node', '--enable-source-maps', '--env-file', '.env', 'a.mjs'], 'a.mjs'],
    [['node', '--import', 'tsx', 'src/a.ts'], 'src/a.ts'],
    [['node', '.'], 'lib/run.js'],
    [['npm', 'start'], 'dist/index.js'],
    [['npm', 'run', '--silent', 'start'], 'dist/index.js'],
    [['pnpm', 'start'], 'dist/index.js'],
    [['sh', '-c', 'cd . && exec node "dist/a.js" --x'], 'dist/a.js'],
    [['./dist/cli.js', '--port'], 'dist/cli.js'],
  ])('%j starts %s', (command, file) => {
    expect(startedFile(command, manifest)).toBe(file);
  });

  it.each([
    [[]],
    [['node', '-e', 'dist/index.js']],
    [['node', '/opt/agent.js']],
    [['node', '../agent.js']],
    [['/bin/echo', 'x']],
    [['npm', 'run', 'go']],
    [['npm', 'run', 'gone']],
    [['npm']],
    [['sh', '-c', 'node "$ENTRY"']],
    [['python3', 'main.py']],
    [['agent']],
  ])('of %j nothing can be told', (command) => {
    expect(startedFile(command, manifest)).toBeUndefined();
  });
});
