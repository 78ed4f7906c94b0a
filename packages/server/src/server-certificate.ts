import { join } from 'node:path';
import { type Config, ConfigError } from './config.ts';
import type { Log } from './observe/log.ts';
import { CertificateError, type CertificateFiles, loadCertificate } from './tls/certificate-files.ts';
import { isEveryAddress, wantedNames } from './tls/certificate-names.ts';
import { openLocalCertificate } from './tls/local-authority.ts';

/** The certificate that the server is known by. The gateway serves what its files hold, whenever they change. */
export interface ServerCertificate extends CertificateFiles {
  names: readonly string[];
  /** The local authority's certificate; undefined when the certificate is the operator's own. */
  caFile: string | undefined;
  /** Ends what keeps it from expiring. */
  close(): void;
}

const HOUR_MS = 3600 * 1000;
const LOOK_MS = 12 * HOUR_MS;
/** An operator's certificate that ends within this time is told of. */
const WARN_MS = 14 * 24 * HOUR_MS;

/**
 * Opens the operator's certificate, or else the data folder's own, which is renewed for as long as the server runs.
 * @throws ConfigError when the operator's cannot be served with
 */
export async function openServerCertificate(config: Readonly<Config>, log: Log): Promise<ServerCertificate> {
  const { tlsCert, tlsKey } = config;
  return tlsCert !== undefined && tlsKey !== undefined
    ? openOwn({ certFile: tlsCert, keyFile: tlsKey }, log)
    : await openLocal(config, log);
}

function openOwn(files: CertificateFiles, log: Log): ServerCertificate {
  const look = () => {
    const { names, endsMs } = loadCertificate(files, Date.now());
    if (endsMs - Date.now() < WARN_MS) {
      log.warn({ file: files.certFile, until: new Date(endsMs).toISOString() }, 'the certificate ends soon');
    }
    return names;
  };
  try {
    const names = look();
    const stop = repeat(look, log);
    return { ...files, names, caFile: undefined, close: stop };
  } catch (error) {
    throw error instanceof CertificateError ? new ConfigError(error.message) : error;
  }
}

async function openLocal(config: Readonly<Config>, log: Log): Promise<ServerCertificate> {
  const names = wantedNames(config);
  const open = () => openLocalCertificate(join(config.dataDir, 'keys'), names, Date.now());
  const { file, caFile } = await open();
  if (isEveryAddress(config.host) && names.length === LOOPBACK_NAMES) {
    log.warn(
      'the certificate names this machine by its loopback names alone: say with --tls-names what others call it',
    );
  }
  const stop = repeat(async () => {
    const { made } = await open();
    if (made !== 'nothing') log.info({ made }, 'the local certificate was renewed');
    if (made === 'authority')
      log.warn({ file: caFile }, 'there is a new local authority: clients must be given its certificate');
  }, log);
  return { certFile: file, keyFile: file, names, caFile, close: stop };
}

/** localhost, 127.0.0.1, ::1. */
const LOOPBACK_NAMES = 3;

/** @returns ends it */
function repeat(look: () => unknown, log: Log): () => void {
  const timer = setInterval(() => {
    Promise.resolve()
      .then(look)
      .catch((error: unknown) => log.error({ err: error }, 'the certificate could not be looked after'));
  }, LOOK_MS);
  timer.unref();
  return () => clearInterval(timer);
}
