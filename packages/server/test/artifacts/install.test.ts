import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { createStartLimit } from '../../src/reconcile/start-limit.ts';
import { until } from './bench.ts';
import { openInstallBench, openRegistry } from './install-bench.ts';

const bench = openInstallBench();
const { preparing, failure, installs, processesWith } = bench;

const MANIFEST = { name: 'agent', version: '1.0.0', dependencies: { 'is-number': '^7.0.0' } };
const LOCK = realLock();

/** A lockfile as npm makes it from the registry that this machine is set up for; undefined when there is none. */
function realLock(): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'runstead-lock-'));
  try {
    writeFileSync(join(folder, 'package.json'), JSON.stringify(MANIFEST));
    execFileSync('npm', ['install', '--package-lock-only', '--ignore-scripts', '--no-audit', '--no-fund'], {
      cwd: folder,
      stdio: 'pipe',
      timeout: 20_000,
    });
    return readFileSync(join(folder, 'package-lock.json'), 'utf8');
  } catch (error) {
    console.warn(`skipped: npm reaches no registry from here (${(error as Error).message.split('\n')[0]})`);
    return undefined;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const json = (value: unknown) => JSON.stringify(value, null, 2);

/** A lockfile that has one dependency at an address. */
function lockWith(resolved: string): Record<string, string> {
  const manifest = { name: 'agent', version: '1.0.0', dependencies: { thing: '1.0.0' } };
  const entry = { version: '1.0.0', resolved, integrity: `sha512-${Buffer.alloc(64).toString('base64')}` };
  return {
    'package.json': json(manifest),
    'package-lock.json': json({
      name: 'agent',
      version: '1.0.0',
      lockfileVersion: 3,
      requires: true,
      packages: { '': manifest, 'node_modules/thing': entry },
    }),
  };
}

/** A package with a dependency in one of its own folders. */
function withLocalDependency(files: Record<string, string>): Record<string, string> {
  const manifest = { name: 'agent', version: '1.0.0', dependencies: { near: 'file:near' } };
  return {
    'package.json': json(manifest),
    'package-lock.json': json({
      name: 'agent',
      version: '1.0.0',
      lockfileVersion: 3,
      requires: true,
      packages: {
        '': manifest,
        near: { version: '1.0.0', hasInstallScript: true },
        'node_modules/near': { resolved: 'near', link: true },
      },
    }),
    ...files,
  };
}

const load = (codeDir: string, expression: string) =>
  execFileSync(process.execPath, ['-p', expression], { cwd: codeDir, encoding: 'utf8' }).trim();

describe('dependencies', () => {
  it('that nobody locked, or that came with the package, are left as they are', async () => {
    const plain = await preparing({ 'package.json': json(MANIFEST), 'index.js': '' });
    expect(existsSync(join(plain, 'node_modules'))).toBe(false);
    const brought = await preparing({
      ...lockWith('http://127.0.0.1:1/thing.tgz'),
      'node_modules/thing/index.js': 'module.exports = "brought"',
    });
    expect(load(brought, 'require("thing")')).toBe('brought');
    expect(installs()).toEqual([]);
  });

  it('need a manifest beside the lockfile', async () => {
    const { message } = await failure({ 'package-lock.json': '{}', 'index.js': '' });
    expect(message).toContain('package-lock.json stands in the package without a package.json');
  });

  describe.skipIf(LOCK === undefined)('from the registry', () => {
    const files = (code: string) => ({
      'package.json': json(MANIFEST),
      'package-lock.json': LOCK!,
      'index.js': code,
    });

    it('are installed once for as long as the lockfile stays, whatever happens to the code', async () => {
      const first = await preparing(files('module.exports = 1'));
      expect(load(first, 'require("is-number")(5)')).toBe('true');
      expect(installs()).toHaveLength(1);
      const link = readlinkSync(join(first, 'node_modules'));
      expect(link).toBe(join(bench.install(), 'tree', 'node_modules'));
      // A second install would replace it.
      writeFileSync(join(bench.install(), 'mark'), 'the first');
      const second = await preparing(files('module.exports = 2'));
      expect(second).not.toBe(first);
      expect(load(second, 'require("./index.js") + String(require("is-number")("x"))')).toBe('2false');
      expect(readlinkSync(join(second, 'node_modules'))).toBe(link);
      expect(readFileSync(join(bench.install(), 'mark'), 'utf8')).toBe('the first');
      expect(await preparing(files('module.exports = 2'))).toBe(second);
      expect(installs()).toHaveLength(1);
    });

    it('are installed again for another manifest, and for another runtime', async () => {
      await preparing(files(''));
      const described = json({ ...MANIFEST, description: 'other' });
      await preparing({ ...files(''), 'package.json': described });
      expect(installs()).toHaveLength(2);
      const before = bench.nextRuntime();
      const other = await preparing(files(''));
      expect(installs()).toHaveLength(1);
      expect(readlinkSync(join(other, 'node_modules'))).not.toContain(`/${before}/`);
    });

    it('are installed once when several starts want them at the same time', async () => {
      const folders = await Promise.all([1, 2, 3].map(() => preparing(files('module.exports = 3'))));
      expect(new Set(folders).size).toBe(1);
      expect(load(folders[0]!, 'require("is-number")(5)')).toBe('true');
      expect(installs()).toHaveLength(1);
    });

    it('say what npm said when the lockfile does not fit the manifest', async () => {
      const manifest = json({ ...MANIFEST, dependencies: { 'is-number': '^6.0.0' } });
      const { message, lastLines } = await failure({ ...files(''), 'package.json': manifest });
      expect(message).toBe('npm ci exited with code 1');
      const said = lastLines.join('\n');
      expect(said).toContain('in sync');
      expect(said).toContain('is-number@7.0.0 does not satisfy');
      // Not npm's options, which would push the fault out of sight.
      expect(said).not.toMatch(/Usage:|--dry-run|Clean install/);
    });

    it('are not fetched from where the package’s own .npmrc says', async () => {
      const registry = await openRegistry(404);
      try {
        const folder = await preparing({
          ...files(''),
          '.npmrc': `registry=${registry.url}/\nprefer-online=true\n`,
        });
        expect(load(folder, 'require("is-number")(5)')).toBe('true');
        expect(registry.requests).toEqual([]);
      } finally {
        await registry.close();
      }
    });
  });

  it('say what npm said when one does not exist', async () => {
    const registry = await openRegistry(404);
    try {
      const { message, lastLines } = await failure(lockWith(`${registry.url}/thing/-/thing-1.0.0.tgz`));
      expect(message).toBe('npm ci exited with code 1');
      expect(lastLines.join('\n')).toContain('404');
      expect(registry.requests.length).toBeGreaterThan(0);
    } finally {
      await registry.close();
    }
  });

  const script = json({
    name: 'near',
    version: '1.0.0',
    scripts: {
      postinstall: 'touch ran',
      preinstall: 'touch ran',
      prepare: 'touch ran',
      install: 'touch ran',
    },
  });

  it('do not run anything when they are installed', async () => {
    const files = withLocalDependency({
      'near/package.json': script,
      'near/index.js': 'module.exports = "near"',
    });
    const own = JSON.parse(files['package.json']!) as object;
    files['package.json'] = json({ ...own, scripts: { postinstall: 'touch ran', prepare: 'touch ran' } });
    const folder = await preparing(files);
    expect(load(folder, 'require("near")')).toBe('near');
    const target = join(bench.install(), 'tree');
    for (const place of [folder, join(folder, 'near'), target, join(target, 'near')]) {
      expect(existsSync(join(place, 'ran'))).toBe(false);
    }
  });

  it('within the package follow its code, though the lockfile stays the same', async () => {
    const version = (text: string) =>
      withLocalDependency({ 'near/package.json': script, 'near/index.js': `module.exports = "${text}"` });
    const old = await preparing(version('old'));
    const fresh = await preparing(version('new'));
    expect(load(fresh, 'require("near")')).toBe('new');
    expect(load(old, 'require("near")')).toBe('old');
  });

  it('within the package bring no settings for npm either', async () => {
    const registry = await openRegistry(404);
    try {
      const files = withLocalDependency({
        'near/package.json': script,
        'near/index.js': 'module.exports = 1',
      });
      // An unlocked dependency of the local one would have to be asked for; a script shell would show in the tree.
      const npmrc = `registry=${registry.url}/\nignore-scripts=false\nprefer-online=true\n`;
      const folder = await preparing({ ...files, '.npmrc': npmrc, 'near/.npmrc': npmrc });
      const target = join(bench.install(), 'tree');
      expect(existsSync(join(target, '.npmrc'))).toBe(false);
      expect(existsSync(join(target, 'near', 'ran'))).toBe(false);
      expect(load(folder, 'require("near")')).toBe('1');
      expect(registry.requests).toEqual([]);
    } finally {
      await registry.close();
    }
  });

  it.skipIf(process.platform !== 'linux')(
    'are installed without sight of the server’s environment, and not at all once aborted',
    async () => {
      const registry = await openRegistry('nothing');
      process.env.RUNSTEAD_TEST_SECRET = 'do-not-show';
      try {
        const abort = new AbortController();
        const running = preparing(lockWith(`${registry.url}/thing.tgz`), { signal: abort.signal });
        const outcome = expect(running).rejects.toThrow('superseded');
        await until('npm to ask', () => registry.requests.length > 0);
        const npm = processesWith('npm');
        expect(npm.length).toBeGreaterThan(0);
        for (const { environment } of npm) {
          expect(environment).not.toContain('do-not-show');
          expect(environment).not.toContain('VITEST');
          expect(environment).toContain(`HOME=${bench.runtimeFolder()}`);
        }
        abort.abort(new Error('superseded'));
        await outcome;
        expect(processesWith('npm')).toEqual([]);
        expect(installs()).toEqual([]);
      } finally {
        delete process.env.RUNSTEAD_TEST_SECRET;
        await registry.close();
      }
    },
  );

  it('whose registry refuses fail soon, and the reason says so', async () => {
    const registry = await openRegistry(404);
    await registry.close();
    const { message } = await failure(lockWith(`${registry.url}/thing.tgz`));
    expect(message).toBe(
      'the package registry could not be reached: the connection was refused; its address is in npm’s settings on the server',
    );
  });

  it('that take too long are given up, with everything that was started for them', async () => {
    const registry = await openRegistry('nothing');
    try {
      const { message } = await failure(lockWith(`${registry.url}/thing.tgz`), { timeoutMs: 2500 });
      expect(message).toBe('npm ci was stopped after 3 s');
      if (process.platform === 'linux') expect(processesWith('npm')).toEqual([]);
    } finally {
      await registry.close();
    }
  });
});

describe('an install', () => {
  it('waits for its turn, and leaves the line when it is aborted', async () => {
    const limit = createStartLimit(1);
    const release = await limit.acquire(new AbortController().signal, 'another');
    const abort = new AbortController();
    const files = lockWith('http://127.0.0.1:1/thing.tgz');
    const waiting = preparing(files, { limit, signal: abort.signal });
    const outcome = expect(waiting).rejects.toThrow('superseded');
    // The same one again waits for the first; it takes over when that one is gone.
    const next = preparing(files, { limit, timeoutMs: 20_000 });
    const failed = expect(next).rejects.toThrow('the connection was refused');
    await delay(300);
    expect(installs()).toEqual([]);
    abort.abort(new Error('superseded'));
    await outcome;
    release();
    await failed;
    expect(installs()).toEqual([]);
  });

  it('is not asked of a package that brings all it needs', async () => {
    const refusing = { acquire: () => Promise.reject(new Error('nobody may install')) };
    await preparing({ 'index.js': '', 'package.json': '{}' }, { limit: refusing });
  });
});

describe('a TypeScript file to start', () => {
  const start = (version: number[], command?: string[]) => {
    const files = {
      'agent.ts': 'const a: number = 1;',
      'package.json': json({ ...MANIFEST, scripts: { build: 'tsc' } }),
      'package-lock.json': '{}',
      'node_modules/is-number/index.js': '',
    };
    const codeConfiguration = { command: command ?? ['node', 'agent.ts'] };
    const findInterpreter = async () => ({ path: process.execPath, version });
    return { files, options: { spec: { codeConfiguration }, findInterpreter } };
  };

  it('is refused with the reason by a Node that does not read it when nothing says how to build it', async () => {
    const { files, options } = start([20, 19, 4]);
    const unbuildable = { ...files, 'package.json': json(MANIFEST) };
    const { message } = await failure(unbuildable, options);
    expect(message).toContain('agent.ts is TypeScript, which Node 20.19.4 does not run by itself');
    expect(message).toContain('give package.json a build script');
  });

  it('goes on with a Node that does, or with somebody else’s loader', async () => {
    for (const { files, options } of [
      start([22, 18, 0]),
      start([20, 19, 4], ['node', '--import', 'tsx', 'agent.ts']),
    ]) {
      expect(existsSync(join(await preparing(files, options), 'agent.ts'))).toBe(true);
    }
  });
});
