import type { Exchange } from './exchange.ts';

/**
 * The protocol that a request wants its connection to go on in (RFC 9110 section 7.8); undefined: none that is passed on.
 * HTTP/2 is not: several clients offer it with every first request, body and all, and expect that to be ignored
 * (RFC 9113 section 3.1 dropped it). Neither is an offer that comes with a body, whose end it would be in doubt about.
 */
export function upgradeWanted({ wire, body }: Exchange): string | undefined {
  const { upgrade, connection } = wire.section;
  if (upgrade === undefined || wire.minor === 0 || !connection.includes('upgrade')) return undefined;
  if (body.length !== 0 || upgrade.toLowerCase() === 'h2c') return undefined;
  return upgrade;
}
