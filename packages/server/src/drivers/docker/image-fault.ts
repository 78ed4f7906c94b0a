import { PhaseFailure } from '../../domain/failure.ts';
import { EngineAbsent } from './engine.ts';

const SAID_MAX = 400;

/** What went wrong with an image, for who named it. @param said the words of engine or registry, which may be long */
export function imageFault(image: string, said: string, secrets: readonly string[] = []): PhaseFailure {
  const masked = secrets
    .filter((it) => it !== '')
    .reduce((text, secret) => text.replaceAll(secret, '***'), said.replaceAll(/\s+/g, ' ').trim());
  const kind = KINDS.find(([pattern]) => pattern.test(masked))?.[1];
  const shown = masked.length > SAID_MAX ? `${masked.slice(0, SAID_MAX)}…` : masked;
  return new PhaseFailure(
    'fetch',
    kind === undefined
      ? `the image ${image} could not be fetched: ${shown}`
      : `${kind(image)} (said was: ${shown})`,
  );
}

/** As a fault of phase `fetch` what an engine that is gone says; everything else as it is. */
export function asFetchFault(error: unknown): unknown {
  return error instanceof EngineAbsent
    ? new PhaseFailure('fetch', error.message, [], { cause: error })
    : error;
}

// In this order: a registry that hides what may not be read says "denied" of what is not there.
const KINDS: [RegExp, (image: string) => string][] = [
  [
    /x509|certificate|self.signed|unable to verify|altnames|cert_/i,
    (image) =>
      `the certificate of the registry of ${image} is not trusted. Give that of its authority as ` +
      'containerConfiguration.registryConfig.certConfig.rootCaCertBase64 (PEM, in base64), or set certConfig.insecure',
  ],
  [
    /unauthori[sz]ed|authentication required|denied|forbidden|invalid username|incorrect username|\b40[13]\b/i,
    (image) =>
      `the registry of ${image} refuses access: check userName and password of ` +
      'containerConfiguration.registryConfig.authConfig, and that they may pull this image',
  ],
  [
    /manifest unknown|name unknown|not found|no such image|does not exist|\b404\b/i,
    (image) =>
      `there is no image ${image} in its registry: check name and tag. One that is only in the engine is named localhost/…`,
  ],
  [
    /no such host|getaddrinfo|ENOTFOUND|EAI_AGAIN|refused|timeout|timed out|i\/o|unreachable|silent for|dial tcp/i,
    (image) => `the registry of ${image} cannot be reached from this machine`,
  ],
  [/no space left|ENOSPC|disk quota/i, (image) => `there is no space left in the engine for ${image}`],
];
