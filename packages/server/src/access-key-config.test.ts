import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ConfigError, loadConfig } from './config.ts';

const SECRET = 'planted-secret-of-the-operator';
const ID = { RUNSTEAD_ACCESS_KEY_ID: 'operators-key' };

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'runstead-access-key-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function file(content: string): string {
  const path = join(folder, `secret-${content.length}`);
  writeFileSync(path, content);
  return path;
}

const load = (environment: Record<string, string>) => loadConfig({ dataDir: folder }, environment);

describe('the access key of the configuration', () => {
  it('is none unless it is set', () => {
    expect(load({})).toMatchObject({ accessKeyId: undefined, accessKeySecret: undefined });
    expect(load({}).anonymousCalls).toBe(true);
    expect(load({ RUNSTEAD_ANONYMOUS_CALLS: 'no' }).anonymousCalls).toBe(false);
    expect(() => load({ RUNSTEAD_ANONYMOUS_CALLS: 'false' })).toThrow(/RUNSTEAD_ANONYMOUS_CALLS must be/);
  });

  it('has its secret in a variable or in a file', () => {
    for (const given of [
      { RUNSTEAD_ACCESS_KEY_SECRET: SECRET },
      { RUNSTEAD_ACCESS_KEY_SECRET_FILE: file(`${SECRET}\n`) },
    ]) {
      expect(load({ ...ID, ...given } as Record<string, string>)).toMatchObject({
        accessKeyId: 'operators-key',
        accessKeySecret: SECRET,
      });
    }
  });

  it.each([
    ['a secret without an id', { RUNSTEAD_ACCESS_KEY_SECRET: SECRET }, /RUNSTEAD_ACCESS_KEY_ID is needed/],
    ['an id without a secret', ID, /RUNSTEAD_ACCESS_KEY_SECRET or RUNSTEAD_ACCESS_KEY_SECRET_FILE is needed/],
    [
      'two secrets',
      { ...ID, RUNSTEAD_ACCESS_KEY_SECRET: SECRET, RUNSTEAD_ACCESS_KEY_SECRET_FILE: '/nowhere' },
      /are both set; set one/,
    ],
    [
      'a file that is not there',
      { ...ID, RUNSTEAD_ACCESS_KEY_SECRET_FILE: '/nowhere/secret' },
      /names \/nowhere\/secret, which cannot be read: ENOENT/,
    ],
    [
      'a secret that could be guessed',
      { ...ID, RUNSTEAD_ACCESS_KEY_SECRET: 'planted-short' },
      /must have at least 16 characters/,
    ],
    [
      'an id that could not stand in a signature',
      { RUNSTEAD_ACCESS_KEY_ID: 'a,b', RUNSTEAD_ACCESS_KEY_SECRET: SECRET },
      /RUNSTEAD_ACCESS_KEY_ID must have 1 to 128 letters/,
    ],
    [
      'the secret in place of the id',
      { RUNSTEAD_ACCESS_KEY_ID: `${SECRET}+/==`, RUNSTEAD_ACCESS_KEY_SECRET: SECRET },
      /RUNSTEAD_ACCESS_KEY_ID must have 1 to 128 letters/,
    ],
  ])('is refused for %s, without a word of the secret', (_, environment, message) => {
    const start = () => load(environment as Record<string, string>);
    expect(start).toThrow(ConfigError);
    expect(start).toThrow(message);
    expect(start).toThrow(/^(?!.*planted)/);
  });
});
