import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { namesOf } from './certificate-names.ts';

/** Where a server certificate lies; both may be one file. */
export interface CertificateFiles {
  /** PEM: the server's certificate first, then those between it and its authority. */
  certFile: string;
  /** PEM, without a passphrase. */
  keyFile: string;
}

/** A certificate that can be served with now. */
export interface LoadedCertificate {
  /** PEM. */
  cert: string;
  key: string;
  names: string[];
  /** Milliseconds since the epoch. */
  endsMs: number;
}

export class CertificateError extends Error {
  override readonly name = 'CertificateError';
}

/** What the files are called in messages: by the setting that names them. */
export interface FileNames {
  cert: string;
  key: string;
}

export const SETTING_NAMES: FileNames = { cert: 'RUNSTEAD_TLS_CERT', key: 'RUNSTEAD_TLS_KEY' };

/**
 * Reads a certificate and its key and checks that clients could accept them.
 * @throws CertificateError naming the setting, the file, and what is wrong
 */
export function loadCertificate(
  { certFile, keyFile }: CertificateFiles,
  nowMs: number,
  named: FileNames = SETTING_NAMES,
): LoadedCertificate {
  const cert = read(certFile, named.cert);
  const certificates = certificatesIn(cert, `${named.cert} names ${certFile}, which`);
  const keyText = certFile === keyFile ? cert : read(keyFile, named.key);
  const key = keyIn(keyText, `${named.key} names ${keyFile}, which`);
  const [leaf] = certificates as [X509Certificate];
  if (!leaf.checkPrivateKey(key)) {
    const elsewhere = certificates.some((other) => other.checkPrivateKey(key));
    throw new CertificateError(
      elsewhere
        ? `${named.cert} names ${certFile}, whose first certificate must be the server's own; it stands further down`
        : `The certificate in ${certFile} (${named.cert}) and the key in ${keyFile} (${named.key}) do not belong together`,
    );
  }
  const endsMs = Date.parse(leaf.validTo);
  if (endsMs <= nowMs) {
    throw new CertificateError(
      `The certificate in ${certFile} (${named.cert}) expired on ${day(endsMs)}; put a renewed one there`,
    );
  }
  const beginsMs = Date.parse(leaf.validFrom);
  if (beginsMs > nowMs) {
    throw new CertificateError(
      `The certificate in ${certFile} (${named.cert}) is not valid before ${day(beginsMs)}; is this machine's clock right?`,
    );
  }
  try {
    createSecureContext({ cert, key: keyText });
  } catch (error) {
    throw new CertificateError(
      `The certificate in ${certFile} (${named.cert}) cannot be served with: ${reason(error)}`,
      { cause: error },
    );
  }
  return { cert, key: keyText, names: namesOf(leaf), endsMs };
}

function read(file: string, setting: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new CertificateError(`${setting} names ${file}, which cannot be read: ${code}`, { cause: error });
  }
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

function certificatesIn(text: string, what: string): X509Certificate[] {
  const blocks = text.match(CERTIFICATE) ?? [];
  if (blocks.length === 0) throw new CertificateError(`${what} holds no certificate in PEM form`);
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch (error) {
    throw new CertificateError(`${what} holds a certificate that cannot be read: ${reason(error)}`, {
      cause: error,
    });
  }
}

function keyIn(text: string, what: string): KeyObject {
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(text)) {
    throw new CertificateError(`${what} is locked with a passphrase; give a key without one`);
  }
  if (!/-----BEGIN ([A-Z]+ )?PRIVATE KEY-----/.test(text)) {
    throw new CertificateError(`${what} holds no private key in PEM form`);
  }
  try {
    return createPrivateKey(text);
  } catch (error) {
    // Not OpenSSL's own words: nothing of a key belongs into a message.
    throw new CertificateError(`${what} holds a private key that cannot be read`, { cause: error });
  }
}

function day(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

function reason(error: unknown): string {
  return (error as { reason?: string }).reason ?? (error as Error).message;
}
