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
  /** Who asks for them, in words. Default: the number. */
  minCause?: string | undefined;
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
  /** Why it is to be replaced, in words; it serves until another does. */
  sick?: string | undefined;
  /** It works on something without a call, or may: then it is not let go. */
  mayBeBusy?: boolean;
  /**
   * How far the start of one that is `starting` is, where there is somebody whom it would be for: `waiting` for its turn, or
   * `running` for so long. Absent: it cannot be called off.
   */
  start?: { state: 'waiting' } | { state: 'running'; surplusMs: number };
}

/** What is to be done, how many instances are needed, and why. */
export type ScaleDecision = {
  /** Instances that calls, sessions and minimum need together; there may be more for a while. */
  target: number;
  /** Why so many, in words. */
  cause: string;
} & (
  | { action: 'start'; count: number; reason: string }
  | { action: 'drain'; instanceIds: string[]; reason: string }
  /** Of sick ones whose place others have taken. */
  | { action: 'replace'; instanceIds: string[]; reason: string }
  /** Starts that nobody waits for any more. */
  | { action: 'callOff'; instanceIds: string[]; reason: string }
  | { action: 'none' }
);

/** A sick instance without a call for so long is not replaced; the next call starts another. */
const IN_USE_MS = 60_000;
/** A start under way is called off when it has been one too many for so long: calls come in waves. */
const SURPLUS_MS = 1000;

/**
 * Waiting calls need slots. Those of instances that are still starting count as theirs already, and so do those that
 * have come up since the calls were counted: otherwise one burst would be answered several times over. Instances idle
 * for too long go, longest idle first, down to the minimum. For sick ones others are started, and they go when these are
 * there, or cannot come.
 *
 * Worked example: 7 queued and 1 in flight, 2 slots each, one instance ready (1 slot free) and one starting (2 to come)
 * → 4 are needed, 4 slots are left over → 2 starts.
 */
export function decideScale(input: ScaleInput): ScaleDecision {
  const load = input.queued + input.inFlight;
  const forLoad = Math.ceil(load / input.slotsPerInstance);
  const target = Math.min(Math.max(forLoad, input.minInstances), input.maxInstances);
  const minCause = input.minCause || `at least ${input.minInstances} are asked for`;
  let cause = 'nobody calls';
  if (forLoad > input.minInstances)
    cause = `${load} calls and sessions, ${input.slotsPerInstance} for an instance`;
  else if (input.minInstances > 0) cause = minCause;
  const decided = { target, cause };

  const present = input.instances.filter(({ state }) => state !== 'draining');
  const live = present.filter(({ sick }) => sick === undefined);
  const sick = present.filter((it) => it.sick !== undefined);
  const starting = live.filter(({ state }) => state === 'starting');
  const ready = live.length - starting.length;
  // Sick ones answer calls as long as they are there.
  const free = Math.max(0, (ready + sick.length) * input.slotsPerInstance - input.inFlight);
  const uncovered = input.queued - free - starting.length * input.slotsPerInstance;
  const forDemand = uncovered > 0 ? Math.ceil(uncovered / input.slotsPerInstance) : 0;
  const forMinimum = input.minInstances - live.length;
  const needed = Math.max(target, sick.some(isInUse) ? 1 : 0);
  const forSick = sick.length > 0 ? needed - live.length : 0;
  const room = input.maxInstances - present.length;
  const count = Math.min(Math.max(forDemand, forMinimum, forSick), room);
  if (count > 0) {
    let reason = minCause;
    if (forDemand >= Math.max(forMinimum, forSick)) reason = `${input.queued} calls wait`;
    else if (sick.length > 0) reason = `in place of one that is not well: ${sick[0]!.sick}`;
    return { ...decided, action: 'start', count, reason };
  }
  if (sick.length > 0 && (ready >= needed || room <= 0)) {
    const instanceIds = (room <= 0 ? sick.slice(0, 1) : sick).map(({ id }) => id);
    return { ...decided, action: 'replace', instanceIds, reason: sick[0]!.sick! };
  }
  const surplus = live.length - needed;
  const calledOff = starting
    .filter(({ start }) => start && (start.state === 'waiting' || start.surplusMs >= SURPLUS_MS))
    .slice(-Math.max(0, surplus));
  if (surplus > 0 && calledOff.length > 0) {
    const instanceIds = calledOff.map(({ id }) => id);
    return { ...decided, action: 'callOff', instanceIds, reason: 'nobody waits for it any more' };
  }
  if (input.queued > 0) return { ...decided, action: 'none' };
  const spare = live.length - input.minInstances;
  if (spare <= 0) return { ...decided, action: 'none' };
  const idle = live
    .filter((it) => it.state === 'ready' && !it.mayBeBusy && isIdleFor(it, input.idleStopMs))
    .sort((a, b) => b.idleMs! - a.idleMs!)
    .slice(0, spare);
  if (idle.length === 0) return { ...decided, action: 'none' };
  return {
    ...decided,
    action: 'drain',
    instanceIds: idle.map(({ id }) => id),
    reason: `no call for ${Math.round(input.idleStopMs / 1000)} s`,
  };
}

/** Without a call or a session, and for so long. */
function isIdleFor(
  { inFlight, sessions = 0, idleMs }: Pick<ScaleInstance, 'inFlight' | 'sessions' | 'idleMs'>,
  forMs: number,
): boolean {
  return inFlight === 0 && sessions === 0 && idleMs !== undefined && idleMs >= forMs;
}

function isInUse(instance: ScaleInstance): boolean {
  return instance.state === 'ready' && instance.idleMs !== undefined
    ? !isIdleFor(instance, IN_USE_MS)
    : instance.inFlight > 0 || (instance.sessions ?? 0) > 0;
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
