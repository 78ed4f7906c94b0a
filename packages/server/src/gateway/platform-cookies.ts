/**
 * Cookies whose names begin like the platform's own: `runstead-`, also behind the prefixes that browsers give a meaning.
 * They are between callers and the gateway. An agent neither sees nor sets one: it shares its host with all others.
 */

const PREFIX = 'runstead-';
const OURS = /^\s*(?:__(?:host|secure)-)?runstead-/i;

/**
 * A Cookie field as an agent gets it.
 * @returns undefined: nothing is left of it
 */
export function withoutPlatformCookies(value: string): string | undefined {
  // As almost all are, and a search is cheap.
  if (!value.toLowerCase().includes(PREFIX)) return value;
  const kept = value.split(';').filter((pair) => !OURS.test(pair));
  const text = kept.join(';').trim();
  return text === '' ? undefined : text;
}

/**
 * Whether a Set-Cookie field would set one. A cookie without a name counts by its value: browsers send `=a=b` as `a=b`,
 * which reads like the cookie `a`.
 */
export function setsPlatformCookie(value: string): boolean {
  return OURS.test(value.replace(/^[\s=]+/, ''));
}
