import { LATEST, type RoutingConfiguration, VERSION_PATTERN } from '@runstead/contract';
import { REMOVED, wasRemoved } from './retention.ts';

/** Where new sessions of an endpoint go. */
export interface Target {
  targetVersion?: string | undefined;
  routingConfiguration?: RoutingConfiguration | undefined;
}

export interface Share {
  version: number;
  /** 0 … 1; all shares of an endpoint sum to 1. A share of 0 keeps a version referred to without new sessions. */
  share: number;
}

export interface VersionsKnown {
  /** The newest version; undefined before the first. */
  head: number | undefined;
  has(version: number): boolean;
}

/** Sums such as 0.1 + 0.2 miss by rounding; far below any weight a person would set. */
const ROUNDING = 1e-9;

/**
 * Checks target and weights as an endpoint write must.
 *
 * Weights are fractions of 1, or percents when any of them is over 1; `targetVersion` takes what they leave. An update
 * may set a weight to 0: no new sessions, the version stays.
 * @returns one sentence per fault, naming the field and the value; empty when all is well
 */
export function checkTarget(
  target: Target,
  versions: VersionsKnown,
  options: { allowZero: boolean },
): string[] {
  const faults: string[] = [];
  const weights = target.routingConfiguration?.versionWeights ?? [];
  const field = 'routingConfiguration.versionWeights';
  if (target.targetVersion !== undefined && resolveVersion(target.targetVersion, versions) === undefined) {
    faults.push(`targetVersion "${target.targetVersion}" ${isNone(target.targetVersion, versions)}`);
  }
  const seen = new Set<number>();
  for (const [index, { version, weight }] of weights.entries()) {
    const number = VERSION_PATTERN.test(version) ? resolveVersion(version, versions) : undefined;
    if (number === undefined) {
      faults.push(`${field}[${index}].version "${version}" ${isNone(version, versions)}`);
    } else if (seen.has(number)) {
      faults.push(`${field}[${index}].version "${version}" is named twice`);
    } else {
      seen.add(number);
    }
    if (!(weight > 0) && !(options.allowZero && weight === 0)) {
      faults.push(
        `${field}[${index}].weight must be over 0${options.allowZero ? ' or 0' : ''} (got ${weight})`,
      );
    }
  }
  const whole = wholeOf(weights);
  const sum = weights.reduce((total, { weight }) => total + weight, 0);
  if (sum > whole * (1 + ROUNDING)) {
    faults.push(`${field} must sum to at most ${whole} (got ${sum})`);
  } else if (weights.length > 0 && sum < whole * (1 - ROUNDING) && target.targetVersion === undefined) {
    faults.push(`${field} sum to ${sum} of ${whole}: targetVersion is required to take the rest`);
  }
  return faults;
}

/**
 * The shares of new sessions, by version. Versions that are gone are left out, and what remains keeps its proportions;
 * without any version the result is empty.
 */
export function sharesOf(target: Target, versions: VersionsKnown): Share[] {
  const weights = target.routingConfiguration?.versionWeights ?? [];
  const whole = wholeOf(weights);
  const shares = new Map<number, number>();
  const add = (version: string, share: number) => {
    const number = resolveVersion(version, versions);
    if (number !== undefined) shares.set(number, (shares.get(number) ?? 0) + share);
  };
  let rest = 1;
  for (const { version, weight } of weights) {
    add(version, weight / whole);
    rest -= weight / whole;
  }
  if (rest > ROUNDING) add(target.targetVersion ?? LATEST, rest);
  const total = [...shares.values()].reduce((sum, share) => sum + share, 0);
  if (total <= 0) return [];
  return [...shares].map(([version, share]) => ({ version, share: share / total }));
}

function isNone(version: string, versions: VersionsKnown): string {
  const number = VERSION_PATTERN.test(version) ? Number(version) : Number.NaN;
  const none = 'is no version of this runtime';
  return wasRemoved(number, versions) ? `${none} any more: ${REMOVED}` : none;
}

function wholeOf(weights: readonly { weight: number }[]): 1 | 100 {
  return weights.some(({ weight }) => weight > 1) ? 100 : 1;
}

function resolveVersion(version: string, versions: VersionsKnown): number | undefined {
  if (version === LATEST) return versions.head;
  const number = Number(version);
  return Number.isInteger(number) && versions.has(number) ? number : undefined;
}
