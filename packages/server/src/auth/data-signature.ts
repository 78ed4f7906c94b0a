import { canonicalDataQuery, DATA_ALGORITHM, DATA_SCOPE, UNSIGNED_PAYLOAD } from '@runstead/contract';
import { unknownAccessKey } from './control-signature.ts';
import type { KeyRing } from './key-ring.ts';
import type { PlatformKey } from './keys.ts';
import {
  hmac,
  isSignature,
  mismatch,
  parseAuthorization,
  requireSigned,
  type SentRequest,
  signedDate,
  singleField,
  stringToSign,
  valuesByName,
} from './signed-headers.ts';

const MUST_BE_SIGNED = ['host', 'x-acs-date', 'x-acs-content-sha256'];

/**
 * Holds a data-plane request against its AGENTRUN4-HMAC-SHA256 signature (`Agentrun-Authorization`). The body is not
 * under it, and the same request may come again within the window: clients repeat what they have signed once.
 * @returns whose key it is
 * @throws RunsteadError AccessDenied, InvalidAccessKeyId.NotFound, SignatureDoesNotMatch
 */
export function verifyDataSignature(
  request: SentRequest,
  authorization: string,
  keys: KeyRing,
  nowMs: number,
): PlatformKey {
  const { credential, signedHeaders, signature } = parseAuthorization(
    DATA_ALGORITHM,
    'Agentrun-Authorization',
    authorization,
  );
  const [accessKeyId = '', day = '', region = '', ...rest] = credential.split('/');
  if (!/^\d{8}$/.test(day) || !/^[a-z0-9-]{1,64}$/.test(region) || rest.join('/') !== DATA_SCOPE.join('/')) {
    throw mismatch(`Credential must read <access key id>/<yyyymmdd>/<region>/${DATA_SCOPE.join('/')}`);
  }
  requireSigned(signedHeaders, MUST_BE_SIGNED);
  const values = valuesByName(request.fields);
  const date = singleField(values, 'x-acs-date');
  signedDate(date, nowMs);
  if (date.slice(0, 10).replaceAll('-', '') !== day)
    throw mismatch('Credential and x-acs-date name two days');
  if (singleField(values, 'x-acs-content-sha256') !== UNSIGNED_PAYLOAD) {
    throw mismatch(`x-acs-content-sha256 must be ${UNSIGNED_PAYLOAD}`);
  }
  singleField(values, 'host');
  if (values.has('x-acs-security-token')) requireSigned(signedHeaders, ['x-acs-security-token']);

  const key = keys.byAccessKeyId(accessKeyId);
  if (!key) throw unknownAccessKey();
  const text = stringToSign({
    algorithm: DATA_ALGORITHM,
    request,
    values,
    signedHeaders,
    canonicalQuery: canonicalDataQuery,
    payloadHash: UNSIGNED_PAYLOAD,
  });
  const signingKey = signingKeyOf(key, day, region);
  if (!isSignature(hmac(signingKey, text), signature)) {
    throw mismatch('the request is not what was signed, or it was signed with another secret');
  }
  return key;
}

/** What requests of one key, day and region are signed with. */
interface SigningKey {
  day: string;
  region: string;
  secret: Buffer;
}

/** Four hashes for each key and day in place of each call; a key that is replaced takes what was derived along. */
const derived = new WeakMap<PlatformKey, SigningKey>();

function signingKeyOf(key: PlatformKey, day: string, region: string): Buffer {
  const known = derived.get(key);
  if (known?.day === day && known.region === region) return known.secret;
  const secret = [day, region, ...DATA_SCOPE].reduce<Buffer>(
    (chain, part) => hmac(chain, part),
    Buffer.from(`aliyun_v4${key.accessKeySecret}`),
  );
  derived.set(key, { day, region, secret });
  return secret;
}
