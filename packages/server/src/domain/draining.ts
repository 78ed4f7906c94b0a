/** What an endpoint serves and served before: decides which versions may go on finishing what they have. */

export interface EndpointHistory {
  /** Versions that it sends sessions to, or keeps for those that are bound. */
  serves: readonly number[];
  /** Versions that it served before and that may still have instances; the one that left first is first. */
  left: readonly number[];
}

/** More versions than this may not drain for one endpoint: processes would pile up with every rollout. */
export const DRAINING_AT_MOST = 2;

/**
 * The histories of a runtime's endpoints, by name, after a look at them. Versions that drain and that no endpoint was
 * seen to serve, since looks are not at every change, are taken to have left all of them, lower numbers first.
 * @param endpoints those that there are, with the versions they serve
 * @param draining versions that no endpoint serves and that have instances
 */
export function historiesAfter(
  before: ReadonlyMap<string, EndpointHistory>,
  endpoints: ReadonlyMap<string, readonly number[]>,
  draining: readonly number[],
): Map<string, EndpointHistory> {
  const seen = new Set([...before.values()].flatMap(({ serves, left }) => [...serves, ...left]));
  const unseen = draining.filter((version) => !seen.has(version));
  const after = new Map<string, EndpointHistory>();
  for (const name of new Set([...before.keys(), ...endpoints.keys()])) {
    const { serves: served = [], left: leftBefore = [] } = before.get(name) ?? {};
    const serves = endpoints.get(name) ?? [];
    const leftNow = [...served, ...unseen].filter((one) => !leftBefore.includes(one)).sort((a, b) => a - b);
    const left = [...leftBefore, ...leftNow].filter((one) => !serves.includes(one) && draining.includes(one));
    if (endpoints.has(name) || left.length > 0) after.set(name, { serves, left });
  }
  return after;
}

/**
 * Versions whose instances have to be cut now, since too many drain: of each endpoint all but those that left last.
 *
 * Worked example: an endpoint left 1, then 2, then 3, and all three still have calls → 1 is cut.
 */
export function versionsToCut(histories: Iterable<EndpointHistory>, most = DRAINING_AT_MOST): Set<number> {
  const cut = new Set<number>();
  for (const { left } of histories) {
    for (const version of left.slice(0, Math.max(0, left.length - most))) cut.add(version);
  }
  return cut;
}
