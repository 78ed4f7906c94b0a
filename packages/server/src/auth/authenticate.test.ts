import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { authenticate } from './authenticate.ts';
import { hashKey, KeyRing } from './key-ring.ts';
import { openLocalKey } from './local-key.ts';
import { Nonces } from './nonces.ts';

describe('authenticate', () => {
  const key = { kind: 'platform', role: 'deploy', workspaces: 'all', accessKeySecret: 'secret' } as const;
  const keys = new KeyRing([
    { ...key, id: 'a', accessKeyId: 'rak1', sha256: hashKey('rsk_first') },
    { ...key, id: 'b', accessKeyId: 'rak2', sha256: hashKey('rsk_second'), workspaces: ['w'] },
    {
      ...key,
      id: 'c',
      accessKeyId: 'rak3',
      sha256: hashKey('rsk_expired'),
      expiresAt: '2020-01-01T00:00:00.000Z',
    },
  ]);
  const ask = async (...authorization: string[]) => {
    const shelf = { nonces: async () => [], addNonce: async () => {}, removeNonces: async () => {} };
    const nonces = await Nonces.open(shelf, Date.now());
    const fields = authorization.flatMap((value) => ['Authorization', value]);
    return authenticate({ method: 'GET', target: '/', fields }, { keys, nonces, now: Date.now });
  };

  it('knows the key that was presented', async () => {
    expect(await ask('Bearer rsk_second')).toEqual({ keyId: 'b', role: 'deploy', workspaces: ['w'] });
    expect(await ask('bearer  rsk_first')).toMatchObject({ keyId: 'a', workspaces: 'all' });
  });

  it.each([
    [[], /AccessDenied: no credential/],
    [[''], /AccessDenied: no credential/],
    [['Bearer '], /AccessDenied/],
    [['Bearer rsk_third'], /InvalidAccessKeyId\.NotFound/],
    [['Bearer rsk_expired'], /InvalidAccessKeyId\.NotFound/],
    [['Basic dXNlcjpwYXNz'], /scheme "Basic"/],
    [['Bearer a b'], /no single key follows "Bearer"/],
    [['rsk_second'], /the credential has no scheme/],
    [['Bearer rsk_first', 'Bearer rsk_second'], /more than once/],
  ])('refuses %j and says what to send', async (authorization, message) => {
    await expect(ask(...authorization)).rejects.toThrow(message);
    await expect(ask(...authorization)).rejects.toThrow(/Bearer rsk_/);
  });

  it('does not repeat what was presented', async () => {
    for (const presented of [
      'Bearer rsk_sesame',
      'rsk_sesame',
      'rsk_se+sesame x',
      'Bearer x sesame',
      'ACS3-HMAC-SHA256 sesame',
      'ACS3-HMAC-SHA256 Credential=sesame,SignedHeaders=host,Signature=sesame',
    ]) {
      await expect(ask(presented)).rejects.toThrow(/^(?!.*sesame)/);
    }
  });
});

describe('openLocalKey', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'runstead-key-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('makes a key for its owner alone and keeps it', () => {
    const file = join(folder, 'local-key.json');
    const key = openLocalKey(file);
    expect(key.apiKey).toMatch(/^rsk_[\w-]{32}$/);
    expect(key.accessKeyId).toMatch(/^rak[0-9a-f]{20}$/);
    expect(key.accessKeySecret).toMatch(/^[\w-]{40}$/);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    chmodSync(file, 0o644);
    expect(openLocalKey(file)).toEqual(key);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it('adds an access key to the key of an earlier release', () => {
    const file = join(folder, 'local-key.json');
    writeFileSync(file, '{"apiKey":"rsk_earlier"}');
    const key = openLocalKey(file);
    expect(key).toMatchObject({ apiKey: 'rsk_earlier', accessKeyId: expect.stringMatching(/^rak/) });
    expect(openLocalKey(file)).toEqual(key);
  });

  it('says what to do when the file holds no key', () => {
    const file = join(folder, 'local-key.json');
    for (const text of ['', '{', '{}', '{"apiKey":7}']) {
      writeFileSync(file, text);
      expect(() => openLocalKey(file)).toThrow(/Remove the file/);
    }
  });
});
