import { execFileSync } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { environmentVariables } from '../src/config/environment.ts';
import { AgentRuntimeClient, type Config, type Logger, type LogLevel } from '../src/index.ts';
import { recordingFetch, success } from './recording-fetch.ts';

beforeEach(() => {
  for (const name of Object.values(environmentVariables).flat()) vi.stubEnv(name, '');
  vi.stubEnv('RUNSTEAD_DATA', '/nonexistent');
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

/** A logger that keeps its lines, as `level text`. */
function keeping() {
  const lines: string[] = [];
  const at = (level: LogLevel) => (line: string) => lines.push(`${level} ${line}`);
  const logger: Logger = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
  return { lines, logger };
}

const unavailable = () =>
  Response.json({ message: 'not now' }, { status: 503, headers: { 'retry-after': '0' } });

function clientWith(config: Config, ...answers: (() => Response)[]) {
  let next = 0;
  const { fetch } = recordingFetch(() => (answers[next++] ?? (() => success({ agentRuntimeId: 'r1' })))());
  return new AgentRuntimeClient({
    baseUrl: 'https://runstead.example',
    apiKey: 'rsk_secret',
    fetch,
    ...config,
  });
}

describe('a log', () => {
  it('is not kept unless asked for', async () => {
    const spies = (['debug', 'info', 'warn', 'error'] as const).map((level) => vi.spyOn(console, level));
    await clientWith({}, unavailable).get('r1');
    for (const spy of spies) expect(spy).not.toHaveBeenCalled();
  });

  it('shows requests and answers at debug, and what is tried again', async () => {
    const { lines, logger } = keeping();
    await clientWith({ logger, logLevel: 'debug' }, unavailable).update('r1', { cpu: 2 });
    const url = 'https://runstead.example/2025-09-10/agents/runtimes/r1';
    expect(lines).toHaveLength(5);
    expect(lines[0]).toMatch(`debug runstead: → PUT ${url} {`);
    expect(lines[0]).toContain('"authorization":"***"');
    expect(lines[0]).toContain('{"cpu":2}');
    expect(lines[1]).toMatch(new RegExp(`^debug runstead: ← 503 PUT ${url} after \\d+ ms \\{`));
    expect(lines[2]).toBe(`info runstead: PUT ${url} is tried again in 0 ms (1 of 2): not now`);
    expect(lines[4]).toContain('← 200');
  });

  it.each<[LogLevel | undefined, number]>([
    ['debug', 5],
    ['info', 1],
    [undefined, 1],
    ['warn', 0],
    ['error', 0],
    ['off', 0],
  ])('of a logger at level %s has %d lines of a call that was tried again', async (logLevel, count) => {
    const { lines, logger } = keeping();
    await clientWith({ logger, logLevel }, unavailable).get('r1');
    expect(lines).toHaveLength(count);
  });

  it('is asked for by RUNSTEAD_LOG, which writes to the console, and less than by the setting', async () => {
    const debug = vi.spyOn(console, 'debug').mockImplementation(() => {});
    vi.stubEnv('RUNSTEAD_LOG', 'debug');
    await clientWith({}).get('r1');
    expect(debug).toHaveBeenCalledTimes(2);
    await clientWith({ logLevel: 'off' }).get('r1');
    expect(debug).toHaveBeenCalledTimes(2);
  });

  it.each<[string, () => void, Config]>([
    ['logLevel', () => {}, { logLevel: 'loud' as LogLevel }],
    ['RUNSTEAD_LOG', () => vi.stubEnv('RUNSTEAD_LOG', 'loud'), {}],
  ])('refuses a level that is none: %s', async (name, prepare, config) => {
    prepare();
    await expect(clientWith(config).get('r1')).rejects.toMatchObject({
      name: 'ValueError',
      message: `${name} must be one of debug, info, warn, error, off: loud`,
    });
  });

  it('holds no secret: of keys, headers, environments, registries; nor packages', async () => {
    const { lines, logger } = keeping();
    const quoting = () =>
      Response.json(
        { message: 'rsk_secret is unknown' },
        { status: 500, headers: { 'set-cookie': 'hidden8' } },
      );
    const client = clientWith({ logger, logLevel: 'debug', headers: { 'x-api-key': 'hidden1' } }, quoting);
    await client.create({
      agentRuntimeName: 'shown',
      codeConfiguration: { zipFile: 'hidden2'.repeat(100) },
      environmentVariables: { NAME: 'hidden3' },
      containerConfiguration: { registryConfig: { authConfig: { password: 'hidden4' } } },
      armsConfiguration: { armsLicenseKey: 'hidden5' },
    });
    const signed = client.withConfig({
      accessKeyId: 'hidden6',
      accessKeySecret: 'hidden7',
      securityToken: 'hidden9',
    });
    await signed.get('r1');
    const text = lines.join('\n');
    expect(text).toContain('shown');
    expect(text).toContain('"NAME":"***"');
    expect(text).toContain('<700 characters>');
    expect(text).not.toMatch(/hidden|rsk_secret/);
  });

  it('is cut where a body is long, and has only the length of what is no JSON', async () => {
    const { lines, logger } = keeping();
    await clientWith({ logger, logLevel: 'debug' }).update('r1', { description: 'x'.repeat(100_000) });
    expect(lines[0]?.length).toBeLessThan(3000);
  });

  it('ends no call by what its logger throws, and calls it as a method', async () => {
    const logger = {
      own: 'logger',
      debug(this: { own: string }) {
        throw new Error(this.own);
      },
      info() {},
      warn() {},
      error() {},
    };
    await clientWith({ logger, logLevel: 'debug' }).get('r1');
  });

  it('tells why a token is used or could not be had', async () => {
    const { lines, logger } = keeping();
    const refuse = () => Response.json({ message: 'no' }, { status: 401 });
    const key = { apiKey: undefined, accessKeyId: 'testak', accessKeySecret: 'testsk' };
    const client = clientWith({ ...key, logger }, refuse, () =>
      Response.json({ message: 'Forbidden' }, { status: 403 }),
    );
    await expect(client.invokeOpenai('hello', undefined, { messages: [] })).rejects.toThrow();
    expect(lines).toEqual(['warn runstead: no access token for hello: Forbidden']);
  });
});

it('RUNSTEAD_LOG works for a program as it is', () => {
  const script = `import { AgentRuntimeClient } from '@runstead/client';
    await new AgentRuntimeClient({ baseUrl: 'http://127.0.0.1:1', apiKey: 'rsk_hidden', fetch: async () => Response.json({ data: {} }) }).get('r1');`;
  const text = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
    cwd: import.meta.dirname,
    encoding: 'utf8',
    env: { ...process.env, RUNSTEAD_LOG: 'debug' },
  });
  expect(text).toContain('runstead: → GET http://127.0.0.1:1/2025-09-10/agents/runtimes/r1');
  expect(text).not.toContain('rsk_hidden');
});
