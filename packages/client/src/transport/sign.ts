import { encodeRfc3986 } from './encode.ts';

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
  // Keys stand as they are here, unlike on the data plane.
  const query = canonicalQuery(request.url.search, (name) => name);
  const canonical = canonicalRequest(request, headers, query, payloadHash);
  const toSign = `ACS3-HMAC-SHA256\n${await sha256(canonical.text)}`;
  const signature = hex(await hmac(encoder.encode(key.accessKeySecret), toSign));
  return {
    ...headers,
    authorization: `ACS3-HMAC-SHA256 Credential=${key.accessKeyId},SignedHeaders=${canonical.signedHeaders},Signature=${signature}`,
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
    'x-acs-content-sha256': 'UNSIGNED-PAYLOAD',
  };
  if (key.securityToken !== undefined) headers['x-acs-security-token'] = key.securityToken;
  const query = canonicalQuery(request.url.search, encodeRfc3986);
  const canonical = canonicalRequest(request, headers, query, 'UNSIGNED-PAYLOAD');
  // Two lines: neither the time nor the scope stands here, unlike in AWS's and OSS's version 4.
  const toSign = `AGENTRUN4-HMAC-SHA256\n${await sha256(canonical.text)}`;
  const day = isoSeconds(options.date).slice(0, 10).replaceAll('-', '');
  const scope = [day, options.regionId, 'agentrun', 'aliyun_v4_request'];
  let signingKey = encoder.encode(`aliyun_v4${key.accessKeySecret}`);
  for (const part of scope) signingKey = await hmac(signingKey, part);
  const signature = hex(await hmac(signingKey, toSign));
  const credential = [key.accessKeyId, ...scope].join('/');
  return {
    ...headers,
    'agentrun-authorization': `AGENTRUN4-HMAC-SHA256 Credential=${credential},SignedHeaders=${canonical.signedHeaders},Signature=${signature}`,
  };
}

function canonicalRequest(
  request: SignableRequest,
  headers: Readonly<Record<string, string>>,
  query: string,
  payloadHash: string,
): { text: string; signedHeaders: string } {
  const signed = Object.entries({ ...headers, host: request.url.host })
    .filter(([name]) => name === 'host' || name === 'content-type' || name.startsWith('x-acs-'))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const signedHeaders = signed.map(([name]) => name).join(';');
  const text = [
    request.method,
    request.url.pathname || '/',
    query,
    // Each line ends with a line feed of its own, so that a blank line follows the block.
    signed.map(([name, value]) => `${name}:${value.trim()}\n`).join(''),
    signedHeaders,
    payloadHash,
  ].join('\n');
  return { text, signedHeaders };
}

/** Sorted by name; of several pairs with one name the last counts; pairs without `=` are left out. */
function canonicalQuery(search: string, encodeName: (name: string) => string): string {
  const pairs = new Map<string, string>();
  for (const pair of search.replace(/^\?/, '').split('&')) {
    const at = pair.indexOf('=');
    if (at >= 0) pairs.set(decode(pair.slice(0, at)), decode(pair.slice(at + 1)));
  }
  return [...pairs]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${encodeName(name)}=${encodeRfc3986(value)}`)
    .join('&');
}

function decode(text: string): string {
  return decodeURIComponent(text.replaceAll('+', ' '));
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
