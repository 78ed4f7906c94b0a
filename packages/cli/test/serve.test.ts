import { mkdtemp, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type RunningCli, runCli, startCli } from './run-cli.ts';

const OFF = 'agents run without a sandbox: it was switched off (--sandbox off)';

/** `serve` in this process: the gateway is the real one, a process of its own. */

async function dataFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'runstead-cli-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  return join(folder, 'data');
}

async function urlOf(cli: RunningCli): Promise<string> {
  for (;;) {
    const [, url] = /listens on (\S+)/.exec(cli.stderr()) ?? [];
    if (url !== undefined) return url;
    await Promise.race([new Promise((resolve) => setTimeout(resolve, 10)), endedEarly(cli)]);
  }
}

async function endedEarly({ result }: RunningCli): Promise<never> {
  throw new Error(`it ended: ${(await result).stderr}`);
}

describe('serve', () => {
  test.each(['SIGINT', 'SIGTERM'] as const)('answers until %s, then exits with 0', async (signal) => {
    const data = await dataFolder();
    const cli = startCli(['serve', '--port', '0', '--data', data, '--sandbox', 'off']);
    const url = await urlOf(cli);
    expect((await fetch(`${url}/health`)).status).toBe(200);
    cli.signal(signal);
    expect(await cli.result).toEqual({
      exitCode: 0,
      stdout: '',
      stderr: `runstead listens on ${url} (data in ${data}; ${OFF})\n`,
    });
    await expect(fetch(`${url}/health`)).rejects.toThrow();
  });

  test('hears a signal that comes while it is still saying where it listens', async () => {
    const cli = startCli(['serve', '--port', '0', '--data', await dataFolder()], {}, (text, signal) => {
      if (text.includes('listens on')) signal('SIGTERM');
    });
    expect(await cli.result).toMatchObject({ exitCode: 0 });
  });

  test('hears a signal that comes before it listens', async () => {
    const cli = startCli(['serve', '--port', '0', '--data', await dataFolder()]);
    cli.signal('SIGTERM');
    expect(await cli.result).toMatchObject({ exitCode: 0 });
  });

  test('a flag wins over its variable', async () => {
    const [flagged, variable] = [await dataFolder(), await dataFolder()];
    const cli = startCli(['serve', '--port', '0', '--data', flagged], {
      RUNSTEAD_DATA: variable,
      RUNSTEAD_PORT: '1',
    });
    await urlOf(cli);
    expect(cli.stderr()).toContain(`(data in ${flagged}; `);
    cli.signal('SIGTERM');
    await cli.result;
    await expect(stat(variable)).rejects.toThrow('ENOENT');
  });

  test('a port in use: exit 1, the address, and what to do', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void other.close());
    const { port } = other.address() as { port: number };
    const { exitCode, stdout, stderr } = await runCli([
      'serve',
      '--port',
      String(port),
      '--data',
      await dataFolder(),
    ]);
    expect(exitCode).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toMatch(new RegExp(`^error: Cannot listen on 127\\.0\\.0\\.1:${port}: .*in use.*--port`));
  });

  test('a folder in use: exit 1, the holder, and what to do', async () => {
    const data = await dataFolder();
    const first = startCli(['serve', '--port', '0', '--data', data]);
    const url = await urlOf(first);
    const { exitCode, stderr } = await runCli(['serve', '--port', '0', '--data', data]);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(new RegExp(`^error: .*in use .*pid ${process.pid}.*${url}.*--data`));
    first.signal('SIGTERM');
    expect((await first.result).exitCode).toBe(0);
  });

  test('a data folder that cannot be made: exit 1, and the path', async () => {
    const data = join(fileURLToPath(import.meta.url), 'data');
    const { exitCode, stdout, stderr } = await runCli(['serve', '--port', '0', '--data', data]);
    expect(exitCode).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^error: .*--data/);
    expect(stderr).toContain(data);
    expect(stderr).not.toMatch(/\n {4}at /);
    // It is the user's path that is wrong, no fault of ours.
    expect(stderr).not.toContain('fault of Runstead');
  });
});
