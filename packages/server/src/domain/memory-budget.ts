/** How much memory instances may take together: decisions from values, in bytes. */

const MIB = 1024 * 1024;
/** Nothing that runs counts for less: what it will need for its next call is not there yet while it is idle. */
const LEAST = 32 * MIB;
/** Of one that nobody has measured, nor another of its version; less, if its runtime is to have less. */
const UNKNOWN = 128 * MIB;

/**
 * What an instance counts for: what it was last seen to take; before that, what another of its version takes. What its
 * runtime may take (`memory`, often some GiB) is a limit and not a need: with it a machine would be full that is empty.
 */
export function claimOf(instance: {
  /** Proportional set size of all its processes. */
  measured?: number | undefined;
  ofVersion?: number | undefined;
  memoryMiB: number;
}): number {
  const seen = instance.measured ?? instance.ofVersion;
  return Math.max(LEAST, seen ?? Math.min(UNKNOWN, instance.memoryMiB * MIB));
}

/**
 * How many instances a runtime may start now: one that holds less memory comes first, as `grantStarts` has it for instances.
 * On a machine without any instance one may always start, however large it was before.
 *
 * Worked example: 300 MiB free, claims of 100 MiB each, another that holds nothing waits for one → of 3 that are wanted 2.
 */
export function grantByMemory(
  wanted: number,
  own: { holds: number; claim: number },
  free: number,
  others: readonly { holds: number; claim: number }[],
  isEmpty: boolean,
): number {
  let granted = 0;
  while (granted < wanted) {
    const holds = own.holds + granted * own.claim;
    const first = others.filter((other) => other.holds < holds).reduce((sum, { claim }) => sum + claim, 0);
    if (free - (granted + 1) * own.claim - first < 0) break;
    granted++;
  }
  return granted === 0 && wanted > 0 && isEmpty ? 1 : granted;
}

/** Why a start does not fit, in words. */
export function memoryReached(taken: number, budget: number, claim: number): string {
  const mib = (bytes: number) => `${Math.ceil(bytes / MIB)} MiB`;
  return `the memory for instances is used up (${mib(taken)} of ${mib(budget)} are taken, and one of this version takes about ${mib(claim)})`;
}
