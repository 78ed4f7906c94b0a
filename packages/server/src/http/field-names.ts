/** What a field says of the message itself; `PLAIN`: nothing. */
export const PLAIN = 0;
export const HOST = 1;
export const CONTENT_LENGTH = 2;
export const TRANSFER_ENCODING = 3;
export const CONNECTION = 4;
export const EXPECT = 5;
export const UPGRADE = 6;
/** Read as Content-Length or Transfer-Encoding by servers that take `_` for `-`. */
export const DISGUISED = 7;

const ROLES: Readonly<Record<string, number>> = {
  host: HOST,
  'content-length': CONTENT_LENGTH,
  'transfer-encoding': TRANSFER_ENCODING,
  connection: CONNECTION,
  expect: EXPECT,
  upgrade: UPGRADE,
  content_length: DISGUISED,
  transfer_encoding: DISGUISED,
};

export interface FieldName {
  spelled: string;
  lower: string;
  role: number;
  /** Counts the known names from 0 on; `UNKNOWN`: it is worked out anew each time that it is seen. */
  id: number;
  /** The known name that came behind this one last: most heads name the same fields in the same order. */
  next: FieldName | undefined;
}

export const UNKNOWN = -1;

/** Names by their spelling: the same few come with every message. */
const known = new Map<string, FieldName>();
/** Strangers can invent names; what is beyond this many is worked out every time. */
const MOST_KNOWN = 2000;
const LONGEST_KNOWN = 64;

/** Known from the start, so that no stranger's names can keep them out. */
const COMMON = `
  Accept Accept-Charset Accept-Encoding Accept-Language Accept-Ranges Access-Control-Allow-Credentials
  Access-Control-Allow-Headers Access-Control-Allow-Methods Access-Control-Allow-Origin Access-Control-Expose-Headers
  Access-Control-Max-Age Access-Control-Request-Headers Access-Control-Request-Method Age Allow Alt-Svc Authorization
  Cache-Control Connection Content-Disposition Content-Encoding Content-Language Content-Length Content-Location
  Content-Range Content-Security-Policy Content-Type Cookie Date DNT ETag Expect Expires Forwarded From Host
  Idempotency-Key If-Match If-Modified-Since If-None-Match If-Range If-Unmodified-Since Keep-Alive Last-Event-ID
  Last-Modified Link Location Max-Forwards Mcp-Protocol-Version Mcp-Session-Id Origin Pragma Priority
  Proxy-Authenticate Proxy-Authorization Proxy-Connection Range Referer Referrer-Policy Retry-After
  Sec-Fetch-Dest Sec-Fetch-Mode Sec-Fetch-Site Sec-Fetch-User Sec-WebSocket-Accept Sec-WebSocket-Extensions
  Sec-WebSocket-Key Sec-WebSocket-Protocol Sec-WebSocket-Version Server Server-Timing Set-Cookie
  Strict-Transport-Security TE Traceparent Tracestate Trailer Transfer-Encoding Upgrade Upgrade-Insecure-Requests
  User-Agent Vary Via WWW-Authenticate X-Accel-Buffering X-Acs-Date X-Acs-Request-Id X-AgentRun-Session-ID X-Api-Key
  X-Content-Type-Options X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto X-Frame-Options X-Powered-By X-Real-IP
  X-Request-ID X-Requested-With`;

for (const spelled of COMMON.trim().split(/\s+/)) {
  fieldName(spelled);
  fieldName(spelled.toLowerCase());
}

/** @param spelled a token */
export function fieldName(spelled: string): FieldName {
  const before = known.get(spelled);
  if (before !== undefined) return before;
  // What is cut out of a head keeps all of that head: what is kept here must not.
  const copy = Buffer.from(spelled, 'latin1').toString('latin1');
  const lower = copy.toLowerCase();
  const isKept = known.size < MOST_KNOWN && spelled.length <= LONGEST_KNOWN;
  const name = {
    spelled: copy,
    lower,
    role: Object.hasOwn(ROLES, lower) ? ROLES[lower]! : PLAIN,
    id: isKept ? known.size : UNKNOWN,
    next: undefined,
  };
  if (isKept) known.set(copy, name);
  return name;
}

/**
 * The same for a name in a head. Comparing it with the one that is expected is cheaper than cutting it out.
 * @param before the name of the field before
 */
export function fieldNameAt(head: string, begin: number, end: number, before: FieldName): FieldName {
  const expected = before.next;
  if (
    expected !== undefined &&
    expected.spelled.length === end - begin &&
    head.startsWith(expected.spelled, begin)
  ) {
    return expected;
  }
  const name = fieldName(head.slice(begin, end));
  if (name.id !== UNKNOWN) before.next = name;
  return name;
}

/** Stands before the first field of a head; each kind of head has one of its own. */
export function noFieldName(): FieldName {
  return { spelled: '', lower: '', role: PLAIN, id: UNKNOWN, next: undefined };
}

/** What follows from a name alone, worked out once for each known one. */
export class PerFieldName<T> {
  readonly #workOut: (lower: string) => T;
  readonly #byId: (T | undefined)[] = [];

  /** @param workOut from the name in lower case */
  constructor(workOut: (lower: string) => T) {
    this.#workOut = workOut;
  }

  of({ id, lower }: FieldName): T {
    if (id === UNKNOWN) return this.#workOut(lower);
    const before = this.#byId[id];
    if (before !== undefined) return before;
    const found = this.#workOut(lower);
    this.#byId[id] = found;
    return found;
  }
}
