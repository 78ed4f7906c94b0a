import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createInput, deploy, fixture } from './harness/deploy.ts';
import { hasProc, isAlive, listeningPorts } from './harness/processes.ts';
import { isRefused } from './harness/raw-http.ts';
import { ownEnvironment, RUNSTEAD, startServerForTest } from './harness/server.ts';
import { staysTrue, waitFor } from './harness/wait-for.ts';

/** What `runstead serve` is as a program: what it prints, what it exits with, which signals it takes. */

interface Printed {
  code: number | null;
  stdout: string;
  stderr: string;
}

function run(args: string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [RUNSTEAD, 'serve', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...ownEnvironment(), ...env },
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const printed = Promise.all([ended, text(child.stdout), text(child.stderr)]).then(
    ([code, stdout, stderr]): Printed => ({ code, stdout, stderr }),
  );
  return { child, printed };
}

/** Runs a `serve` that is expected not to come up. */
const serve = (args: string[], env?: Record<string, string>) => run(args, env).printed;

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'runstead-e2e-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

describe('what it prints', () => {
  test('one line on stderr says where it listens; stdout stays empty, also when it ends', async () => {
    const server = await startServerForTest();
    await deploy(server.client(), { folder: fixture('chat-node') });
    // Whoever has a key is told how agents are kept apart; everybody, only that the server is there.
    const headers = { authorization: `Bearer ${server.apiKey}` };
    const detail = await (await fetch(`${server.url}/runstead/v1/health`, { headers })).json();
    const { data } = detail as { data: { sandbox: { state: string }; limits: object } };
    expect(server.stderr).toContain(
      data.sandbox.state === 'off' ? 'without a sandbox: ' : '; sandbox: bubblewrap)',
    );
    expect(Object.keys(data.limits)).toEqual(['memory', 'cpu', 'processes']);
    expect(await (await fetch(`${server.url}/health`)).json()).toEqual({ status: 'ok' });
    await server.stop();
    expect(server.stderr).toMatch(/^runstead listens on http:\/\/127\.0\.0\.1:\d+ \(data in .+\)\n$/);
    expect(server.stdout).toBe('');
  });
});

describe('where it listens', () => {
  test.each([
    ['as a flag', ['--host', '0.0.0.0'], {}],
    ['as a variable', [], { RUNSTEAD_HOST: '0.0.0.0' }],
    ['another address of this machine', ['--host', '192.0.2.1'], {}],
    ['every address of IPv6', ['--host', '::'], {}],
  ] as const)('an address beyond loopback is refused with exit 2: %s', async (_what, args, env) => {
    const data = join(await temporaryFolder(), 'data');
    const { code, stdout, stderr } = await serve(['--port', '0', '--data', data, ...args], env);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^error: .*must be a loopback address.*; got ".+"/);
    expect(stderr).not.toMatch(/\n {4}at /);
  });

  test('a port that is taken ends it with exit 1 and advice', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void other.close());
    const { port } = other.address() as { port: number };
    const data = join(await temporaryFolder(), 'data');
    const { code, stdout, stderr } = await serve(['--port', String(port), '--data', data]);
    expect(code).toBe(1);
    expect(stdout).toBe('');
    // One line: what the gateway process heard is not told a second time by its log.
    expect(stderr).toMatch(
      new RegExp(`^error: Cannot listen on 127\\.0\\.0\\.1:${port}: the address is in use\\..*--port.*\\n$`),
    );
  });
});

describe('S9: one server for a data folder', () => {
  test('a second serve exits with 1 and names the first one’s pid and url; the first goes on', async () => {
    const server = await startServerForTest();
    const second = await serve(['--port', '0', '--data', server.data]);
    expect(second.code).toBe(1);
    expect(second.stderr).toContain(`pid ${server.pid}`);
    expect(second.stderr).toContain(server.url);
    expect((await fetch(`${server.url}/health`)).status).toBe(200);
    expect(await server.client().list()).toHaveLength(0);
  });

  test('the folder is free again after a stop, and after a kill', async () => {
    const server = await startServerForTest();
    await server.stop();
    await server.start();
    await server.kill();
    await server.start();
    expect((await fetch(`${server.url}/health`)).status).toBe(200);
  });

  test('of several that start at once exactly one serves', async () => {
    const data = join(await temporaryFolder(), 'data');
    const several = Array.from({ length: 4 }, () => run(['--port', '0', '--data', data]));
    const codes: (number | null)[] = [];
    for (const { printed } of several) void printed.then(({ code }) => codes.push(code));
    await waitFor('all but one to give up', () => codes.length === 3);
    const { url } = await waitFor('the last one to listen', () => readRecord(data));
    expect((await fetch(`${url}/health`)).status).toBe(200);
    for (const { child } of several) child.kill('SIGTERM');
    await waitFor('the last one to end', () => codes.length === 4);
    expect(codes).toEqual([1, 1, 1, 0]);
  });
});

/** What a server says of itself to others on this machine; undefined until it listens. */
function readRecord(data: string): { pid: number; url: string } | undefined {
  const file = join(data, 'run', 'server.json');
  if (!existsSync(file)) return undefined;
  const record = JSON.parse(readFileSync(file, 'utf8')) as { pid: number; url?: string };
  return record.url === undefined ? undefined : { ...record, url: record.url };
}

describe.skipIf(!hasProc)('S8: SIGUSR1', () => {
  const INSPECTOR_PORT = 9229;

  test.each(['control', 'gateway'] as const)('opens no inspector in the %s process', async (which) => {
    const server = await startServerForTest();
    const pid = which === 'control' ? server.pid : server.gatewayPid()!;
    const before = listeningPorts(pid);
    // Something else on this machine may have that port; then the process's own list alone has to do.
    const wasFree = await isRefused(INSPECTOR_PORT);
    process.kill(pid, 'SIGUSR1');
    await staysTrue(
      'no inspector listens',
      async () =>
        String(listeningPorts(pid)) === String(before) && (!wasFree || (await isRefused(INSPECTOR_PORT))),
      700,
    );
    expect(isAlive(pid)).toBe(true);
    expect((await fetch(`${server.url}/health`)).status).toBe(200);
    await server.client().list();
  });
});

describe('SIGTERM', () => {
  test('lets an open stream finish while new connections are refused, and exits with 0', async () => {
    const server = await startServerForTest();
    const runtime = await deploy(server.client(), { folder: fixture('chat-node') });
    const stream = await server.client().invokeOpenai(runtime.agentRuntimeName, undefined, {
      messages: [{ role: 'user', content: 'bye' }],
      stream: true,
      words: 20,
      delay_ms: 100,
    });
    let content = '';
    let stopped: ReturnType<typeof server.stop> | undefined;
    for await (const chunk of stream) {
      content += chunk.choices[0]?.delta.content ?? '';
      if (stopped) continue;
      stopped = server.stop();
      await waitFor('new connections to be refused', () => isRefused(server.port));
    }
    expect(content).toBe('hello: bye '.repeat(20));
    expect(await stopped).toEqual({ code: 0, signal: null });
  });

  test('a second one cuts off what would take too long', async () => {
    const server = await startServerForTest();
    const runtime = await deploy(server.client(), { folder: fixture('chat-node') });
    const stream = await server.client().invokeOpenai(runtime.agentRuntimeName, undefined, {
      messages: [{ role: 'user', content: 'on and on' }],
      stream: true,
      words: 10_000,
      delay_ms: 100,
    });
    const reading = (async () => {
      for await (const _ of stream);
    })();
    const broken = expect(reading).rejects.toThrow();
    process.kill(server.pid, 'SIGTERM');
    await waitFor('new connections to be refused', () => isRefused(server.port));
    const begun = performance.now();
    expect(await server.stop()).toEqual({ code: 0, signal: null });
    // The grace of open calls is 10 s.
    expect(performance.now() - begun).toBeLessThan(8000);
    await broken;
  });

  test('in the middle of a create: it ends in time, and the next server takes it up again', async () => {
    const server = await startServerForTest();
    const created = await server.client().create(await createInput({ folder: fixture('chat-node') }));
    expect(await server.stop()).toEqual({ code: 0, signal: null });
    await server.start();
    await waitFor('the runtime to be READY', async () => {
      const { status, statusReason } = await server.client().get(created.agentRuntimeId!);
      if (status?.endsWith('_FAILED')) throw new Error(statusReason);
      return status === 'READY';
    });
  });
});
