import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { findInterpreter } from '../../src/drivers/process/find-interpreter.ts';
import { until } from './bench.ts';
import { type Files, openInstallBench, type PreparingOptions, withEnvironment } from './install-bench.ts';
import { openTarballs, type Tarballs, tarball } from './tarballs.ts';

/** S6: what dependencies would run when they are installed. */

const bench = openInstallBench();
const { preparing, failure, installs } = bench;
const outside = mkdtempSync(join(tmpdir(), 'runstead-outside-'));
afterAll(() => rmSync(outside, { recursive: true, force: true }));
const json = (value: unknown) => JSON.stringify(value, null, 2);
const isLinux = process.platform === 'linux';

/** Writes outside, keeps the environment, leaves a child that has a session of its own and one that forks away. */
const evil = (name: string, seconds: string) => `
const fs = require('node:fs');
const { spawn } = require('node:child_process');
fs.writeFileSync(${JSON.stringify(outside)} + '/ran-${name}', '');
fs.writeFileSync('env.json', JSON.stringify(process.env));
spawn('sleep', ['${seconds}'], { detached: true, stdio: 'ignore' }).unref();
spawn('sh', ['-c', '(setsid sleep ${seconds} &) &'], { detached: true, stdio: 'ignore' }).unref();
`;
const withScript = (name: string, script: string): Record<string, string> => ({
  'package.json': json({ name, version: '1.0.0', scripts: { postinstall: 'node run.js' } }),
  'run.js': script,
  'index.js': `module.exports = '${name}'`,
});
const registry: Tarballs = await openTarballs({
  leaves: withScript('leaves', evil('leaves', '71.5')),
  sleeps: withScript('sleeps', `${evil('sleeps', '72.5')}setInterval(() => {}, 1000);`),
  many: withScript(
    'many',
    `for (let i = 0; i < 60; i++) require('node:child_process').spawn('sleep', ['73.5'], { detached: true, stdio: 'ignore' }).unref();
     setInterval(() => {}, 1000);`,
  ),
});
afterAll(() => registry.close());

const needing = (name: string): Files => {
  const manifest = { name: 'agent', version: '1.0.0', dependencies: { [name]: '1.0.0' } };
  return { 'package.json': json(manifest), 'package-lock.json': registry.lock(manifest), 'index.js': '' };
};
const allowed: PreparingOptions = { rules: { allowScripts: 'all' } };
const ran = (name: string) => existsSync(join(outside, `ran-${name}`));

describe('a postinstall that writes outside, reads the environment and sleeps for ever', () => {
  it.each(['none', 'build'] as const)('never runs where scripts are allowed for %s', async (allowScripts) => {
    for (const name of ['leaves', 'sleeps']) {
      const folder = await preparing(needing(name), { rules: { allowScripts } });
      expect(existsSync(join(folder, 'node_modules', name, 'env.json'))).toBe(false);
    }
    expect(ran('leaves') || ran('sleeps')).toBe(false);
  });

  it('where the operator allows it, sees nothing of the server, and nothing of it stays running', async () => {
    const variables = {
      RUNSTEAD_TEST_SECRET: 'do-not-show',
      HTTP_PROXY: undefined,
      HTTPS_PROXY: 'http://user:do-not-show@127.0.0.1:9',
    };
    const folder = await withEnvironment(variables, () => preparing(needing('leaves'), allowed));
    expect(ran('leaves')).toBe(true);
    const environment = readFileSync(join(folder, 'node_modules', 'leaves', 'env.json'), 'utf8');
    expect(environment).not.toMatch(/do-not-show|VITEST|RUNSTEAD_TEST_SECRET/);
    if (isLinux) expect(bench.processesWith('71.5')).toEqual([]);
  });

  it('is another install than one without scripts', async () => {
    await preparing(needing('leaves'));
    await preparing(needing('leaves'), allowed);
    expect(installs()).toHaveLength(2);
  });

  it('is ended at the time limit with all its children, also those that left its group', async () => {
    const { message } = await failure(needing('sleeps'), { ...allowed, timeoutMs: 4000 });
    expect(message).toBe('npm rebuild was stopped after 4 s');
    if (isLinux) expect(bench.processesWith('72.5')).toEqual([]);
  });

  it('is ended when the deploy is superseded or deleted, and its whole tree is gone by then', async () => {
    const abort = new AbortController();
    rmSync(join(outside, 'ran-sleeps'), { force: true });
    const running = preparing(needing('sleeps'), { ...allowed, signal: abort.signal });
    const outcome = expect(running).rejects.toThrow('superseded');
    await until('it to run', () => ran('sleeps'), 20_000);
    abort.abort(new Error('superseded'));
    await outcome;
    expect(installs()).toEqual([]);
    if (isLinux) expect(bench.processesWith('72.5')).toEqual([]);
  });

  it.skipIf(!isLinux)('may not start processes without end', async () => {
    const rules = { allowScripts: 'all', processes: 30 } as const;
    const { message } = await failure(needing('many'), { rules });
    expect(message).toBe(
      'the install runs more than 30 processes at once; that is the limit (RUNSTEAD_INSTALL_PROCESSES)',
    );
    expect(bench.processesWith('73.5')).toEqual([]);
  });
});

const found = await findInterpreter('python', 'custom');
const PYTHON = 'missing' in found ? undefined : found;
if (!PYTHON) console.warn('skipped: there is no Python here');

/** An index of one sdist, `evil`, whose build needs nothing but Python. */
async function openIndex(backend: string) {
  const archive = tarball(
    {
      'PKG-INFO': 'Metadata-Version: 2.1\nName: evil\nVersion: 1.0.0\n',
      'pyproject.toml': '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
      'backend.py': backend,
    },
    'evil-1.0.0',
  );
  const server = createServer((request, response) => {
    if (request.url === '/simple/evil/')
      response
        .writeHead(200, { 'content-type': 'text/html' })
        .end('<a href="/evil-1.0.0.tar.gz">evil-1.0.0.tar.gz</a>');
    else if (request.url === '/evil-1.0.0.tar.gz') response.end(archive);
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/simple`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe.skipIf(!PYTHON)(
  'an sdist whose build writes outside, reads the environment and leaves children',
  () => {
    const backend = (then: string) => `
import json, os, subprocess, zipfile
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    open(${JSON.stringify(outside)} + '/ran-sdist', 'w').close()
    subprocess.Popen(['sleep', '74.5'], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ${then}
    name = 'evil-1.0.0-py3-none-any.whl'
    info = 'evil-1.0.0.dist-info'
    with zipfile.ZipFile(os.path.join(wheel_directory, name), 'w') as wheel:
        wheel.writestr('evil.py', 'ENVIRONMENT = ' + repr(dict(os.environ)))
        wheel.writestr(info + '/METADATA', 'Metadata-Version: 2.1\\nName: evil\\nVersion: 1.0.0\\n')
        wheel.writestr(info + '/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
        wheel.writestr(info + '/RECORD', '')
    return name
`;
    const files = { 'requirements.txt': 'evil==1.0.0\n', 'main.py': '' };
    const at = async <T>(then: string, work: () => Promise<T>): Promise<T> => {
      rmSync(join(outside, 'ran-sdist'), { force: true });
      const index = await openIndex(backend(then));
      const variables = { PIP_INDEX_URL: index.url, PIP_FIND_LINKS: undefined, PIP_NO_INDEX: undefined };
      try {
        return await withEnvironment({ ...variables, RUNSTEAD_TEST_SECRET: 'do-not-show' }, work);
      } finally {
        await index.close();
      }
    };

    it('is refused, with the reason, unless the operator allows it', () =>
      at('', async () => {
        const { message } = await failure(files);
        expect(message).toContain('pip found no wheel for evil==1.0.0; only wheels are installed');
        expect(ran('sdist')).toBe(false);
      }));

    it('where the operator allows it, sees nothing of the server, and nothing of it stays running', () =>
      at('', async () => {
        const folder = await preparing(files, allowed);
        expect(ran('sdist')).toBe(true);
        const seen = execFileSync(
          join(folder, '.venv', 'bin', 'python'),
          ['-c', 'import evil, json; print(json.dumps(evil.ENVIRONMENT))'],
          { encoding: 'utf8' },
        );
        expect(seen).not.toMatch(/do-not-show|VITEST/);
        if (isLinux) expect(bench.processesWith('74.5')).toEqual([]);
      }));

    it('that sleeps for ever is ended at the time limit', () =>
      at('import time; time.sleep(3600)', async () => {
        const { message } = await failure(files, { ...allowed, timeoutMs: 9000 });
        expect(message).toBe('pip install was stopped after 9 s');
        expect(ran('sdist')).toBe(true);
        if (isLinux) expect(bench.processesWith('74.5')).toEqual([]);
      }));
  },
);
