import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { StdIn } from '../src/command.ts';
import { startCli } from './run-cli.ts';

interface Seen {
  method: string | undefined;
  path: string | undefined;
  body: unknown;
}

/** A server that speaks the routes of secrets. */
async function startServer(usedBy: string[] = []) {
  const seen: Seen[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      const { method, url: path } = request;
      seen.push({ method, path, body: method === 'PUT' ? await json(request) : undefined });
      const secret = { secretName: 'openai', workspaceId: 'w1', updatedAt: '2026-01-01T00:00:00.000Z' };
      const data = method === 'GET' ? { items: [secret] } : { ...secret, usedBy };
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ code: 'SUCCESS', requestId: 'r', data }));
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const env = {
    RUNSTEAD_BASE_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    RUNSTEAD_API_KEY: 'rsk_mine',
    PLANTED: 'planted-in-env',
  };
  const run = async (argv: string[], stdin?: StdIn) => {
    const result = await startCli(['secrets', ...argv], env, () => {}, stdin).result;
    // Wherever the value came from, the command does not repeat it.
    expect(result.stdout + result.stderr).not.toContain('planted');
    return result;
  };
  return { seen, run };
}

/** What is typed or piped, in pieces. */
function stdinOf(pieces: (string | Buffer)[], raw?: boolean[]): StdIn {
  return {
    ...(raw && { isTTY: true, setRawMode: (on: boolean) => void raw.push(on) }),
    async *[Symbol.asyncIterator]() {
      for (const piece of pieces) yield Buffer.from(piece);
    },
  };
}

const inFile = (bytes: string | Buffer) => {
  const folder = mkdtempSync(join(tmpdir(), 'runstead-cli-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'value'), bytes);
  return join(folder, 'value');
};

describe('secrets set', () => {
  test.each<[string, string, () => [argv: string[], stdin?: StdIn]]>([
    ['stdin, without its last line end', 'planted\na', () => [[], stdinOf(['plan', 'ted\na\r\n'])]],
    [
      'stdin, cut within a character',
      'planted ü',
      () => [[], stdinOf([Buffer.from('planted ü').subarray(0, 9), Buffer.from('ü').subarray(1)])],
    ],
    ['a variable, as it is', 'planted-in-env', () => [['--from-env', 'PLANTED']]],
    ['a file', 'planted\n', () => [['--from-file', inFile('planted\n\n')]]],
  ])('reads the value from %s', async (_, value, how) => {
    const { seen, run } = await startServer();
    const [argv, stdin] = how();
    const { exitCode, stdout, stderr } = await run(
      ['set', 'openai', '--workspace', 'my team', ...argv],
      stdin,
    );
    expect(exitCode).toBe(0);
    expect(seen).toEqual([
      { method: 'PUT', path: '/runstead/v1/secrets/openai?workspace=my%20team', body: { value } },
    ]);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^openai is set\. Give it to an agent as secret:\/\/openai; agents that run keep/);
  });

  test('asks a person, and shows nothing of what is typed', async () => {
    const { seen, run } = await startServer();
    const raw: boolean[] = [];
    const { exitCode, stderr } = await run(['set', 'openai'], stdinOf(['plantx', '\x7fed', '-1\rrest'], raw));
    expect(exitCode).toBe(0);
    expect(seen[0]!.body).toEqual({ value: 'planted-1' });
    expect(raw).toEqual([true, false]);
    expect(stderr).toMatch(/^Value \(not shown\): \n/);
  });

  test('sets nothing when the person thinks better of it', async () => {
    const { seen, run } = await startServer();
    const raw: boolean[] = [];
    const { exitCode, stderr } = await run(['set', 'openai'], stdinOf(['planted\x03'], raw));
    expect([exitCode, seen, raw]).toEqual([1, [], [true, false]]);
    expect(stderr).toMatch(/error: nothing was set/);
  });

  test.each<[string, string[], RegExp]>([
    ['a value on the command line', ['openai', 'planted'], /too many arguments/],
    ['a value beside the name', ['openai=planted'], /^error: the name of a secret has 1 to 64 letters/],
    ['two sources', ['openai', '--from-env', 'PLANTED', '--from-file', 'x'], /do not go together/],
    ['a variable that is not set', ['openai', '--from-env', 'planted'], /must name a variable that is set/],
    [
      'a file that is not there',
      ['openai', '--from-file', '/nowhere/x'],
      /--from-file cannot be read: ENOENT/,
    ],
    ['no stdin', ['openai'], /there is no stdin to read the value from/],
  ])('refuses %s', async (_, argv, message) => {
    const { seen, run } = await startServer();
    const { exitCode, stderr } = await run(['set', ...argv]);
    expect([exitCode, seen]).toEqual([2, []]);
    expect(stderr).toMatch(message);
  });

  test('refuses what is no text', async () => {
    const { seen, run } = await startServer();
    const { exitCode, stderr } = await run([
      'set',
      'openai',
      '--from-file',
      inFile(Buffer.from([0xff, 0xfe])),
    ]);
    expect([exitCode, seen]).toEqual([2, []]);
    expect(stderr).toMatch(/is no UTF-8 text/);
  });
});

test('secrets list shows names, workspaces and times', async () => {
  const { seen, run } = await startServer();
  const { stdout } = await run(['list', '--workspace', 'w1']);
  expect(seen[0]).toMatchObject({ method: 'GET', path: '/runstead/v1/secrets?workspace=w1' });
  expect(stdout).toBe('SECRET  WORKSPACE  SET\nopenai  w1         2026-01-01T00:00:00.000Z\n');
  expect((await run(['list', '--output', 'quiet'])).stdout).toBe('openai\n');
});

test('secrets unset says who cannot be started without it', async () => {
  const { seen, run } = await startServer(['chat', 'search']);
  const { exitCode, stderr } = await run(['unset', 'openai']);
  expect(exitCode).toBe(0);
  expect(seen[0]).toMatchObject({ method: 'DELETE', path: '/runstead/v1/secrets/openai' });
  expect(stderr).toBe(
    'openai is gone.\nRuntimes that refer to it cannot be started any more until it is set again: chat, search\n',
  );
});
