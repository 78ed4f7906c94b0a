import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hashKey } from './api-key.ts';
import { authenticate } from './authenticate.ts';
import { openLocalKey } from './local-key.ts';

describe('authenticate', () => {
  const keys = [
    { id: 'a', sha256: hashKey('rsk_first') },
    { id: 'b', sha256: hashKey('rsk_second') },
  ];

  it('knows the key that was presented', () => {
    expect(authenticate('Bearer rsk_second', keys)).toEqual({ keyId: 'b' });
    expect(authenticate('bearer  rsk_first', keys)).toEqual({ keyId: 'a' });
  });

  it.each([
    [undefined, /AccessDenied: no credential/],
    ['', /AccessDenied: no credential/],
    ['Bearer ', /AccessDenied/],
    ['Bearer rsk_third', /InvalidAccessKeyId\.NotFound/],
    ['Basic dXNlcjpwYXNz', /scheme "Basic"/],
    ['Bearer a b', /no single key follows "Bearer"/],
    ['rsk_second', /the credential has no scheme/],
    ['ACS3-HMAC-SHA256 Credential=x', /scheme "ACS3-HMAC-SHA256"/],
  ])('refuses %j and says what to send', (authorization, message) => {
    expect(() => authenticate(authorization, keys)).toThrow(message);
    expect(() => authenticate(authorization, keys)).toThrow(/Bearer rsk_/);
  });

  it('does not repeat what was presented', () => {
    for (const presented of ['Bearer rsk_sesame', 'rsk_sesame', 'rsk_se+sesame x', 'Bearer x sesame']) {
      expect(() => authenticate(presented, keys)).toThrow(/^(?!.*sesame)/);
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
