import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { buildOpenApiDocument } from '@runstead/contract';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

/**
 * What the API's document promises, held against thousands of requests made from it: schemathesis invents them, good and
 * bad ones, for every operation there is. A failure prints its seed; `RUNSTEAD_SEED=n` repeats it.
 */
const VERSION = '4.32.5';
const CHECKS = [
  'not_a_server_error',
  'status_code_conformance',
  'content_type_conformance',
  'response_schema_conformance',
  'response_headers_conformance',
  'unsupported_method',
  'allow_header_conformance',
  'ignored_auth',
];
const SEED = Number(process.env.RUNSTEAD_SEED ?? Math.floor(Math.random() * 2 ** 31));
const HERE = import.meta.dirname;
const RUNSTEAD = join(
  dirname(createRequire(import.meta.url).resolve('runstead/package.json')),
  'bin',
  'runstead.js',
);

const canMakeEnvironments =
  spawnSync('python3', ['-c', 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))'], {
    stdio: 'ignore',
  }).status === 0;
if (!canMakeEnvironments)
  console.warn(
    'skipped: requests made from the document: no Python 3.10 with venv and pip is on this machine',
  );

/** The parts of schemathesis' report that are looked at. */
interface Report {
  /** What a person is told. */
  output: string;
  operations: { total: number; tested: number; errored: number };
  test_cases: { generated: number };
  failures: unknown[];
  errors: unknown[];
}

describe.skipIf(!canMakeEnvironments)('requests made from the document', () => {
  const document = JSON.parse(JSON.stringify(buildOpenApiDocument()));
  const operations = Object.values<object>(document.paths).flatMap((methods) => Object.keys(methods)).length;
  let folder: string;
  let st: string;
  const running: ChildProcess[] = [];

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'runstead-schemathesis-'));
    const environment = join(folder, 'venv');
    await run('python3', ['-m', 'venv', environment]);
    const pip = [
      '-m',
      'pip',
      'install',
      '--quiet',
      '--disable-pip-version-check',
      `schemathesis==${VERSION}`,
    ];
    await run(join(environment, 'bin', 'python'), pip);
    st = join(environment, 'bin', 'st');
  }, 180_000);

  afterAll(async () => {
    for (const server of running) await end(server);
    spawnSync('chmod', ['-R', 'u+w', folder], { stdio: 'ignore' });
    rmSync(folder, { recursive: true, force: true });
  }, 60_000);

  /** Starts a server and waits until it has said where it listens. */
  async function start(args: string[], says: RegExp): Promise<string> {
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    running.push(child);
    return new Promise((resolve, reject) => {
      let said = '';
      const look = (piece: Buffer) => {
        said += piece;
        const url = says.exec(said)?.[1];
        if (url !== undefined) resolve(url);
      };
      child.stdout.on('data', look);
      child.stderr.on('data', look);
      child.once('exit', (code) => reject(new Error(`the server ended with ${code}: ${said}`)));
    });
  }

  async function end(server: ChildProcess): Promise<void> {
    if (server.exitCode !== null || server.signalCode !== null) return;
    const ended = once(server, 'exit');
    server.kill('SIGTERM');
    await ended;
  }

  /** Sends what schemathesis makes of a document. */
  async function test(
    name: string,
    url: string,
    key: string,
    described: object,
    more: string[],
  ): Promise<Report> {
    const own = join(folder, name);
    mkdirSync(own);
    writeFileSync(join(own, 'openapi.json'), JSON.stringify(described));
    console.log(`${name}: RUNSTEAD_SEED=${SEED}`);
    const args = [
      ['run', join(own, 'openapi.json'), '--url', url, '--checks', CHECKS.join(',')],
      [
        '--header',
        `Authorization: Bearer ${key}`,
        '--seed',
        String(SEED),
        '--continue-on-failure',
        '--no-color',
      ],
      ['--generation-database', 'none', '--report', 'json', '--report-dir', own, ...more],
    ].flat();
    const { output } = await run(st, args, {
      cwd: own,
      env: {
        ...process.env,
        SCHEMATHESIS_HOOKS: 'hooks',
        PYTHONPATH: HERE,
        PYTHONDONTWRITEBYTECODE: '1',
        RUNSTEAD_TEST_URL: url,
        RUNSTEAD_TEST_KEY: key,
      },
      // It exits with 1 when it has found something, which its report then says.
      codes: [0, 1],
    });
    const file = readdirSync(own).find((it) => it.startsWith('json-'));
    if (file === undefined) throw new Error(`schemathesis made no report: ${output}`);
    const report = JSON.parse(readFileSync(join(own, file), 'utf8')) as Omit<Report, 'output'>;
    expect(report.operations).toMatchObject({ errored: 0 });
    return { ...report, output };
  }

  it('are answered by the API as it promises, some thousands of them', { timeout: 240_000 }, async () => {
    const key = 'rsk_of-generated-requests';
    const server = [join(HERE, 'api-server.mjs'), join(folder, 'api-data'), key];
    const url = await start(server, /^(http:\S+)$/m);
    const report = await test('api', url, key, document, ['--max-examples', '60']);
    expect(report.failures, report.output).toEqual([]);
    expect(report.errors).toEqual([]);
    expect(report.operations).toMatchObject({ total: operations, tested: operations });
    expect(report.test_cases.generated).toBeGreaterThanOrEqual(3000);

    // And what it does not promise is found.
    const wrong = structuredClone(document);
    wrong.components.schemas.AgentRuntime.properties.agentRuntimeArn = { type: 'integer' };
    const few = ['--max-examples', '5', '--phases', 'fuzzing', '--include-operation-id', 'ListAgentRuntimes'];
    expect((await test('wrong', url, key, wrong, few)).failures.length).toBeGreaterThan(0);
  });

  it('are answered by the whole server as it promises, some hundreds of them', {
    timeout: 240_000,
  }, async () => {
    const data = join(folder, 'server-data');
    const url = await start([RUNSTEAD, 'serve', '--port', '0', '--data', data], /listens on (\S+)/);
    const { apiKey } = JSON.parse(readFileSync(join(data, 'local-key.json'), 'utf8'));
    const report = await test('server', url, apiKey, document, [
      '--max-examples',
      '30',
      '--phases',
      'fuzzing',
    ]);
    expect(report.failures, report.output).toEqual([]);
    expect(report.errors).toEqual([]);
    expect(report.operations).toMatchObject({ total: operations, tested: operations });
    expect(report.test_cases.generated).toBeGreaterThanOrEqual(300);
  });
});

/** @throws Error with what it said when a program ends with a code that is not expected */
async function run(
  program: string,
  args: string[],
  { codes = [0], ...options }: { codes?: number[]; cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<{ output: string }> {
  const child = spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (piece) => {
      output += piece;
    });
  }
  const [code] = (await once(child, 'close')) as [number | null];
  if (code === null || !codes.includes(code)) throw new Error(`${program} ended with ${code}: ${output}`);
  return { output };
}
