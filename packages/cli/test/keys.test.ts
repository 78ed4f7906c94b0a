import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { describe, expect, onTestFinished, test } from 'vitest';
import { runCli } from './run-cli.ts';

interface Seen {
  method: string | undefined;
  path: string | undefined;
  authorization: string | undefined;
  body: unknown;
}

const SECRETS = { apiKey: 'rsk_test', accessKeyId: 'raktest', accessKeySecret: 'testsecret' };

/** A server that speaks the routes of keys. */
async function startServer(
  answer?: (request: IncomingMessage) => { status: number; body: object } | undefined,
) {
  const seen: Seen[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      const { method, url: path } = request;
      const body = method === 'POST' ? ((await json(request)) as Record<string, unknown>) : undefined;
      seen.push({ method, path, authorization: request.headers.authorization, body });
      const { status, body: given } = answer?.(request) ?? { status: 200, body: {} };
      const made = {
        keyId: 'raktest',
        role: body?.role,
        workspaces: body?.workspaces ?? 'all',
        description: body?.description,
        createdAt: '2026-01-01T00:00:00.000Z',
      };
      const data =
        method === 'POST'
          ? { ...made, ...SECRETS }
          : method === 'DELETE'
            ? made
            : {
                items: [
                  {
                    ...made,
                    role: 'invoke',
                    workspaces: ['w1', 'w2'],
                    description: 'bad \u001b[31mred\nline',
                  },
                  { keyId: 'rakother', credentialName: 'partner', expiresAt: '2027-01-01T00:00:00.000Z' },
                ],
              };
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(status === 200 ? { code: 'SUCCESS', requestId: 'r', data } : given));
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    seen,
    run: (...argv: string[]) =>
      runCli(['keys', ...argv], { RUNSTEAD_BASE_URL: url, RUNSTEAD_API_KEY: 'rsk_mine' }),
  };
}

describe('keys create', () => {
  test('asks for what the flags say, and shows the secrets this once', async () => {
    const { seen, run } = await startServer();
    const result = await run(
      'create',
      ...[
        '--role',
        'invoke',
        '--workspace',
        'a',
        '--workspace',
        'b',
        '--description',
        'x',
        '--expires',
        '30d',
      ],
    );
    expect(seen).toEqual([
      {
        method: 'POST',
        path: '/runstead/v1/keys',
        authorization: 'Bearer rsk_mine',
        body: { role: 'invoke', workspaces: ['a', 'b'], description: 'x', expiresInSeconds: 2_592_000 },
      },
    ]);
    expect(result.exitCode).toBe(0);
    for (const secret of Object.values(SECRETS)) expect(result.stdout).toContain(secret);
    expect(result.stdout).toMatch(/^key +raktest\nrole +invoke\nworkspaces +a, b\n/);
    expect(result.stderr).toBe(
      'The secrets of raktest are shown this once and cannot be read again: keep them now.\n',
    );
  });

  test('unless told otherwise it may deploy, everywhere', async () => {
    const { seen, run } = await startServer();
    await run('create');
    expect(seen[0]!.body).toEqual({ role: 'deploy' });
  });

  test('a key of a credential has no role', async () => {
    const { seen, run } = await startServer();
    await run('create', '--credential', 'partner', '--header', 'X-API-Key');
    expect(seen[0]!.body).toEqual({ credential: 'partner', header: 'X-API-Key' });
  });

  test('stdout is data alone: JSON, or the API key', async () => {
    const { run } = await startServer();
    expect(JSON.parse((await run('create', '--output', 'json')).stdout)).toMatchObject({
      keyId: 'raktest',
      ...SECRETS,
    });
    expect((await run('create', '--output', 'quiet')).stdout).toBe('rsk_test\n');
  });

  test.each<[string[], RegExp]>([
    [['--role', 'root'], /--role must be one of invoke, deploy, admin; got "root"/],
    [['--expires', '30'], /--expires must be a time from now .*got "30"/],
    [['--expires', '0d'], /--expires must be .*got "0d"/],
    [['--header', 'X-API-Key'], /--header needs --credential/],
    [['--credential', 'p', '--role', 'admin'], /--role and --credential do not go together/],
    [['--output', 'yaml'], /--output must be one of table, json, quiet; got "yaml"/],
  ])('%j is refused before anything is sent', async (argv, says) => {
    const { seen, run } = await startServer();
    const result = await run('create', ...argv);
    expect(result).toMatchObject({ exitCode: 2, stdout: '' });
    expect(result.stderr).toMatch(says);
    expect(seen).toEqual([]);
  });
});

describe('keys list', () => {
  test('shows a table in which no cell can act on the terminal', async () => {
    const { run } = await startServer();
    expect(await run('list')).toEqual({
      exitCode: 0,
      stdout: [
        'KEY       ROLE    FOR                                 EXPIRES                   DESCRIPTION',
        'raktest   invoke  w1, w2                              never                     bad  [31mred line',
        'rakother  -       credential partner, all workspaces  2027-01-01T00:00:00.000Z',
        '',
      ].join('\n'),
      stderr: '',
    });
  });

  test('or the ids alone, or JSON', async () => {
    const { run } = await startServer();
    expect((await run('list', '--output=quiet')).stdout).toBe('raktest\nrakother\n');
    expect(JSON.parse((await run('list', '--output', 'json')).stdout)).toHaveLength(2);
  });
});

describe('keys revoke', () => {
  test('asks for the one key', async () => {
    const { seen, run } = await startServer();
    const result = await run('revoke', 'raktest', '--output', 'quiet');
    expect(seen).toMatchObject([{ method: 'DELETE', path: '/runstead/v1/keys/raktest' }]);
    expect(result).toEqual({ exitCode: 0, stdout: 'raktest\n', stderr: 'raktest is revoked.\n' });
  });

  test.each([
    ['no id', [], /missing required argument 'key-id'/],
    ['two ids', ['a', 'b'], /too many arguments/],
    ['a path', ['../workspaces/x'], /a key's id has letters/],
  ] as const)('%s is refused', async (_, argv, says) => {
    const { seen, run } = await startServer();
    const result = await run('revoke', ...argv);
    expect(result).toMatchObject({ exitCode: 2, stdout: '' });
    expect(result.stderr).toMatch(says);
    expect(seen).toEqual([]);
  });

  test('the secret in place of the id is refused, and not repeated', async () => {
    const { seen, run } = await startServer();
    const { exitCode, stderr } = await run('revoke', 'rsk_testsecret');
    expect(exitCode).toBe(2);
    expect(stderr).not.toContain('testsecret');
    expect(seen).toEqual([]);
  });
});

describe('a failure', () => {
  test.each([
    [400, 'ERR_VALIDATION_FAILED', 2],
    [401, 'AccessDenied', 3],
    [403, 'NoPermission', 3],
    [404, 'ERR_NOT_FOUND', 4],
    [503, 'ERR_UNAVAILABLE', 1],
  ])(
    'of the server, %i, exits with its code and tells its words on stderr',
    async (status, code, exitCode) => {
      const { run } = await startServer(() => ({
        status,
        body: { code, message: 'told so', requestId: 'req-1' },
      }));
      const plain = await run('revoke', 'raktest');
      expect(plain).toMatchObject({ exitCode, stdout: '' });
      expect(plain.stderr).toMatch(/^error: .*told so/);
      expect(plain.stderr).not.toMatch(/\n {4}at |fault of Runstead/);
      const asJson = await run('revoke', 'raktest', '--output', 'json');
      expect(asJson).toMatchObject({ exitCode, stdout: '' });
      expect(JSON.parse(asJson.stderr)).toMatchObject({
        error: { code, message: expect.stringContaining('told so'), request_id: 'req-1' },
      });
    },
  );

  test('to reach the server exits with 7', async () => {
    const variables = { RUNSTEAD_BASE_URL: 'http://127.0.0.1:1', RUNSTEAD_API_KEY: 'rsk_mine' };
    const { exitCode, stderr } = await runCli(['keys', 'list'], variables);
    expect(exitCode).toBe(7);
    expect(stderr).toMatch(/Is the server running\? Start it with "runstead serve"/);
    expect(stderr).not.toContain('rsk_mine');
  });

  test('to find one exits with 7; the cloud is not asked in its place', async () => {
    const { exitCode, stdout, stderr } = await runCli(['keys', 'list']);
    expect(exitCode).toBe(7);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/no server runs on the data folder/);
  });

  test('of the command line is JSON too where that is wanted', async () => {
    const { exitCode, stderr } = await runCli(['keys', 'creat', '--output', 'json']);
    expect(exitCode).toBe(2);
    expect(JSON.parse(stderr).error.message).toMatch(/unknown command 'creat'/);
  });

  test('an address without a key is told at once', async () => {
    const { exitCode, stderr } = await runCli(['keys', 'list'], { RUNSTEAD_BASE_URL: 'http://127.0.0.1:1' });
    expect(exitCode).toBe(3);
    expect(stderr).toMatch(/RUNSTEAD_API_KEY is needed/);
  });
});

test('an unknown verb: the one that was probably meant; none: the help', async () => {
  const meant = await runCli(['keys', 'creat']);
  expect(meant).toMatchObject({ exitCode: 2, stdout: '' });
  expect(meant.stderr).toMatch(/unknown command 'creat'.*Did you mean create\?/s);
  const none = await runCli(['keys']);
  expect(none).toMatchObject({ exitCode: 2, stdout: '' });
  expect(none.stderr).toMatch(/^Usage: runstead keys .*create.*list.*revoke/s);
});
