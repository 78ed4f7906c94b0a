import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc64 } from '@runstead/contract/crc64';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { blobFile } from '../../src/artifacts/folders.ts';
import { letGoOfOthers } from '../../src/artifacts/let-go.ts';
import { forgetPrepared, prepare, sweepPrepared } from '../../src/artifacts/prepare.ts';
import { PhaseFailure } from '../../src/domain/failure.ts';
import type { RuntimeSpec } from '../../src/domain/runtime.ts';
import { createLog } from '../../src/observe/log.ts';
import { specOf } from '../store-cases.ts';
import { type ArtifactBench, halfMade, openBench, packageOf, RULES, tree } from './bench.ts';
import { craftZip } from './craft-zip.ts';

const log = createLog('silent', 'control');
let bench: ArtifactBench;
beforeEach(() => {
  bench = openBench();
});
afterEach(() => bench.dispose());

/** Puts a package where intake would have put it; gives the configuration that refers to it. */
function deployed(zip: Buffer, changes: Partial<RuntimeSpec> = {}): RuntimeSpec {
  const digest = createHash('sha256').update(zip).digest('hex');
  writeFileSync(blobFile(bench.folders, digest), zip);
  return specOf({ artifact: { digest, crc64: crc64(zip) }, ...changes });
}

function preparing(
  spec: RuntimeSpec,
  options: { signal?: AbortSignal; onPhase?: (phase: string) => void } = {},
) {
  const phases: string[] = [];
  const folder = prepare({
    folders: bench.folders,
    thread: bench.thread,
    runtimeId: 'r1',
    spec,
    limitBytes: 100_000_000,
    limitEntries: 5000,
    installTimeoutMs: 10_000,
    installRules: RULES,
    signal: options.signal ?? new AbortController().signal,
    onPhase: (phase) => {
      phases.push(phase);
      options.onPhase?.(phase);
    },
  }).then(({ codeDir }) => codeDir);
  return { folder, phases };
}

async function failure(spec: RuntimeSpec): Promise<PhaseFailure> {
  const error = await preparing(spec).folder.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(PhaseFailure);
  expect(halfMade(bench.folders)).toEqual([]);
  expect((error as Error).message).not.toContain(bench.dataDir);
  return error as PhaseFailure;
}

const many = (count: number) =>
  packageOf(Object.fromEntries(Array.from({ length: count }, (_, i) => [`d${i % 7}/f${i}.js`, `${i}`])));

describe('prepare', () => {
  it('unpacks the package into a folder of the runtime and the digest', async () => {
    const spec = deployed(await packageOf({ 'index.js': 'main', 'lib/a.js': 'a' }));
    const { folder, phases } = preparing(spec);
    expect(await folder).toBe(join(bench.folders.code, 'r1', spec.artifact!.digest));
    expect(tree(await folder)).toEqual({ 'index.js': 'main', 'lib/': '/', 'lib/a.js': 'a' });
    expect(phases).toEqual(['fetch', 'unpack', 'install']);
    expect(halfMade(bench.folders)).toEqual([]);
  });

  it('finds again what was prepared, without the package', async () => {
    const spec = deployed(await packageOf({ 'index.js': 'main' }));
    const first = await preparing(spec).folder;
    rmSync(blobFile(bench.folders, spec.artifact!.digest));
    const again = preparing(spec);
    expect(await again.folder).toBe(first);
    expect(again.phases).toEqual(['fetch', 'install']);
  });

  it('prepares one package several times at once, into one folder', async () => {
    const spec = deployed(await many(200));
    const folders = await Promise.all(Array.from({ length: 6 }, () => preparing(spec).folder));
    expect(new Set(folders).size).toBe(1);
    expect(Object.keys(tree(folders[0]!))).toHaveLength(207);
    expect(halfMade(bench.folders)).toEqual([]);
    expect(readdirSync(join(bench.folders.code, 'r1'))).toEqual([spec.artifact!.digest]);
  });

  it('compares the checksum that was given as a number', async () => {
    const zip = await packageOf({ 'index.js': '' });
    const right = crc64(zip);
    const wrong = (BigInt(right) ^ 1n).toString();
    await preparing(deployed(zip, { codeConfiguration: { checksum: `00${right}`.slice(-20) } })).folder;
    const { phase, message } = await failure(deployed(zip, { codeConfiguration: { checksum: wrong } }));
    expect(phase).toBe('fetch');
    expect(message).toContain(wrong);
    expect(message).toContain(right);
  });

  it('says that a package is no longer there', async () => {
    const spec = deployed(await packageOf({ a: '' }));
    rmSync(blobFile(bench.folders, spec.artifact!.digest));
    const { phase, message } = await failure(spec);
    expect(phase).toBe('fetch');
    expect(message).toContain(spec.artifact!.digest.slice(0, 12));
  });

  it('says that there is no package at all', async () => {
    const { phase, message } = await failure(specOf({}));
    expect(phase).toBe('fetch');
    expect(message).toMatch(/no package/);
  });

  it.each([
    ['no archive', Buffer.from('garbage'), /no readable ZIP/],
    ['a link', craftZip([{ name: 'index.js' }, { name: 'l', mode: 0o120777, data: '/' }]), /'l' is a link/],
    ['a name that climbs', craftZip([{ name: 'index.js' }, { name: '../../x' }]), /\.\.\/\.\.\/x/],
    ['a bomb', craftZip([{ name: 'z', declaredSize: 5, deflate: true, data: Buffer.alloc(1e6) }]), /'z'/],
  ])('refuses %s in the phase of unpacking, and leaves nothing', async (_name, zip, reason) => {
    const { phase, message } = await failure(deployed(zip));
    expect(phase).toBe('unpack');
    expect(message).toMatch(reason);
    expect(tree(bench.folders.code)).toEqual({ 'r1/': '/' });
  });

  it('holds to the limits it is given', async () => {
    const { message } = await failure(
      deployed(craftZip(Array.from({ length: 5001 }, (_, i) => ({ name: `f${i}` })))),
    );
    expect(message).toContain('at most 5000');
  });

  it.each(['fetch', 'unpack', 'install'])(
    'aborted while in %s leaves nothing that looks complete and is not',
    async (at) => {
      const spec = deployed(await many(300));
      const abort = new AbortController();
      const { folder, phases } = preparing(spec, {
        signal: abort.signal,
        onPhase: (phase) => {
          if (phase === at) abort.abort(new Error('superseded'));
        },
      });
      // Without dependencies there is nothing left to abort in the last phase.
      if (at === 'install') await folder;
      else await expect(folder).rejects.toThrow('superseded');
      expect(phases.at(-1)).toBe(at);
      expect(halfMade(bench.folders)).toEqual([]);
      const codeDir = join(bench.folders.code, 'r1', spec.artifact!.digest);
      if (existsSync(codeDir)) expect(Object.keys(tree(codeDir))).toHaveLength(307);
      expect(Object.keys(tree(await preparing(spec).folder))).toHaveLength(307);
    },
  );

  it('cut short by the end of the server leaves nothing that looks complete and is not', async () => {
    const spec = deployed(await many(3000));
    let ended: Promise<void> | undefined;
    const { folder } = preparing(spec, {
      onPhase: (phase) => {
        if (phase === 'unpack') ended = bench.thread.close();
      },
    });
    await expect(folder).rejects.toThrow('stopping');
    await ended;
    expect(halfMade(bench.folders)).toEqual([]);
    expect(existsSync(join(bench.folders.code, 'r1', spec.artifact!.digest))).toBe(false);
  });
});

describe('what was prepared', () => {
  it('goes with its runtime', async () => {
    await preparing(deployed(await packageOf({ a: '' }))).folder;
    mkdirSync(join(bench.folders.deps, 'r1', 'key'), { recursive: true });
    mkdirSync(join(bench.folders.deps, 'r2', 'key'), { recursive: true });
    await forgetPrepared(bench.folders, 'r1');
    await forgetPrepared(bench.folders, 'r1');
    expect(tree(bench.folders.code)).toEqual({});
    expect(Object.keys(tree(bench.folders.deps))).toEqual(['r2/', 'r2/key/']);
  });

  it('goes once its package is not referred to, with the installs that only that one used', async () => {
    const { code, deps } = bench.folders;
    const [kept, left] = ['a'.repeat(64), 'b'.repeat(64)];
    const link = (digest: string, name: string, key: string, made: string) => {
      mkdirSync(join(deps, 'r1', key, 'tree', made), { recursive: true });
      mkdirSync(join(code, 'r1', digest), { recursive: true });
      symlinkSync(join(deps, 'r1', key, 'tree', made), join(code, 'r1', digest, name));
    };
    link(kept, 'node_modules', 'shared', 'node_modules');
    link(left, 'node_modules', 'shared', 'node_modules');
    link(left, '.venv', 'own', 'venv');
    mkdirSync(join(code, 'r1', `${left}.1.tmp`));
    mkdirSync(join(code, 'r2', left), { recursive: true });

    await letGoOfOthers(bench.folders, 'r1', new Set([kept]), log);
    await letGoOfOthers(bench.folders, 'r1', new Set([kept]), log);
    await letGoOfOthers(bench.folders, 'never-there', new Set(), log);
    // What is on its way in is not its business.
    expect(readdirSync(join(code, 'r1')).sort()).toEqual([kept, `${left}.1.tmp`]);
    expect(readdirSync(join(deps, 'r1'))).toEqual(['shared']);
    expect(readdirSync(join(code, 'r2'))).toEqual([left]);
  });

  it('goes with what was built of it; what a build that stays relies on stays', async () => {
    const { code, deps } = bench.folders;
    const [kept, left] = ['a'.repeat(64), 'b'.repeat(64)];
    const install = (key: string) => {
      const modules = join(deps, 'r1', key, 'tree', 'node_modules', 'some');
      mkdirSync(modules, { recursive: true });
      mkdirSync(join(deps, 'r1', key, 'tree', 'venv'));
      return modules;
    };
    const build = (key: string, digest: string, name: string, target: string) => {
      mkdirSync(join(deps, 'r1', key, 'tree', 'node_modules', '@scope'), { recursive: true });
      writeFileSync(join(deps, 'r1', key, 'of'), digest);
      writeFileSync(join(deps, 'r1', key, 'tree', 'node_modules', '.cache'), 'of a tool');
      symlinkSync(target, join(deps, 'r1', key, 'tree', 'node_modules', name));
    };
    build('keptbuild', kept, '@scope/some', install('one'));
    build('leftbuild', left, 'some', install('two'));
    symlinkSync(join(deps, 'r1', 'three', 'tree', 'venv'), join(deps, 'r1', 'keptbuild', 'tree', '.venv'));
    install('three');
    for (const digest of [kept, left]) mkdirSync(join(code, 'r1', digest), { recursive: true });
    // The same list of requirements as the build that stays.
    symlinkSync(join(deps, 'r1', 'three', 'tree', 'venv'), join(code, 'r1', left, '.venv'));

    await letGoOfOthers(bench.folders, 'r1', new Set([kept]), log);
    expect(readdirSync(join(code, 'r1'))).toEqual([kept]);
    expect(readdirSync(join(deps, 'r1')).sort()).toEqual(['keptbuild', 'one', 'three']);
  });

  it('never takes anything outside of the runtime with it, wherever a link points', async () => {
    const left = 'b'.repeat(64);
    const elsewhere = join(bench.dataDir, 'elsewhere', 'key', 'tree', 'node_modules');
    mkdirSync(elsewhere, { recursive: true });
    mkdirSync(join(bench.folders.code, 'r1', left), { recursive: true });
    symlinkSync(elsewhere, join(bench.folders.code, 'r1', left, 'node_modules'));
    await letGoOfOthers(bench.folders, 'r1', new Set(), log);
    expect(readdirSync(join(bench.folders.code, 'r1'))).toEqual([]);
    expect(existsSync(elsewhere)).toBe(true);
  });

  it('is swept at start: what is half-made, and what belongs to nobody', async () => {
    for (const folder of [bench.folders.code, bench.folders.deps]) {
      for (const path of [
        'r1/good',
        'r1/good.123.tmp/x',
        'r1/other.9.tmp',
        'r2/good',
        'gone/good',
        'gone/a.1.tmp',
      ]) {
        mkdirSync(join(folder, path), { recursive: true });
      }
      writeFileSync(join(folder, 'stray'), '');
    }
    await sweepPrepared(bench.folders, new Set(['r1', 'r2']));
    for (const folder of [bench.folders.code, bench.folders.deps]) {
      expect(Object.keys(tree(folder))).toEqual(['r1/', 'r1/good/', 'r2/', 'r2/good/']);
    }
  });
});
