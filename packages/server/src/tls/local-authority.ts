import { createPrivateKey, X509Certificate } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { namesOf } from './certificate-names.ts';
import type { Issued } from './issue.ts';

/**
 * The authority of one data folder and the certificate it vouches for. Both are looked at whenever this is called and
 * made anew as far as something about them does not hold, so that a crash between two files mends itself.
 */
export interface LocalCertificate {
  /** The server's certificate and key, in one file so that they can only change together. */
  file: string;
  /** What clients must trust: the authority's certificate, open to all. */
  caFile: string;
  /** What was made by this call. */
  made: 'authority' | 'certificate' | 'nothing';
}

const DAY_MS = 24 * 3600 * 1000;
const AUTHORITY_MS = 730 * DAY_MS;
/** Short, as nobody is told when it changes; long enough for a machine that is off over a holiday. */
const CERTIFICATE_MS = 90 * DAY_MS;
/** A certificate is renewed when less than this is left of it. */
const RENEW_MS = 30 * DAY_MS;
/** Clocks of callers that run behind. */
const BACKDATE_MS = 3600 * 1000;

/**
 * Opens the local certificate in a folder for keys.
 * @param names what it is to be for, in one spelling and sorted: `wantedNames`
 */
export async function openLocalCertificate(
  folder: string,
  names: readonly string[],
  nowMs: number,
): Promise<LocalCertificate> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const authorityFile = join(folder, 'authority.pem');
  const file = join(folder, 'tls.pem');
  const caFile = join(folder, 'ca.pem');
  let made: LocalCertificate['made'] = 'nothing';

  let authority = readPair(authorityFile);
  let server = readPair(file);
  const isKept =
    authority !== undefined &&
    server !== undefined &&
    isAuthority(authority, nowMs) &&
    isServer(server, authority, names, nowMs);
  if (!isKept) {
    const { issueAuthority, issueServer, mayVouchFor } = await import('./issue.ts');
    if (!authority || !isAuthority(authority, nowMs) || !mayVouchFor(authority.cert, names)) {
      authority = issueAuthority(names, { fromMs: nowMs - BACKDATE_MS, untilMs: nowMs + AUTHORITY_MS });
      write(authorityFile, authority.cert + authority.key, 0o600);
      made = 'authority';
    } else made = 'certificate';
    server = issueServer(names, authority, {
      fromMs: nowMs - BACKDATE_MS,
      untilMs: nowMs + CERTIFICATE_MS,
    });
    write(file, server.cert + server.key, 0o600);
  }
  chmodSync(authorityFile, 0o600);
  chmodSync(file, 0o600);
  if (readText(caFile) !== authority!.cert) write(caFile, authority!.cert, 0o644);
  return { file, caFile, made };
}

/** Lives longer than any certificate that it may yet be asked for, and is what its key says. */
function isAuthority({ cert, key }: Issued, nowMs: number): boolean {
  const certificate = new X509Certificate(cert);
  return certificate.ca && isOf(certificate, key) && holds(certificate, nowMs, CERTIFICATE_MS);
}

function isServer({ cert, key }: Issued, authority: Issued, names: readonly string[], nowMs: number) {
  const certificate = new X509Certificate(cert);
  return (
    isOf(certificate, key) &&
    holds(certificate, nowMs, RENEW_MS) &&
    certificate.verify(new X509Certificate(authority.cert).publicKey) &&
    namesOf(certificate).join() === names.join()
  );
}

function isOf(certificate: X509Certificate, key: string): boolean {
  return certificate.checkPrivateKey(createPrivateKey(key));
}

function holds({ validFrom, validTo }: X509Certificate, nowMs: number, leftMs: number): boolean {
  return Date.parse(validFrom) <= nowMs && Date.parse(validTo) - nowMs > leftMs;
}

/** Undefined for whatever is missing or broken: it is made anew. */
function readPair(file: string): Issued | undefined {
  const text = readText(file) ?? '';
  const [cert] = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----\n/.exec(text) ?? [];
  const [key] = /-----BEGIN PRIVATE KEY-----[\s\S]+?-----END PRIVATE KEY-----\n/.exec(text) ?? [];
  if (cert === undefined || key === undefined) return undefined;
  try {
    new X509Certificate(cert);
    createPrivateKey(key);
    return { cert, key };
  } catch {
    return undefined;
  }
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function write(file: string, text: string, mode: number): void {
  const fresh = `${file}.${process.pid}.tmp`;
  writeFileSync(fresh, text, { mode, flush: true });
  // The mode given is narrowed by the shell's mask, and what is public must be so.
  chmodSync(fresh, mode);
  renameSync(fresh, file);
}
