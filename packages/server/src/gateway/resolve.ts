import { NAME_PATTERN } from '@runstead/contract';
import type { CustomDomain } from '../domain/custom-domains.ts';

/** What a request target names. Routing, authorization and forwarding all use this one reading of it. */
export type Resolved =
  | { kind: 'health' }
  /** `rest` goes to the agent byte for byte: path and query, starting with `/`. */
  | { kind: 'invocation'; runtimeName: string; endpointName: string; rest: string }
  | { kind: 'control' }
  | { kind: 'bad-path'; reason: string };

const INVOCATION = /^\/agent-runtimes\/([^/]*)\/endpoints\/([^/]*)\/invocations(?=\/|$)/;
const DATA_PLANE_SEGMENT = 'agent-runtimes';

/**
 * Reads a request target (RFC 9112 section 3.2, origin form).
 *
 * A prefix written in any other way than literally (percent-encoded, doubled slashes, dot segments, parameters) is
 * refused, not normalised: whoever checks a path and whoever acts on it could otherwise read it differently.
 * @param domain the custom domain that was asked for: all of it is the agent's, as it is written
 */
export function resolve(target: string, domain?: CustomDomain): Resolved {
  const queryAt = target.indexOf('?');
  const path = queryAt === -1 ? target : target.slice(0, queryAt);
  if (!path.startsWith('/')) {
    return { kind: 'bad-path', reason: `The request target must start with "/"; got "${excerpt(target)}"` };
  }
  if (domain) {
    const { runtimeName, endpointName } = domain;
    return { kind: 'invocation', runtimeName, endpointName, rest: target };
  }
  if (path === '/health') return { kind: 'health' };

  const match = INVOCATION.exec(path);
  if (match) {
    const runtimeName = match[1]!;
    const endpointName = match[2]!;
    if (!NAME_PATTERN.test(runtimeName)) return badName('runtime', runtimeName);
    if (!NAME_PATTERN.test(endpointName)) return badName('endpoint', endpointName);
    const rest = target.slice(match[0].length);
    return {
      kind: 'invocation',
      runtimeName,
      endpointName,
      rest: rest.startsWith('/') ? rest : `/${rest}`,
    };
  }
  if (disguisesDataPlane(path)) {
    return {
      kind: 'bad-path',
      reason:
        'The path up to /invocations must be written literally: no "%", "//", ";", "\\" or dot segment; ' +
        `got "${excerpt(path)}"`,
    };
  }
  return { kind: 'control' };
}

/** Whether a target belongs to the data plane, also when it is malformed: it decides in which shape errors are told. */
export function isDataPlane(target: string, domain?: CustomDomain): boolean {
  return domain !== undefined || target.startsWith(`/${DATA_PLANE_SEGMENT}/`);
}

function badName(what: string, name: string): Resolved {
  return {
    kind: 'bad-path',
    reason:
      `A ${what} name starts with a letter and has at most 128 letters, digits, "_" and "-", unencoded; ` +
      `got "${excerpt(name)}"`,
  };
}

/** Whether some lenient reader along the way could take the path for one of the data plane. */
function disguisesDataPlane(path: string): boolean {
  if (!/[%;\\]|\/\/|\/\.{1,2}(?:\/|$)/.test(path)) return false;
  const segments: string[] = [];
  for (const raw of decodeFully(path).replaceAll('\\', '/').split('/')) {
    const segment = raw.split(';', 1)[0]!;
    // Looked at before dot segments are resolved too: `/agent-runtimes/../x` is one of them to whoever does not.
    if (segments.length === 0 && segment === DATA_PLANE_SEGMENT) return true;
    if (segment === '..') segments.pop();
    else if (segment !== '' && segment !== '.') segments.push(segment);
  }
  return segments[0] === DATA_PLANE_SEGMENT;
}

/** Undoes percent-encoding until nothing changes, so that doubly encoded paths are seen too. */
function decodeFully(path: string): string {
  let decoded = path;
  for (let round = 0; round < 5; round++) {
    const next = decoded.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    );
    if (next === decoded) break;
    decoded = next;
  }
  return decoded;
}

function excerpt(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
