import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findInterpreter } from '../../src/drivers/process/find-interpreter.ts';
import { openInstallBench } from './install-bench.ts';

const found = await findInterpreter('python', 'python3.10');
const PYTHON = 'missing' in found ? undefined : found;
if (!PYTHON) console.warn('skipped: there is no Python 3.10 or newer here');

const bench = openInstallBench();
const python = {
  spec: { codeConfiguration: { language: 'python3.10' as const, command: ['python', 'main.py'] } },
};

/** Runs the prepared package's main file where nothing can be written; gives what Python says of its imports. */
const run = (codeDir: string) =>
  execFileSync(PYTHON!.path, ['-v', '-B', join(codeDir, 'main.py')], {
    cwd: '/',
    env: {},
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });

const compiled = (folder: string) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.pyc'))
    .sort();

describe.skipIf(!PYTHON)('the bytecode of a package', () => {
  it('is there before its first start, and is what Python takes', async () => {
    const codeDir = await bench.preparing(
      {
        'main.py':
          'import lib.deep, errors\nprint(lib.deep.__cached__, lib.deep.where.__code__.co_filename)\n',
        'errors.py': 'NAME = 1\n',
        'lib/__init__.py': '',
        'lib/deep.py': 'def where(): pass\n',
        // Never imported: a template, and a source that was cut off.
        'lib/template.py': 'class {{ name }}:\n',
        'lib/cut.py': 'x = "\0"\n',
        'node_modules/gyp/gyp.py': 'x = 1\n',
      },
      python,
    );
    const tag = `cpython-${PYTHON!.version.slice(0, 2).join('')}`;
    expect(compiled(codeDir)).toEqual([
      `__pycache__/errors.${tag}.pyc`,
      `__pycache__/main.${tag}.pyc`,
      `lib/__pycache__/__init__.${tag}.pyc`,
      `lib/__pycache__/deep.${tag}.pyc`,
    ]);
    const before = statSync(join(codeDir, 'lib', '__pycache__', `deep.${tag}.pyc`)).mtimeMs;
    expect(run(codeDir).trim()).toBe(
      `${join(codeDir, 'lib', '__pycache__', `deep.${tag}.pyc`)} ${join(codeDir, 'lib', 'deep.py')}`,
    );
    expect(statSync(join(codeDir, 'lib', '__pycache__', `deep.${tag}.pyc`)).mtimeMs).toBe(before);
  });

  it('gives way to a source that the agent changes', async () => {
    const codeDir = await bench.preparing(
      { 'main.py': 'import mod; print(mod.X)', 'mod.py': 'X = 1\n' },
      python,
    );
    expect(run(codeDir).trim()).toBe('1');
    writeFileSync(join(codeDir, 'mod.py'), 'X = 1000\n');
    expect(run(codeDir).trim()).toBe('1000');
  });

  it('is made by running nothing of the package, and not for other languages', async () => {
    const files = {
      'main.py': `open(${JSON.stringify(join(bench.dataDir, 'ran'))}, 'w')\n`,
      'sitecustomize.py': `open(${JSON.stringify(join(bench.dataDir, 'ran'))}, 'w')\n`,
      'compileall.py': 'raise SystemExit(1)\n',
    };
    expect(compiled(await bench.preparing(files, python))).toHaveLength(3);
    expect(existsSync(join(bench.dataDir, 'ran'))).toBe(false);
    bench.nextRuntime();
    const node = {
      spec: { codeConfiguration: { language: 'nodejs18' as const, command: ['node', 'a.js'] } },
    };
    expect(compiled(await bench.preparing({ ...files, 'a.js': '' }, node))).toEqual([]);
  });
});
