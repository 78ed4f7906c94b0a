import { REQUEST_ID_HEADER } from '../observe/request-id.ts';
import { setsPlatformCookie, withoutPlatformCookies } from './platform-cookies.ts';
import { isTraceField } from './trace-context.ts';

/**
 * What is added to and removed from the fields of requests and answers. Fields are names and values by turns, as
 * Node's `rawHeaders`, so that spelling, order and repetition (`Set-Cookie`) survive.
 */

export const ERROR_ORIGIN_HEADER = 'x-runstead-error-origin';
/** Tells the control process the caller's address: it only ever sees the gateway's. */
export const PEER_HEADER = 'x-runstead-peer';

/**
 * Fields about one connection (RFC 9110 section 7.6.1), with `keep-alive` and `proxy-*` of older texts. `trailer`
 * goes too, since trailers are not passed on.
 */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Written anew for each hop, from how the body is sent on. */
const FRAMING = 'content-length';

/**
 * Answer fields that rule a whole host, which all agents and the API share: an agent must not set them for others.
 */
const HOST_WIDE = new Set([
  'service-worker-allowed',
  'clear-site-data',
  'strict-transport-security',
  'alt-svc',
  // With these a browser would tell the agent's author what becomes of requests to all of the host.
  'nel',
  'report-to',
]);

export interface AgentRequest {
  fields: readonly string[];
  requestId: string;
  /** Fields of our own besides, as names and values by turns. */
  added: readonly string[];
  /** `host:port` of the instance. */
  agentHost: string;
  /** Fields, in lower case, with credentials of the platform: they stop here. */
  consumed: ReadonlySet<string>;
  /** How the body is framed toward the agent, as fields. */
  framing: readonly string[];
}

/** What is done with a field by its name alone, worked out once for each spelling. */
interface Rule {
  /** In lower case. */
  name: string;
  /** With hyphens for underscores: servers that read one as the other see this name. */
  canonical: string;
  toAgent: boolean;
  toControl: boolean;
  /** From an agent, and from the control process. */
  fromAgent: boolean;
  fromControl: boolean;
}

const rules = new Map<string, Rule>();
/** Strangers can invent names; the rules of what is beyond this many are worked out every time. */
const MOST_RULES = 2000;

function ruleOf(spelled: string): Rule {
  return rules.get(spelled) ?? newRule(spelled);
}

function newRule(written: string): Rule {
  // What is cut out of a head keeps all of that head: what is kept here must not.
  const spelled = Buffer.from(written, 'latin1').toString('latin1');
  const name = spelled.toLowerCase();
  const canonical = name.replaceAll('_', '-');
  const isEndToEnd = !HOP_BY_HOP.has(name);
  const isOurs = name === REQUEST_ID_HEADER || name === ERROR_ORIGIN_HEADER;
  const rule: Rule = {
    name,
    canonical,
    toAgent:
      isEndToEnd && name !== 'host' && name !== FRAMING && !isPlatformField(canonical) && !isTraceField(name),
    toControl:
      isEndToEnd &&
      name !== FRAMING &&
      !canonical.startsWith('x-runstead-') &&
      canonical !== REQUEST_ID_HEADER,
    fromAgent: isEndToEnd && !isOurs && !name.startsWith('x-runstead-') && !HOST_WIDE.has(name),
    fromControl: isEndToEnd && !isOurs,
  };
  if (rules.size < MOST_RULES && spelled.length <= 64) rules.set(spelled, rule);
  return rule;
}

/** The fields of a request as an agent gets them. */
export function agentRequestFields(request: AgentRequest): string[] {
  const { fields, consumed } = request;
  const named = namedByConnection(fields);
  const sent: string[] = ['host', request.agentHost];
  for (let at = 0; at < fields.length; at += 2) {
    const { name, canonical, toAgent } = ruleOf(fields[at]!);
    if (!toAgent || consumed.has(canonical) || named?.has(name)) continue;
    const value = name === 'cookie' ? withoutPlatformCookies(fields[at + 1]!) : fields[at + 1]!;
    if (value !== undefined) sent.push(fields[at]!, value);
  }
  for (const part of request.added) sent.push(part);
  sent.push(REQUEST_ID_HEADER, request.requestId);
  for (const part of request.framing) sent.push(part);
  return sent;
}

/** Fields that only the platform sets. @param canonical in lower case, with hyphens */
function isPlatformField(canonical: string): boolean {
  return (
    canonical.startsWith('x-fc-') ||
    canonical.startsWith('x-runstead-') ||
    canonical.startsWith('x-forwarded-') ||
    canonical === 'forwarded' ||
    canonical === 'x-real-ip' ||
    canonical === REQUEST_ID_HEADER
  );
}

/** The fields of a request as the control process gets them: Host and all that a signature may cover stay as sent. */
export function controlRequestFields(request: {
  fields: readonly string[];
  requestId: string;
  peer: string;
  framing: readonly string[];
}): string[] {
  const { fields } = request;
  const named = namedByConnection(fields);
  const sent: string[] = [];
  for (let at = 0; at < fields.length; at += 2) {
    const { name, toControl } = ruleOf(fields[at]!);
    if (!toControl || named?.has(name)) continue;
    sent.push(fields[at]!, fields[at + 1]!);
  }
  sent.push(REQUEST_ID_HEADER, request.requestId, PEER_HEADER, request.peer, ...request.framing);
  return sent;
}

export interface Answer {
  fields: readonly string[];
  status: number;
  requestId: string;
  /** Who made it: an agent may not speak for the platform. */
  origin: 'agent' | 'platform';
  /** The allowed page that asked, if it is not the gateway's own. */
  crossOrigin: string | undefined;
  /** What the platform has to say of the call besides, as names and values by turns. */
  extras?: readonly string[];
}

/** The fields of an answer as the client gets them. */
export function answerFields(answer: Answer): string[] {
  const { fields, status, origin, crossOrigin } = answer;
  const named = namedByConnection(fields);
  const sent: string[] = [];
  // RFC 9110 section 8.6: none of these has content, and a length there would be taken for the next answer's start.
  const isBodiless = status < 200 || status === 204;
  for (let at = 0; at < fields.length; at += 2) {
    const rule = ruleOf(fields[at]!);
    if (!(origin === 'agent' ? rule.fromAgent : rule.fromControl) || named?.has(rule.name)) continue;
    if (isBodiless && rule.name === FRAMING) continue;
    if (origin === 'agent' && rule.name === 'set-cookie' && setsPlatformCookie(fields[at + 1]!)) continue;
    if (crossOrigin !== undefined && rule.name === 'access-control-allow-origin') continue;
    sent.push(fields[at]!, fields[at + 1]!);
  }
  addPlatformFields(sent, answer);
  return sent;
}

/** What every answer carries. */
export function platformFields(answer: Omit<Answer, 'fields'>): string[] {
  const sent: string[] = [];
  addPlatformFields(sent, answer);
  return sent;
}

function addPlatformFields(sent: string[], answer: Omit<Answer, 'fields'>): void {
  const { requestId, status, origin, crossOrigin, extras } = answer;
  sent.push(REQUEST_ID_HEADER, requestId);
  if (extras) for (const part of extras) sent.push(part);
  const isError = status !== 101 && (status < 200 || status > 299);
  if (isError) sent.push(ERROR_ORIGIN_HEADER, origin);
  if (crossOrigin !== undefined) {
    sent.push(
      'access-control-allow-origin',
      crossOrigin,
      'access-control-expose-headers',
      `${REQUEST_ID_HEADER}, ${ERROR_ORIGIN_HEADER}, x-runstead-features, x-runstead-idempotent-replay, x-runstead-session`,
      'vary',
      'Origin',
    );
  }
}

/** Names that `Connection` declares to be about this connection only; undefined: it names none. */
function namedByConnection(fields: readonly string[]): Set<string> | undefined {
  let named: Set<string> | undefined;
  for (let at = 0; at < fields.length; at += 2) {
    const spelled = fields[at]!;
    if (spelled.length !== CONNECTION.length || spelled.toLowerCase() !== CONNECTION) continue;
    for (const option of fields[at + 1]!.split(',')) {
      const name = option.trim().toLowerCase();
      // Whoever names these would have us drop what the next hop needs to find the end of the message or its host.
      if (ABOUT_CONNECTION.has(name) || name === 'host' || name === FRAMING) continue;
      named ??= new Set();
      named.add(name);
    }
  }
  return named;
}

const CONNECTION = 'connection';
/** Options that name no field, and fields that are dropped anyway. */
const ABOUT_CONNECTION = new Set(['', 'close', ...HOP_BY_HOP]);
