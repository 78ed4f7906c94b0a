import { createHmac, timingSafeEqual } from 'node:crypto';

/**
 * Which session a call belongs to. A session is its caller's: it is named by runtime, endpoint, principal and the id that
 * the caller or the platform gave it, and outside the gateway's memory only the hash of these four is known.
 */

/** How calls to an endpoint say which session they belong to. */
export type Affinity =
  /** In a field of the request, named in lower case. */
  | { by: 'header'; field: string }
  /** In a cookie that the platform sets. */
  | { by: 'cookie' }
  /** They belong to none. */
  | { by: 'nothing' };

/** Where nothing is said. */
export const DEFAULT_AFFINITY: Affinity = { by: 'header', field: 'x-agentrun-session-id' };

/** The platform's cookie; agents neither see it nor may set one of that name. */
export const SESSION_COOKIE = 'runstead-session';

/** The longest id, in characters. */
export const SESSION_ID_MAX = 256;

/** What of a runtime's configuration says how its calls are told apart (contract: affinity fields). */
export interface AffinitySpec {
  disableSessionAffinity?: boolean | undefined;
  sessionAffinityType?: 'NONE' | 'HEADER_FIELD' | 'GENERATED_COOKIE' | undefined;
  headerFieldName?: string | undefined;
}

export function affinityOf(spec: AffinitySpec): Affinity {
  if (spec.disableSessionAffinity || spec.sessionAffinityType === 'NONE') return { by: 'nothing' };
  if (spec.sessionAffinityType === 'GENERATED_COOKIE') return { by: 'cookie' };
  // A field that is named is meant, also by those who leave the type out.
  const field = spec.headerFieldName?.toLowerCase();
  return field === undefined ? DEFAULT_AFFINITY : { by: 'header', field };
}

/** Sessions that an instance takes at the same time: under isolation one, and never another. */
export function sessionsPerInstance(spec: {
  enableSessionIsolation?: boolean | undefined;
  sessionConcurrencyLimitPerInstance?: number | undefined;
}): number {
  return spec.enableSessionIsolation ? 1 : (spec.sessionConcurrencyLimitPerInstance ?? 1);
}

/** What is wrong with an id that a caller gave; undefined: nothing. */
export function sessionIdFault(id: string): string | undefined {
  if (id.length > SESSION_ID_MAX) {
    return `must have at most ${SESSION_ID_MAX} characters (got ${id.length})`;
  }
  for (let at = 0; at < id.length; at++) {
    const code = id.charCodeAt(at);
    if (code < 0x20 || code > 0x7e) {
      return `must be of printable ASCII characters (character ${at + 1} is none)`;
    }
  }
  return undefined;
}

/** Whose session it is. */
export interface SessionOwner {
  /** A UUID. */
  runtimeId: string;
  endpointName: string;
  /** Of the principal; undefined: anonymous. */
  keyId: string | undefined;
}

/** One text for the four of them, different for any other four: only the id, which is last, may hold a space. */
export function sessionName({ runtimeId, endpointName, keyId }: SessionOwner, id: string): string {
  return `${runtimeId} ${endpointName} ${keyId ?? ''} ${id}`;
}

/**
 * What a session is called outside the gateway's memory: 32 hex digits. Without the secret nobody can try whether it is
 * that of an id they guess.
 */
export function sessionHash(secret: Uint8Array, name: string): string {
  return createHmac('sha256', secret).update(`session\n${name}`).digest('hex').slice(0, 32);
}

/** What the platform's cookie says. */
export interface CookieContent {
  /** Of the session, made by the platform. */
  id: string;
  /** The instance it was bound to when the cookie was set. */
  instanceId: string;
  /** In seconds since 1970. */
  expiresAt: number;
}

/** The cookie's value: good for this owner alone, and for nobody who has not the secret to change. */
export function sealCookie(secret: Uint8Array, owner: SessionOwner, content: CookieContent): string {
  const text = `1.${content.id}.${content.instanceId}.${content.expiresAt.toString(36)}`;
  return `${text}.${macOf(secret, owner, text)}`;
}

const COOKIE = /^(1\.([\w-]{1,64})\.([\w-]{1,64})\.([0-9a-z]{1,10}))\.([\w-]{43})$/;

/** @returns undefined for a value that is broken, or was made for another owner or with another secret */
export function openCookie(
  secret: Uint8Array,
  owner: SessionOwner,
  value: string,
): CookieContent | undefined {
  const [, text, id, instanceId, expires, mac] = COOKIE.exec(value) ?? [];
  if (text === undefined) return undefined;
  if (!timingSafeEqual(Buffer.from(mac!), Buffer.from(macOf(secret, owner, text)))) return undefined;
  return { id: id!, instanceId: instanceId!, expiresAt: Number.parseInt(expires!, 36) };
}

function macOf(secret: Uint8Array, owner: SessionOwner, text: string): string {
  return createHmac('sha256', secret)
    .update(`cookie\n${sessionName(owner, text)}`)
    .digest('base64url');
}

/** Where the cookie goes back to. */
export interface CookiePlace {
  /** The endpoint's own: other runtimes under the same host do not get it. */
  path: string;
  /** Whether the caller came over TLS. */
  secure: boolean;
}

/** The value of the `Set-Cookie` field. */
export function setCookie(value: string, place: CookiePlace, maxAgeSeconds: number): string {
  const secure = place.secure ? '; Secure' : '';
  return `${SESSION_COOKIE}=${value}; Path=${place.path}; Max-Age=${maxAgeSeconds}; HttpOnly; SameSite=Lax${secure}`;
}

/** So many cookies of the platform's name are looked at in one field; honest callers send one. */
const COOKIES_MAX = 8;

/** Values of the platform's cookie in a `Cookie` field (RFC 6265 section 5.4), in order. */
export function cookieValues(field: string): string[] {
  const values: string[] = [];
  if (!field.includes(SESSION_COOKIE)) return values;
  for (const pair of field.split(';')) {
    const text = pair.trim();
    if (isOurs(text)) values.push(text.includes('=') ? text.slice(text.indexOf('=') + 1).trim() : '');
    if (values.length === COOKIES_MAX) break;
  }
  return values;
}

/**
 * A `Cookie` field as an agent gets it: without the platform's own.
 * @returns undefined when nothing is left of it
 */
export function withoutPlatformCookies(field: string): string | undefined {
  if (!field.includes(SESSION_COOKIE)) return field;
  const kept = field.split(';').filter((pair) => !isOurs(pair.trim()));
  const text = kept.join(';').trim();
  return text === '' ? undefined : text;
}

/** Whether a pair is the platform's, however a reader takes white space before the `=`, or a name without one. */
function isOurs(pair: string): boolean {
  const at = pair.indexOf('=');
  return (at === -1 ? pair : pair.slice(0, at).trim()) === SESSION_COOKIE;
}
