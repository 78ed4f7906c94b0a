/** How many instances a version should have: a decision from values, with its reason. */

export interface ScaleInput {
  instances: readonly ScaleInstance[];
  /** Slots that calls wait for. */
  queued: number;
  /** Slots taken: by calls without a session, and by bound sessions. */
  inFlight: number;
  /** Sessions, and calls without one, that an instance takes at the same time. */
  slotsPerInstance: number;
  /** Instances to keep even without calls. */
  minInstances: number;
  /** The most this version may have now, whatever the demand. */
  maxInstances: number;
  /** Without a call for this long an instance is let go. */
  idleStopMs: number;
}

export interface ScaleInstance {
  id: string;
  state: 'starting' | 'ready' | 'draining';
  inFlight: number;
  /** Bound to it: as long as there are any it is not let go. Default: none. */
  sessions?: number;
  /** Undefined while it is not known, as after a restart of the gateway: then nothing is let go. */
  idleMs: number | undefined;
}

export type ScaleDecision =
  | { action: 'start'; count: number; reason: string }
  | { action: 'drain'; instanceIds: string[]; reason: string }
  | { action: 'none' };

/**
 * Waiting calls need slots. Those of instances that are still starting count as theirs already, and so do those that
 * have come up since the calls were counted: otherwise one burst would be answered several times over. Instances idle
 * for too long go, longest idle first, down to the minimum.
 *
 * Worked example: 7 queued and 1 in flight, 2 slots each, one instance ready (1 slot free) and one starting (2 to come)
 * → 4 left over → 2 starts.
 */
export function decideScale(input: ScaleInput): ScaleDecision {
  const live = input.instances.filter(({ state }) => state !== 'draining');
  const starting = live.filter(({ state }) => state === 'starting').length;
  const ready = live.length - starting;
  const free = Math.max(0, ready * input.slotsPerInstance - input.inFlight);
  const uncovered = input.queued - free - starting * input.slotsPerInstance;
  const forDemand = uncovered > 0 ? Math.ceil(uncovered / input.slotsPerInstance) : 0;
  const forMinimum = input.minInstances - live.length;
  const room = input.maxInstances - live.length;
  const count = Math.min(Math.max(forDemand, forMinimum), room);
  if (count > 0) {
    const reason =
      forDemand >= forMinimum ? `${input.queued} calls wait` : `at least ${input.minInstances} are asked for`;
    return { action: 'start', count, reason };
  }
  if (input.queued > 0) return { action: 'none' };
  const spare = live.length - input.minInstances;
  if (spare <= 0) return { action: 'none' };
  const idle = live
    .filter(
      ({ state, inFlight, sessions = 0, idleMs }) =>
        state === 'ready' &&
        inFlight === 0 &&
        sessions === 0 &&
        idleMs !== undefined &&
        idleMs >= input.idleStopMs,
    )
    .sort((a, b) => b.idleMs! - a.idleMs!)
    .slice(0, spare);
  if (idle.length === 0) return { action: 'none' };
  return {
    action: 'drain',
    instanceIds: idle.map(({ id }) => id),
    reason: `no call for ${Math.round(input.idleStopMs / 1000)} s`,
  };
}

/**
 * How long to wait before a version that failed to start is tried again: 1 s, doubled with every failure, at most 30 s.
 * @param failures how many starts in a row have failed, from 1
 */
export function startBackoffMs(failures: number): number {
  return Math.min(30_000, 1000 * 2 ** (failures - 1));
}

/**
 * How many instances a runtime may start now, when the machine has little room left: one that has fewer comes first,
 * so that what one runtime's flood asks for never takes the place of another's first instance.
 *
 * Worked example: room for 3, and two others without any wait for their first → of 4 that are wanted 1 may start.
 * @param room instances the machine may still have
 * @param has instances of the runtime now
 * @param others of each other runtime that lacks room: how many it has
 */
export function grantStarts(wanted: number, has: number, room: number, others: readonly number[]): number {
  let granted = 0;
  while (granted < wanted) {
    const first = others.filter((other) => other < has + granted).length;
    if (room - granted - first <= 0) break;
    granted++;
  }
  return granted;
}

/** Limits that keep a runtime from having one more instance, in words; undefined when there is room. */
export function limitReached(counts: {
  ofRuntime: number;
  maxInstancesPerRuntime: number;
  inAll: number;
  maxInstances: number;
}): string | undefined {
  const { ofRuntime, maxInstancesPerRuntime, inAll, maxInstances } = counts;
  if (ofRuntime >= maxInstancesPerRuntime)
    return `the limit of ${maxInstancesPerRuntime} instances of a runtime is reached`;
  if (inAll >= maxInstances) return `the limit of ${maxInstances} instances in all is reached`;
  return undefined;
}

/**
 * Whom to let go so that another version can have its first instance: of those that nobody asked to keep, the one idle
 * longest, if it has been without a call for a while.
 */
export function pickToMakeRoom(
  spare: readonly { id: string; idleMs: number | undefined }[],
  idleAtLeastMs: number,
): string | undefined {
  let best: string | undefined;
  let longest = idleAtLeastMs;
  for (const { id, idleMs } of spare) {
    if (idleMs === undefined || idleMs < longest) continue;
    best = id;
    longest = idleMs;
  }
  return best;
}
