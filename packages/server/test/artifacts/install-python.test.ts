import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { sweepPrepared } from '../../src/artifacts/prepare.ts';
import { findInterpreter } from '../../src/drivers/process/find-interpreter.ts';
import { packageOf, until } from './bench.ts';
import { type Files, openInstallBench, openRegistry, withEnvironment } from './install-bench.ts';

const found = await findInterpreter('python', 'custom');
const PYTHON = 'missing' in found ? undefined : found;
if (!PYTHON) console.warn('skipped: there is no Python here');
const REGISTRY = registryReached();

/** Whether pip, as this machine is set up, gets a wheel. */
function registryReached(): boolean {
  if (!PYTHON) return false;
  const folder = mkdtempSync(join(tmpdir(), 'runstead-wheel-'));
  try {
    const args = ['-m', 'pip', 'download', '-q', '--no-deps', '--only-binary', ':all:', '-d', folder];
    execFileSync(PYTHON.path, [...args, 'six==1.16.0'], { stdio: 'pipe', timeout: 30_000 });
    return true;
  } catch (error) {
    console.warn(`skipped: pip reaches no index from here (${(error as Error).message.split('\n')[0]})`);
    return false;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const bench = openInstallBench();
const { preparing, failure, installs } = bench;
const outside = mkdtempSync(join(tmpdir(), 'runstead-outside-'));
afterAll(() => rmSync(outside, { recursive: true, force: true }));

/** What the agent's `python` says, as the driver would find it. */
const python = (codeDir: string, code: string) =>
  execFileSync(join(codeDir, '.venv', 'bin', 'python'), ['-c', code], {
    cwd: codeDir,
    encoding: 'utf8',
    env: { PYTHONPATH: codeDir },
  }).trim();

/** A wheel as a build tool makes it. */
function wheelOf(name: string, requires: string[] = []): Promise<Buffer> {
  const info = `${name}-1.0.dist-info`;
  return packageOf({
    [`${name}.py`]: `NAME = '${name}'\n`,
    [`${info}/METADATA`]: [
      'Metadata-Version: 2.1',
      `Name: ${name}`,
      'Version: 1.0',
      ...requires.map((it) => `Requires-Dist: ${it}`),
      '',
    ].join('\n'),
    [`${info}/WHEEL`]: 'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
    [`${info}/RECORD`]: '',
  });
}

const near = (name: string) => `wheels/${name}-1.0-py3-none-any.whl`;
/** A package whose requirements are all in it, so that no index is asked. */
const selfContained = async (code = ''): Promise<Files> => ({
  'main.py': code,
  'requirements.txt': `./${near('near')}\n`,
  [near('near')]: await wheelOf('near'),
});

describe.skipIf(!PYTHON)('requirements', () => {
  describe.skipIf(!REGISTRY)('from the index', () => {
    const files = (code: string): Files => ({ 'main.py': code, 'requirements.txt': 'six==1.16.0\n' });

    it('are installed once for as long as they stay, whatever happens to the code', async () => {
      const first = await preparing(files('VALUE = 1'));
      expect(python(first, 'import main, six; print(main.VALUE, six.__version__)')).toBe('1 1.16.0');
      const venv = readlinkSync(join(first, '.venv'));
      expect(venv).toBe(join(bench.install(), 'tree', 'venv'));
      expect(python(first, 'import six; print(six.__file__)')).toContain(first);
      // A second install would take it away.
      writeFileSync(join(bench.install(), 'mark'), '');
      const second = await preparing(files('VALUE = 2'));
      expect(second).not.toBe(first);
      expect(python(second, 'import main, six; print(main.VALUE, six.__version__)')).toBe('2 1.16.0');
      expect(readlinkSync(join(second, '.venv'))).toBe(venv);
      expect(existsSync(join(bench.install(), 'mark'))).toBe(true);
      expect(installs()).toHaveLength(1);
    });

    it('are not shared with another runtime', async () => {
      const first = await preparing(files(''));
      bench.nextRuntime();
      const other = await preparing(files(''));
      expect(readlinkSync(join(other, '.venv'))).not.toBe(readlinkSync(join(first, '.venv')));
      const file = python(first, 'import six; print(six.__file__)');
      chmodSync(file, 0o600);
      writeFileSync(file, 'raise SystemExit("changed")');
      expect(python(other, 'import six; print(six.__version__)')).toBe('1.16.0');
    });

    it('may be spread over files, hold constraints and be written by PowerShell', async () => {
      const folder = await preparing({
        'requirements.txt': Buffer.from('\ufeff-r more/base.txt\r\n-c more/pins.txt\r\n', 'utf16le'),
        'more/base.txt': '# what is needed\nsix >= 1.0 ; python_version >= "3"\n',
        'more/pins.txt': 'six==1.15.0\n',
      });
      expect(python(folder, 'import six; print(six.__version__)')).toBe('1.15.0');
    });

    it('are refused with the reason when none has a wheel', async () => {
      const { message } = await failure({ 'requirements.txt': 'docopt==0.6.2\n' });
      expect(message).toContain('pip found no wheel for docopt==0.6.2; only wheels are installed');
    });

    it('are refused with pip’s own words when there is no such thing', async () => {
      const { message, lastLines } = await failure({ 'requirements.txt': 'six==0.0.999\n' });
      expect(message).toContain('six==0.0.999');
      expect(lastLines.join('\n')).toMatch(/ERROR: Could not find a version .*six==0\.0\.999/);
      expect(lastLines.join('\n')).not.toMatch(/Looking in|Collecting/);
    });

    it('run nothing of the package and do not heed its settings', async () => {
      const registry = await openRegistry(404);
      const write = `open(${JSON.stringify(join(outside, 'ran'))}, 'w')\n`;
      const conf = `[global]\nindex-url = ${registry.url}\n[install]\nno-index = true\n`;
      try {
        const folder = await preparing({
          ...files(''),
          'setup.py': write,
          'setup.cfg': conf,
          'sitecustomize.py': write,
          'pip.py': write,
          'venv.py': write,
          'pip.conf': conf,
          'pip.ini': conf,
          '.pip/pip.conf': conf,
          '.config/pip/pip.conf': conf,
          'pyproject.toml': '[build-system]\nrequires = ["nothing"]\n',
        });
        expect(existsSync(join(outside, 'ran'))).toBe(false);
        expect(registry.requests).toEqual([]);
        expect(execFileSync(join(folder, '.venv/bin/python'), ['-c', 'import six'])).toBeDefined();
      } finally {
        await registry.close();
      }
    });

    it('of a project file are installed when there is no list', async () => {
      const project = (text: string) => ({ 'main.py': '', 'pyproject.toml': text });
      const folder = await preparing(
        project('[project]\nname = "agent"\nversion = "1"\ndependencies = [\n  "six==1.16.0", # why\n]\n'),
      );
      expect(python(folder, 'import six; print(six.__version__)')).toBe('1.16.0');
    });
  });

  it('of a project file that names none need no environment', async () => {
    const text = '[project]\nname = "a"\nversion = "1"\ndependencies = []\n';
    const folder = await preparing({ 'pyproject.toml': text });
    expect(existsSync(join(folder, '.venv'))).toBe(false);
    expect(installs()).toHaveLength(1);
    expect(existsSync(join(await preparing({ 'pyproject.toml': '[tool.ruff]\n' }), '.venv'))).toBe(false);
    expect(existsSync(join(await preparing({ 'requirements.txt': '# none\n' }), '.venv'))).toBe(false);
    expect(installs()).toHaveLength(1);
  });

  const projects: [string, string, RegExp][] = [
    ['that is no TOML', '[project\ndependencies', /pyproject\.toml cannot be read/],
    ['with a repository', 'project.dependencies = ["x @ git+https://example.test/x"]', /have to be built/],
    ['with an option', 'project.dependencies = ["--index-url http://127.0.0.1:1"]', /set on the server/],
    ['with two in one', 'project.dependencies = ["six\\nsix"]', /is no requirement/],
    ['with a file', 'project.dependencies = ["-r more.txt"]', /is no requirement/],
    ['that leaves them to a build', 'project.dynamic = ["dependencies"]', /leaves its dependencies/],
    ['of Poetry’s own kind', '[tool.poetry.dependencies]\npython = "^3.9"\nsix = "*"', /Poetry/],
  ];
  it.each(projects)('are not guessed from a project file %s', async (_name, text, reason) => {
    const { message } = await failure(
      { 'pyproject.toml': text },
      // Only who is told to be Python has to be.
      { spec: { codeConfiguration: { language: 'python3.10' } }, findInterpreter: async () => PYTHON! },
    );
    expect(message).toMatch(reason);
  });

  it.each([
    ['-e .', /'-e \.' is refused: it would run code/],
    ['git+https://127.0.0.1:PORT/x.git', /'git\+https.*' is refused: it would have to be built/],
    ['--index-url http://127.0.0.1:PORT/simple', /'--index-url .*' is refused: where packages come from/],
    ['http://127.0.0.1:PORT/x-1.0.tar.gz', /have to be built/],
    ['-r http://127.0.0.1:PORT/more.txt', /only files of the package/],
    ['-r gone.txt', /gone\.txt is named among the requirements but not in the package/],
  ])('are refused by the line %s, before anybody is asked', async (line, reason) => {
    const registry = await openRegistry(404);
    try {
      const port = new URL(registry.url).port;
      const { message } = await failure({
        'requirements.txt': '-r more.txt',
        'more.txt': line.replace('PORT', port),
        'setup.py': `open(${JSON.stringify(join(outside, 'ran'))}, 'w')`,
      });
      expect(message).toMatch(reason);
      expect(message).toMatch(/^(?:more|gone)\.txt/);
      expect(registry.requests).toEqual([]);
      expect(existsSync(join(outside, 'ran'))).toBe(false);
    } finally {
      await registry.close();
    }
  });

  it('may be wheels of the package', async () => {
    const folder = await preparing(await selfContained());
    expect(python(folder, 'import near; print(near.NAME)')).toBe('near');
    expect(statSync(bench.install()).mode & 0o077).toBe(0);
    expect(readdirSync(bench.install()).sort()).toEqual(['complete', 'tree']);
  });

  it('build nothing, not even what the metadata of a wheel refers to', async () => {
    const source = join(outside, 'evil');
    mkdirSync(source);
    writeFileSync(
      join(source, 'setup.py'),
      `open(${JSON.stringify(join(outside, 'ran'))}, 'w')\nfrom setuptools import setup\nsetup(name='evil', version='1')\n`,
    );
    const { message } = await failure({
      'requirements.txt': near('lure'),
      [near('lure')]: await wheelOf('lure', [`evil @ file://${source}`]),
    });
    expect(message).toContain('a requirement would have to be built, which runs its code');
    expect(existsSync(join(outside, 'ran'))).toBe(false);
  });

  it('are installed once when several starts want them at the same time', async () => {
    const files = await selfContained('AT_ONCE = 1');
    const counted = { ...PYTHON!, path: join(outside, 'counted-python') };
    // Packages are compiled by it, too.
    const count = `case "$*" in *"-m venv"*) echo one >> ${outside}/made ;; esac`;
    writeFileSync(counted.path, `#!/bin/sh\n${count}\nexec ${PYTHON!.path} "$@"\n`);
    chmodSync(counted.path, 0o755);
    await Promise.all([1, 2, 3].map(() => preparing(files, { findInterpreter: async () => counted })));
    const made = execFileSync('cat', [join(outside, 'made')], { encoding: 'utf8' })
      .trim()
      .split('\n').length;
    expect(made).toBe(1);
    expect(installs()).toHaveLength(1);
  });

  it('are installed again for another Python', async () => {
    await preparing(await selfContained());
    const version = [...PYTHON!.version.slice(0, 2), 99];
    await preparing(await selfContained(), { findInterpreter: async () => ({ ...PYTHON!, version }) });
    expect(installs()).toHaveLength(2);
  });

  it('half installed when the server died are installed anew', async () => {
    const files = await selfContained();
    const folder = await preparing(files);
    const target = bench.install();
    rmSync(join(target, 'complete'));
    // It died before it came to take the rights away.
    execFileSync('chmod', ['-R', 'u+w', target]);
    rmSync(join(target, 'tree', 'venv', 'lib'), { recursive: true });
    writeFileSync(join(target, 'tree', 'venv', 'stale'), '');
    expect(await preparing(files)).toBe(folder);
    expect(python(folder, 'import near; print(near.NAME)')).toBe('near');
    expect(existsSync(join(folder, '.venv', 'stale'))).toBe(false);
  });

  it('half installed when the server died are swept at the next start', async () => {
    const whole = join(bench.runtimeFolder(), 'e'.repeat(32));
    mkdirSync(join(whole, 'work'), { recursive: true });
    writeFileSync(join(whole, 'complete'), '');
    const left = join(bench.runtimeFolder(), 'f'.repeat(32));
    mkdirSync(join(left, 'work', 'home'), { recursive: true });
    mkdirSync(join(left, 'tree', 'venv'), { recursive: true });
    const runtimes = new Set(readdirSync(bench.folders.deps));
    await sweepPrepared(bench.folders, runtimes, undefined as never);
    expect(existsSync(left)).toBe(false);
    expect(bench.install()).toBe(whole);
    expect(readdirSync(whole)).toEqual(['complete']);
  });

  describe('while an index keeps pip waiting', () => {
    const waiting = async (work: (registry: Awaited<ReturnType<typeof openRegistry>>) => Promise<void>) => {
      const registry = await openRegistry('nothing');
      const index = { PIP_INDEX_URL: `${registry.url}/simple`, PIP_FIND_LINKS: undefined };
      try {
        await withEnvironment({ ...index, RUNSTEAD_TEST_SECRET: 'do-not-show' }, () => work(registry));
      } finally {
        await registry.close();
      }
    };

    it.skipIf(process.platform !== 'linux')(
      'the operator’s index is asked without sight of the server’s environment, and an abort leaves nothing',
      () =>
        waiting(async (registry) => {
          const abort = new AbortController();
          const running = preparing({ 'requirements.txt': 'waited-for' }, { signal: abort.signal });
          const outcome = expect(running).rejects.toThrow('superseded');
          await until('pip to ask', () => registry.requests.length > 0, 60_000);
          expect(registry.requests[0]).toBe('/simple/waited-for/');
          const pips = bench.processesWith('install');
          expect(pips).toHaveLength(1);
          for (const { environment } of pips) {
            expect(environment).not.toMatch(/do-not-show|VITEST/);
            expect(environment).toContain(`HOME=${bench.runtimeFolder()}`);
          }
          abort.abort(new Error('superseded'));
          await outcome;
          expect(bench.processesWith('install')).toEqual([]);
          expect(installs()).toEqual([]);
        }),
    );

    it('the time that is given counts for all its steps', () =>
      waiting(async () => {
        const { message } = await failure({ 'requirements.txt': 'waited-for' }, { timeoutMs: 2000 });
        expect(message).toMatch(/^(?:python -m venv|pip install) was stopped after 2 s$/);
      }));
  });

  it('whose index refuses fail soon, and the reason says so', async () => {
    const registry = await openRegistry(404);
    await registry.close();
    const index = { PIP_INDEX_URL: `${registry.url}/simple`, PIP_FIND_LINKS: undefined };
    const { message } = await withEnvironment(index, () => failure({ 'requirements.txt': 'refused' }));
    expect(message).toBe(
      'the package registry could not be reached: the connection was refused; its address is in pip’s settings on the server',
    );
  });

  it('tell which package of the system makes virtual environments', async () => {
    const path = join(outside, 'bare-python');
    writeFileSync(
      path,
      '#!/bin/sh\necho "The virtual environment was not created successfully because ensurepip is not available."\nexit 1\n',
    );
    chmodSync(path, 0o755);
    const bare = { path, version: [3, 11, 2] };
    const { message } = await failure(await selfContained(), { findInterpreter: async () => bare });
    expect(message).toContain('Python 3.11.2 cannot make virtual environments');
    expect(message).toContain('python3.11-venv');
  });

  it('need a Python that is there, and of this age', async () => {
    const files = await selfContained();
    const none = await failure(files, { findInterpreter: async () => ({ missing: 'none was found' }) });
    expect(none.message).toBe('requirements.txt needs Python: none was found');
    const old = { path: '/usr/bin/python', version: [2, 7, 18] };
    const ancient = await failure(files, { findInterpreter: async () => old });
    expect(ancient.message).toContain('the only one here is 2.7.18');
  });

  it.each(['python/near.py', '.venv/bin/tool'])(
    'are not touched where %s came with the package',
    async (name) => {
      const folder = await preparing({ 'requirements.txt': '-e .', 'uv.lock': '', [name]: 'NAME = 1' });
      expect(installs()).toEqual([]);
      expect(existsSync(join(folder, name))).toBe(true);
      if (!name.startsWith('.venv')) expect(existsSync(join(folder, '.venv'))).toBe(false);
    },
  );
});
