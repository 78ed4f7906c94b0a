import type { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { canonicalHost } from '../domain/host-name.ts';

/** A name that a certificate can hold: a host, or `*.` and a DNS name. Undefined for everything else. */
export function certificateName(text: string): string | undefined {
  const [, rest] = /^\*\.(.+)$/.exec(text) ?? [];
  if (rest === undefined) return canonicalHost(text);
  const base = canonicalHost(rest);
  return base === undefined || isIP(base) !== 0 || !base.includes('.') ? undefined : `*.${base}`;
}

/** The names of a server certificate (subject alternative names), in their one spelling, sorted. */
export function namesOf(certificate: X509Certificate): string[] {
  const names = (certificate.subjectAltName ?? '').split(', ').flatMap((entry) => {
    const [, value] = /^(?:DNS|IP Address):(.+)$/.exec(entry) ?? [];
    return value === undefined ? [] : (certificateName(value) ?? []);
  });
  return [...new Set(names)].sort();
}

/** What every local certificate is for, whatever else it names. */
const LOOPBACK = ['localhost', '127.0.0.1', '::1'];

/** The settings that name this server. */
export interface NamedIn {
  host: string;
  publicUrl: string | undefined;
  allowHosts: readonly string[];
  tlsNames: readonly string[];
  privateHosts: readonly string[] | undefined;
  domains: readonly { host: string }[];
  agentHosts: readonly string[];
}

/**
 * The names that the local certificate is made for: those of this machine itself, and every one that callers were
 * told of by a setting. What no certificate can hold is left out. Sorted.
 */
export function wantedNames(settings: NamedIn): string[] {
  const { host, publicUrl, allowHosts, tlsNames, privateHosts, domains, agentHosts } = settings;
  const told = [
    ...LOOPBACK,
    ...(isEveryAddress(host) ? [] : [host]),
    ...(publicUrl === undefined ? [] : [new URL(publicUrl).hostname]),
    ...allowHosts,
    ...tlsNames,
    ...(privateHosts ?? []),
    ...domains.map((domain) => domain.host),
    ...agentHosts,
  ];
  return [...new Set(told.flatMap((name) => certificateName(name) ?? []))].sort();
}

/** `0.0.0.0` and `::`: what a server may bind and nobody can ask for. */
export function isEveryAddress(host: string): boolean {
  return ['0.0.0.0', '::', '::0'].includes(host) || canonicalHost(host) === '::';
}

/**
 * Under which host this machine's own programs reach a listener so that its certificate holds.
 * @param bound the address that it is bound to
 */
export function hostToAsk(bound: string, names: readonly string[]): string {
  const own = bound === '0.0.0.0' ? '127.0.0.1' : bound === '::' ? '::1' : bound;
  const literal = names.find((name) => !name.startsWith('*.') && isIP(name) === 0);
  for (const host of [own, 'localhost']) if (names.includes(canonicalHost(host) ?? host)) return host;
  return literal ?? own;
}
