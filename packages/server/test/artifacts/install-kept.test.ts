import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { flushTree } from '../../src/artifacts/flush.ts';
import { forgetPrepared } from '../../src/artifacts/prepare.ts';
import { findInterpreter } from '../../src/drivers/process/find-interpreter.ts';
import { packageOf } from './bench.ts';
import { type Files, openInstallBench } from './install-bench.ts';
import { openTarballs, type Tarballs } from './tarballs.ts';

/** S6: what is kept of an install is read-only, and nobody else's. */

const bench = openInstallBench();
const { preparing, starting, nextRuntime } = bench;
const json = (value: unknown) => JSON.stringify(value, null, 2);
const registry: Tarballs = await openTarballs({
  shared: {
    'package.json': json({ name: 'shared', version: '1.0.0' }),
    'index.js': 'module.exports = "clean"',
    'lib/deep.js': 'module.exports = "clean"',
  },
});
afterAll(() => registry.close());

const MANIFEST = { name: 'agent', version: '1.0.0', dependencies: { shared: '1.0.0' } };
const files = (manifest: object = {}, checksums = true): Files => ({
  'package.json': json({ ...MANIFEST, ...manifest }),
  'package-lock.json': registry.lock(MANIFEST, { checksums }),
  'index.js': '',
});
const noLog = { warn: () => {} } as never;

/** Paths below a folder, links not followed. */
function everything(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? [path, ...everything(path)] : [path];
  });
}

const writable = (folder: string) =>
  [folder, ...everything(folder)].filter((path) => {
    const stats = lstatSync(path);
    return !stats.isSymbolicLink() && (stats.mode & 0o222) !== 0;
  });

/** Runs a program as one that rights mean something to: root is not asked. Undefined where that cannot be had. */
function asAnybody(file: string, args: string[], cwd: string) {
  const isRoot = process.getuid?.() === 0;
  const [program, ...before] = isRoot ? ['setpriv', '--bounding-set=-all', '--inh-caps=-all', file] : [file];
  const result = spawnSync(program!, [...before, ...args], { cwd, encoding: 'utf8' });
  return result.error ? undefined : result;
}
const canBeAnybody = asAnybody('/bin/sh', ['-c', 'true'], '/')?.status === 0;
if (!canBeAnybody) console.warn('skipped: there is no setpriv here, and root may write everywhere');

const found = await findInterpreter('python', 'custom');
const PYTHON = 'missing' in found ? undefined : found;
if (!PYTHON) console.warn('skipped: there is no Python here');

describe('what was installed for Node', () => {
  it('is read-only, works, and goes with its runtime all the same', async () => {
    const codeDir = await preparing(files());
    expect(writable(join(bench.install(), 'tree'))).toEqual([]);
    expect(
      execFileSync(process.execPath, ['-p', 'require("shared")'], { cwd: codeDir, encoding: 'utf8' }),
    ).toBe('clean\n');
    await forgetPrepared(bench.folders, bench.runtimeId(), noLog);
    expect(existsSync(bench.runtimeFolder())).toBe(false);
  });

  it.skipIf(!canBeAnybody)('cannot be changed by an agent that is not root', async () => {
    const codeDir = await preparing(files());
    for (const attempt of [
      'require("fs").writeFileSync(require.resolve("shared"), "")',
      'require("fs").writeFileSync("node_modules/shared/new.js", "")',
      'require("fs").mkdirSync("node_modules/other")',
      'require("fs").rmSync("node_modules/shared/lib/deep.js")',
    ]) {
      const result = asAnybody(process.execPath, ['-e', attempt], codeDir)!;
      expect([attempt, result.status, result.stderr]).toEqual([
        attempt,
        1,
        expect.stringContaining('EACCES'),
      ]);
    }
    // Its own code it may.
    expect(
      asAnybody(process.execPath, ['-e', 'require("fs").writeFileSync("own", "")'], codeDir)!.status,
    ).toBe(0);
  });

  it.skipIf(!canBeAnybody)('is removed by a server that is not root', async () => {
    await preparing(files());
    const remove = `import { removeAll } from ${JSON.stringify(new URL('../../dist/artifacts/remove-tree.js', import.meta.url).href)};
      await removeAll(${JSON.stringify(bench.runtimeFolder())});`;
    expect(asAnybody(process.execPath, ['--input-type=module', '-e', remove], '/')).toMatchObject({
      status: 0,
      stderr: '',
    });
    expect(existsSync(bench.runtimeFolder())).toBe(false);
  });
});

describe.skipIf(!PYTHON)('what was installed for Python', () => {
  const wheel = packageOf({
    'near/__init__.py': 'NAME = "near"\n',
    'near-1.0.dist-info/METADATA': 'Metadata-Version: 2.1\nName: near\nVersion: 1.0\n',
    'near-1.0.dist-info/WHEEL':
      'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
    'near-1.0.dist-info/RECORD': '',
  });
  const project = async (): Promise<Files> => ({
    'main.py': '',
    'requirements.txt': './near-1.0-py3-none-any.whl\n',
    'near-1.0-py3-none-any.whl': await wheel,
  });

  it('is read-only and compiled: no start has to do that anew', async () => {
    const codeDir = await preparing(await project());
    const tree = join(bench.install(), 'tree');
    expect(writable(tree)).toEqual([]);
    const compiled = everything(tree).filter((path) => /near\/__pycache__\/__init__\.[^/]+\.pyc$/.test(path));
    expect(compiled).toHaveLength(1);
    const python = join(codeDir, '.venv', 'bin', 'python');
    const importing = ['-v', '-c', 'import near; print(near.NAME)'];
    const { stdout, stderr } = spawnSync(python, importing, { encoding: 'utf8' });
    expect(stdout).toBe('near\n');
    expect(stderr).toMatch(/code object from .*near\/__pycache__/);
  });

  it.skipIf(!canBeAnybody)('cannot be changed by an agent that is not root', async () => {
    const codeDir = await preparing(await project());
    const python = join(codeDir, '.venv', 'bin', 'python');
    const result = asAnybody(python, ['-c', 'import near; open(near.__file__, "a")'], codeDir)!;
    expect(result.stderr).toContain('PermissionError');
  });
});

describe('of two runtimes with one lockfile, the first malicious', () => {
  /** Writes into everything that it reaches on its way up to the data folder's caches and its own dependencies. */
  const spoil = `
const fs = require('node:fs');
const path = require('node:path');
const spoiled = [];
const spoil = (folder) => {
  try { fs.chmodSync(folder, 0o700); } catch {}
  for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
    const inside = path.join(folder, entry.name);
    if (entry.isDirectory()) spoil(inside);
    else if (entry.isFile()) {
      try { fs.chmodSync(inside, 0o600); } catch {}
      fs.writeFileSync(inside, 'module.exports = "spoiled"');
      spoiled.push(inside);
    }
  }
};
// <data>/deps/<runtime>/<key>/tree
spoil(path.resolve('../../../../cache'));
spoil(fs.realpathSync('node_modules/shared'));
fs.mkdirSync('dist');
fs.writeFileSync('dist/agent.js', JSON.stringify(spoiled));
`;

  it.each([
    ['with checksums in it, so that they share a cache', true, true],
    ['without, so that they share none', false, false],
  ])('the second’s tree is clean: %s', async (_name, checksums, isShared) => {
    // Something is in the shared cache in any case.
    await preparing(files());
    nextRuntime();
    const first = await starting(
      { ...files({ scripts: { build: 'node spoil.js' } }, checksums), 'spoil.js': spoil },
      { spec: { codeConfiguration: { command: ['node', 'dist/agent.js'] } } },
    );
    const spoiled = JSON.parse(readFileSync(join(first.codeDir, 'dist', 'agent.js'), 'utf8')) as string[];
    const inShared = spoiled.filter((path) => path.includes('/cache/shared/npm/_cacache/content-v2/'));
    expect(inShared.length > 0).toBe(true);
    expect(spoiled.some((path) => path.includes(`/cache/runtimes/${bench.runtimeId()}/`))).toBe(!isShared);
    expect(spoiled.some((path) => path.endsWith('node_modules/shared/index.js'))).toBe(true);

    const before = bench.runtimeId();
    nextRuntime();
    const second = await preparing(files({}, checksums));
    const tree = join(readlinkSync(join(second, 'node_modules')), 'shared');
    expect(tree).not.toContain(`/${before}/`);
    for (const name of ['index.js', 'lib/deep.js']) {
      expect(readFileSync(join(tree, name), 'utf8')).toBe('module.exports = "clean"');
      // Nor do they share a file that one could change for the other.
      expect(lstatSync(join(tree, name)).nlink).toBe(1);
    }
    // What the first finds next time is still its own.
    expect(readFileSync(join(first.codeDir, 'node_modules', 'shared', 'index.js'), 'utf8')).toContain(
      'spoiled',
    );
  });

  it('its cache goes with it', async () => {
    await preparing(files({}, false));
    const cache = join(bench.folders.cache, 'runtimes', bench.runtimeId());
    expect(existsSync(cache)).toBe(true);
    await forgetPrepared(bench.folders, bench.runtimeId(), noLog);
    expect(existsSync(cache)).toBe(false);
  });

  it('a cache of its own that has grown larger than an install may be is begun anew', async () => {
    const cache = join(bench.folders.cache, 'runtimes', bench.runtimeId());
    mkdirSync(cache, { recursive: true });
    writeFileSync(join(cache, 'large'), Buffer.alloc(3_000_000, 1));
    await preparing(files(), { rules: { diskBytes: 2_000_000 } });
    expect(existsSync(cache)).toBe(false);
  });
});

describe('flushTree', () => {
  it.each([3, 200])(
    'takes a tree of %i files as it is: folders, links to nowhere, what nobody may read',
    async (count) => {
      const folder = mkdtempSync(join(tmpdir(), 'runstead-flush-'));
      try {
        mkdirSync(join(folder, 'inner', 'empty'), { recursive: true });
        for (let i = 0; i < count; i++)
          writeFileSync(join(folder, 'inner', `f${i}`), 'x', { mode: i === 0 ? 0o000 : 0o444 });
        symlinkSync('/nowhere', join(folder, 'link'));
        await flushTree(folder);
        expect(readdirSync(join(folder, 'inner'))).toHaveLength(count + 1);
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
  );
});
