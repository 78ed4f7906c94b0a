import { statSync } from 'node:fs';
import type { Server } from 'node:tls';
import type { Log } from '../observe/log.ts';
import { type CertificateFiles, type LoadedCertificate, loadCertificate } from '../tls/certificate-files.ts';
import { TLS_RULES } from './listeners.ts';

/** Looked at this often: a link that is turned to other files, as renewals do, is no event of any folder watched. */
const LOOK_MS = 1000;

/** @throws CertificateError */
export function certificateNow(files: CertificateFiles): LoadedCertificate {
  return loadCertificate(files, Date.now());
}

/**
 * Serves what the files hold from now on, whenever they change; connections that are open stay. What cannot be served
 * with is told and passed over: the earlier certificate goes on.
 * @returns ends it
 */
export function followCertificate(
  server: Pick<Server, 'setSecureContext'>,
  files: CertificateFiles,
  log: Log,
  everyMs = LOOK_MS,
): () => void {
  let seen = stamp(files);
  const timer = setInterval(() => {
    const now = stamp(files);
    if (now === seen) return;
    seen = now;
    try {
      const { cert, key, endsMs } = certificateNow(files);
      server.setSecureContext({ ...TLS_RULES, cert, key });
      log.info(
        { until: new Date(endsMs).toISOString() },
        'serving with the certificate that the files hold now',
      );
    } catch (error) {
      // Between the writing of one file and the other this is no fault yet.
      log.warn(
        { reason: (error as Error).message },
        'the certificate files changed and cannot be used; the earlier certificate goes on',
      );
    }
  }, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}

function stamp({ certFile, keyFile }: CertificateFiles): string {
  return [certFile, keyFile]
    .map((file) => {
      const found = statSync(file, { throwIfNoEntry: false, bigint: true });
      return found ? `${found.ino} ${found.mtimeNs} ${found.size}` : 'none';
    })
    .join(' ');
}
