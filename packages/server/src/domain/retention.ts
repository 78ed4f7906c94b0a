import type { RoutingConfiguration } from '@runstead/contract';

export interface VersionsThere {
  /** Numbers of those there are, in any order. */
  versions: readonly number[];
  head: number | undefined;
  /** Those that some endpoint names, with whatever weight. */
  named: ReadonlySet<number>;
  /** Those that an instance runs, drains or starts for. */
  running: ReadonlySet<number>;
  /** So many of the newest stay in any case; at least 1. */
  keep: number;
}

/** Versions that nothing asks to keep: neither young, nor newest, nor named, nor running. Oldest first. */
export function versionsToRemove({ versions, head, named, running, keep }: VersionsThere): number[] {
  return [...versions]
    .sort((a, b) => a - b)
    .slice(0, -keep)
    .filter((version) => version !== head && !named.has(version) && !running.has(version));
}

/** The versions that an endpoint names by number; one of weight 0 too, as it is held for a way back. */
export function namedVersions({
  targetVersion,
  routingConfiguration,
}: {
  targetVersion?: string | undefined;
  routingConfiguration?: RoutingConfiguration | undefined;
}): number[] {
  const weighted = (routingConfiguration?.versionWeights ?? []).map(({ version }) => version);
  return [targetVersion, ...weighted].map(Number).filter((number) => Number.isInteger(number));
}

/** Whether a version was there: numbers are given without gaps, and nothing but retention takes one away. */
export function wasRemoved(
  version: number,
  { head, has }: { head: number | undefined; has(version: number): boolean },
): boolean {
  return Number.isInteger(version) && version >= 1 && version <= (head ?? 0) && !has(version);
}

/** For whoever asks for one. */
export const REMOVED =
  'it was removed, as the newest versions are kept, and those that an endpoint names (RUNSTEAD_KEPT_VERSIONS)';

/** `version 3`, `versions 1 to 3 and 5`. */
export function listVersions(versions: readonly number[]): string {
  const runs: [from: number, to: number][] = [];
  for (const version of [...versions].sort((a, b) => a - b)) {
    const last = runs.at(-1);
    if (last && last[1] === version - 1) last[1] = version;
    else runs.push([version, version]);
  }
  const said = runs.map(([from, to]) =>
    from === to ? `${from}` : to === from + 1 ? `${from}, ${to}` : `${from} to ${to}`,
  );
  return `${versions.length === 1 ? 'version' : 'versions'} ${said.join(', ')}`;
}
