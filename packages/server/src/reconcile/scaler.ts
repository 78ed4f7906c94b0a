import { sessionsPerInstance } from '../domain/affinity.ts';
import { type EndpointHistory, historiesAfter, versionsToCut } from '../domain/draining.ts';
import { decideScale, type ScaleDecision } from '../domain/scaling.ts';
import { isLeaving } from '../domain/status.ts';
import type { Driver } from '../drivers/driver.ts';
import type { Log } from '../observe/log.ts';
import type { RuntimeRecord, Store, VersionRecord } from '../store/store.ts';
import { createBadEnds } from './bad-ends.ts';
import { createDemandedStarts } from './demanded-starts.ts';
import { HealthMonitor } from './health-monitor.ts';
import { createIdleness } from './idleness.ts';
import type { Instance, InstanceSet, InstanceUsage } from './instance-set.ts';
import { createLoop, type Loop } from './loop.ts';
import { createMemoryRoom } from './memory-room.ts';
import type { Minimums } from './minimums.ts';
import { type Asked, referencedVersions, type ServedEndpoint, servedEndpoints } from './references.ts';
import { createRests } from './rests.ts';
import { createRoom, type RoomFor } from './room.ts';
import { scaleEvents } from './scale-events.ts';
import type { Starter } from './starter.ts';

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
  /** Why a version that has no instance can have none at present, by runtime and version. */
  const noRoom = new Map<string, string>();
  /** Which limit keeps a version from having all instances it needs, by runtime and version. */
  const keptBack = new Map<string, string>();
  /** What endpoints serve and served, by runtime and name; only of runtimes that have instances. */
  const histories = new Map<string, Map<string, EndpointHistory>>();
  /** Versions that cannot have another instance at present; of their runtimes, those that wait for room on the machine. */
  const atCap = new Set<string>();
  const waitForMachine = new Set<string>();
  /** Runtimes whose replaced versions are to be cut rather than drained, once. */
  const evictions = new Set<string>();
  const rests = createRests({
    now,
    changed: (runtimeId) => {
      options.publish(runtimeId);
      loop.enqueue(runtimeId);
    },
  });
  const memory = createMemoryRoom({ ...options, budget: options.memoryBudget });
  const idleness = createIdleness({
    ...options,
    onAnswer: ({ runtimeId }) => {
      loop.enqueue(runtimeId);
      lookAtWaiting();
    },
  });
  const room = createRoom({ ...options, memory, idleness });
  const addEvent = scaleEvents(store, log);
  const badEnds = createBadEnds({ store, rests, addEvent, now, log });
  const starts = createDemandedStarts({ instances, start: options.start, rests, addEvent, now, log });
  const health = new HealthMonitor({
    ...options,
    onSick: (id, reason) => {
      const instance = find(id);
      if (!instance) return;
      instance.sick = reason;
      log.warn({ instanceId: id, agentRuntimeId: instance.runtimeId, reason }, 'an instance is not well');
      void badEnds.sick(instance, reason);
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
  const find = (id: string): Instance | undefined => instances.all().find((instance) => instance.id === id);
  const key = (runtimeId: string, version: number) => `${runtimeId}/${version}`;

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
    room.settle(runtimeId);
    if (!isServed) return forget(runtimeId);
    minimums.forget(runtimeId, records);
    const referenced = referencedVersions(endpoints, minimums.of);
    const replaced: number[] = [];
    for (const version of versions) {
      const own = instances.of(runtimeId).filter(({ revision }) => revision === version.revision);
      const wanted = referenced.get(version.version);
      const has = own.length > 0;
      room.ask(runtimeId, version.revision, has ? (wanted?.minInstances ?? 0) : undefined);
      badEnds.number(runtimeId, version.revision, has ? version.version : undefined);
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
    room.forget(runtimeId);
    badEnds.forget(runtimeId);
    for (const map of [noRoom, keptBack])
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
    const roomFor = room.for(runtime.id, version.revision, version.spec.memory);
    if (roomFor.isMachineFull) waitForMachine.add(runtime.id);
    const isStarting = live.some(({ state }) => state === 'starting');
    setAtCap(runtime.id, version.version, roomFor.isFull && !isStarting);
    const decision = decideScale({
      instances: live.map((instance) => ({
        id: instance.id,
        state: instance.state as 'starting' | 'ready' | 'draining',
        inFlight: instance.inFlight,
        sessions: instance.sessions,
        idleMs: idleness.idleMs(instance),
        sick: instance.sick,
        // Those that are asked for are not asked: they stay in any case.
        mayBeBusy: running > minInstances && idleness.mayBeBusy(instance),
        ...starts.stageOf(instance),
      })),
      queued: waiting?.queued ?? 0,
      inFlight: waiting?.inFlight ?? live.reduce((sum, instance) => sum + takenOf(instance), 0),
      slotsPerInstance: sessionsPerInstance(version.spec),
      minInstances,
      minCause: cause,
      maxInstances: running + roomFor.left,
      idleStopMs: options.idleStopMs,
    });
    const granted = act(runtime, version, decision, roomFor);
    const limits =
      decision.action === 'start' && granted < decision.count ? room.limitOf(roomFor) : undefined;
    if (limits === undefined) keptBack.delete(id);
    else keptBack.set(id, limits);
    if (running + granted > 0) return tellNoRoom(runtime.id, version.version, undefined);
    const limit = room.limitOf(roomFor);
    const isAsked = waiting !== undefined || noRoom.has(id);
    const isHopeless = isAsked && limit !== undefined && !room.make(runtime.id, roomFor);
    tellNoRoom(runtime.id, version.version, isHopeless ? limit : undefined);
    // Whoever was told so is told otherwise as soon as it is.
    if (isHopeless) unmet.add(runtime.id);
  };

  /** Does what was decided. @returns how many were started */
  const act = (
    runtime: RuntimeRecord,
    version: VersionRecord,
    decision: ScaleDecision,
    roomFor: RoomFor,
  ): number => {
    if (decision.action === 'none') return 0;
    const { id: runtimeId } = runtime;
    if (decision.action === 'start') {
      const granted = room.grant(runtimeId, decision.count, roomFor);
      const turnedAway = demand.get(key(runtimeId, version.version))?.turnedAway;
      for (let i = 0; i < granted; i++) starts.begin(runtime, version, decision.reason, !turnedAway);
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
      else idleness.letGo(id, decision.reason);
    }
    return 0;
  };

  const takenOf = ({ state, taken }: Instance): number => (state === 'ready' ? taken : 0);

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

  /** What is different may be that there is room again. */
  const lookAtWaiting = () => {
    for (const id of room.short()) loop.enqueue(id);
    for (const id of noRoom.keys()) loop.enqueue(id.slice(0, id.lastIndexOf('/')));
  };

  const isCalled = (runtimeId: string) => [...demand.keys()].some((id) => id.startsWith(`${runtimeId}/`));

  const tick = () => {
    const at = now();
    const due = [
      ...idleness.tick(at),
      ...unmet,
      ...waitForMachine,
      ...minimums.changed(),
      ...rests.crashing(),
      ...starts.markSurplus(at, isCalled),
    ];
    for (const runtimeId of new Set(due)) loop.enqueue(runtimeId);
    idleness.finishAll();
    health.tick(at, idleness.floor());
    memory.tick().catch((error: unknown) => log.error({ err: error }, 'memory could not be measured'));
  };

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
    instanceEnded: badEnds.ended,

    /** It is not there any more. */
    instanceGone: ({ id }: Instance): void => idleness.gone(id),

    /** The gateway has no call and no session left on a draining instance. */
    drained: (id: string, drain: number | undefined): void => idleness.drained(id, drain),

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
      lookAtWaiting();
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
      instances.reportUsage(usage, idleness.reported(now()));
    },

    /** The gateway is gone, and with it what it knew of calls. */
    forgetCalls(): void {
      demand.clear();
      idleness.forgetReports();
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
      await starts.close(() => loop.close());
    },
  };
}
