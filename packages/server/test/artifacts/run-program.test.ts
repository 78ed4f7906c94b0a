import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ProgramOptions, runProgram } from '../../src/artifacts/run-program.ts';
import { until } from './bench.ts';

let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'runstead-program-'));
});
afterEach(() => rmSync(cwd, { recursive: true, force: true }));

const shell = (script: string, options: Partial<ProgramOptions> = {}) =>
  runProgram('/bin/sh', ['-c', script], {
    cwd,
    env: { PATH: '/usr/bin:/bin' },
    timeoutMs: 20_000,
    signal: new AbortController().signal,
    ...options,
  });

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  if (process.platform !== 'linux') return true;
  try {
    // An orphan that has ended stays in the list until whoever adopted it looks.
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

/** Pids that a script wrote down, one a line, once there are so many. */
async function pidsIn(file: string, count: number): Promise<number[]> {
  const read = () => {
    try {
      return readFileSync(join(cwd, file), 'utf8').trim().split('\n').map(Number);
    } catch {
      return [];
    }
  };
  await until(`${count} pids in ${file}`, () => read().length === count);
  return read();
}

describe('runProgram', () => {
  it('gives the last lines of both outputs, and no failure', async () => {
    const { failure, lastLines } = await shell('echo one; echo two >&2; echo; printf three');
    expect(failure).toBeUndefined();
    expect([...lastLines].sort()).toEqual(['one', 'three', 'two']);
  });

  it('says with which code or signal it failed, and what it said last', async () => {
    expect(await shell('seq 1 1000; exit 7')).toEqual({
      failure: '/bin/sh exited with code 7',
      lastLines: Array.from({ length: 20 }, (_, index) => `${981 + index}`),
    });
    expect((await shell('kill -TERM $$')).failure).toBe('/bin/sh was killed by SIGTERM');
  });

  it('bounds what it keeps of a program that never ends its line', async () => {
    const { lastLines } = await shell('head -c 3000000 /dev/zero | tr "\\0" x; echo; echo end');
    expect(lastLines).toHaveLength(2);
    expect(lastLines[0]!.length).toBeLessThanOrEqual(500);
    expect(lastLines[1]).toBe('end');
  });

  it('gives it the environment it was given and nothing else, in the folder it was given', async () => {
    const { lastLines } = await shell('env | sort; pwd', { env: { PATH: '/usr/bin:/bin', ONLY: 'this' } });
    const names = lastLines.filter((line) => line.includes('=')).map((line) => line.split('=')[0]);
    // PWD and the like are the shell's own.
    expect(names.filter((name) => !['PWD', 'OLDPWD', 'SHLVL', '_'].includes(name!))).toEqual([
      'ONLY',
      'PATH',
    ]);
    expect(lastLines.at(-1)).toBe(cwd);
  });

  it('says when there is no such program', async () => {
    const missing = join(cwd, 'missing');
    const options = { cwd, env: {}, timeoutMs: 1000, signal: new AbortController().signal };
    expect((await runProgram(missing, [], options)).failure).toMatch(/could not be started: .*ENOENT/);
  });

  it('ends the whole tree when the time is up', async () => {
    const running = shell('echo $$ > pids; (sleep 60 & echo $! >> pids; wait) & wait', { timeoutMs: 700 });
    const pids = await pidsIn('pids', 2);
    expect((await running).failure).toBe('/bin/sh was stopped after 1 s');
    await until('all to be gone', () => !pids.some(alive));
  });

  it('ends the whole tree when aborted, and rejects with the reason', async () => {
    const abort = new AbortController();
    const running = shell('echo $$ > pids; (sleep 60 & echo $! >> pids; wait) & wait', {
      signal: abort.signal,
    });
    const pids = await pidsIn('pids', 2);
    abort.abort(new Error('superseded'));
    await expect(running).rejects.toThrow('superseded');
    await until('all to be gone', () => !pids.some(alive));
    await expect(shell('sleep 60', { signal: abort.signal })).rejects.toThrow('superseded');
  });

  it('ends what the program left behind, and does not wait for it', async () => {
    const { failure } = await shell('sleep 60 & echo $! > pids; echo done');
    expect(failure).toBeUndefined();
    const [pid] = await pidsIn('pids', 1);
    await until('it to be gone', () => !alive(pid!));
  });

  it('does not wait for one that left the group and holds the output', async () => {
    const running = shell(`"${process.execPath}" -e "
      const { spawn } = require('node:child_process');
      const child = spawn('sleep', ['60'], { detached: true, stdio: 'inherit' });
      require('node:fs').writeFileSync('pids', child.pid + '\\n');
      child.unref();
    "`);
    const [pid] = await pidsIn('pids', 1);
    try {
      expect((await running).failure).toBeUndefined();
    } finally {
      process.kill(pid!, 'SIGKILL');
    }
  });

  it('ends it when told to halt, and the reason is the failure', async () => {
    const halt = new AbortController();
    const running = shell('echo $$ > pids; sleep 60', { halt: halt.signal });
    const pids = await pidsIn('pids', 1);
    halt.abort(new Error('it took too much'));
    expect(await running).toMatchObject({ failure: 'it took too much', halted: true });
    await until('all to be gone', () => !pids.some(alive));
    const late = await shell('sleep 60', { halt: halt.signal });
    expect(late.failure).toBe('it took too much');
  });

  it('holds each of its processes to the limits given', async () => {
    const limits = { fileBytes: 1024 * 1024, openFiles: 64 };
    const { failure, lastLines } = await shell('ulimit -c; ulimit -f; ulimit -n; (ulimit -n)', { limits });
    expect(failure).toBeUndefined();
    // Core files, blocks of 512 bytes, open files: of the program and of what it starts.
    expect(lastLines).toEqual(['0', '2048', '64', '64']);
    const large = await shell('head -c 2000000 /dev/zero > large || exit 9', { limits });
    expect(large.failure).toBe('/bin/sh exited with code 9');
  });

  it('is called by its own name behind the limits, with its words as they are', async () => {
    const limits = { fileBytes: 1024 * 1024, openFiles: 64 };
    const given = runProgram('/bin/sh', ['-c', 'printf "%s\\n" "$@"; exit 4', 'x', 'a b', '$HOME', '-c'], {
      cwd,
      env: { PATH: '/usr/bin:/bin' },
      timeoutMs: 20_000,
      signal: new AbortController().signal,
      limits,
    });
    expect(await given).toEqual({ failure: '/bin/sh exited with code 4', lastLines: ['a b', '$HOME', '-c'] });
  });

  it('is over only when those that left its group have been looked for', async () => {
    const order: string[] = [];
    const endStrays = async () => {
      await new Promise((resolve) => setImmediate(resolve));
      order.push('strays');
    };
    await shell('true', { endStrays });
    order.push('over');
    expect(order).toEqual(['strays', 'over']);
    const abort = new AbortController();
    const running = shell('sleep 60', { endStrays, signal: abort.signal });
    abort.abort(new Error('superseded'));
    await expect(running).rejects.toThrow('superseded');
    expect(order).toEqual(['strays', 'over', 'strays']);
  });
});
