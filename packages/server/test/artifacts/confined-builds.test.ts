import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { confinePrograms } from '../../src/drivers/process/sandbox/confine-program.ts';
import { sandbox } from '../drivers/harness.ts';
import { type Files, openInstallBench } from './install-bench.ts';

/** S6: what a package brings to run before its agent does is kept from everything else, where there is a sandbox. */

const bench = openInstallBench();
const { starting, failure } = bench;

const json = (value: unknown) => JSON.stringify(value, null, 2);

/** A package whose build script is this code. */
const built = (code: string): Files => ({
  'package.json': json({ name: 'agent', version: '1.0.0', scripts: { build: 'node build.cjs' } }),
  'build.cjs': code,
});
const spec = { codeConfiguration: { command: ['node', 'dist/agent.js'] } };

describe.skipIf(!sandbox)('a build script in the sandbox', () => {
  const confine = sandbox && confinePrograms(sandbox, bench.dataDir);
  const preparing = (code: string) => starting(built(code), { spec, ...(confine && { confine }) });

  it('builds, and neither reads nor writes anything beside its work', async () => {
    const neighbour = join(bench.folders.deps, 'another-runtime');
    mkdirSync(neighbour);
    writeFileSync(join(neighbour, 'secret'), 'sesame');
    const outside = join(tmpdir(), `runstead-outside-${process.pid}`);
    const { codeDir, command } = await preparing(`
      const fs = require('node:fs');
      const seen = {};
      const attempt = (name, deed) => {
        try { seen[name] = deed() ?? null; } catch (error) { seen[name] = error.code; }
      };
      attempt('neighbour', () => fs.readFileSync(${json(join(neighbour, 'secret'))}, 'utf8'));
      attempt('data folder', () => fs.readdirSync(${json(bench.dataDir)}).sort());
      attempt('server', () => fs.readFileSync('/proc/${process.pid}/environ', 'utf8'));
      attempt('machine', () => fs.closeSync(fs.openSync('/proc/sys/kernel/core_pattern', 'r+')));
      attempt('outside', () => fs.writeFileSync(${json(outside)}, 'mine'));
      attempt('system', () => fs.writeFileSync('/usr/mine', 'mine'));
      attempt('home', () => fs.writeFileSync(process.env.HOME + '/mine', 'mine'));
      fs.mkdirSync('dist');
      fs.writeFileSync('dist/agent.js', JSON.stringify(seen));`);
    expect(command).toEqual(['node', 'dist/agent.js']);
    expect(JSON.parse(readFileSync(join(codeDir, 'dist', 'agent.js'), 'utf8'))).toEqual({
      neighbour: 'ENOENT',
      'data folder': ['cache', 'code', 'deps'],
      server: 'ENOENT',
      machine: 'EROFS',
      // Into a folder of its own of that name, which is gone.
      outside: null,
      system: 'EROFS',
      home: null,
    });
    expect(existsSync(outside)).toBe(false);
    rmSync(neighbour, { recursive: true });
  });

  it('that fails is told of by its own name', async () => {
    const error = await failure(built(`console.log('no such module'); process.exit(3);`), {
      spec,
      ...(confine && { confine }),
    });
    expect(error.message).toBe('npm run build exited with code 3');
    expect(error.lastLines.join('\n')).toContain('no such module');
  });

  it('that leaves processes behind and takes too long is ended with them', async () => {
    // Long, and told apart from those of the same test beside this one.
    const seconds = 1_000_000 + process.pid;
    const code = `
      require('node:child_process').spawn('sleep', ['${seconds}'], { detached: true, stdio: 'ignore', env: {} }).unref();
      setInterval(() => {}, 1000);`;
    const error = await failure(built(code), { spec, timeoutMs: 3000, ...(confine && { confine }) });
    expect(error.message).toBe('npm run build was stopped after 3 s');
    const everyLine = execFileSync('ps', ['-axww', '-o', 'command='], { encoding: 'utf8' });
    expect(everyLine).not.toContain(`sleep ${seconds}`);
  });
});
