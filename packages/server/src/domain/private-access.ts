import { BlockList, isIP } from 'node:net';
import { canonicalHost } from './host-name.ts';
import { isLoopbackHost } from './loopback.ts';

/**
 * Who may call an endpoint whose public network access is disabled.
 *
 * A host name alone proves nothing, since callers write it themselves: so the address that they call from must be a
 * private one too, and for this machine's own names it must be this machine.
 */
export interface PrivateAccess {
  /** In their one spelling. */
  hosts: ReadonlySet<string>;
  networks: BlockList;
}

/** Loopback, RFC 1918, RFC 6598 (carriers' NAT, overlay networks), RFC 4193, and link-local. */
export const PRIVATE_NETWORKS: readonly string[] = [
  '127.0.0.0/8',
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '100.64.0.0/10',
  '169.254.0.0/16',
  '::1/128',
  'fc00::/7',
  'fe80::/10',
];

const LOOPBACK_HOSTS = ['localhost', '127.0.0.1', '::1'];

export function privateAccess(settings: {
  publicUrl: string | undefined;
  privateHosts: readonly string[] | undefined;
  privateNetworks: readonly string[];
}): PrivateAccess {
  const networks = new BlockList();
  for (const text of settings.privateNetworks) {
    const network = parseNetwork(text);
    if (network) networks.addSubnet(network.address, network.prefix, network.family);
  }
  return { hosts: new Set(settings.privateHosts ?? defaultHosts(settings.publicUrl)), networks };
}

/**
 * Callers on this machine — unless a public address elsewhere says that a proxy stands in front: what comes through it
 * comes from this machine as well, and some proxies send on the loopback name that they were given as their target.
 */
function defaultHosts(publicUrl: string | undefined): readonly string[] {
  if (publicUrl === undefined) return LOOPBACK_HOSTS;
  const host = canonicalHost(new URL(publicUrl).hostname);
  return host !== undefined && isLoopbackHost(host) ? LOOPBACK_HOSTS : [];
}

/** @param host without a port @param peer the caller's address @param isPassedOn whether the request says that a proxy passed it on */
export function isPrivateCall(
  { hosts, networks }: PrivateAccess,
  call: { host: string; peer: string; isPassedOn: boolean },
): boolean {
  const host = canonicalHost(call.host);
  if (host === undefined || !hosts.has(host)) return false;
  const peer = call.peer.replace(/^::ffff:(?=\d+\.)/, '').replace(/%.*$/, '');
  if (isLoopbackHost(host)) return isLoopbackHost(peer) && !call.isPassedOn;
  const family = isIP(peer);
  return family !== 0 && networks.check(peer, family === 4 ? 'ipv4' : 'ipv6');
}

/** Reads an address or a block of addresses (CIDR). */
export function parseNetwork(
  text: string,
): { address: string; prefix: number; family: 'ipv4' | 'ipv6' } | undefined {
  const [, address = '', length] = /^([0-9a-f.:]+)(?:\/(\d{1,3}))?$/i.exec(text) ?? [];
  const version = isIP(address);
  if (version === 0) return undefined;
  const longest = version === 4 ? 32 : 128;
  const prefix = length === undefined ? longest : Number(length);
  if (prefix > longest) return undefined;
  return { address, prefix, family: version === 4 ? 'ipv4' : 'ipv6' };
}
