import { BlockList, isIP } from 'node:net';
import { parseNetwork } from '../domain/private-access.ts';
import { fieldValues } from './request-head.ts';

/**
 * Where a call comes from: of proxies that the operator trusts, what they say of it; of everybody else, the connection
 * alone. One reading serves the access record, the control process, the rule of private networks and the agent.
 */

/** Tells which peers are proxies whose word counts. */
export type ProxyTrust = (address: string) => boolean;

/** What is known of where a call comes from. */
export interface Provenance {
  /** Address of the caller; `unknown` if the proxies that are trusted do not say, or contradict themselves. */
  caller: string;
  /** Whoever passed the call on, from the caller to our peer, which is the last; `unknown` where that is not an address. */
  chain: readonly string[];
  /** As the caller spoke to the first of the proxies. */
  proto: 'http' | 'https';
  /** The host that the caller asked for. */
  host: string;
}

/** RFC 7239 section 6.2. */
export const UNKNOWN = 'unknown';

/** The nearest ones count; a longer chain is a loop, or somebody's joke. */
const CHAIN_MAX = 32;
/** Proxies are few; this many addresses are remembered with the answer, as asking a list costs a microsecond. */
const REMEMBERED = 1024;

/** @param networks addresses and blocks (CIDR); none: nobody is trusted */
export function proxyTrust(networks: readonly string[]): ProxyTrust {
  if (networks.length === 0) return () => false;
  const list = new BlockList();
  for (const text of networks) {
    const network = parseNetwork(text);
    if (network) list.addSubnet(network.address, network.prefix, network.family);
  }
  const known = new Map<string, boolean>();
  return (address) => {
    const before = known.get(address);
    if (before !== undefined) return before;
    const family = isIP(address);
    const isTrusted = family !== 0 && list.check(address, family === 4 ? 'ipv4' : 'ipv6');
    if (known.size === REMEMBERED) known.clear();
    known.set(address, isTrusted);
    return isTrusted;
  };
}

/**
 * @param head of the request; `peer` is the address of the caller's end of the connection
 * @param host the Host field, checked
 */
export function provenance(
  isTrusted: ProxyTrust,
  head: { fields: readonly string[]; peer: string; secure: boolean },
  host: string,
): Provenance {
  const peer = plainAddress(head.peer);
  const proto = head.secure ? 'https' : 'http';
  if (!isTrusted(peer)) return { caller: peer, chain: [peer], proto, host };

  const { fields } = head;
  const before = chainBefore(fields);
  const chain = [...before.slice(-(CHAIN_MAX - 1)), peer];
  return {
    caller: callerOf(chain, isTrusted),
    chain,
    proto: protoSaid(fields) ?? proto,
    host: hostSaid(fields) ?? host,
  };
}

/** Fields that say where a call comes from, as an agent gets them: names and values by turns. */
export function forwardedFields({ chain, proto, host }: Provenance): string[] {
  const [only] = chain;
  const isDirect = chain.length === 1;
  const last = `;host="${host}";proto=${proto}`;
  return [
    'x-forwarded-for',
    isDirect ? only! : chain.join(', '),
    'x-forwarded-proto',
    proto,
    'x-forwarded-host',
    host,
    'forwarded',
    (isDirect ? node(only!) : chain.map(node).join(', ')) + last,
  ];
}

/** What proxies say of themselves. None has to, so that its absence proves nothing. */
export const PASSED_ON: readonly string[] = [
  'forwarded',
  'via',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-real-ip',
];

/** Whether a request says that somebody passed it on. */
export function isPassedOn(fields: readonly string[]): boolean {
  return PASSED_ON.some((name) => fieldValues(fields, name).length > 0);
}

/**
 * The farthest that trusted proxies vouch for: from the peer backwards, the first that is not one of them. What stands
 * before it anybody may have written.
 */
function callerOf(chain: readonly string[], isTrusted: ProxyTrust): string {
  for (let at = chain.length - 1; at > 0; at--) {
    if (!isTrusted(chain[at]!)) return chain[at]!;
  }
  return chain[0]!;
}

/**
 * What a trusted proxy says of those before it. Which of the two fields it keeps is not known here, and the other one
 * may have come with the request: where both are there, they must agree.
 */
function chainBefore(fields: readonly string[]): string[] {
  const older = fieldValues(fields, 'x-forwarded-for');
  const newer = fieldValues(fields, 'forwarded');
  if (older.length === 0 && newer.length === 0) return isPassedOn(fields) ? [UNKNOWN] : [];
  const listed = items(older).map(addressIn);
  if (newer.length === 0) return listed;
  const told = elementsOf(newer).map((element) => addressIn(element.get('for') ?? ''));
  if (older.length === 0) return told;
  return listed.join() === told.join() ? told : [UNKNOWN];
}

function protoSaid(fields: readonly string[]): 'http' | 'https' | undefined {
  const said =
    items(fieldValues(fields, 'x-forwarded-proto')).at(-1) ??
    elementsOf(fieldValues(fields, 'forwarded')).at(-1)?.get('proto');
  const proto = said?.toLowerCase();
  return proto === 'http' || proto === 'https' ? proto : undefined;
}

const HOST = /^(?:\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(?::\d{1,5})?$/i;

function hostSaid(fields: readonly string[]): string | undefined {
  const said =
    items(fieldValues(fields, 'x-forwarded-host')).at(-1) ??
    elementsOf(fieldValues(fields, 'forwarded')).at(-1)?.get('host');
  return said !== undefined && HOST.test(said) ? said : undefined;
}

function items(values: readonly string[]): string[] {
  return values.flatMap((value) => value.split(',')).map((item) => item.trim());
}

/** `name=value` or `name="value"` (RFC 7239 section 4); a `\` inside quotes would hide a quote, and no address has one. */
const PAIR = /^\s*([a-z]+)=(?:([^\s",;=]+)|"([^"\\]*)")\s*$/i;

/** The elements of a Forwarded field, names in lower case; one that cannot be read has no pairs. */
function elementsOf(values: readonly string[]): Map<string, string>[] {
  return splitOutsideQuotes(values.join(','), ',').map((element) => {
    const pairs = new Map<string, string>();
    for (const text of splitOutsideQuotes(element, ';')) {
      const [, name, bare, quoted] = PAIR.exec(text) ?? [];
      // Twice the same name, or something else, and who knows which of them others read.
      if (name === undefined || pairs.has(name.toLowerCase())) return new Map();
      pairs.set(name.toLowerCase(), bare ?? quoted ?? '');
    }
    return pairs;
  });
}

function splitOutsideQuotes(text: string, separator: string): string[] {
  const parts: string[] = [];
  let from = 0;
  let isQuoted = false;
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === '"') isQuoted = !isQuoted;
    else if (char === separator && !isQuoted) {
      parts.push(text.slice(from, at));
      from = at + 1;
    }
  }
  parts.push(text.slice(from));
  return parts;
}

/** The address in a node's name, which may have a port: `10.0.0.7:4711`, `[2001:db8::7]:4711`; else `unknown`. */
function addressIn(text: string): string {
  const [, bracketed, dotted] = /^(?:\[([0-9a-f:.]+)\]|(\d+(?:\.\d+){3}))(?::\d{1,5})?$/i.exec(text) ?? [];
  const address = plainAddress(bracketed ?? dotted ?? text);
  return isIP(address) === 0 ? UNKNOWN : address;
}

/** Without the marks of how it came to this machine: IPv4 on a socket for both, and the scope of a link-local one. */
function plainAddress(address: string): string {
  const mapped = address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
  const scope = mapped.indexOf('%');
  return scope === -1 ? mapped : mapped.slice(0, scope);
}

/** As RFC 7239 section 6 writes it. */
function node(address: string): string {
  return address.includes(':') ? `for="[${address}]"` : `for=${address}`;
}
