import { isIP } from 'node:net';
import { NAME_PATTERN } from '@runstead/contract';
import { canonicalHost } from './host-name.ts';
import { isLoopbackHost } from './loopback.ts';

/** A host that stands for one endpoint: its root is that endpoint's `/invocations`. */
export interface CustomDomain {
  /** A DNS name in lower case. */
  host: string;
  runtimeName: string;
  endpointName: string;
}

/**
 * Reads entries `host=runtime` or `host=runtime/endpoint`.
 * @param refuse throws; told what is wrong with an entry
 */
export function parseDomains(entries: readonly string[], refuse: (fault: string) => never): CustomDomain[] {
  const domains = new Map<string, CustomDomain>();
  for (const entry of entries) {
    const [, left = '', right = ''] = /^([^=]*)=([^=]*)$/.exec(entry) ?? refuse(`got "${entry}"`);
    const host = canonicalHost(left.trim());
    if (host === undefined || isIP(host) !== 0) refuse(`"${left}" is no DNS name without a port`);
    if (isLoopbackHost(host)) refuse(`"${host}" is this machine's own name`);
    const [runtimeName = '', endpointName = 'Default', more] = right.trim().split('/');
    if (more !== undefined || !NAME_PATTERN.test(runtimeName) || !NAME_PATTERN.test(endpointName)) {
      refuse(`"${right}" is no runtime, or runtime/endpoint`);
    }
    if (domains.has(host)) refuse(`"${host}" is there twice`);
    domains.set(host, { host, runtimeName, endpointName });
  }
  return [...domains.values()];
}
