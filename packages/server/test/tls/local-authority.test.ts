import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, createServer } from 'node:tls';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { namesOf } from '../../src/tls/certificate-names.ts';
import { issueAuthority, issueServer, mayVouchFor } from '../../src/tls/issue.ts';
import { openLocalCertificate } from '../../src/tls/local-authority.ts';

const DAY_MS = 24 * 3600 * 1000;
const NAMES = ['127.0.0.1', '::1', 'localhost'];

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'runstead-tls-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
});

const open = (names = NAMES, nowMs = Date.now()) => openLocalCertificate(join(folder, 'keys'), names, nowMs);
const mode = (file: string) => statSync(file).mode & 0o777;
const read = (file: string) => readFileSync(file, 'utf8');

/** Shakes hands over TLS with a client that trusts `ca`, and tells the client's error, if there was one. */
async function shakeHands(server: { cert: string; key: string }, ca: string, servername: string) {
  const listener = createServer(server, (socket) => socket.end());
  listener.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const { port } = listener.address() as { port: number };
  try {
    return await new Promise<string | undefined>((resolve) => {
      const socket = connect({ port, host: '127.0.0.1', ca, servername }, () => {
        socket.destroy();
        resolve(undefined);
      });
      socket.on('error', (error) => resolve(error.message));
    });
  } finally {
    await new Promise((resolve) => listener.close(resolve));
  }
}

describe('the local certificate', () => {
  test('is made on first use, with private keys for the owner alone and an authority open to all', async () => {
    const umask = process.umask(0o077);
    const { file, caFile, made } = await open().finally(() => process.umask(umask));
    expect(made).toBe('authority');
    expect(mode(file)).toBe(0o600);
    expect(mode(join(folder, 'keys', 'authority.pem'))).toBe(0o600);
    expect(mode(caFile)).toBe(0o644);
    expect(read(caFile)).not.toContain('PRIVATE');
    expect(readdirSync(join(folder, 'keys')).sort()).toEqual(['authority.pem', 'ca.pem', 'tls.pem']);
  });

  test.each(['localhost', 'agents.example.com', 'any.box.local'])(
    'is accepted by a client that trusts the authority and asks for %s',
    async (servername) => {
      const { file, caFile } = await open(['127.0.0.1', '*.box.local', 'agents.example.com', 'localhost']);
      const pem = read(file);
      expect(await shakeHands({ cert: pem, key: pem }, read(caFile), servername)).toBeUndefined();
    },
  );

  test('passes the strict rules of RFC 5280', async (context) => {
    const { file, caFile } = await open();
    const run = spawnSync('openssl', [
      'verify',
      '-x509_strict',
      '-purpose',
      'sslserver',
      '-CAfile',
      caFile,
      file,
    ]);
    if (run.error) {
      console.warn('skipped: this machine has no openssl');
      context.skip('this machine has no openssl');
    }
    expect(run.stdout.toString() + run.stderr.toString()).toBe(`${file}: OK\n`);
  });

  test('stays the same, byte for byte, when it is opened again', async () => {
    const first = await open();
    const before = [read(first.file), read(first.caFile)];
    const again = await open();
    expect(again).toEqual({ ...first, made: 'nothing' });
    expect([read(again.file), read(again.caFile)]).toEqual(before);
  });

  test('gets a new authority when it is to be for a name that the old one may not vouch for', async () => {
    const { file, caFile } = await open();
    const ca = read(caFile);
    const wider = ['127.0.0.1', '::1', 'box.local', 'localhost'];
    expect((await open(wider)).made).toBe('authority');
    expect(read(caFile)).not.toBe(ca);
    expect(namesOf(new X509Certificate(read(file)))).toEqual(wider);
  });

  test('keeps the authority when it is to be for fewer names', async () => {
    await open(['127.0.0.1', '::1', 'box.local', 'localhost']);
    const ca = read(join(folder, 'keys', 'ca.pem'));
    const { file, made } = await open();
    expect(made).toBe('certificate');
    expect(namesOf(new X509Certificate(read(file)))).toEqual(NAMES);
    expect(read(join(folder, 'keys', 'ca.pem'))).toBe(ca);
  });

  test('is renewed before it ends, by the same authority; that one is replaced before it could not', async () => {
    const start = Date.now();
    const { caFile } = await open(NAMES, start);
    const ca = read(caFile);
    expect((await open(NAMES, start + 59 * DAY_MS)).made).toBe('nothing');
    expect((await open(NAMES, start + 61 * DAY_MS)).made).toBe('certificate');
    expect(read(caFile)).toBe(ca);
    expect((await open(NAMES, start + 641 * DAY_MS)).made).toBe('authority');
    expect(read(caFile)).not.toBe(ca);
  });

  test('is made anew when the clock was ahead at the time', async () => {
    await open(NAMES, Date.now() + 400 * DAY_MS);
    expect((await open()).made).toBe('authority');
  });

  test.each(['authority.pem', 'tls.pem', 'ca.pem'])(
    'mends itself when %s is lost or broken',
    async (name) => {
      await open();
      const path = join(folder, 'keys', name);
      for (const spoil of [() => rmSync(path), () => writeFileSync(path, 'not PEM')]) {
        spoil();
        const { file, caFile } = await open();
        const pem = read(file);
        expect(await shakeHands({ cert: pem, key: pem }, read(caFile), 'localhost')).toBeUndefined();
      }
    },
  );

  test('mends itself when its two files are of different makings', async () => {
    const { file } = await open();
    const old = read(file);
    rmSync(join(folder, 'keys', 'authority.pem'));
    await open();
    writeFileSync(file, old);
    expect((await open()).made).toBe('certificate');
  });

  test('closes private files that were found open', async () => {
    const { file } = await open();
    chmodSync(file, 0o644);
    await open();
    expect(mode(file)).toBe(0o600);
  });
});

describe('an authority', () => {
  const lifetime = { fromMs: Date.now() - DAY_MS, untilMs: Date.now() + DAY_MS };

  test('is believed for its own names only, whatever its key signs', async () => {
    const authority = issueAuthority(NAMES, lifetime);
    const server = issueServer(['evil.test'], authority, lifetime);
    expect(await shakeHands(server, authority.cert, 'evil.test')).toMatch(/permitted subtree violation/);
    const address = issueServer(['127.0.0.2', 'localhost'], authority, lifetime);
    expect(await shakeHands(address, authority.cert, 'localhost')).toMatch(/permitted subtree violation/);
  });

  test('tells what it may vouch for', () => {
    const { cert } = issueAuthority([...NAMES, '*.box.local'], lifetime);
    expect(mayVouchFor(cert, NAMES)).toBe(true);
    expect(mayVouchFor(cert, ['*.box.local'])).toBe(true);
    expect(mayVouchFor(cert, ['localhost', 'evil.test'])).toBe(false);
    expect(mayVouchFor(cert, ['127.0.0.2'])).toBe(false);
  });

  test('is not made without both a name and an address: either kind would be free otherwise', () => {
    expect(() => issueAuthority(['localhost'], lifetime)).toThrow(/a name and an address/);
    expect(() => issueAuthority(['127.0.0.1'], lifetime)).toThrow(/a name and an address/);
  });
});
