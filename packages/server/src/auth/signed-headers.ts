import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { canonicalRequest, RunsteadError } from '@runstead/contract';

/** A request as it was sent: what its signature is held against. */
export interface SentRequest {
  method: string;
  /** Path and query, byte for byte. */
  target: string;
  /** Names and values by turns, as Node's `rawHeaders` (each character one byte). */
  fields: readonly string[];
}

/** How far a request's date may lie from our clock (design: 15 minutes), in ms. */
export const SIGNATURE_WINDOW_MS = 15 * 60_000;

export interface ParsedAuthorization {
  /** What stands under `Credential`. */
  credential: string;
  signedHeaders: readonly string[];
  signature: string;
}

const AUTHORIZATION =
  /^(\S+) Credential=([\x21-\x2b\x2d-\x7e]+), ?SignedHeaders=([a-z0-9;_-]+), ?Signature=([0-9a-f]{64})$/;

/** @throws RunsteadError AccessDenied, without a word of what was presented */
export function parseAuthorization(algorithm: string, field: string, value: string): ParsedAuthorization {
  const [, scheme, credential = '', signedHeaders = '', signature = ''] = AUTHORIZATION.exec(value) ?? [];
  if (scheme !== algorithm) {
    throw new RunsteadError(
      'AccessDenied',
      `AccessDenied: ${field} must read "${algorithm} Credential=…,SignedHeaders=…,Signature=…", the signature as 64 lower-case hexadecimal digits`,
    );
  }
  return { credential, signedHeaders: signedHeaders.split(';'), signature };
}

/** @throws RunsteadError SignatureDoesNotMatch naming a field that must be under the signature and is not */
export function requireSigned(signed: readonly string[], needed: readonly string[]): void {
  const missing = needed.filter((name) => !signed.includes(name));
  if (missing.length > 0) throw mismatch(`SignedHeaders must name ${missing.join(', ')}`);
}

/**
 * The one value of a field that a signature needs.
 * @throws RunsteadError SignatureDoesNotMatch when it is missing or there are several
 */
export function singleField(values: ReadonlyMap<string, readonly string[]>, name: string): string {
  const found = values.get(name) ?? [];
  if (found.length !== 1) {
    throw mismatch(`${name} must be sent once with a signed request; it is there ${found.length} times`);
  }
  return found[0]!.trim();
}

/** Every field's values, by lower-case name. */
export function valuesByName(fields: readonly string[]): Map<string, string[]> {
  const values = new Map<string, string[]>();
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at]!.toLowerCase();
    const known = values.get(name);
    if (known) known.push(fields[at + 1]!);
    else values.set(name, [fields[at + 1]!]);
  }
  return values;
}

/**
 * `2026-01-02T03:04:05Z` as ms since 1970, if it lies within the window around our clock.
 * @throws RunsteadError SignatureDoesNotMatch
 */
export function signedDate(text: string, nowMs: number): number {
  const date = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(date)) throw mismatch('x-acs-date must be a time such as 2026-01-02T03:04:05Z');
  if (Math.abs(nowMs - date) > SIGNATURE_WINDOW_MS) {
    throw mismatch(
      `x-acs-date is more than 15 minutes away from this server's clock, which says ${new Date(nowMs).toISOString()}`,
    );
  }
  return date;
}

export interface Signed {
  algorithm: string;
  request: SentRequest;
  values: ReadonlyMap<string, readonly string[]>;
  signedHeaders: readonly string[];
  /** Canonical form of the text behind `?`. */
  canonicalQuery: (query: string) => string;
  payloadHash: string;
}

/** What the signature must be the HMAC of, for the path as sent or as `path`. */
export function stringToSign(signed: Signed, path = pathOf(signed.request.target)): string {
  const { algorithm, request, values, signedHeaders, payloadHash } = signed;
  let query: string;
  try {
    query = signed.canonicalQuery(request.target.split('?').slice(1).join('?'));
  } catch {
    throw mismatch('the query has an invalid percent-encoding');
  }
  const canonical = canonicalRequest({
    method: request.method,
    path,
    query,
    headers: signedHeaders.map((name) => [name, values.get(name) ?? []]),
    payloadHash,
  });
  // One character, one byte: what was sent in UTF-8 is hashed as it was.
  return `${algorithm}\n${createHash('sha256').update(canonical, 'latin1').digest('hex')}`;
}

export function pathOf(target: string): string {
  return target.split('?', 1)[0]!;
}

export function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

/** In constant time. @param signature 64 hexadecimal digits */
export function isSignature(expected: Buffer, signature: string): boolean {
  return timingSafeEqual(expected, Buffer.from(signature, 'hex'));
}

export function mismatch(what: string): RunsteadError {
  return new RunsteadError('SignatureDoesNotMatch', `SignatureDoesNotMatch: ${what}`);
}
