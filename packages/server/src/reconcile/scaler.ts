import { sessionsPerInstance } from '../domain/affinity.ts';
import { isClockGap } from '../domain/clock-gap.ts';
import { type EndpointHistory, historiesAfter, versionsToCut } from '../domain/draining.ts';
import { type PhaseFailure, statusReason } from '../domain/failure.ts';
import { decideScale, grantStarts, limitReached, pickToMakeRoom, startBackoffMs } from '../domain/scaling.ts';
import { isLeaving } from '../domain/status.ts';
import type { Driver } from '../drivers/driver.ts';
import type { Log } from '../observe/log.ts';
import type { RuntimeRecord, Store, VersionRecord } from '../store/store.ts';
import { HealthMonitor } from './health-monitor.ts';
import type { Instance, InstanceSet, InstanceUsage } from './instance-set.ts';
import { createLoop, type Loop } from './loop.ts';
import { referencedVersions, type ServedEndpoint, servedEndpoints } from './references.ts';
import { RuntimeLeaving, type Starter } from './starter.ts';

export interface ScalerOptions {
  store: Store;
  driver: Driver;
  instances: InstanceSet;
  start: Starter;
  publish: (runtimeId: string) => void;
  maxInstancesPerRuntime: number;
  maxInstances: number;
  idleStopMs: number;
  drainTimeoutMs: number;
  /** Monotonic, in ms. */
  now: () => number;
  log: Log;
}

/** How often idle instances are looked for. */
const TICK_MS = 1000;
/** An instance idle for so long may be let go early, when another version has none and there is no room for one. */
const SPARE_AFTER_MS = 1000;

interface Failure {
  reason: string;
  count: number;
  timer: NodeJS.Timeout;
}

export type Scaler = ReturnType<typeof createScaler>;

/**
 * Gives every version the instances its calls need: starts them on demand, lets idle ones go, drains versions that no
 * endpoint names. A version that cannot be started rests before it is tried again, and its reason is told meanwhile.
 */
export function createScaler(options: ScalerOptions) {
  const { store, instances, now, log } = options;
  /** Calls waiting and in flight as last reported, by runtime and version; only while some wait. */
  const demand = new Map<string, { queued: number; inFlight: number }>();
  const failures = new Map<string, Failure>();
  /** Runtimes that want more instances than they have; looked at every tick, as room may come from anywhere. */
  const unmet = new Set<string>();
  /** Of those, the ones that only the machine has no room for, with the instances they have. */
  const short = new Map<string, number>();
  /** Why a version that has no instance can have none at present, by runtime and version. */
  const noRoom = new Map<string, string>();
  /** Instances asked of each version whatever its calls, by runtime and revision. */
  const minimums = new Map<string, number>();
  /** What endpoints serve and served, by runtime and name. */
  const histories = new Map<string, Map<string, EndpointHistory>>();
  /** Versions that cannot have another instance at present; of their runtimes, those that wait for room on the machine. */
  const atCap = new Set<string>();
  const waitForMachine = new Set<string>();
  /** Runtimes whose replaced versions are to be cut rather than drained, once. */
  const evictions = new Set<string>();
  const stopping = new AbortController();
  const starts = new Set<Promise<void>>();
  const health = new HealthMonitor(options.driver, instances, now);
  let lastTick: number | undefined;
  let lastUsage: number | undefined;
  /** Idleness counts from here at the earliest: moved up after a gap in time. */
  let idleFloor = 0;

  const key = (runtimeId: string, version: number) => `${runtimeId}/${version}`;

  const startOne = (runtime: RuntimeRecord, version: VersionRecord, why: string): void => {
    const id = key(runtime.id, version.version);
    log.info({ agentRuntimeId: runtime.id, version: version.version, reason: why }, 'starting instance');
    const startedAt = new Date();
    const begun = now();
    const report = (outcome: 'ok' | 'failed', reason: string) =>
      store.addEvent({
        runtimeId: runtime.id,
        revision: version.revision,
        phase: 'scale',
        startedAt: startedAt.toISOString(),
        durationMs: now() - begun,
        outcome,
        reason: `version ${version.version}: ${reason}`,
      });
    const started = options
      .start({
        runtimeId: runtime.id,
        runtimeName: runtime.name,
        revision: version.revision,
        spec: version.spec,
        signal: stopping.signal,
      })
      .then(
        () => {
          clearFailure(id);
          return report('ok', why);
        },
        (error: Error) => {
          if (stopping.signal.aborted || error instanceof RuntimeLeaving) return undefined;
          const reason =
            error.name === 'PhaseFailure' ? statusReason(error as PhaseFailure) : String(error.message);
          log.warn(
            { agentRuntimeId: runtime.id, version: version.version, reason },
            'version could not be started',
          );
          fail(runtime.id, version.version, reason);
          return report('failed', reason);
        },
      )
      .catch((error: unknown) => log.error({ err: error }, 'start could not be recorded'))
      .then(() => {
        starts.delete(started);
      });
    starts.add(started);
  };

  const fail = (runtimeId: string, version: number, reason: string) => {
    const id = key(runtimeId, version);
    const before = failures.get(id);
    clearTimeout(before?.timer);
    const count = (before?.count ?? 0) + 1;
    // Callers are refused with the reason until then; the first one after it makes the next try.
    const timer = setTimeout(() => {
      const failure = failures.get(id);
      if (failure) failures.set(id, { ...failure, reason: '' });
      options.publish(runtimeId);
      loop.enqueue(runtimeId);
    }, startBackoffMs(count));
    failures.set(id, { reason, count, timer });
    options.publish(runtimeId);
  };

  const clearFailure = (id: string) => {
    clearTimeout(failures.get(id)?.timer);
    failures.delete(id);
  };

  const failureOf = (runtimeId: string, version: number): string | undefined =>
    failures.get(key(runtimeId, version))?.reason || undefined;

  const evaluate = async (runtimeId: string): Promise<void> => {
    // Taken before the store is read: what is read afterwards is what it was meant for.
    const evict = evictions.delete(runtimeId);
    const runtime = await store.getRuntime(runtimeId);
    const isServed = runtime !== undefined && !isLeaving(runtime.status);
    const versions = isServed ? await store.versions(runtimeId) : [];
    const endpoints = isServed ? servedEndpoints(runtime, await store.endpoints(runtimeId), versions) : [];
    // From here on nothing is awaited: what is counted stays so until it is acted on.
    unmet.delete(runtimeId);
    waitForMachine.delete(runtimeId);
    short.delete(runtimeId);
    if (!isServed) return forget(runtimeId);
    const referenced = referencedVersions(endpoints);
    const replaced: number[] = [];
    for (const version of versions) {
      const own = instances.of(runtimeId).filter(({ revision }) => revision === version.revision);
      const wanted = referenced.get(version.version);
      if (own.length > 0) minimums.set(key(runtimeId, version.revision), wanted?.minInstances ?? 0);
      else minimums.delete(key(runtimeId, version.revision));
      if (!wanted) {
        tellNoRoom(runtimeId, version.version, undefined);
        if (own.length > 0) replaced.push(version.version);
        const reason = `no endpoint names version ${version.version} any more`;
        const deadlineMs = evict ? 0 : options.drainTimeoutMs;
        for (const { id } of own) instances.drain(id, { deadlineMs, reason, revocable: true });
        continue;
      }
      for (const { id } of own) instances.revive(id);
      if (failureOf(runtimeId, version.version) !== undefined) {
        tellNoRoom(runtimeId, version.version, undefined);
        // While it rests, what runs is all there is.
        setAtCap(runtimeId, version.version, own.length > 0);
      } else scale(runtime, version, own, wanted.minInstances);
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
    histories.set(runtimeId, after);
    for (const version of versionsToCut(after.values())) {
      const revision = versions.find((record) => record.version === version)?.revision;
      const reason = `version ${version} was replaced, and too many versions after it are finishing calls`;
      for (const { id } of instances.of(runtimeId).filter((instance) => instance.revision === revision))
        instances.drain(id, { deadlineMs: 0, reason });
    }
  };

  const forget = (runtimeId: string) => {
    histories.delete(runtimeId);
    for (const map of [noRoom, minimums])
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
    minInstances: number,
  ) => {
    const live = own.filter(({ state }) => state !== 'stopping');
    const running = live.filter(({ state }) => state !== 'draining').length;
    for (const { id, state } of live) {
      if (state === 'ready') health.watch(id, version.spec.healthCheckConfiguration, now());
    }
    const waiting = demand.get(key(runtime.id, version.version));
    if (waiting !== undefined || running < minInstances) unmet.add(runtime.id);
    const ofRuntime = instances
      .of(runtime.id)
      .filter(({ state }) => state === 'starting' || state === 'ready').length;
    const machineRoom = options.maxInstances - instances.all().length;
    const isStarting = live.some(({ state }) => state === 'starting');
    if (machineRoom <= 0) waitForMachine.add(runtime.id);
    const room = Math.min(options.maxInstancesPerRuntime - ofRuntime, machineRoom);
    setAtCap(runtime.id, version.version, room <= 0 && !isStarting);
    const decision = decideScale({
      instances: live.map((instance) => ({
        id: instance.id,
        state: instance.state as 'starting' | 'ready' | 'draining',
        inFlight: instance.inFlight,
        sessions: instance.sessions,
        idleMs: idleMs(instance),
      })),
      ...(waiting ?? { queued: 0, inFlight: 0 }),
      slotsPerInstance: sessionsPerInstance(version.spec),
      minInstances,
      maxInstances: running + Math.max(0, options.maxInstancesPerRuntime - ofRuntime),
      idleStopMs: options.idleStopMs,
    });
    let granted = 0;
    if (decision.action === 'start') {
      granted = grantStarts(decision.count, ofRuntime, machineRoom, [...short.values()]);
      for (let i = 0; i < granted; i++) startOne(runtime, version, decision.reason);
      if (granted < decision.count) short.set(runtime.id, ofRuntime + granted);
    } else if (decision.action === 'drain') {
      for (const id of decision.instanceIds) {
        instances.drain(id, { deadlineMs: options.drainTimeoutMs, reason: decision.reason });
      }
    }
    if (running + granted > 0) return tellNoRoom(runtime.id, version.version, undefined);
    const limit = limitReached({ ...options, ofRuntime, inAll: instances.all().length });
    const isAsked = waiting !== undefined || noRoom.has(key(runtime.id, version.version));
    const isHopeless = isAsked && limit !== undefined && !makeRoom(runtime.id, ofRuntime);
    tellNoRoom(runtime.id, version.version, isHopeless ? limit : undefined);
    // Whoever was told so is told otherwise as soon as it is.
    if (isHopeless) unmet.add(runtime.id);
  };

  const idleMs = ({ idleSince }: Instance): number | undefined =>
    idleSince === undefined ? undefined : now() - Math.max(idleSince, idleFloor);

  /**
   * For a version's first instance, where a limit is reached: one that has nothing to do is let go.
   * @returns false when there is none, and none on its way out: all have calls, and have had them for a while
   */
  const makeRoom = (runtimeId: string, ofRuntime: number): boolean => {
    const isOwnLimit = ofRuntime >= options.maxInstancesPerRuntime;
    const all = isOwnLimit ? instances.of(runtimeId) : instances.all();
    const going = all.filter(({ state }) => state === 'stopping' || state === 'draining');
    const soonGone = going.filter(({ state, inFlight }) => state === 'stopping' || inFlight === 0);
    const wanted = isOwnLimit ? 1 : [...short.values()].filter((has) => has === 0).length;
    if (soonGone.length >= Math.max(1, wanted)) return true;
    const spare = spareOf(all);
    const id = pickToMakeRoom(
      spare.map((instance) => ({
        id: instance.id,
        idleMs: instance.inFlight === 0 && instance.sessions === 0 ? idleMs(instance) : undefined,
      })),
      SPARE_AFTER_MS,
    );
    if (id !== undefined) {
      const reason = 'it had no call, and there was no room for what others call';
      instances.drain(id, { deadlineMs: options.drainTimeoutMs, reason });
      return true;
    }
    const isLastinglyBusy = ({ busySince }: Instance) =>
      busySince !== undefined && now() - busySince >= SPARE_AFTER_MS;
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
      (instance) =>
        counts.get(group(instance))! > (minimums.get(group(instance)) ?? Number.POSITIVE_INFINITY),
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
    for (const runtimeId of new Set([...idleFor(at), ...unmet, ...waitForMachine])) loop.enqueue(runtimeId);
    health.tick(at, idleFloor);
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
    reportDemand(runtimeId: string, version: number, calls: { queued: number; inFlight: number }): void {
      const id = key(runtimeId, version);
      if (calls.queued === 0) demand.delete(id);
      else demand.set(id, calls);
      if (calls.queued > 0) loop.enqueue(runtimeId);
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
      for (const id of failures.keys()) if (id.startsWith(`${runtimeId}/`)) clearFailure(id);
      for (const id of atCap) if (id.startsWith(`${runtimeId}/`)) atCap.delete(id);
    },

    async close(): Promise<void> {
      clearInterval(ticking);
      for (const { timer } of failures.values()) clearTimeout(timer);
      stopping.abort(new Error('The server is stopping'));
      await loop.close();
      await Promise.all(starts);
    },
  };
}
