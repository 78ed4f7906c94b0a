import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { CertificateError, loadCertificate } from '../../src/tls/certificate-files.ts';
import { type Issued, issueAuthority, issueServer } from '../../src/tls/issue.ts';

const DAY_MS = 24 * 3600 * 1000;
const now = Date.now();
const lifetime = { fromMs: now - DAY_MS, untilMs: now + DAY_MS };
const authority = issueAuthority(['localhost', '127.0.0.1'], lifetime);
const server = issueServer(['localhost', '127.0.0.1'], authority, lifetime);

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'runstead-tls-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
});

function files({ cert, key }: Issued) {
  const at = { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'key.pem') };
  writeFileSync(at.certFile, cert);
  writeFileSync(at.keyFile, key);
  return at;
}

const faultOf = (pair: Issued, nowMs = now): Error => {
  try {
    loadCertificate(files(pair), nowMs);
  } catch (error) {
    expect(error).toBeInstanceOf(CertificateError);
    return error as Error;
  }
  throw new Error('it was accepted');
};

test('a certificate with its key, and what it is for', () => {
  expect(loadCertificate(files(server), now)).toMatchObject({
    cert: server.cert,
    key: server.key,
    names: ['127.0.0.1', 'localhost'],
    endsMs: Math.floor(lifetime.untilMs / 1000) * 1000,
  });
});

test('a chain, and a key in the form of OpenSSL', () => {
  const key = createPrivateKey(server.key).export({ type: 'sec1', format: 'pem' }).toString();
  const cert = server.cert + authority.cert;
  expect(loadCertificate(files({ cert, key }), now)).toMatchObject({ cert, key });
});

describe('is refused, with the setting, the file, and what is wrong', () => {
  const encrypted = createPrivateKey(server.key)
    .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'test' })
    .toString();
  const block = (what: string, text: string) => `-----BEGIN ${what}-----\n${text}\n-----END ${what}-----\n`;
  const weak = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;

  test.each<[what: string, Partial<Issued>, RegExp]>([
    [
      'a file without a certificate',
      { cert: 'hello' },
      /RUNSTEAD_TLS_CERT names .*cert\.pem, which holds no certificate in PEM form/,
    ],
    ['a key in place of the certificate', { cert: server.key }, /RUNSTEAD_TLS_CERT .*no certificate/],
    [
      'a broken certificate',
      { cert: block('CERTIFICATE', 'AAAA') },
      /RUNSTEAD_TLS_CERT .*cert\.pem, which holds a certificate that cannot be read/,
    ],
    [
      'a file without a key',
      { key: server.cert },
      /RUNSTEAD_TLS_KEY names .*key\.pem, which holds no private key in PEM form/,
    ],
    ['a key with a passphrase', { key: encrypted }, /RUNSTEAD_TLS_KEY .*locked with a passphrase/],
    [
      'a broken key',
      { key: block('PRIVATE KEY', 'AAAA') },
      /RUNSTEAD_TLS_KEY .*private key that cannot be read/,
    ],
    ["another's key", { key: authority.key }, /cert\.pem .*key\.pem .*do not belong together/],
    [
      'a key of another kind',
      { key: weak.export({ type: 'pkcs8', format: 'pem' }).toString() },
      /do not belong together/,
    ],
    [
      'a chain the wrong way round',
      { cert: authority.cert + server.cert },
      /first certificate must be the server's own/,
    ],
  ])('%s', (_, changed, says) => {
    const { message } = faultOf({ ...server, ...changed });
    expect(message).toMatch(says);
    expect(message).not.toContain('AAAA');
  });

  test('a file that is not there', () => {
    const at = files(server);
    rmSync(at.keyFile);
    expect(() => loadCertificate(at, now)).toThrow(
      /RUNSTEAD_TLS_KEY names .*key\.pem, which cannot be read: ENOENT/,
    );
  });

  test('what has expired, or has not begun', () => {
    expect(faultOf(server, now + 2 * DAY_MS).message).toMatch(/expired on \d{4}-\d\d-\d\d/);
    expect(faultOf(server, now - 2 * DAY_MS).message).toMatch(/not valid before .*clock/);
  });
});
