import { PerFieldName } from '../http/field-names.ts';
import type { FieldSection } from '../http/fields.ts';
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
  /** Of the request as it came. */
  section: FieldSection;
  requestId: string;
  /** Lines of our own besides. */
  added: string;
  /** `host:port` of the instance. */
  agentHost: string;
  /** Fields, in lower case, with credentials of the platform: they stop here. */
  consumed: ReadonlySet<string>;
  /** How the body is framed toward the agent, as fields. */
  framing: readonly string[];
  /** HTTP/1.0 has no Expect, and whoever the request is passed on to would act on it. */
  withoutExpect?: boolean;
}

/** What is done with a field by its name alone. */
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

const rules = new PerFieldName(newRule);

/** @param name in lower case */
function newRule(name: string): Rule {
  const canonical = name.replaceAll('_', '-');
  const isEndToEnd = !HOP_BY_HOP.has(name);
  const isOurs = name === REQUEST_ID_HEADER || name === ERROR_ORIGIN_HEADER;
  return {
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
}

/** The lines of a request's fields as an agent gets them. */
export function agentRequestLines(request: AgentRequest): string {
  const { section, consumed, withoutExpect } = request;
  const named = namedByConnection(section);
  const kept = keptLines(section, (at) => {
    const rule = rules.of(section.names[at]!);
    if (!rule.toAgent || consumed.has(rule.canonical) || named?.has(rule.name)) return false;
    return !(withoutExpect && rule.name === 'expect');
  });
  return `host: ${request.agentHost}\r\n${kept}${request.added}${REQUEST_ID_HEADER}: ${request.requestId}\r\n${lines(request.framing)}`;
}

/**
 * The lines of fields that are passed on. They are passed on as they were written, many at a time: what stands between two
 * that are dropped is one piece of the head.
 */
function keptLines(section: FieldSection, isKept: (field: number) => boolean): string {
  const { text, names } = section;
  let kept = '';
  /** Where a piece begins that has not been taken yet. */
  let begin = -1;
  for (let field = 0; field < names.length; field++) {
    const keeps = isKept(field);
    const isCookie = keeps && names[field]!.lower === 'cookie';
    if (keeps && !isCookie && section.isPlain(field)) {
      if (begin === -1) begin = section.lineBegin(field);
      continue;
    }
    if (begin !== -1) kept += text.slice(begin, section.lineBegin(field));
    begin = -1;
    if (!keeps) continue;
    const value = section.valueAt(field);
    const passed = isCookie ? withoutPlatformCookies(value) : value;
    if (passed !== undefined) kept += `${names[field]!.spelled}: ${passed}\r\n`;
  }
  return begin === -1 ? kept : kept + text.slice(begin, section.lineBegin(names.length));
}

/** Fields as they are written. @param fields names and values by turns */
export function lines(fields: readonly string[]): string {
  let text = '';
  for (let at = 0; at < fields.length; at += 2) text += `${fields[at]}: ${fields[at + 1]}\r\n`;
  return text;
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

/** The lines of a request as the control process gets them: Host and all that a signature may cover stay as sent. */
export function controlRequestLines(request: {
  section: FieldSection;
  requestId: string;
  peer: string;
  framing: readonly string[];
  withoutExpect?: boolean;
}): string {
  const { section, withoutExpect } = request;
  const named = namedByConnection(section);
  const kept = keptControlLines(section, named, withoutExpect === true);
  return `${kept}${lines([REQUEST_ID_HEADER, request.requestId, PEER_HEADER, request.peer, ...request.framing])}`;
}

/** Cookies stay whole: they are the platform's own. */
function keptControlLines(
  { names, fields }: FieldSection,
  named: ReadonlySet<string> | undefined,
  withoutExpect: boolean,
): string {
  const sent: string[] = [];
  for (let at = 0; at < names.length; at++) {
    const { name, toControl } = rules.of(names[at]!);
    if (!toControl || named?.has(name) || (withoutExpect && name === 'expect')) continue;
    sent.push(fields[2 * at]!, fields[2 * at + 1]!);
  }
  return lines(sent);
}

export interface Answer {
  /** Of the answer as it came. */
  section: FieldSection;
  status: number;
  requestId: string;
  /** Who made it: an agent may not speak for the platform. */
  origin: 'agent' | 'platform';
  /** The allowed page that asked, if it is not the gateway's own. */
  crossOrigin: string | undefined;
  /** What the platform has to say of the call besides, as names and values by turns. */
  extras?: readonly string[];
}

/** The lines of an answer's fields as the client gets them. */
export function answerLines(answer: Answer): string {
  const { section, status, origin, crossOrigin } = answer;
  const named = namedByConnection(section);
  // RFC 9110 section 8.6: none of these has content, and a length there would be taken for the next answer's start.
  const isBodiless = status < 200 || status === 204;
  const kept = keptLines(section, (at) => {
    const rule = rules.of(section.names[at]!);
    if (!(origin === 'agent' ? rule.fromAgent : rule.fromControl) || named?.has(rule.name)) return false;
    if (isBodiless && rule.name === FRAMING) return false;
    if (origin === 'agent' && rule.name === 'set-cookie' && setsPlatformCookie(section.valueAt(at)))
      return false;
    return crossOrigin === undefined || rule.name !== 'access-control-allow-origin';
  });
  return kept + lines(platformFields(answer));
}

/** What every answer carries. */
export function platformFields(answer: Omit<Answer, 'section'>): string[] {
  const { requestId, status, origin, crossOrigin, extras } = answer;
  const sent = [REQUEST_ID_HEADER, requestId];
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
  return sent;
}

/** Names that `Connection` declares to be about this connection only; undefined: it names none. */
function namedByConnection({ connection }: FieldSection): Set<string> | undefined {
  let named: Set<string> | undefined;
  for (const name of connection) {
    // Whoever names these would have us drop what the next hop needs to find the end of the message or its host.
    if (ABOUT_CONNECTION.has(name) || name === 'host' || name === FRAMING) continue;
    named ??= new Set();
    named.add(name);
  }
  return named;
}

/** Options that name no field, and fields that are dropped anyway. */
const ABOUT_CONNECTION = new Set(['', 'close', ...HOP_BY_HOP]);
