import { CONTROL_ALGORITHM, RunsteadError } from '@runstead/contract';
import { verifyControlSignature } from './control-signature.ts';
import type { KeyRing } from './key-ring.ts';
import type { PlatformKey } from './keys.ts';
import type { Nonces } from './nonces.ts';
import type { Principal } from './principal.ts';
import type { SentRequest } from './signed-headers.ts';

export interface Authentication {
  keys: KeyRing;
  nonces: Nonces;
  /** ms since 1970. */
  now: () => number;
}

/**
 * Who a control-plane request comes from, by its head alone: an API key as a bearer, or a signature.
 * @throws RunsteadError AccessDenied, InvalidAccessKeyId.NotFound, SignatureDoesNotMatch, ERR_TOO_MANY_REQUESTS, saying
 * which credential to send
 */
export async function authenticate(
  request: SentRequest,
  { keys, nonces, now }: Authentication,
): Promise<Principal> {
  const authorization = authorizationOf(request.fields);
  if (authorization.startsWith(`${CONTROL_ALGORITHM} `)) {
    const nowMs = now();
    const { key, nonce, nonceExpiresMs, bodySha256 } = verifyControlSignature(
      request,
      authorization,
      keys,
      nowMs,
    );
    await nonces.use({ keyId: key.id, nonce, expiresMs: nonceExpiresMs }, nowMs);
    return { ...principal(key), bodySha256 };
  }
  const apiKey = /^Bearer +(\S+) *$/i.exec(authorization)?.[1];
  if (apiKey === undefined) throw denied(whyUnfit(authorization));
  const key = keys.byApiKey(apiKey);
  if (key) return principal(key);
  throw new RunsteadError(
    'InvalidAccessKeyId.NotFound',
    `InvalidAccessKeyId.NotFound: the API key is not known, has expired or was revoked. ${HINT}`,
  );
}

function principal({ id, role, workspaces }: PlatformKey): Principal {
  return { keyId: id, role, workspaces };
}

function authorizationOf(fields: readonly string[]): string {
  const values: string[] = [];
  for (let at = 0; at < fields.length; at += 2) {
    if (fields[at]!.toLowerCase() === 'authorization') values.push(fields[at + 1]!);
  }
  if (values.length > 1) throw denied('Authorization was sent more than once');
  const [value = ''] = values;
  if (value === '') throw denied('no credential was sent');
  return value;
}

/** A first word alone may be the credential itself, sent without a scheme. */
function whyUnfit(authorization: string): string {
  const scheme = /^([\w-]{1,40}) /.exec(authorization)?.[1];
  if (scheme === undefined) return 'the credential has no scheme';
  if (/^bearer$/i.test(scheme)) return 'no single key follows "Bearer"';
  return `scheme "${scheme}" is not accepted here`;
}

const HINT =
  'Send "Authorization: Bearer rsk_…", or sign with an access key; those of this machine lie in local-key.json of the data folder, and "runstead env" prints them';

function denied(what: string): RunsteadError {
  return new RunsteadError('AccessDenied', `AccessDenied: ${what}. ${HINT}`);
}
