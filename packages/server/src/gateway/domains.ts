import type { CustomDomain } from '../domain/custom-domains.ts';
import { withoutPort } from './host-check.ts';

/** Custom domains by their host. */
export type DomainMap = ReadonlyMap<string, CustomDomain>;

/** The custom domain that a request is for. @param host the Host field; undefined: there is none */
export function domainOf(domains: DomainMap, host: string | undefined): CustomDomain | undefined {
  if (domains.size === 0 || host === undefined) return undefined;
  return domains.get(withoutPort(host).toLowerCase());
}
