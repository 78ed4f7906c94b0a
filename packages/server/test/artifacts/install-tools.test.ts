import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { findInterpreter } from '../../src/drivers/process/find-interpreter.ts';
import { type Files, openInstallBench, openRegistry, withEnvironment } from './install-bench.ts';

const SYSTEM = '/usr/bin:/bin';
const tools = mkdtempSync(join(tmpdir(), 'runstead-tools-'));
afterAll(() => rmSync(tools, { recursive: true, force: true }));

/** What it gives, or undefined with the reason printed: the tools come from the registry this machine is set up for. */
function attempt<T>(what: string, work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    console.warn(`skipped: ${what} could not be had (${(error as Error).message.split('\n')[0]})`);
    return undefined;
  }
}

const run = (file: string, args: string[], cwd: string, path = process.env.PATH) =>
  execFileSync(file, args, {
    cwd,
    stdio: 'pipe',
    timeout: 60_000,
    encoding: 'utf8',
    env: { ...process.env, PATH: path, YARN_ENABLE_IMMUTABLE_INSTALLS: 'false', YARN_ENABLE_TELEMETRY: '0' },
  });

/** Installs a package manager into a folder of its own. @returns the PATH that has it */
function nodeTool(spec: string, program: string): string | undefined {
  return attempt(spec, () => {
    const folder = join(tools, spec.replaceAll('/', '_'));
    mkdirSync(folder);
    writeFileSync(join(folder, 'package.json'), '{}');
    run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', spec], folder);
    const bin = join(folder, 'node_modules', '.bin');
    run(join(bin, program), ['--version'], folder, `${dirname(process.execPath)}:${SYSTEM}`);
    return `${bin}:${dirname(process.execPath)}:${SYSTEM}`;
  });
}

const MANIFEST = {
  name: 'agent',
  version: '1.0.0',
  dependencies: { 'is-number': '^7.0.0' },
  scripts: { postinstall: 'touch ran', prepare: 'touch ran' },
};
const json = (value: unknown) => JSON.stringify(value, null, 2);

/** The lockfile that a tool makes for the manifest. */
function lockOf(path: string, program: string, args: string[], lockName: string): string {
  const folder = mkdtempSync(join(tools, 'lock-'));
  writeFileSync(join(folder, 'package.json'), json({ ...MANIFEST, scripts: {} }));
  // Modern Yarn looks for a project's start further up otherwise.
  writeFileSync(join(folder, 'yarn.lock'), '');
  if (program === 'pnpm') rmSync(join(folder, 'yarn.lock'));
  run(program, args, folder, path);
  return readFileSync(join(folder, lockName), 'utf8');
}

const bench = openInstallBench();
const { preparing, failure, installs } = bench;
const load = (codeDir: string, expression: string) =>
  execFileSync(process.execPath, ['-p', expression], { cwd: codeDir, encoding: 'utf8' }).trim();

const cases = [
  { tool: 'pnpm', spec: 'pnpm@9', lockName: 'pnpm-lock.yaml', lockArgs: ['install', '--lockfile-only'] },
  { tool: 'yarn', spec: 'yarn@1', lockName: 'yarn.lock', lockArgs: ['install', '--ignore-scripts'] },
  {
    tool: 'yarn',
    spec: '@yarnpkg/cli-dist@4',
    lockName: 'yarn.lock',
    lockArgs: ['install', '--mode=update-lockfile'],
  },
].map((it) => {
  const path = nodeTool(it.spec, it.tool);
  const lock = path && attempt(`a lock of ${it.spec}`, () => lockOf(path, it.tool, it.lockArgs, it.lockName));
  return { ...it, path, lock };
});

const hasBeside = (tool: string) =>
  [dirname(process.execPath), ...SYSTEM.split(':')].some((folder) => existsSync(join(folder, tool)));

describe.each(cases)('a lockfile of $spec', ({ tool, lockName, path, lock }) => {
  it.skipIf(hasBeside(tool))('is refused with the reason where that is not on the machine', async () => {
    const files = { 'package.json': json(MANIFEST), [lockName]: 'anything' };
    const { message } = await withEnvironment({ PATH: SYSTEM }, () => failure(files));
    expect(message).toBe(
      `${lockName} needs ${tool}, which is not on this machine; install it, or put a package-lock.json or node_modules into the package`,
    );
  });

  const prepared = (files: Files) => withEnvironment({ PATH: path }, () => preparing(files));

  it.skipIf(!lock)('is installed once, running nothing and heeding nothing of the package', async () => {
    const registry = await openRegistry(404);
    const evil = `require('node:fs').writeFileSync(${JSON.stringify(join(tools, 'ran'))}, '')`;
    const files = (code: string): Files => ({
      'package.json': json({ ...MANIFEST, packageManager: `${tool}@0.0.1` }),
      [lockName]: lock!,
      'index.js': code,
      '.npmrc': `registry=${registry.url}/\nstore-dir=/nowhere\n`,
      '.yarnrc': `registry "${registry.url}/"\nyarn-path "./evil.cjs"\n`,
      '.yarnrc.yml': `npmRegistryServer: "${registry.url}"\nyarnPath: ./evil.cjs\nplugins: [./evil.cjs]\n`,
      '.pnpmfile.cjs': evil,
      'evil.cjs': evil,
    });
    try {
      const first = await prepared(files('1'));
      expect(load(first, 'require("is-number")(5)')).toBe('true');
      const second = await prepared(files('2'));
      expect(second).not.toBe(first);
      expect(load(second, 'require("is-number")("x")')).toBe('false');
      expect(existsSync(join(bench.install(), 'tree', 'ran'))).toBe(false);
      expect(existsSync(join(tools, 'ran'))).toBe(false);
      expect(registry.requests).toEqual([]);
    } finally {
      await registry.close();
    }
  });

  it.skipIf(!lock)('builds a package that needs it, from a place that the build may write into', async () => {
    const build = `node -e "require('fs').mkdirSync('dist'); require('fs').writeFileSync('dist/index.js', 'console.log(' + require('is-number')(5) + ')'); require('fs').writeFileSync('node_modules/.mark', '')"`;
    const lines: string[] = [];
    const prepared = await withEnvironment({ PATH: path }, () =>
      bench.starting(
        { 'package.json': json({ ...MANIFEST, scripts: { build } }), [lockName]: lock! },
        {
          spec: { codeConfiguration: { command: ['node', 'dist/index.js'] } },
          onOutput: (more) => lines.push(...more),
        },
      ),
    );
    expect(load(prepared.codeDir, 'require("./dist/index.js")')).toContain('true');
    expect(lines.join('\n')).toContain('mkdirSync');
    // One install, one build.
    expect(installs()).toHaveLength(2);
  });

  it.skipIf(!lock)('runs install scripts where the operator allows them, and then only those', async () => {
    const files = { 'package.json': json(MANIFEST), [lockName]: lock! };
    const folder = await withEnvironment({ PATH: path }, () =>
      preparing(files, { rules: { allowScripts: 'all' } }),
    );
    expect(load(folder, 'require("is-number")(5)')).toBe('true');
    expect(existsSync(join(bench.install(), 'tree', 'ran'))).toBe(false);
  });

  it.skipIf(!lock)('is refused in the tool’s own words when it does not fit the manifest', async () => {
    const manifest = json({ ...MANIFEST, dependencies: { 'is-number': '^6.0.0' } });
    const { message, lastLines } = await withEnvironment({ PATH: path }, () =>
      failure({ 'package.json': manifest, [lockName]: lock! }),
    );
    expect(message).toBe(`${tool} install exited with code 1`);
    expect(lastLines.join('\n')).toMatch(/frozen-lockfile|lockfile would have been modified/);
  });
});

it.skipIf(!cases[1]!.lock || !cases[2]!.lock)(
  'Yarn of one kind is not given the other’s lockfile',
  async () => {
    for (const [path, lock, of] of [
      [cases[1]!.path, cases[2]!.lock!, '2 or newer'],
      [cases[2]!.path, cases[1]!.lock!, '1,'],
    ]) {
      const files = { 'package.json': json(MANIFEST), 'yarn.lock': lock! };
      const { message } = await withEnvironment({ PATH: path }, () => failure(files));
      expect(message).toContain(`yarn.lock is of Yarn ${of}`);
    }
  },
);

const python = await findInterpreter('python', 'custom');
const uv = 'missing' in python ? undefined : attempt('uv', () => uvAt(python.path));

/** @returns a PATH that has uv, and a lock that it made */
function uvAt(interpreter: string): { path: string; files: Record<string, string> } {
  const folder = join(tools, 'uv');
  run(interpreter, ['-m', 'venv', folder], tools);
  run(join(folder, 'bin', 'pip'), ['install', '-q', '--only-binary', ':all:', 'uv'], tools);
  const bin = join(tools, 'uv-bin');
  mkdirSync(bin);
  symlinkSync(join(folder, 'bin', 'uv'), join(bin, 'uv'));
  const project = join(tools, 'uv-project');
  mkdirSync(project);
  const manifest = [
    '[project]\nname = "agent"\nversion = "1"\nrequires-python = ">=3.8"\ndependencies = ["six==1.16.0"]',
    '[dependency-groups]\ndev = ["toml==0.10.2"]',
    // Building the package itself would run this.
    '[build-system]\nrequires = []\nbuild-backend = "evil"\nbackend-path = ["."]\n',
  ].join('\n');
  writeFileSync(join(project, 'pyproject.toml'), manifest);
  run(join(bin, 'uv'), ['lock', '--python', interpreter], project);
  const lock = readFileSync(join(project, 'uv.lock'), 'utf8');
  return { path: `${bin}:${SYSTEM}`, files: { 'pyproject.toml': manifest, 'uv.lock': lock } };
}

describe.skipIf(!uv)('a lockfile of uv', () => {
  const evil = `open(${JSON.stringify(join(tools, 'ran'))}, 'w')\n`;
  const files = (code: string): Files => ({ ...uv!.files, 'main.py': code, 'evil.py': evil });
  const imported = (codeDir: string, name: string) =>
    execFileSync(
      join(codeDir, '.venv', 'bin', 'python'),
      ['-c', `import ${name}; print(${name}.__version__)`],
      {
        stdio: 'pipe',
        encoding: 'utf8',
      },
    ).trim();

  it('is installed once, without development dependencies and without building the package', async () => {
    const first = await withEnvironment({ PATH: uv!.path }, () => preparing(files('1')));
    expect(imported(first, 'six')).toBe('1.16.0');
    expect(() => imported(first, 'toml')).toThrow();
    const second = await withEnvironment({ PATH: uv!.path }, () => preparing(files('2')));
    expect(second).not.toBe(first);
    expect(imported(second, 'six')).toBe('1.16.0');
    expect(installs()).toHaveLength(1);
    expect(existsSync(join(tools, 'ran'))).toBe(false);
  });

  it('gives way to what pip can read where uv is not on the machine', async () => {
    const folder = await withEnvironment({ PATH: SYSTEM }, () => preparing(files('1')));
    expect(imported(folder, 'six')).toBe('1.16.0');
    expect(existsSync(join(folder, '.venv', 'bin', 'pip'))).toBe(true);
    expect(existsSync(join(tools, 'ran'))).toBe(false);
  });

  it('is refused in uv’s own words when it cannot be read', async () => {
    const broken = { ...uv!.files, 'uv.lock': 'version = "none"' };
    const { message, lastLines } = await withEnvironment({ PATH: uv!.path }, () => failure(broken));
    expect(message).toMatch(/^uv sync exited with code \d$/);
    expect(lastLines.join('\n')).toContain('uv.lock');
  });
});
