/**
 * What request signatures are computed over (contract: signing): text in, text out; hashing is the callers' affair.
 * Plain code without a schema library, so that a client can import it at no cost.
 */

export const CONTROL_ALGORITHM = 'ACS3-HMAC-SHA256';
export const DATA_ALGORITHM = 'AGENTRUN4-HMAC-SHA256';
/** Stands for the body's hash on the data plane, whose bodies are not covered. */
export const UNSIGNED_PAYLOAD = 'UNSIGNED-PAYLOAD';
/** The parts of a data-plane key's scope after day and region. */
export const DATA_SCOPE = ['agentrun', 'aliyun_v4_request'] as const;

export interface CanonicalParts {
  method: string;
  /** Path as sent: percent-encoded, not touched. Empty means `/`. */
  path: string;
  /** From `canonicalControlQuery` or `canonicalDataQuery`. */
  query: string;
  /** Lower-case names with their values as sent, in the order in which they are named under `SignedHeaders`. */
  headers: readonly (readonly [name: string, values: readonly string[]])[];
  payloadHash: string;
}

export function canonicalRequest({ method, path, query, headers, payloadHash }: CanonicalParts): string {
  return [
    method,
    path || '/',
    query,
    // Each line ends with a line feed of its own, so that a blank line follows the block.
    headers.map(([name, values]) => `${name}:${joined(values)}\n`).join(''),
    headers.map(([name]) => name).join(';'),
    payloadHash,
  ].join('\n');
}

function joined(values: readonly string[]): string {
  return values
    .map((value) => value.trim())
    .sort(byCodeUnit)
    .join(',');
}

/**
 * Of the control plane: sorted by name, names as they are, values encoded; of several with one name the last counts.
 * @param query without `?`
 * @throws URIError for an invalid percent-encoding
 */
export function canonicalControlQuery(query: string): string {
  return canonicalQuery(query, { bareNames: true, encodeName: (name) => name });
}

/**
 * Of the data plane: as above, but names are encoded too, and a name without `=` is left out.
 * @throws URIError for an invalid percent-encoding
 */
export function canonicalDataQuery(query: string): string {
  return canonicalQuery(query, { bareNames: false, encodeName: encodeRfc3986 });
}

function canonicalQuery(
  query: string,
  { bareNames, encodeName }: { bareNames: boolean; encodeName: (name: string) => string },
): string {
  const pairs = new Map<string, string>();
  for (const pair of query.split('&')) {
    const at = pair.indexOf('=');
    if (at >= 0) pairs.set(decode(pair.slice(0, at)), decode(pair.slice(at + 1)));
    else if (bareNames && pair !== '') pairs.set(decode(pair), '');
  }
  return [...pairs]
    .sort(([a], [b]) => byCodeUnit(a, b))
    .map(([name, value]) => `${encodeName(name)}=${encodeRfc3986(value)}`)
    .join('&');
}

/** RFC 3986: everything but letters, digits and `-._~` percent-encoded. */
export function encodeRfc3986(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function decode(text: string): string {
  return decodeURIComponent(text.replaceAll('+', ' '));
}

function byCodeUnit(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
