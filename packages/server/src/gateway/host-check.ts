import { isIPv6 } from 'node:net';
import { RunsteadError } from '@runstead/contract';
import { fieldValues, type RequestHead } from './request-head.ts';
import type { GatewaySettings } from './settings.ts';

/** Which names the gateway answers to, and which pages may call it. */
export interface HostPolicy {
  /** On loopback only known names are answered: any other is a page whose name was pointed here (DNS rebinding). */
  loopback: boolean;
  hosts: ReadonlySet<string>;
  /** Origins of pages that may call, besides the gateway's own. */
  origins: ReadonlySet<string>;
  /** The gateway's own origin as callers see it behind a proxy. */
  publicOrigin: string | undefined;
  /**
   * Among the hosts those under which nothing but agents is served: custom domains, too. Their pages come over TLS also
   * where a proxy ends it before us.
   */
  agentHosts: ReadonlySet<string>;
}

export interface Caller {
  /** The Host field's value. */
  host: string;
  /** The same without a port. */
  hostname: string;
  /** The origin of an allowed page that is not the gateway's own: it gets our CORS fields. */
  crossOrigin: string | undefined;
  /** Whether nothing but agents is served under the host. */
  agentsOnly: boolean;
}

export function hostPolicy(
  settings: Pick<GatewaySettings, 'publicUrl' | 'allowHosts' | 'allowOrigins'> &
    Partial<Pick<GatewaySettings, 'tlsNames' | 'privateHosts' | 'domains' | 'agentHosts'>>,
  boundAddress: string,
): HostPolicy {
  const publicUrl = settings.publicUrl ? new URL(settings.publicUrl) : undefined;
  const hosts = new Set(['localhost', '127.0.0.1', '[::1]']);
  if (publicUrl) hosts.add(publicUrl.hostname.toLowerCase());
  const { allowHosts, tlsNames = [], privateHosts, domains = [] } = settings;
  const alone = [...(settings.agentHosts ?? []), ...domains.map(({ host }) => host)];
  const agentHosts = new Set(alone.map(asInField));
  for (const host of [...allowHosts, ...tlsNames, ...(privateHosts ?? [])]) hosts.add(asInField(host));
  for (const host of agentHosts) hosts.add(host);
  return {
    loopback: isLoopback(boundAddress),
    hosts,
    origins: new Set(settings.allowOrigins.map((origin) => originOf(origin) ?? origin)),
    publicOrigin: publicUrl?.origin,
    agentHosts,
  };
}

/** As it stands in a Host field, in lower case. */
function asInField(host: string): string {
  return isIPv6(host) ? `[${host}]` : host.toLowerCase();
}

export function isLoopback(address: string): boolean {
  return /^(::ffff:)?127\./.test(address) || address === '::1' || address === 'localhost';
}

/** @param host the value of a Host field that was checked */
export function withoutPort(host: string): string {
  return host.replace(/:\d*$/, '');
}

const HOST = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(\d{1,5}))?$/i;

/**
 * Checks who is asked for (RFC 9110 section 7.2) and which page asks (RFC 6454 section 7).
 * @throws RunsteadError ERR_BAD_REQUEST when Host is missing, repeated or unreadable; Forbidden when it or the
 * Origin is not one of ours.
 */
export function checkHost(policy: HostPolicy, head: RequestHead): Caller {
  const hosts = fieldValues(head.fields, 'host');
  const match = hosts.length === 1 ? HOST.exec(hosts[0]!) : null;
  if (!match) {
    const seen = hosts.length === 0 ? 'none' : hosts.map((host) => `"${host}"`).join(', ');
    throw new RunsteadError(
      'ERR_BAD_REQUEST',
      `A request needs exactly one readable Host field; got ${seen}`,
    );
  }
  const host = hosts[0]!;
  // What listens on every address is on loopback, too, for those who come that way.
  const loopback = policy.loopback || isLoopback(head.local);
  const name = match[1]!.toLowerCase();
  const agentsOnly = policy.agentHosts.has(name);
  if (loopback && !policy.hosts.has(name)) {
    throw new RunsteadError(
      'Forbidden',
      `Forbidden: this server does not answer to the host "${host}"; add it with --allow-host if it should`,
    );
  }
  const origins = fieldValues(head.fields, 'origin');
  const hostname = withoutPort(host);
  if (origins.length === 0) return { host, hostname, crossOrigin: undefined, agentsOnly };

  const origin = origins.length === 1 ? originOf(origins[0]!) : undefined;
  if (origin !== undefined) {
    const own = [
      originOf(`${head.secure ? 'https' : 'http'}://${host}`),
      ...(agentsOnly ? [originOf(`https://${host}`)] : []),
      policy.publicOrigin,
    ];
    if (own.includes(origin)) {
      return { host, hostname, crossOrigin: undefined, agentsOnly };
    }
    if (policy.origins.has(origin)) return { host, hostname, crossOrigin: origins[0]!, agentsOnly };
  }
  throw new RunsteadError(
    'Forbidden',
    `Forbidden: pages of the origin "${origins.join(', ')}" may not call this server; ` +
      'allow it with --allow-origin if they should',
  );
}

/** The normal form of an origin (default ports left out), or undefined for `null` and everything unreadable. */
function originOf(text: string): string | undefined {
  if (!/^https?:\/\/[^/?#@\s]+\/?$/i.test(text) || !URL.canParse(text)) return undefined;
  return new URL(text).origin;
}

/** Whether a browser asks, on behalf of an allowed page, what it may send (Fetch standard, CORS preflight). */
export function isPreflight(head: RequestHead, caller: Caller): boolean {
  return (
    head.method === 'OPTIONS' &&
    caller.crossOrigin !== undefined &&
    fieldValues(head.fields, 'access-control-request-method').length > 0
  );
}

/** The fields of a preflight's answer. The page's origin is trusted, so what it asks for is granted. */
export function preflightFields(head: RequestHead, crossOrigin: string): string[] {
  const wanted = fieldValues(head.fields, 'access-control-request-headers').join(', ');
  return [
    'access-control-allow-origin',
    crossOrigin,
    'access-control-allow-methods',
    'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS',
    ...(wanted === '' ? [] : ['access-control-allow-headers', wanted]),
    // Ten minutes: long enough that a chat page does not ask before every call.
    'access-control-max-age',
    '600',
    'vary',
    'Origin, Access-Control-Request-Method, Access-Control-Request-Headers',
  ];
}
