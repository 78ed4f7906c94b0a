import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Prepared } from '../../src/artifacts/prepare.ts';
import { tree, until } from './bench.ts';
import {
  type Files,
  openInstallBench,
  openRegistry,
  type PreparingOptions,
  withEnvironment,
} from './install-bench.ts';
import { openTarballs, type Tarballs } from './tarballs.ts';

const bench = openInstallBench();
const { starting, failure, installs } = bench;
const json = (value: unknown) => JSON.stringify(value, null, 2);

/** A "compiler" that is a development dependency: it upper-cases what stands in src. */
const compiler = {
  'package.json': json({ name: 'compiler', version: '1.0.0', main: 'index.js', bin: { compile: 'bin.js' } }),
  'index.js': `exports.compile = (text) => text.replace('a: number', 'a');`,
  'bin.js': `#!/usr/bin/env node
const fs = require('node:fs');
const { compile } = require('./index.js');
fs.mkdirSync('dist', { recursive: true });
for (const name of fs.readdirSync('src')) {
  fs.writeFileSync('dist/' + name.replace(/ts$/, 'js'), compile(fs.readFileSync('src/' + name, 'utf8')));
}
fs.writeFileSync('node_modules/.cache-of-compiler', 'made');
console.log('compiled ' + process.argv.length);
`,
};
const registry: Tarballs = await openTarballs({
  compiler,
  needed: {
    'package.json': json({ name: 'needed', version: '1.0.0' }),
    'index.js': 'module.exports = "needed"',
  },
});
afterAll(() => registry.close());

const MANIFEST = {
  name: 'agent',
  version: '1.0.0',
  dependencies: { needed: '1.0.0' },
  devDependencies: { compiler: '1.0.0' },
  scripts: { build: 'compile' },
};

/** A package whose code has to be compiled. */
const source = (code: string, manifest: object = {}): Files => ({
  'package.json': json({ ...MANIFEST, ...manifest }),
  'package-lock.json': registry.lock({ ...MANIFEST, ...manifest }),
  'src/agent.ts': code,
});
const AGENT = 'const a: number = 1; console.log(require("needed"), a);';

const node = (version: number[]) => async () => ({ path: process.execPath, version });
const NODE_20 = { findInterpreter: node([20, 19, 4]) };
const commanded = (...command: string[]): PreparingOptions => ({
  ...NODE_20,
  spec: { codeConfiguration: { command } },
});

const said = ({ codeDir, command }: Prepared) =>
  execFileSync(process.execPath, command!.slice(1), { cwd: codeDir, encoding: 'utf8' }).trim();

describe('a package that starts a file its build script makes', () => {
  it('is built with its development dependencies and started from there; the unpacked package stays as it is', async () => {
    const lines: string[] = [];
    const options = {
      ...commanded('node', 'dist/agent.js'),
      onOutput: (more: readonly string[]) => lines.push(...more),
    };
    const prepared = await starting(source(AGENT), options);
    expect(prepared.command).toEqual(['node', 'dist/agent.js']);
    expect(said(prepared)).toBe('needed 1');
    expect(lines).toContain('compiled 2');
    const code = join(bench.folders.code, bench.runtimeId());
    expect(readdirSync(code)).toHaveLength(1);
    expect(Object.keys(tree(join(code, readdirSync(code)[0]!)))).toEqual([
      'package-lock.json',
      'package.json',
      'src/',
      'src/agent.ts',
    ]);
    // A build tool's cache lies beside the installed packages, not in them.
    expect(existsSync(join(prepared.codeDir, 'node_modules', '.cache-of-compiler'))).toBe(true);
    const installed = installs().find((name) => !prepared.codeDir.includes(name))!;
    expect(
      existsSync(join(bench.runtimeFolder(), installed, 'tree', 'node_modules', '.cache-of-compiler')),
    ).toBe(false);
  });

  it('is built again for other code, without installing again, and not again for the same', async () => {
    const options = commanded('node', 'dist/agent.js');
    const first = await starting(source(AGENT), options);
    const asked = registry.requests.length;
    const second = await starting(source(AGENT.replace('= 1', '= 2')), options);
    expect(registry.requests).toHaveLength(asked);
    expect(second.codeDir).not.toBe(first.codeDir);
    expect([said(first), said(second)]).toEqual(['needed 1', 'needed 2']);
    // One install, two builds.
    expect(installs()).toHaveLength(3);
    writeFileSync(join(first.codeDir, 'mark'), '');
    expect(await starting(source(AGENT), options)).toEqual(first);
    expect(existsSync(join(first.codeDir, 'mark'))).toBe(true);
  });

  it('is built anew when the server died in the middle', async () => {
    const options = commanded('node', 'dist/agent.js');
    const { codeDir } = await starting(source(AGENT), options);
    rmSync(join(dirname(codeDir), 'complete'));
    rmSync(join(codeDir, 'dist'), { recursive: true });
    writeFileSync(join(codeDir, 'stale'), '');
    const again = await starting(source(AGENT), options);
    expect(said(again)).toBe('needed 1');
    expect(existsSync(join(again.codeDir, 'stale'))).toBe(false);
  });

  it('is built once when several starts want it at the same time', async () => {
    const files = source(`${AGENT}//once`);
    const options = commanded('node', 'dist/agent.js');
    const lines: string[] = [];
    const onOutput = (more: readonly string[]) => lines.push(...more);
    const all = await Promise.all([1, 2, 3].map(() => starting(files, { ...options, onOutput })));
    expect(new Set(all.map(({ codeDir }) => codeDir)).size).toBe(1);
    expect(lines.filter((line) => line.startsWith('compiled'))).toHaveLength(1);
  });

  it('that brings its node_modules is built with those', async () => {
    const brought = Object.fromEntries(
      Object.entries(compiler).map(([name, text]) => [`node_modules/compiler/${name}`, text]),
    );
    const files: Files = {
      'package.json': json({ ...MANIFEST, scripts: { build: 'node node_modules/compiler/bin.js' } }),
      'src/agent.ts': 'const a: number = 3; console.log(a)',
      ...brought,
    };
    expect(said(await starting(files, commanded('node', 'dist/agent.js')))).toBe('3');
    expect(installs()).toHaveLength(1);
  });
});

describe('a TypeScript file to start', () => {
  it('is built for a Node that does not read it, and the JavaScript started instead', async () => {
    const prepared = await starting(source(AGENT), commanded('node', '--enable-source-maps', 'src/agent.ts'));
    expect(prepared.command).toEqual(['node', '--enable-source-maps', 'dist/agent.js']);
    expect(said(prepared)).toBe('needed 1');
  });

  it('that was found in the package is built likewise', async () => {
    const entry = { command: ['node', 'src/agent.ts'], source: 'package.json main' };
    const prepared = await starting(source(AGENT), { ...NODE_20, artifact: { entry } });
    expect(said(prepared)).toBe('needed 1');
  });

  it('is left as it is for a Node that reads it', async () => {
    const prepared = await starting(source(AGENT), {
      ...commanded('node', 'src/agent.ts'),
      findInterpreter: node([22, 18, 0]),
    });
    expect(prepared.command).toEqual(['node', 'src/agent.ts']);
    expect(existsSync(join(prepared.codeDir, 'dist'))).toBe(false);
    expect(existsSync(join(prepared.codeDir, 'node_modules', 'compiler'))).toBe(false);
  });
});

describe('a build that comes to nothing says what to do:', () => {
  const start = commanded('node', 'dist/agent.js');

  it('it is not allowed', async () => {
    const { message } = await failure(source(AGENT), { ...start, rules: { allowScripts: 'none' } });
    expect(message).toBe(
      'dist/agent.js is not in the package, and this server runs no build scripts (RUNSTEAD_ALLOW_SCRIPTS is none): ' +
        'run "npm run build" before deploying and deploy what it makes, or have the operator set it to build',
    );
    const other = await failure(source(AGENT), {
      ...commanded('node', 'src/agent.ts'),
      rules: { allowScripts: 'none' },
    });
    expect(other.message).toMatch(
      /^src\/agent\.ts is TypeScript, which Node 20\.19\.4 does not run .*RUNSTEAD_ALLOW_SCRIPTS/,
    );
  });

  it('nobody locked its dependencies', async () => {
    const { 'package-lock.json': _lock, ...unlocked } = source(AGENT);
    const { message } = await failure(unlocked, start);
    expect(message).toContain(
      'no lockfile says which releases of its dependencies to install; put package-lock.json',
    );
  });

  const failing = async (build: string, options: PreparingOptions = start) => {
    const files = {
      'package.json': json({ name: 'a', version: '1.0.0', scripts: { build } }),
      'src/agent.ts': AGENT,
    };
    return failure(files, options);
  };

  it('it fails', async () => {
    const { message, lastLines } = await failing('echo "src/agent.ts(3,7): error" >&2; exit 2');
    expect(message).toBe('npm run build exited with code 2');
    expect(lastLines.join('\n')).toContain('src/agent.ts(3,7): error');
  });

  it('it makes something else', async () => {
    const { message } = await failing('mkdir build && echo > build/x.js');
    expect(message).toMatch(
      /^npm run build succeeded but made no dist\/agent\.js; let codeConfiguration\.command start/,
    );
    const typescript = await failing('true', commanded('node', 'src/agent.ts'));
    expect(typescript.message).toContain('made no JavaScript of src/agent.ts (src/agent.js, …)');
  });

  it('it never ends: it is stopped with all it started, wherever that went', async () => {
    const away = `node -e "require('child_process').spawn('sleep',['61.5'],{detached:true,stdio:'ignore'}).unref()"`;
    const { message } = await failing(`${away}; sleep 61.5`, { ...start, timeoutMs: 2500 });
    expect(message).toBe('npm run build was stopped after 3 s');
    if (process.platform === 'linux') expect(bench.processesWith('61.5')).toEqual([]);
  });
});

describe('a build script', () => {
  it('sees nothing of the server’s environment and none of its registry’s secrets', async () => {
    const build = 'env > env.txt; mkdir dist; echo > dist/agent.js';
    const files: Files = {
      'package.json': json({ name: 'a', version: '1.0.0', scripts: { build } }),
      '.npmrc': `//registry.example.test/:_authToken=\${RUNSTEAD_TEST_SECRET}\n`,
    };
    const variables = {
      RUNSTEAD_TEST_SECRET: 'do-not-show',
      npm_config_registry: 'http://user:do-not-show@127.0.0.1:9/',
      HTTPS_PROXY: 'http://user:do-not-show@127.0.0.1:9',
      NO_PROXY: '127.0.0.1',
    };
    const { codeDir } = await withEnvironment(variables, () =>
      starting(files, commanded('node', 'dist/agent.js')),
    );
    const environment = readFileSync(join(codeDir, 'env.txt'), 'utf8');
    expect(environment).not.toMatch(/do-not-show|VITEST|RUNSTEAD_TEST_SECRET/);
    expect(environment).toContain('NO_PROXY=127.0.0.1');
    expect(environment).toContain(`HOME=${bench.runtimeFolder()}`);
  });

  it('whose words hold a secret is shown without it', async () => {
    const lines: string[] = [];
    const build =
      'echo "token is s3cret-token"; echo "from http://me:pass@127.0.0.1/"; pwd; mkdir dist; echo > dist/agent.js';
    await starting(
      { 'package.json': json({ name: 'a', version: '1.0.0', scripts: { build } }) },
      {
        ...NODE_20,
        spec: {
          codeConfiguration: { command: ['node', 'dist/agent.js'] },
          environmentVariables: { API_TOKEN: 's3cret-token' },
        },
        onOutput: (more) => lines.push(...more),
      },
    );
    expect(lines).toEqual(expect.arrayContaining(['token is ***', 'from http://***@127.0.0.1/', '.']));
    expect(lines.join('\n')).not.toMatch(/s3cret|pass@/);
  });

  it('that was aborted leaves nothing, and nobody running', async () => {
    const abort = new AbortController();
    const files: Files = {
      'package.json': json({ name: 'a', version: '1.0.0', scripts: { build: 'echo > begun; sleep 62.5' } }),
    };
    const running = starting(files, { ...commanded('node', 'dist/agent.js'), signal: abort.signal });
    const outcome = expect(running).rejects.toThrow('superseded');
    await until('the build to begin', () =>
      installs().some((name) => existsSync(join(bench.runtimeFolder(), name, 'tree', 'begun'))),
    );
    abort.abort(new Error('superseded'));
    await outcome;
    expect(installs()).toEqual([]);
    if (process.platform === 'linux') expect(bench.processesWith('62.5')).toEqual([]);
  });

  it('may leave what an agent can write into, as in any package', async () => {
    const { codeDir } = await starting(source(AGENT), commanded('node', 'dist/agent.js'));
    expect(statSync(join(codeDir, 'dist')).mode & 0o200).toBe(0o200);
  });
});

describe('a settings file of the package', () => {
  it('sends neither the install for a build nor the build itself elsewhere', async () => {
    const foreign = await openRegistry(404);
    try {
      const npmrc = `registry=${foreign.url}/\n//127.0.0.1/:_authToken=\${HOME}\nignore-scripts=false\n`;
      const prepared = await starting(
        { ...source(AGENT), '.npmrc': npmrc },
        commanded('node', 'dist/agent.js'),
      );
      expect(said(prepared)).toBe('needed 1');
      expect(foreign.requests).toEqual([]);
    } finally {
      await foreign.close();
    }
  });
});
