import { CONTROL_ALGORITHM, canonicalControlQuery, RunsteadError } from '@runstead/contract';
import type { KeyRing } from './key-ring.ts';
import type { PlatformKey } from './keys.ts';
import {
  hmac,
  isSignature,
  mismatch,
  parseAuthorization,
  pathOf,
  requireSigned,
  type SentRequest,
  SIGNATURE_WINDOW_MS,
  signedDate,
  singleField,
  stringToSign,
  valuesByName,
} from './signed-headers.ts';

/** A request whose signature holds; its nonce and its body are still to be looked at. */
export interface VerifiedRequest {
  key: PlatformKey;
  nonce: string;
  /** ms since 1970: until then the nonce must not come again. */
  nonceExpiresMs: number;
  /** Hex SHA-256 that the body must have. */
  bodySha256: string;
}

const MUST_BE_SIGNED = ['host', 'x-acs-date', 'x-acs-signature-nonce', 'x-acs-content-sha256'];
const NONCE = /^[\x21-\x7e]{1,128}$/;

/**
 * Holds a control-plane request against its ACS3-HMAC-SHA256 signature, by its head alone: of the body only the hash
 * that is signed. What is under the signature, `SignedHeaders` says; four fields must be.
 * @throws RunsteadError AccessDenied, InvalidAccessKeyId.NotFound, SignatureDoesNotMatch
 */
export function verifyControlSignature(
  request: SentRequest,
  authorization: string,
  keys: KeyRing,
  nowMs: number,
): VerifiedRequest {
  const { credential, signedHeaders, signature } = parseAuthorization(
    CONTROL_ALGORITHM,
    'Authorization',
    authorization,
  );
  requireSigned(signedHeaders, MUST_BE_SIGNED);
  const values = valuesByName(request.fields);
  const dateMs = signedDate(singleField(values, 'x-acs-date'), nowMs);
  const nonce = singleField(values, 'x-acs-signature-nonce');
  if (!NONCE.test(nonce)) throw mismatch('x-acs-signature-nonce must have 1 to 128 visible ASCII characters');
  const bodySha256 = singleField(values, 'x-acs-content-sha256');
  if (!/^[0-9a-f]{64}$/.test(bodySha256)) {
    throw mismatch(
      'x-acs-content-sha256 must be the SHA-256 of the body as 64 lower-case hexadecimal digits',
    );
  }
  singleField(values, 'host');
  requireOwnTokenFields(values, signedHeaders, credential);

  const key = keys.byAccessKeyId(credential);
  if (!key) throw unknownAccessKey();
  const signed = {
    algorithm: CONTROL_ALGORITHM,
    request,
    values,
    signedHeaders,
    canonicalQuery: canonicalControlQuery,
    payloadHash: bodySha256,
  };
  const path = pathOf(request.target);
  const holds = [...new Set([path, asTypeScriptClientsHaveIt(path)])].some((form) =>
    isSignature(hmac(key.accessKeySecret, stringToSign(signed, form)), signature),
  );
  if (!holds) {
    throw mismatch(
      'the request is not what was signed, or it was signed with another secret; proxies on the way must leave path, query, Host and the signed fields alone',
    );
  }
  requireClearNames(request.target);
  return { key, nonce, nonceExpiresMs: dateMs + SIGNATURE_WINDOW_MS, bodySha256 };
}

/** Those clients change these three before they sign, and send the path as it was (contract: signing, step 2). */
function asTypeScriptClientsHaveIt(path: string): string {
  return path.replace('+', '%20').replace('*', '%2A').replaceAll('%7E', '~');
}

/**
 * Names of parameters stand in what is signed as they are: with `&`, `=` or a line break in one, another query could read
 * the same. No operation has such a name.
 */
function requireClearNames(target: string): void {
  const query = target.split('?').slice(1).join('?');
  for (const name of new URLSearchParams(query).keys()) {
    if (/^[\x21-\x7e]*$/.test(name) && !/[&=]/.test(name)) continue;
    throw mismatch(
      'the name of a parameter in the query must have no characters but visible ASCII, without "&" and "="',
    );
  }
}

/**
 * A token of temporary credentials means nothing here, as this server gives out none; but what comes with it must fit:
 * the key it names is the one that signs, and both stand under the signature.
 */
function requireOwnTokenFields(
  values: ReadonlyMap<string, readonly string[]>,
  signedHeaders: readonly string[],
  accessKeyId: string,
): void {
  const present = ['x-acs-accesskey-id', 'x-acs-security-token'].filter((name) => values.has(name));
  requireSigned(signedHeaders, present);
  const named = values.get('x-acs-accesskey-id');
  if (named !== undefined && (named.length !== 1 || named[0]!.trim() !== accessKeyId))
    throw mismatch('x-acs-accesskey-id names another key than Credential');
}

export function unknownAccessKey(): RunsteadError {
  return new RunsteadError(
    'InvalidAccessKeyId.NotFound',
    'InvalidAccessKeyId.NotFound: the access key is not known to this server, has expired or was revoked; "runstead env" prints the one of this machine',
  );
}
