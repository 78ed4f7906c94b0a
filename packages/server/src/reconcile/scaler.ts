import { sessionsPerInstance } from '../domain/affinity.ts';
import { isClockGap } from '../domain/clock-gap.ts';
import { type EndpointHistory, historiesAfter, versionsToCut } from '../domain/draining.ts';
import { type PhaseFailure, statusReason } from '../domain/failure.ts';
import { grantByMemory, memoryReached } from '../domain/memory-budget.ts';
import {
  decideScale,
  grantStarts,
  limitReached,
  pickToMakeRoom,
  type ScaleDecision,
} from '../domain/scaling.ts';
import { isLeaving } from '../domain/status.ts';
import type { Driver, InstanceExit } from '../drivers/driver.ts';
import type { Log } from '../observe/log.ts';
import type { NewEvent, RuntimeRecord, Store, VersionRecord } from '../store/store.ts';
import { BusyWatch } from './busy-watch.ts';
import { HealthMonitor } from './health-monitor.ts';
import { type Instance, type InstanceSet, type InstanceUsage, StartCalledOff } from './instance-set.ts';
import { createLoop, type Loop } from './loop.ts';
import { createMemoryRoom } from './memory-room.ts';
import type { Minimums } from './minimums.ts';
import { type Asked, referencedVersions, type ServedEndpoint, servedEndpoints } from './references.ts';
import { createRests } from './rests.ts';
import { RuntimeLeaving, type Starter } from './starter.ts';

export interface ScalerOptions {
  store: Store;
  driver: Driver;
  instances: InstanceSet;
  minimums: Minimums;
  start: Starter;
  publish: (runtimeId: string) => void;
  maxInstancesPerRuntime: number;
  maxInstances: number;
  /** Bytes for all instances together; undefined: as many as they like. */
  memoryBudget: number | undefined;
  idleStopMs: number;
  /** How long an instance is kept because it says that it is busy. */
  busyLimitMs: number;
  drainTimeoutMs: number;
  /** Monotonic, in ms. */
  now: () => number;
  log: Log;
}

/** How often idle instances are looked for. */
const TICK_MS = 1000;
/** An instance idle for so long may be let go early, when another version has none and there is no room for one. */
const SPARE_AFTER_MS = 1000;
/** What one that is not well has open may go on for so long, once others have taken its place. */
const SICK_DRAIN_MS = 30_000;
/** A version whose instance has run for so long is over what made others end. */
const STABLE_MS = 60_000;

export type Scaler = ReturnType<typeof createScaler>;

/**
 * Gives every version the instances its calls need: starts them on demand, lets idle ones go, drains versions that no
 * endpoint names. A version that cannot be started rests before it is tried again, and its reason is told meanwhile.
 */
export function createScaler(options: ScalerOptions) {
  const { store, instances, minimums, now, log } = options;
  /** Calls waiting and slots taken as last reported, by runtime and version; only while some wait. */
  const demand = new Map<string, { queued: number; inFlight: number; turnedAway?: true }>();
  /** Runtimes that want more instances than they have; looked at every tick, as room may come from anywhere. */
  const unmet = new Set<string>();
  /** Of those, the ones that only the machine has no room for, with what they have and want. */
  const short = new Map<string, { has: number; holds: number; claim: number }>();
  /** Why a version that has no instance can have none at present, by runtime and version. */
  const noRoom = new Map<string, string>();
  /** Instances asked of each version whatever its calls, by runtime and revision. */
  const asked = new Map<string, number>();
  /** Numbers of versions that have instances, by runtime and revision. */
  const numbers = new Map<string, number>();
  /** Which limit keeps a version from having all instances it needs, by runtime and version. */
  const keptBack = new Map<string, string>();
  /** What endpoints serve and served, by runtime and name; only of runtimes that have instances. */
  const histories = new Map<string, Map<string, EndpointHistory>>();
  /** Versions that cannot have another instance at present; of their runtimes, those that wait for room on the machine. */
  const atCap = new Set<string>();
  const waitForMachine = new Set<string>();
  /** Runtimes whose replaced versions are to be cut rather than drained, once. */
  const evictions = new Set<string>();
  /** Starts that somebody waits for, by instance, and since when they are one too many. */
  const forCallers = new Map<string, number | undefined>();
  /** Draining instances that have no call left and may be busy without one, with the drain that it was said of. */
  const finishing = new Map<string, number | undefined>();
  const stopping = new AbortController();
  const starts = new Set<Promise<void>>();
  const rests = createRests({
    now,
    changed: (runtimeId) => {
      options.publish(runtimeId);
      loop.enqueue(runtimeId);
    },
  });
  const memory = createMemoryRoom({ ...options, budget: options.memoryBudget });
  const busy = new BusyWatch({
    ...options,
    onAnswer: ({ id, runtimeId }) => {
      finishIfFree(id);
      loop.enqueue(runtimeId);
      for (const other of short.keys()) loop.enqueue(other);
      for (const other of noRoom.keys()) loop.enqueue(other.slice(0, other.lastIndexOf('/')));
    },
  });
  const health = new HealthMonitor({
    ...options,
    onSick: (id, reason) => {
      const instance = find(id);
      if (!instance) return;
      instance.sick = reason;
      log.warn({ instanceId: id, agentRuntimeId: instance.runtimeId, reason }, 'an instance is not well');
      void endedBadly(instance, reason, { phase: 'health', reason });
      loop.enqueue(instance.runtimeId);
    },
    onWell: (id) => {
      const instance = find(id);
      if (!instance?.sick) return;
      log.warn({ instanceId: id, agentRuntimeId: instance.runtimeId }, 'an instance is well again');
      instance.sick = undefined;
      loop.enqueue(instance.runtimeId);
    },
  });
  let lastTick: number | undefined;
  let lastUsage: number | undefined;
  /** Idleness counts from here at the earliest: moved up after a gap in time. */
  let idleFloor = 0;

  const find = (id: string): Instance | undefined => instances.all().find((instance) => instance.id === id);
  const key = (runtimeId: string, version: number) => `${runtimeId}/${version}`;

  const addEvent = (event: Omit<NewEvent, 'startedAt' | 'durationMs' | 'phase'> & Partial<NewEvent>) =>
    store
      .addEvent({ phase: 'scale', startedAt: new Date().toISOString(), durationMs: 0, ...event })
      .catch((error: unknown) => log.error({ err: error }, 'what scaling did could not be recorded'));

  const startOne = (
    runtime: RuntimeRecord,
    version: VersionRecord,
    why: string,
    isForCallers: boolean,
  ): void => {
    log.info({ agentRuntimeId: runtime.id, version: version.version, reason: why }, 'starting instance');
    const startedAt = new Date();
    const begun = now();
    const report = (outcome: NewEvent['outcome'], reason: string) =>
      addEvent({
        runtimeId: runtime.id,
        revision: version.revision,
        startedAt: startedAt.toISOString(),
        durationMs: now() - begun,
        outcome,
        reason: `version ${version.version}: ${reason}`,
      });
    const before = new Set(instances.of(runtime.id).map(({ id }) => id));
    const starting = options.start({
      runtimeId: runtime.id,
      runtimeName: runtime.name,
      revision: version.revision,
      spec: version.spec,
      signal: stopping.signal,
    });
    // It counts from the moment it is asked for.
    const id = instances.of(runtime.id).find((instance) => !before.has(instance.id))?.id;
    if (id !== undefined && isForCallers) forCallers.set(id, undefined);
    const started = starting
      .then(
        () => {
          rests.started(runtime.id, version.version);
          return report('ok', why);
        },
        (error: Error) => {
          if (stopping.signal.aborted || error instanceof RuntimeLeaving) return undefined;
          if (error instanceof StartCalledOff) return report('superseded', `${why}; ${error.message}`);
          const reason =
            error.name === 'PhaseFailure' ? statusReason(error as PhaseFailure) : String(error.message);
          log.warn(
            { agentRuntimeId: runtime.id, version: version.version, reason },
            'version could not be started',
          );
          rests.startFailed(runtime.id, version.version, reason);
          return report('failed', reason);
        },
      )
      .catch((error: unknown) => log.error({ err: error }, 'start could not be recorded'))
      .then(() => {
        if (id !== undefined) forCallers.delete(id);
        starts.delete(started);
      });
    starts.add(started);
  };

  /** A version's instance ended by itself, or is not well: it may have to rest before it is started again. */
  const endedBadly = async (
    instance: Instance,
    how: string,
    event: Pick<NewEvent, 'phase' | 'reason' | 'exitCode' | 'exitSignal' | 'output'>,
  ): Promise<void> => {
    const { id, runtimeId, revision, readyAt = now() } = instance;
    const ranMs = now() - readyAt;
    // At once, if that can be: else another would be started already.
    let version = numbers.get(key(runtimeId, revision));
    // One that no version was made of yet is its deploy's to tell of.
    version ??= (await store.versions(runtimeId)).find((known) => known.revision === revision)?.version;
    const resting = version === undefined ? undefined : rests.ended(runtimeId, version, ranMs, how);
    await addEvent({ runtimeId, revision, instanceId: id, outcome: 'failed', ...event });
    if (resting === undefined) return;
    log.warn({ agentRuntimeId: runtimeId, version, reason: resting }, 'a version rests');
    await addEvent({
      runtimeId,
      revision,
      outcome: 'failed',
      reason: `version ${version} rests: ${resting}`,
    });
  };

  const failureOf = (runtimeId: string, version: number): string | undefined =>
    rests.reasonOf(runtimeId, version);

  const evaluate = async (runtimeId: string): Promise<void> => {
    // Taken before the store is read: what is read afterwards is what it was meant for.
    const evict = evictions.delete(runtimeId);
    const runtime = await store.getRuntime(runtimeId);
    const isServed = runtime !== undefined && !isLeaving(runtime.status);
    const versions = isServed ? await store.versions(runtimeId) : [];
    const records = isServed ? await store.endpoints(runtimeId) : [];
    const endpoints = isServed ? servedEndpoints(runtime, records, versions) : [];
    // From here on nothing is awaited: what is counted stays so until it is acted on.
    unmet.delete(runtimeId);
    waitForMachine.delete(runtimeId);
    short.delete(runtimeId);
    if (!isServed) return forget(runtimeId);
    minimums.forget(runtimeId, records);
    const referenced = referencedVersions(endpoints, minimums.of);
    const replaced: number[] = [];
    for (const version of versions) {
      const own = instances.of(runtimeId).filter(({ revision }) => revision === version.revision);
      const wanted = referenced.get(version.version);
      const ofRevision = key(runtimeId, version.revision);
      if (own.length > 0) {
        asked.set(ofRevision, wanted?.minInstances ?? 0);
        numbers.set(ofRevision, version.version);
      } else {
        asked.delete(ofRevision);
        numbers.delete(ofRevision);
      }
      if (!wanted) {
        keptBack.delete(key(runtimeId, version.version));
        tellNoRoom(runtimeId, version.version, undefined);
        if (own.length > 0) replaced.push(version.version);
        const reason = `no endpoint names version ${version.version} any more`;
        const deadlineMs = evict ? 0 : options.drainTimeoutMs;
        for (const { id } of own)
          instances.drain(id, { deadlineMs, reason, revocable: true, mayFinish: true });
        continue;
      }
      for (const { id } of own) instances.revive(id);
      if (failureOf(runtimeId, version.version) !== undefined) {
        tellNoRoom(runtimeId, version.version, undefined);
        // While it rests, what runs is all there is.
        setAtCap(runtimeId, version.version, own.length > 0);
      } else scale(runtime, version, own, wanted);
    }
    cutOldest(runtimeId, versions, endpoints, replaced);
  };

  /** Of too many versions that drain for one endpoint, those that left it first are cut. */
  const cutOldest = (
    runtimeId: string,
    versions: readonly VersionRecord[],
    endpoints: readonly ServedEndpoint[],
    replaced: readonly number[],
  ) => {
    const serves = new Map(endpoints.map(({ name, shares }) => [name, shares.map(({ version }) => version)]));
    const after = historiesAfter(histories.get(runtimeId) ?? new Map(), serves, replaced);
    if (instances.of(runtimeId).length > 0) histories.set(runtimeId, after);
    else histories.delete(runtimeId);
    for (const version of versionsToCut(after.values())) {
      const revision = versions.find((record) => record.version === version)?.revision;
      const reason = `version ${version} was replaced, and too many versions after it are finishing calls`;
      for (const { id } of instances.of(runtimeId).filter((instance) => instance.revision === revision))
        instances.drain(id, { deadlineMs: 0, reason });
    }
  };

  const forget = (runtimeId: string) => {
    histories.delete(runtimeId);
    minimums.forget(runtimeId);
    memory.forgetRuntime(runtimeId);
    for (const map of [noRoom, asked, numbers, keptBack])
      for (const id of map.keys()) if (id.startsWith(`${runtimeId}/`)) map.delete(id);
  };

  const tellNoRoom = (runtimeId: string, version: number, reason: string | undefined) => {
    const id = key(runtimeId, version);
    if (noRoom.get(id) === reason) return;
    if (reason === undefined) noRoom.delete(id);
    else noRoom.set(id, reason);
    options.publish(runtimeId);
  };

  const scale = (
    runtime: RuntimeRecord,
    version: VersionRecord,
    own: ReturnType<InstanceSet['of']>,
    { minInstances, cause }: Asked,
  ) => {
    const id = key(runtime.id, version.version);
    const live = own.filter(({ state }) => state !== 'stopping');
    const running = live.filter(({ state }) => state !== 'draining').length;
    for (const instance of live) {
      if (instance.state !== 'ready') continue;
      health.watch(instance.id, version.spec.healthCheckConfiguration, now());
      if (!instance.sick && now() - instance.readyAt! >= STABLE_MS) rests.stayed(runtime.id, version.version);
    }
    const waiting = demand.get(id);
    if (waiting !== undefined || running < minInstances) unmet.add(runtime.id);
    const ofRuntime = instances
      .of(runtime.id)
      .filter(({ state }) => state === 'starting' || state === 'ready').length;
    const machineRoom = options.maxInstances - instances.all().length;
    const claim = memory.claimOfNext(runtime.id, version.revision, version.spec.memory);
    const holds = memory.takenBy(runtime.id);
    const freeMemory = freeOfMemory();
    const isMachineFull = machineRoom <= 0 || (freeMemory < claim && instances.all().length > 0);
    if (isMachineFull) waitForMachine.add(runtime.id);
    const isStarting = live.some(({ state }) => state === 'starting');
    const isFull = isMachineFull || ofRuntime >= options.maxInstancesPerRuntime;
    setAtCap(runtime.id, version.version, isFull && !isStarting);
    const decision = decideScale({
      instances: live.map((instance) => ({
        id: instance.id,
        state: instance.state as 'starting' | 'ready' | 'draining',
        inFlight: instance.inFlight,
        sessions: instance.sessions,
        idleMs: idleMs(instance),
        sick: instance.sick,
        // Those that are asked for are not asked: they stay in any case.
        mayBeBusy: running > minInstances && isAsleepSoon(instance) && !mayBeLetGo(instance),
        ...startOf(instance),
      })),
      queued: waiting?.queued ?? 0,
      inFlight: waiting?.inFlight ?? live.reduce((sum, instance) => sum + takenOf(instance), 0),
      slotsPerInstance: sessionsPerInstance(version.spec),
      minInstances,
      minCause: cause,
      maxInstances: running + Math.max(0, options.maxInstancesPerRuntime - ofRuntime),
      idleStopMs: options.idleStopMs,
    });
    const granted = act(runtime, version, decision, () => {
      if (decision.action !== 'start') return 0;
      const byCount = grantStarts(
        decision.count,
        ofRuntime,
        machineRoom,
        [...short.values()].map(({ has }) => has),
      );
      const isEmpty = instances.all().length === 0;
      const granted = grantByMemory(byCount, { holds, claim }, freeMemory, [...short.values()], isEmpty);
      if (granted < decision.count)
        short.set(runtime.id, { has: ofRuntime + granted, holds: holds + granted * claim, claim });
      return granted;
    });
    const limits =
      decision.action === 'start' && granted < decision.count ? limitOf(ofRuntime, claim) : undefined;
    if (limits === undefined) keptBack.delete(id);
    else keptBack.set(id, limits);
    if (running + granted > 0) return tellNoRoom(runtime.id, version.version, undefined);
    const limit = limitOf(ofRuntime, claim);
    const isAsked = waiting !== undefined || noRoom.has(id);
    const isHopeless = isAsked && limit !== undefined && !makeRoom(runtime.id, ofRuntime, claim);
    tellNoRoom(runtime.id, version.version, isHopeless ? limit : undefined);
    // Whoever was told so is told otherwise as soon as it is.
    if (isHopeless) unmet.add(runtime.id);
  };

  /** Does what was decided. @returns how many were started */
  const act = (
    runtime: RuntimeRecord,
    version: VersionRecord,
    decision: ScaleDecision,
    grant: () => number,
  ): number => {
    if (decision.action === 'none') return 0;
    const { id: runtimeId } = runtime;
    if (decision.action === 'start') {
      const granted = grant();
      const turnedAway = demand.get(key(runtimeId, version.version))?.turnedAway;
      for (let i = 0; i < granted; i++) startOne(runtime, version, decision.reason, !turnedAway);
      // There is no room for another beside it: then in its place.
      const sick = instances
        .of(runtimeId)
        .find(({ revision, state, sick }) => revision === version.revision && sick && state === 'ready');
      if (granted === 0 && sick) instances.drain(sick.id, { deadlineMs: SICK_DRAIN_MS, reason: sick.sick! });
      return granted;
    }
    for (const id of decision.instanceIds) {
      if (decision.action === 'callOff') void instances.callOff(id, decision.reason);
      else if (decision.action === 'replace')
        instances.drain(id, { deadlineMs: SICK_DRAIN_MS, reason: decision.reason });
      else letGo(id, decision.reason);
    }
    return 0;
  };

  const letGo = (id: string, why: string) => {
    const instance = find(id);
    const isOver = instance && busy.ask(instance) === 'over';
    const reason = isOver
      ? `${why}, and it has said that it is busy (HealthyBusy) for ${Math.round(options.busyLimitMs / 1000)} s, which is the longest it is kept for that`
      : why;
    instances.drain(id, { deadlineMs: options.drainTimeoutMs, reason });
  };

  /** Whether its idle time is over, so that it matters what else it does. */
  const isAsleepSoon = (instance: Instance): boolean =>
    instance.state === 'ready' &&
    instance.inFlight === 0 &&
    instance.sessions === 0 &&
    (idleMs(instance) ?? 0) >= options.idleStopMs;

  const mayBeLetGo = (instance: Instance): boolean => ['free', 'over'].includes(busy.ask(instance));

  /** How far a start is that somebody waits for. */
  const startOf = ({ id, state, startStage }: Instance) => {
    if (state !== 'starting' || !forCallers.has(id)) return {};
    if (startStage === 'waiting') return { start: { state: 'waiting' as const } };
    if (startStage !== 'running') return {};
    const since = forCallers.get(id);
    return { start: { state: 'running' as const, surplusMs: since === undefined ? 0 : now() - since } };
  };

  const takenOf = ({ state, taken }: Instance): number => (state === 'ready' ? taken : 0);

  const freeOfMemory = (): number =>
    memory.budget === undefined ? Number.POSITIVE_INFINITY : memory.budget - memory.taken();

  /** What keeps a runtime from having one more instance, in words; undefined when nothing does. */
  const limitOf = (ofRuntime: number, claim: number): string | undefined => {
    const inAll = instances.all().length;
    const byCount = limitReached({ ...options, ofRuntime, inAll });
    if (byCount !== undefined || memory.budget === undefined || inAll === 0) return byCount;
    return freeOfMemory() < claim ? memoryReached(memory.taken(), memory.budget, claim) : undefined;
  };

  const idleMs = ({ idleSince }: Instance): number | undefined =>
    idleSince === undefined ? undefined : now() - Math.max(idleSince, idleFloor);

  /**
   * For a version's first instance, where a limit is reached: one that has nothing to do is let go.
   * @param claim memory that it would take
   * @returns false when there is none, and none on its way out: all have calls, and have had them for a while
   */
  const makeRoom = (runtimeId: string, ofRuntime: number, claim: number): boolean => {
    const isOwnLimit = ofRuntime >= options.maxInstancesPerRuntime;
    const all = isOwnLimit ? instances.of(runtimeId) : instances.all();
    const going = all.filter(({ state }) => state === 'stopping' || state === 'draining');
    const soonGone = going.filter(({ state, inFlight }) => state === 'stopping' || inFlight === 0);
    const first = [...short.values()].filter(({ has }) => has === 0);
    const wanted = isOwnLimit ? 1 : Math.max(1, first.length);
    const missing = isOwnLimit
      ? 0
      : Math.max(
          claim,
          first.reduce((sum, other) => sum + other.claim, 0),
        ) - freeOfMemory();
    const isCountFull = isOwnLimit || instances.all().length >= options.maxInstances;
    const memoryComing = soonGone.reduce((sum, instance) => sum + memory.claim(instance), 0);
    if ((!isCountFull || soonGone.length >= wanted) && memoryComing >= missing) return true;
    const spare = spareOf(all);
    const idle = spare
      .filter((instance) => instance.inFlight === 0 && instance.sessions === 0)
      .filter((instance) => (idleMs(instance) ?? 0) >= SPARE_AFTER_MS);
    const known = new Map(idle.map((instance) => [instance.id, busy.ask(instance)]));
    const id = pickToMakeRoom(
      idle
        .filter((instance) => known.get(instance.id) === 'free' || known.get(instance.id) === 'over')
        .map((instance) => ({ id: instance.id, idleMs: idleMs(instance) })),
      SPARE_AFTER_MS,
    );
    if (id !== undefined) {
      const reason = 'it had no call, and there was no room for what others call';
      instances.drain(id, { deadlineMs: options.drainTimeoutMs, reason });
      return true;
    }
    // It is being asked.
    if ([...known.values()].includes('unknown')) return true;
    const isLastinglyBusy = (instance: Instance) =>
      (instance.busySince !== undefined && now() - instance.busySince >= SPARE_AFTER_MS) ||
      known.get(instance.id) === 'busy';
    return (!isOwnLimit && going.length > 0) || !spare.every(isLastinglyBusy);
  };

  /** Ready instances beyond those that were asked for whatever the calls. */
  const spareOf = (all: readonly Instance[]): Instance[] => {
    const group = ({ runtimeId, revision }: Instance) => key(runtimeId, revision);
    const ready = all.filter(({ state }) => state === 'ready');
    const counts = new Map<string, number>();
    for (const instance of ready) counts.set(group(instance), (counts.get(group(instance)) ?? 0) + 1);
    // What has not been looked at yet may be asked for.
    return ready.filter(
      (instance) => counts.get(group(instance))! > (asked.get(group(instance)) ?? Number.POSITIVE_INFINITY),
    );
  };

  const setAtCap = (runtimeId: string, version: number, isSo: boolean) => {
    const id = key(runtimeId, version);
    if (atCap.has(id) === isSo) return;
    if (isSo) atCap.add(id);
    else atCap.delete(id);
    options.publish(runtimeId);
  };

  const loop: Loop = createLoop({
    work: (runtimeId) => evaluate(runtimeId),
    onError: (runtimeId, error) => log.error({ err: error, agentRuntimeId: runtimeId }, 'scaling failed'),
  });

  const tick = () => {
    const at = now();
    if (isClockGap(lastTick, at)) idleFloor = at;
    lastTick = at;
    const due = [
      ...idleFor(at),
      ...unmet,
      ...waitForMachine,
      ...minimums.changed(),
      ...rests.crashing(),
      ...markSurplus(at),
    ];
    for (const runtimeId of new Set(due)) loop.enqueue(runtimeId);
    for (const id of [...finishing.keys()]) finishIfFree(id);
    health.tick(at, idleFloor);
    memory.tick().catch((error: unknown) => log.error({ err: error }, 'memory could not be measured'));
  };

  /** Notes which starts nobody waits for. @returns their runtimes */
  const markSurplus = (at: number): string[] => {
    const runtimeIds: string[] = [];
    for (const [id, since] of forCallers) {
      const instance = find(id);
      if (!instance) continue;
      const isWaitedFor = [...demand.keys()].some((wanted) => wanted.startsWith(`${instance.runtimeId}/`));
      if (isWaitedFor) forCallers.set(id, undefined);
      else {
        forCallers.set(id, since ?? at);
        runtimeIds.push(instance.runtimeId);
      }
    }
    return runtimeIds;
  };

  /** One that drains and has no call left is stopped, unless it says that it is busy and may finish. */
  const finishIfFree = (id: string) => {
    if (!finishing.has(id)) return;
    const instance = find(id);
    if (instance?.state !== 'draining') return void finishing.delete(id);
    if (instances.mayFinish(id) && !mayBeLetGo(instance)) return;
    const drain = finishing.get(id);
    finishing.delete(id);
    instances.drained(id, drain);
  };

  const idleFor = (at: number) =>
    instances
      .all()
      .filter(
        ({ idleSince, sessions }) =>
          idleSince !== undefined &&
          sessions === 0 &&
          at - Math.max(idleSince, idleFloor) >= options.idleStopMs,
      )
      .map(({ runtimeId }) => runtimeId);

  let ticking: NodeJS.Timeout | undefined;

  return {
    failureOf,

    /** Why a version is not as it should be, in words: it could not be started, did not stay, or has no room. */
    faultOf(runtimeId: string, version: number): string | undefined {
      const id = key(runtimeId, version);
      return rests.lastFaultOf(runtimeId, version) ?? noRoom.get(id) ?? keptBack.get(id);
    },

    /** How many instances a version needs for its calls and sessions, as far as it may have them. */
    neededForCalls({ runtimeId, version, revision, spec }: VersionRecord): number {
      const waiting = demand.get(key(runtimeId, version));
      const own = instances.of(runtimeId).filter((instance) => instance.revision === revision);
      const taken = waiting?.inFlight ?? own.reduce((sum, instance) => sum + takenOf(instance), 0);
      const needed = Math.ceil(((waiting?.queued ?? 0) + taken) / sessionsPerInstance(spec));
      return Math.min(needed, options.maxInstancesPerRuntime);
    },

    /** An instance ended that nobody stopped. */
    instanceEnded: (instance: Instance, exit: InstanceExit): Promise<void> => {
      const { code, signal, reason, lastLines } = exit;
      const exited = code === undefined ? 'ended' : `exited with code ${code}`;
      const how = reason ?? (signal === undefined ? exited : `killed by ${signal}`);
      log.warn({ instanceId: instance.id, agentRuntimeId: instance.runtimeId }, `instance ${how}`);
      const told = [how, ...lastLines].join(' | ');
      const event = { phase: 'exit', reason: told, exitCode: code, exitSignal: signal, output: lastLines };
      return endedBadly(instance, told, event).catch((error: unknown) =>
        log.error({ err: error }, 'the end of an instance could not be looked into'),
      );
    },

    /** It is not there any more. */
    instanceGone({ id }: Instance): void {
      busy.forget(id);
      finishing.delete(id);
    },

    /** The gateway has no call and no session left on a draining instance. */
    drained(id: string, drain: number | undefined): void {
      finishing.set(id, drain);
      finishIfFree(id);
    },

    /** Why a version that has no instance can have none at present. */
    noRoomFor: (runtimeId: string, version: number): string | undefined =>
      noRoom.get(key(runtimeId, version)),
    isAtCap: (runtimeId: string, version: number): boolean => atCap.has(key(runtimeId, version)),

    /** What the clock does every second; for tests, which have a clock of their own. */
    tick,

    begin(): void {
      ticking = setInterval(tick, TICK_MS);
    },

    /** Looks at a runtime again: its endpoints, versions or instances have changed. */
    look(runtimeId: string): void {
      // Before `begin` not all instances that there are have been taken over.
      if (!ticking) return;
      loop.enqueue(runtimeId);
      // What is different may be that there is room again.
      for (const id of short.keys()) loop.enqueue(id);
      for (const id of noRoom.keys()) loop.enqueue(id.slice(0, id.lastIndexOf('/')));
    },

    /** The next look cuts versions that no endpoint names any more, in place of draining them. */
    evict: (runtimeId: string) => void evictions.add(runtimeId),

    /** Calls wait for a version, or wait no more. */
    reportDemand(
      runtimeId: string,
      version: number,
      calls: { queued: number; inFlight: number; turnedAway?: true },
    ): void {
      const id = key(runtimeId, version);
      if (calls.queued === 0) demand.delete(id);
      else demand.set(id, calls);
      const isStarting = instances.of(runtimeId).some(({ state }) => state === 'starting');
      if (calls.queued > 0 || isStarting) loop.enqueue(runtimeId);
    },

    reportUsage(usage: readonly InstanceUsage[]): void {
      const at = now();
      // The gateway, too, may have been asleep.
      if (isClockGap(lastUsage, at)) idleFloor = at;
      lastUsage = at;
      instances.reportUsage(usage, idleFloor);
    },

    /** The gateway is gone, and with it what it knew of calls. */
    forgetCalls(): void {
      demand.clear();
      lastUsage = undefined;
      instances.forgetUsage();
    },

    /** A new version serves, or the runtime is gone: old failures say nothing any more. */
    forgetFailures(runtimeId: string): void {
      rests.forget(runtimeId);
      for (const id of atCap) if (id.startsWith(`${runtimeId}/`)) atCap.delete(id);
    },

    async close(): Promise<void> {
      clearInterval(ticking);
      rests.close();
      stopping.abort(new Error('The server is stopping'));
      await loop.close();
      await Promise.all(starts);
    },
  };
}
