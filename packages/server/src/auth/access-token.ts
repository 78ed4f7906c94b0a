import { timingSafeEqual } from 'node:crypto';
import type { KeyRing } from './key-ring.ts';
import type { PlatformKey } from './keys.ts';
import { hmac } from './signed-headers.ts';

/** Design: tokens live for a day. */
export const ACCESS_TOKEN_LIFETIME_MS = 24 * 60 * 60_000;

interface Payload {
  /** Runtime id: one that is created anew under the same name has another. */
  r: string;
  /** Id of the key that asked for it. */
  k: string;
  /** Ends, in seconds since 1970. */
  e: number;
}

/**
 * A token for calls to one runtime. Nothing of it is kept: it is sealed with the secret of the key that asked, and so
 * ends with that key, with the runtime, or after a day, whichever comes first.
 */
export function issueAccessToken(key: PlatformKey, runtimeId: string, nowMs: number): string {
  const end = Math.floor((nowMs + ACCESS_TOKEN_LIFETIME_MS) / 1000);
  const payload: Payload = { r: runtimeId, k: key.id, e: end };
  const text = Buffer.from(JSON.stringify(payload)).toString('base64url');
  return `rat_${text}.${seal(key, text)}`;
}

/** Whose token it is, if it is good for this runtime. */
export function verifyAccessToken(
  token: string,
  runtimeId: string | undefined,
  keys: KeyRing,
  nowMs: number,
): PlatformKey | undefined {
  const [, text = '', presented = ''] = /^rat_([\w-]{1,1000})\.([\w-]{43})$/.exec(token) ?? [];
  const payload = read(text);
  if (!payload || runtimeId === undefined || payload.r !== runtimeId) return undefined;
  const key = keys.byId(payload.k);
  // As texts: base64 has more than one for the same bytes.
  if (!key || !timingSafeEqual(Buffer.from(seal(key, text)), Buffer.from(presented))) return undefined;
  return payload.e * 1000 > nowMs ? key : undefined;
}

/** The purpose stands before it, so that no signature of a request can be taken for it. */
function seal(key: PlatformKey, text: string): string {
  return hmac(key.accessKeySecret, `runstead access token\n${text}`).toString('base64url');
}

function read(text: string): Payload | undefined {
  try {
    const { r, k, e } = JSON.parse(Buffer.from(text, 'base64url').toString('utf8')) as Partial<Payload>;
    const isPayload = typeof r === 'string' && typeof k === 'string' && typeof e === 'number';
    return isPayload ? { r, k, e } : undefined;
  } catch {
    return undefined;
  }
}
