import type { CustomDomain } from '../domain/custom-domains.ts';
import { withoutPort } from './host-check.ts';
import { fieldValues } from './request-head.ts';

/** Custom domains by their host. */
export type DomainMap = ReadonlyMap<string, CustomDomain>;

/** The custom domain that a request is for, by its Host field; a field that is missing or repeated names none. */
export function domainOf(domains: DomainMap, fields: readonly string[]): CustomDomain | undefined {
  if (domains.size === 0) return undefined;
  const hosts = fieldValues(fields, 'host');
  return hosts.length === 1 ? domains.get(withoutPort(hosts[0]!).toLowerCase()) : undefined;
}
