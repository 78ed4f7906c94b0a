import { isIP, isIPv4 } from 'node:net';

/**
 * The one spelling of a host that is compared: names in lower case, addresses in their shortest form, IPv6 without
 * brackets. Undefined for what is neither, such as a name with a port or one that is not ASCII.
 * @example canonicalHost('[0:0::1]') // '::1'
 */
export function canonicalHost(text: string): string | undefined {
  const bare = /^\[(.*)\]$/.exec(text)?.[1] ?? text;
  if (isIPv4(bare)) return bare;
  if (isIP(bare) === 6) return URL.canParse(`http://[${bare}]`) ? shortIPv6(bare) : undefined;
  const name = bare.toLowerCase();
  return text === bare && isDnsName(name) ? name : undefined;
}

/** A scope (`%eth0`) is no part of an address that others could use; `canParse` refuses it. */
function shortIPv6(address: string): string {
  return new URL(`http://[${address}]`).hostname.slice(1, -1);
}

const LABEL = /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/;

/** @param name in lower case */
function isDnsName(name: string): boolean {
  const labels = name.split('.');
  // A last label of digits would be read as an address.
  return name.length <= 253 && labels.every((label) => LABEL.test(label)) && !/^\d+$/.test(labels.at(-1)!);
}

/** A host as it stands in a URL. */
export function urlHost(host: string): string {
  return isIP(host) === 6 ? `[${host}]` : host;
}
