import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ConfigError, loadConfig, s3Settings } from './config.ts';

const SECRET = 'nobody-may-see-this';
const ENDPOINT = 'http://127.0.0.1:9000';
const KEY = { RUNSTEAD_S3_ENDPOINT: ENDPOINT, RUNSTEAD_S3_ACCESS_KEY_ID: 'someone' };

function file(content: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'runstead-config-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'secret'), content);
  return join(folder, 'secret');
}

describe('the object store', () => {
  it('is none unless its address is set', () => {
    expect(s3Settings(loadConfig({}, { RUNSTEAD_S3_REGION: 'mars-1' }))).toBeUndefined();
  });

  it('is asked anonymously, by path and in the usual region unless told otherwise', () => {
    expect(s3Settings(loadConfig({}, { RUNSTEAD_S3_ENDPOINT: `${ENDPOINT}/` }))).toEqual({
      endpoint: ENDPOINT,
      region: 'us-east-1',
      key: undefined,
      pathStyle: true,
    });
  });

  it('takes its secret as a value or as a file', () => {
    const given = { ...KEY, RUNSTEAD_S3_REGION: 'mars-1', RUNSTEAD_S3_PATH_STYLE: 'no' };
    const expected = {
      endpoint: ENDPOINT,
      region: 'mars-1',
      key: { id: 'someone', secret: SECRET },
      pathStyle: false,
    };
    for (const secret of [
      { RUNSTEAD_S3_ACCESS_KEY_SECRET: SECRET },
      { RUNSTEAD_S3_ACCESS_KEY_SECRET_FILE: file(`${SECRET}\n`) },
    ]) {
      const config = loadConfig({}, { ...given, ...secret });
      expect(s3Settings(config)).toEqual(expected);
      // Wherever a configuration ends up, in a copy, a log or a message, its secret does not.
      for (const text of [JSON.stringify(config), inspect(config), JSON.stringify({ ...config })])
        expect(text).not.toContain(SECRET);
    }
  });

  const wrong: [string, Record<string, string>, RegExp][] = [
    [
      'a key without an address',
      { RUNSTEAD_S3_ACCESS_KEY_ID: 'a', RUNSTEAD_S3_ACCESS_KEY_SECRET: SECRET },
      /RUNSTEAD_S3_ENDPOINT is needed/,
    ],
    [
      'a secret without a key',
      { RUNSTEAD_S3_ENDPOINT: ENDPOINT, RUNSTEAD_S3_ACCESS_KEY_SECRET: SECRET },
      /_KEY_ID is needed/,
    ],
    ['a key without a secret', KEY, /SECRET or RUNSTEAD_S3_ACCESS_KEY_SECRET_FILE is needed/],
    [
      'two secrets',
      { ...KEY, RUNSTEAD_S3_ACCESS_KEY_SECRET: SECRET, RUNSTEAD_S3_ACCESS_KEY_SECRET_FILE: '/x' },
      /both set/,
    ],
    [
      'a file that is not there',
      { ...KEY, RUNSTEAD_S3_ACCESS_KEY_SECRET_FILE: '/nowhere/secret' },
      /names \/nowhere\/secret, which cannot be read: ENOENT/,
    ],
    [
      'no address',
      { RUNSTEAD_S3_ENDPOINT: 'store:9000' },
      /RUNSTEAD_S3_ENDPOINT must be an http or https URL/,
    ],
    [
      'an address with a password',
      { RUNSTEAD_S3_ENDPOINT: `http://me:${SECRET}@store` },
      /must have no user or password/,
    ],
    [
      'an address with more',
      { RUNSTEAD_S3_ENDPOINT: `http://store/?key=${SECRET}` },
      /must be an http or https URL/,
    ],
    [
      'neither yes nor no',
      { RUNSTEAD_S3_ENDPOINT: ENDPOINT, RUNSTEAD_S3_PATH_STYLE: 'maybe' },
      /RUNSTEAD_S3_PATH_STYLE must be one of yes, no/,
    ],
  ];
  it.each(wrong)('is refused with %s, and no secret is told', (_what, environment, reason) => {
    const load = () => loadConfig({}, environment);
    expect(load).toThrow(ConfigError);
    expect(load).toThrow(reason);
    expect(load).not.toThrow(SECRET);
  });

  it('is refused with an empty file for a secret', () => {
    const environment = { ...KEY, RUNSTEAD_S3_ACCESS_KEY_SECRET_FILE: file('\n') };
    expect(() => loadConfig({}, environment)).toThrow(/which is empty/);
  });
});

describe('rates', () => {
  const VARIABLES = ['RUNSTEAD_RATE_LIMIT_RUNTIME', 'RUNSTEAD_RATE_LIMIT_KEY'] as const;

  it('have no limit unless one is set', () => {
    expect(loadConfig({}, {})).toMatchObject({ rateLimitRuntime: undefined, rateLimitKey: undefined });
  });

  it('are so many a second, minute or hour, with a burst or without', () => {
    const config = loadConfig({}, { [VARIABLES[0]]: '600/m', [VARIABLES[1]]: ' 100/s:200 ' });
    expect(config.rateLimitRuntime).toEqual({ count: 600, periodMs: 60_000, burst: 600 });
    expect(config.rateLimitKey).toEqual({ count: 100, periodMs: 1000, burst: 200 });
  });

  it.each(VARIABLES)('in %s that are none are refused with the value and what it must be', (variable) => {
    for (const value of ['100', '0/s', '10/d', 'many']) {
      const load = () => loadConfig({}, { [variable]: value });
      expect(load).toThrow(ConfigError);
      expect(load).toThrow(
        `${variable} must be a number from 1 to 1000000 a second, minute or hour, such as 100/s, 600/m or 1000/h, and may have a burst, such as 100/s:200; got "${value}"`,
      );
    }
  });
});

describe('what waiting calls may hold', () => {
  it('is 16 MiB for a version and 64 MiB in all unless set', () => {
    expect(loadConfig({}, {})).toMatchObject({ queueBytes: 16 * 2 ** 20, queueBytesTotal: 64 * 2 ** 20 });
    const set = { RUNSTEAD_QUEUE_BYTES: '1MiB', RUNSTEAD_QUEUE_BYTES_TOTAL: '2MiB' };
    expect(loadConfig({}, set)).toMatchObject({ queueBytes: 2 ** 20, queueBytesTotal: 2 ** 21 });
  });
});

describe('containers', () => {
  it('are in whatever engine there is, and code is in none, unless said otherwise', () => {
    expect(loadConfig({}, {})).toMatchObject({
      dockerHost: undefined,
      codeDriver: 'process',
      codeImages: { nodejs20: 'node:20-slim', 'python3.10': 'python:3.10-slim' },
    });
    const config = loadConfig(
      {},
      {
        RUNSTEAD_DOCKER_HOST: 'tcp://127.0.0.1:2375',
        RUNSTEAD_CODE_DRIVER: 'docker',
        RUNSTEAD_CODE_IMAGES: `nodejs20=reg.example:5000/node@sha256:${'a'.repeat(64)}, custom=localhost/base`,
      },
    );
    expect(config).toMatchObject({
      dockerHost: 'tcp://127.0.0.1:2375',
      codeDriver: 'docker',
      codeImages: {
        nodejs20: `reg.example:5000/node@sha256:${'a'.repeat(64)}`,
        custom: 'localhost/base',
        'python3.10': 'python:3.10-slim',
      },
    });
  });

  it.each([
    ['RUNSTEAD_DOCKER_HOST', 'tcp://10.0.0.7:2375', /engine of this machine.*got "tcp:\/\/10\.0\.0\.7:2375"/],
    ['RUNSTEAD_DOCKER_HOST', 'somewhere', /must be unix:\/\/.*or "none"; got "somewhere"/],
    ['RUNSTEAD_CODE_DRIVER', 'podman', /must be one of process, docker; got "podman"/],
    ['RUNSTEAD_CODE_IMAGES', 'cobol=base', /languages and their images.*got "cobol=base"/],
    ['RUNSTEAD_CODE_IMAGES', 'nodejs20=Not an image', /got "nodejs20=Not an image"/],
  ])('that cannot be are refused: %s=%s', (variable, value, reason) => {
    expect(() => loadConfig({}, { [variable]: value })).toThrow(reason);
  });
});
