/**
 * Whether a server that listens on this host can be reached from its own machine alone. Names other than `localhost`
 * may stand for any address, so they cannot be relied on.
 * @param host as in the setting: a name or an address, without brackets
 */
export function isLoopbackHost(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}
