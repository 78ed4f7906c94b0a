import {
  CONTROL_ALGORITHM,
  canonicalControlQuery,
  canonicalDataQuery,
  canonicalRequest,
  DATA_ALGORITHM,
  DATA_SCOPE,
  UNSIGNED_PAYLOAD,
} from '@runstead/contract/signature';

/**
 * Request signatures (contract: signing). Pure up to WebCrypto: time and nonce are arguments, headers come back.
 * Every other header of a request may be set freely: only `host`, `content-type` and `x-acs-*` are covered.
 */

export interface SigningKey {
  accessKeyId: string;
  accessKeySecret: string;
  /** Of a temporary key. */
  securityToken?: string | undefined;
}

export interface SignableRequest {
  method: string;
  /** The URL as it will be sent. */
  url: URL;
  /** Lower-case names. What is signed of them: `content-type` and `x-acs-*`. */
  headers: Readonly<Record<string, string>>;
}

/**
 * ACS3-HMAC-SHA256, the control plane's.
 * @param options.body what will be sent, byte for byte; it is covered by the signature
 * @param options.nonce never used before
 * @returns the request's headers with the signature's added; `host` is left to the sender, who derives it from the URL
 */
export async function signControlRequest(
  request: SignableRequest,
  key: SigningKey,
  options: { body: Uint8Array<ArrayBuffer>; date: Date; nonce: string },
): Promise<Record<string, string>> {
  const payloadHash = hex(await crypto.subtle.digest('SHA-256', options.body));
  const headers: Record<string, string> = {
    ...request.headers,
    'x-acs-date': isoSeconds(options.date),
    'x-acs-signature-nonce': options.nonce,
    'x-acs-content-sha256': payloadHash,
  };
  if (key.securityToken !== undefined) {
    headers['x-acs-accesskey-id'] = key.accessKeyId;
    headers['x-acs-security-token'] = key.securityToken;
  }
  const query = canonicalControlQuery(request.url.search.slice(1));
  const { text, signedHeaders } = canonical(request, headers, query, payloadHash);
  const toSign = `${CONTROL_ALGORITHM}\n${await sha256(text)}`;
  const signature = hex(await hmac(encoder.encode(key.accessKeySecret), toSign));
  return {
    ...headers,
    authorization: `${CONTROL_ALGORITHM} Credential=${key.accessKeyId},SignedHeaders=${signedHeaders},Signature=${signature}`,
  };
}

/**
 * AGENTRUN4-HMAC-SHA256, the data plane's. The body is not covered. Signs `content-type` only if it stands in
 * `request.headers`; the official clients leave it out.
 */
export async function signDataRequest(
  request: SignableRequest,
  key: SigningKey,
  options: { regionId: string; date: Date },
): Promise<Record<string, string>> {
  const headers: Record<string, string> = {
    ...request.headers,
    'x-acs-date': isoSeconds(options.date),
    'x-acs-content-sha256': UNSIGNED_PAYLOAD,
  };
  if (key.securityToken !== undefined) headers['x-acs-security-token'] = key.securityToken;
  const query = canonicalDataQuery(request.url.search.slice(1));
  const { text, signedHeaders } = canonical(request, headers, query, UNSIGNED_PAYLOAD);
  // Two lines: neither the time nor the scope stands here, unlike in AWS's and OSS's version 4.
  const toSign = `${DATA_ALGORITHM}\n${await sha256(text)}`;
  const day = isoSeconds(options.date).slice(0, 10).replaceAll('-', '');
  const scope = [day, options.regionId, ...DATA_SCOPE];
  let signingKey = encoder.encode(`aliyun_v4${key.accessKeySecret}`);
  for (const part of scope) signingKey = await hmac(signingKey, part);
  const signature = hex(await hmac(signingKey, toSign));
  const credential = [key.accessKeyId, ...scope].join('/');
  return {
    ...headers,
    'agentrun-authorization': `${DATA_ALGORITHM} Credential=${credential},SignedHeaders=${signedHeaders},Signature=${signature}`,
  };
}

/** What is signed of a request's headers, and the request as it is signed. */
function canonical(
  request: SignableRequest,
  headers: Readonly<Record<string, string>>,
  query: string,
  payloadHash: string,
): { text: string; signedHeaders: string } {
  const signed = Object.entries({ ...headers, host: request.url.host })
    .filter(([name]) => name === 'host' || name === 'content-type' || name.startsWith('x-acs-'))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const text = canonicalRequest({
    method: request.method,
    path: request.url.pathname,
    query,
    headers: signed.map(([name, value]) => [name, [value]]),
    payloadHash,
  });
  return { text, signedHeaders: signed.map(([name]) => name).join(';') };
}

/** `2026-01-02T03:04:05Z` */
function isoSeconds(date: Date): string {
  return `${date.toISOString().slice(0, 19)}Z`;
}

const encoder = new TextEncoder();

async function sha256(text: string): Promise<string> {
  return hex(await crypto.subtle.digest('SHA-256', encoder.encode(text)));
}

async function hmac(key: Uint8Array<ArrayBuffer>, text: string): Promise<Uint8Array<ArrayBuffer>> {
  const imported = await crypto.subtle.importKey('raw', key, { name: 'HMAC', hash: 'SHA-256' }, false, [
    'sign',
  ]);
  return new Uint8Array(await crypto.subtle.sign('HMAC', imported, encoder.encode(text)));
}

function hex(bytes: ArrayBuffer | Uint8Array): string {
  let text = '';
  for (const byte of new Uint8Array(bytes)) text += byte.toString(16).padStart(2, '0');
  return text;
}
