import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { runCli, startCli } from './run-cli.ts';

const ID = '01234567-89ab-4cde-8f01-23456789abcd';
const INSTANCE = '11111111-1111-4111-8111-111111111111';
const line = (text: string, level = 'info') => ({
  time: '2026-11-25T14:00:00.000Z',
  level,
  instanceId: INSTANCE,
  agentRuntimeVersion: '3',
  text,
});

/** A server that speaks the routes of runtimes, logs and instances. */
async function startServer(pages: object[] = [], instances: object[] = []) {
  const seen: URL[] = [];
  let answers = pages;
  const server = createServer((request, response) => {
    const url = new URL(request.url!, 'http://server');
    seen.push(url);
    const page = <T>(items: T[]) => ({ items, total: items.length, pageNumber: 1, pageSize: 50 });
    let data: object;
    if (url.pathname.endsWith('/logs')) {
      const [next = { items: [] }, ...rest] = answers;
      answers = rest;
      data = { lost: [], nextCursor: `c${seen.length}`, hasMore: rest.length > 0, ...next };
    } else if (url.pathname.endsWith('/instances')) data = page(instances);
    else {
      const isThere = url.searchParams.get('agentRuntimeName') === 'agent';
      data = page(isThere ? [{ agentRuntimeId: ID, agentRuntimeName: 'agent' }] : []);
    }
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ code: 'SUCCESS', requestId: 'r', data }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const env = {
    RUNSTEAD_BASE_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    RUNSTEAD_API_KEY: 'rsk_mine',
  };
  return {
    /** Queries of logs. */
    asked: () =>
      seen.filter(({ pathname }) => pathname.endsWith('/logs')).map(({ search }) => search.slice(1)),
    say: (...more: object[]) => {
      answers = more;
    },
    run: (...argv: string[]) => runCli(argv, env),
    start: (...argv: string[]) => startCli(argv, env),
  };
}

describe('runstead logs', () => {
  test('prints the newest lines of a runtime that is named', async () => {
    const server = await startServer([{ items: [line('one'), line('bad \u001b[31mred', 'error')] }]);
    expect(await server.run('logs', 'agent')).toEqual({
      exitCode: 0,
      stdout:
        '2026-11-25T14:00:00.000Z INFO  v3 11111111 one\n2026-11-25T14:00:00.000Z ERROR v3 11111111 bad  [31mred\n',
      stderr: '',
    });
    expect(server.asked()).toEqual(['tail=100']);
  });

  test('passes on what is asked for, and reads all of it since a time', async () => {
    const server = await startServer([{ items: [line('one')] }, { items: [line('two')] }]);
    const words = [
      '--since',
      '1h',
      '--level',
      'warn',
      '--version',
      '3',
      '--instance',
      '1111',
      '--grep',
      'a b',
    ];
    const { stdout, exitCode } = await server.run('logs', 'agent', ...words, '--output', 'json');
    expect(exitCode).toBe(0);
    expect(stdout).toBe(`${JSON.stringify(line('one'))}\n${JSON.stringify(line('two'))}\n`);
    const filters = 'since=1h&level=warn&version=3&instance=1111&text=a+b&limit=1000';
    expect(server.asked()).toEqual([filters, expect.stringMatching(/^since=1h.*&limit=1000&cursor=c\d+$/)]);
  });

  test('follows until it is interrupted, each page from where the one before ended', async () => {
    const server = await startServer([{ items: [line('one')] }]);
    const cli = server.start('logs', 'agent', '-f', '--output', 'quiet');
    await expect.poll(() => server.asked().length).toBe(2);
    server.say({ items: [line('two')], lost: [{ instanceId: INSTANCE, bytes: 7 }] });
    await expect.poll(() => server.asked().length, { timeout: 5000 }).toBeGreaterThan(3);
    cli.signal('SIGINT');
    expect(await cli.result).toEqual({
      exitCode: 130,
      stdout: 'one\ntwo\n',
      stderr: `7 bytes of instance ${INSTANCE} were removed before they were read\n`,
    });
  });

  test('says which runtime is not there', async () => {
    const server = await startServer();
    const { exitCode, stderr } = await server.run('logs', 'nobody');
    expect([exitCode, stderr]).toEqual([4, expect.stringContaining('there is no runtime "nobody"')]);
  });
});

test('the version of the program is asked for in front of a command', async () => {
  expect(await runCli(['--version'])).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^\d/) });
});

test('runstead ps shows what runs, where, and what it uses', async () => {
  const instance = {
    instanceId: INSTANCE,
    agentRuntimeId: ID,
    agentRuntimeName: 'agent',
    agentRuntimeVersion: '3',
    state: 'ready',
    driver: 'process',
    host: '127.0.0.1',
    port: 20_001,
    startedAt: '2026-11-25T14:00:00.000Z',
    memoryBytes: 52_428_800,
    cpuSeconds: 1.25,
    sessions: 2,
    inFlight: 1,
  };
  const starting = {
    ...instance,
    state: 'starting',
    port: undefined,
    memoryBytes: undefined,
    cpuSeconds: undefined,
  };
  const server = await startServer([], [instance, starting]);
  const { stdout } = await server.run('ps', 'agent');
  const [head, first, second] = stdout.split('\n').map((row) => row.split(/ {2,}/));
  expect(head).toEqual([
    'INSTANCE',
    'RUNTIME',
    'VERSION',
    'STATE',
    'SINCE',
    'MEMORY',
    'CPU',
    'CALLS',
    'SESSIONS',
    'WHERE',
  ]);
  expect(first!.slice(3)).toEqual([
    'ready',
    instance.startedAt,
    '50 MiB',
    '1.3 s',
    '1',
    '2',
    'process 127.0.0.1:20001',
  ]);
  expect(second!.slice(3)).toEqual(['starting', instance.startedAt, '-', '-', '1', '2', 'process']);
  expect((await server.run('ps', '--output', 'quiet')).stdout).toBe(`${INSTANCE}\n${INSTANCE}\n`);
});
