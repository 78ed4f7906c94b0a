import { IMPLICIT_ENDPOINTS } from '../domain/names.ts';
import { type Share, sharesOf, type VersionsKnown } from '../domain/weights.ts';
import type { EndpointRecord, RuntimeRecord, VersionRecord } from '../store/store.ts';

/** An endpoint as it answers: a resource, or a name that answers with the newest version by itself. */
export interface ServedEndpoint {
  name: string;
  shares: Share[];
  disablePublicNetworkAccess: boolean;
  /** Undefined: no resource. */
  record: EndpointRecord | undefined;
}

/** What is asked of a version whatever its calls. */
export interface Asked {
  minInstances: number;
  /** By whom and why, in words; empty when nothing is asked. */
  cause: string;
}

/** The endpoints a runtime answers under. One on its way out answers no more. */
export function servedEndpoints(
  runtime: RuntimeRecord,
  endpoints: readonly EndpointRecord[],
  versions: readonly VersionRecord[],
): ServedEndpoint[] {
  const numbers = new Set(versions.map(({ version }) => version));
  const known: VersionsKnown = { head: runtime.headVersion, has: (version) => numbers.has(version) };
  const served: ServedEndpoint[] = endpoints
    .filter(({ status }) => status !== 'DELETING')
    .map((record) => ({
      name: record.name,
      shares: sharesOf(record.spec, known),
      disablePublicNetworkAccess: record.spec.disablePublicNetworkAccess ?? false,
      record,
    }));
  for (const name of IMPLICIT_ENDPOINTS) {
    if (endpoints.some((endpoint) => endpoint.name === name)) continue;
    served.push({ name, shares: sharesOf({}, known), disablePublicNetworkAccess: false, record: undefined });
  }
  return served;
}

/**
 * Versions that some endpoint sends sessions to, with the instances asked of each: an endpoint's minimum is split by
 * its shares, rounded up. Versions that are not here have no reason to run.
 * @param minimumOf how many instances an endpoint asks for now; without it, none does
 */
export function referencedVersions(
  endpoints: readonly ServedEndpoint[],
  minimumOf: (endpoint: EndpointRecord) => { instances: number; cause: string } = () => NOTHING,
): Map<number, Asked> {
  const referenced = new Map<number, Asked>();
  for (const { name, shares, record } of endpoints) {
    const { instances, cause } = record ? minimumOf(record) : NOTHING;
    for (const { version, share } of shares) {
      const known = referenced.get(version);
      const minInstances = Math.ceil(instances * share);
      if (known && known.minInstances >= minInstances) continue;
      referenced.set(version, { minInstances, cause: cause && `endpoint '${name}': ${cause}` });
    }
  }
  return referenced;
}

const NOTHING = { instances: 0, cause: '' };
