/** A token (RFC 9110 section 5.6.2). */
export const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** Names seen so far, by their spelling: the same few come with every message. */
const known = new Map<string, string>();
/** Strangers can invent names; what is beyond this many is worked out every time. */
const MOST_KNOWN = 2000;
const LONGEST_KNOWN = 64;

/** The name of a field in lower case, always the same string for the same name; undefined: it is no token. */
export function fieldName(spelled: string): string | undefined {
  const name = known.get(spelled);
  if (name !== undefined) return name;
  if (!TOKEN.test(spelled)) return undefined;
  const lower = spelled.toLowerCase();
  if (known.size < MOST_KNOWN && spelled.length <= LONGEST_KNOWN) known.set(spelled, lower);
  return lower;
}
