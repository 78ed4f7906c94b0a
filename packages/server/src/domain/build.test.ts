import { describe, expect, it } from 'vitest';
import { buildGoal, builtCommand, builtNames } from './build.ts';

const BUILDS = { scripts: { build: 'tsc' } };
const OLD = [20, 20, 2];
const NEW = [22, 18, 0];
const has =
  (...names: string[]) =>
  (path: string) =>
    names.includes(path);

describe('buildGoal', () => {
  const goal = (
    command: string[],
    files: string[],
    nodeVersion: number[] | undefined = OLD,
    manifest: object = BUILDS,
  ) => buildGoal({ command, manifest, hasFile: has(...files), nodeVersion });

  it('is JavaScript of a TypeScript file that this Node does not run', () => {
    const command = ['node', 'src/a.ts'];
    expect(goal(command, ['src/a.ts'])).toEqual({ kind: 'typescript', file: 'src/a.ts' });
    expect(goal(command, ['src/a.ts'], NEW)).toBeUndefined();
    expect(goal(['node', '--import', 'tsx', 'src/a.ts'], ['src/a.ts'])).toBeUndefined();
  });

  it('is a file that is started and not there, whatever the Node', () => {
    for (const version of [OLD, NEW]) {
      expect(goal(['node', 'dist/a.js'], ['src/a.ts'], version)).toEqual({
        kind: 'missing',
        file: 'dist/a.js',
      });
    }
    expect(goal(['node', 'dist/a'], ['src/a.ts'])).toEqual({ kind: 'missing', file: 'dist/a' });
  });

  it('is nothing when the file is there, as Node would find it', () => {
    expect(goal(['node', 'dist/a.js'], ['dist/a.js'])).toBeUndefined();
    expect(goal(['node', 'dist/a'], ['dist/a.js'])).toBeUndefined();
    expect(goal(['node', 'dist'], ['dist/index.js'])).toBeUndefined();
    expect(goal(['python3', 'main.py'], [])).toBeUndefined();
  });

  it.each([undefined, {}, { scripts: {} }, { scripts: { build: ' ' } }, { scripts: { build: 3 } }])(
    'is nothing without a build script: %j',
    (manifest) => {
      const question = {
        command: ['node', 'a.js'],
        manifest: manifest as object,
        hasFile: has(),
        nodeVersion: OLD,
      };
      expect(buildGoal(question)).toBeUndefined();
    },
  );
});

describe('builtCommand', () => {
  it('keeps the command whose file came to be', () => {
    const command = ['node', '--x', './dist/a'];
    const goal = { kind: 'missing', file: 'dist/a' } as const;
    expect(builtCommand(goal, { command, manifest: BUILDS, hasFile: has('dist/a.js') })).toEqual(command);
    expect(builtCommand(goal, { command, manifest: BUILDS, hasFile: has() })).toBeUndefined();
  });

  it('starts the JavaScript in place of the TypeScript', () => {
    const question = { command: ['node', '--x', 'src/a.ts', 'src/a.ts.txt'], manifest: BUILDS };
    const goal = { kind: 'typescript', file: 'src/a.ts' } as const;
    const with_ = (...names: string[]) => builtCommand(goal, { ...question, hasFile: has(...names) });
    expect(with_('build/a.js', 'dist/a.js')).toEqual(['node', '--x', 'dist/a.js', 'src/a.ts.txt']);
    expect(with_('dist/b.js')).toBeUndefined();
  });

  it('looks beside, in the usual folders and at main', () => {
    const names = builtNames('./src/x/a.mts', { ...BUILDS, main: './lib/main.js' });
    expect(names.slice(0, 3)).toEqual(['src/x/a.mjs', 'dist/x/a.mjs', 'dist/src/x/a.mjs']);
    expect(names.at(-1)).toBe('lib/main.js');
    expect(builtNames('a.ts', { main: 'a.ts' })).toEqual(
      expect.arrayContaining(['a.js', 'a.mjs', 'a.cjs', 'dist/a.js', 'out/a.js']),
    );
    expect(builtNames('a.ts', { main: 'a.ts' })).not.toContain('a.ts');
  });
});
