import { IMPLICIT_ENDPOINTS } from '../domain/names.ts';
import { type Share, sharesOf, type VersionsKnown } from '../domain/weights.ts';
import type { EndpointRecord, RuntimeRecord, VersionRecord } from '../store/store.ts';

/** An endpoint as it answers: a resource, or a name that answers with the newest version by itself. */
export interface ServedEndpoint {
  name: string;
  shares: Share[];
  disablePublicNetworkAccess: boolean;
  minInstances: number;
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
    .map(({ name, spec }) => ({
      name,
      shares: sharesOf(spec, known),
      disablePublicNetworkAccess: spec.disablePublicNetworkAccess ?? false,
      minInstances: spec.scalingConfig?.minInstances ?? 0,
    }));
  for (const name of IMPLICIT_ENDPOINTS) {
    if (endpoints.some((endpoint) => endpoint.name === name)) continue;
    served.push({ name, shares: sharesOf({}, known), disablePublicNetworkAccess: false, minInstances: 0 });
  }
  return served;
}

/**
 * Versions that some endpoint sends sessions to, with the instances asked of each: an endpoint's minimum is split by
 * its shares, rounded up. Versions that are not here have no reason to run.
 */
export function referencedVersions(
  endpoints: readonly ServedEndpoint[],
): Map<number, { minInstances: number }> {
  const referenced = new Map<number, { minInstances: number }>();
  for (const { shares, minInstances } of endpoints) {
    for (const { version, share } of shares) {
      const known = referenced.get(version)?.minInstances ?? 0;
      referenced.set(version, { minInstances: Math.max(known, Math.ceil(minInstances * share)) });
    }
  }
  return referenced;
}
