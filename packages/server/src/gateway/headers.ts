import { withoutPlatformCookies } from '../domain/affinity.ts';
import { REQUEST_ID_HEADER } from '../observe/request-id.ts';

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
]);

export interface AgentRequest {
  fields: readonly string[];
  requestId: string;
  peer: string;
  /** Whether it came over TLS. */
  secure: boolean;
  /** The Host field as the client sent it. */
  host: string;
  /** `host:port` of the instance. */
  agentHost: string;
  /** Fields, in lower case, with credentials of the platform: they stop here. */
  consumed: ReadonlySet<string>;
  /** How the body is framed toward the agent, as fields. */
  framing: readonly string[];
}

/** The fields of a request as an agent gets them. */
export function agentRequestFields(request: AgentRequest): string[] {
  const named = namedByConnection(request.fields);
  const sent: string[] = ['host', request.agentHost];
  eachField(request.fields, (name, value, spelled) => {
    if (HOP_BY_HOP.has(name) || named.has(name) || name === 'host' || name === FRAMING) return;
    if (request.consumed.has(name.replaceAll('_', '-'))) return;
    if (isPlatformField(name)) return;
    const kept = name === 'cookie' ? withoutPlatformCookies(value) : value;
    if (kept !== undefined) sent.push(spelled, kept);
  });
  sent.push(
    'x-forwarded-for',
    request.peer,
    'x-forwarded-proto',
    request.secure ? 'https' : 'http',
    'x-forwarded-host',
    request.host,
    REQUEST_ID_HEADER,
    request.requestId,
    ...request.framing,
  );
  return sent;
}

/**
 * Fields that only the platform sets. CGI-like servers read `_` as `-`, so a copy spelled with it would reach the
 * agent's code under the same name.
 */
function isPlatformField(name: string): boolean {
  const canonical = name.replaceAll('_', '-');
  return (
    canonical.startsWith('x-fc-') ||
    canonical.startsWith('x-runstead-') ||
    canonical.startsWith('x-forwarded-') ||
    canonical === 'forwarded' ||
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
  const named = namedByConnection(request.fields);
  const sent: string[] = [];
  eachField(request.fields, (name, value, spelled) => {
    if (HOP_BY_HOP.has(name) || named.has(name) || name === FRAMING) return;
    const canonical = name.replaceAll('_', '-');
    if (canonical.startsWith('x-runstead-') || canonical === REQUEST_ID_HEADER) return;
    sent.push(spelled, value);
  });
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
  const { status, origin, crossOrigin } = answer;
  const named = namedByConnection(answer.fields);
  const sent: string[] = [];
  eachField(answer.fields, (name, value, spelled) => {
    if (HOP_BY_HOP.has(name) || named.has(name)) return;
    if (name === REQUEST_ID_HEADER || name === ERROR_ORIGIN_HEADER) return;
    if (origin === 'agent' && (name.startsWith('x-runstead-') || HOST_WIDE.has(name))) return;
    if (crossOrigin !== undefined && name === 'access-control-allow-origin') return;
    // RFC 9110 section 8.6: none of these has content, and a length there would be taken for the next answer's start.
    if (name === FRAMING && (status < 200 || status === 204)) return;
    sent.push(spelled, value);
  });
  sent.push(...platformFields(answer));
  return sent;
}

/** What every answer carries. */
export function platformFields(answer: Omit<Answer, 'fields'>): string[] {
  const { requestId, status, origin, crossOrigin, extras = [] } = answer;
  const sent = [REQUEST_ID_HEADER, requestId, ...extras];
  const isError = status !== 101 && (status < 200 || status > 299);
  if (isError) sent.push(ERROR_ORIGIN_HEADER, origin);
  if (crossOrigin !== undefined) {
    sent.push(
      'access-control-allow-origin',
      crossOrigin,
      'access-control-expose-headers',
      `${REQUEST_ID_HEADER}, ${ERROR_ORIGIN_HEADER}, x-runstead-session, x-runstead-features, x-runstead-idempotent-replay`,
      'vary',
      'Origin',
    );
  }
  return sent;
}

function eachField(
  fields: readonly string[],
  visit: (name: string, value: string, spelled: string) => void,
): void {
  for (let at = 0; at < fields.length; at += 2) {
    const spelled = fields[at]!;
    visit(spelled.toLowerCase(), fields[at + 1]!, spelled);
  }
}

/** Names that `Connection` declares to be about this connection only. */
function namedByConnection(fields: readonly string[]): Set<string> {
  const named = new Set<string>();
  eachField(fields, (name, value) => {
    if (name !== 'connection') return;
    for (const option of value.split(',')) named.add(option.trim().toLowerCase());
  });
  // Whoever names these would have us drop what the next hop needs to find the end of the message or its host.
  named.delete('host');
  named.delete(FRAMING);
  return named;
}
