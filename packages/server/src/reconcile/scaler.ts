import { sessionsPerInstance } from '../domain/affinity.ts';
import { isClockGap } from '../domain/clock-gap.ts';
import { type PhaseFailure, statusReason } from '../domain/failure.ts';
import { decideScale, startBackoffMs } from '../domain/scaling.ts';
import { isLeaving } from '../domain/status.ts';
import type { Driver } from '../drivers/driver.ts';
import type { Log } from '../observe/log.ts';
import type { RuntimeRecord, Store, VersionRecord } from '../store/store.ts';
import { HealthMonitor } from './health-monitor.ts';
import type { InstanceSet, InstanceUsage } from './instance-set.ts';
import { createLoop, type Loop } from './loop.ts';
import { referencedVersions, servedEndpoints } from './references.ts';
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
    unmet.delete(runtimeId);
    waitForMachine.delete(runtimeId);
    const runtime = await store.getRuntime(runtimeId);
    if (!runtime || isLeaving(runtime.status)) return;
    const versions = await store.versions(runtimeId);
    const referenced = referencedVersions(
      servedEndpoints(runtime, await store.endpoints(runtimeId), versions),
    );
    const evict = evictions.delete(runtimeId);
    for (const version of versions) {
      const own = instances.of(runtimeId).filter(({ revision }) => revision === version.revision);
      const wanted = referenced.get(version.version);
      if (!wanted) {
        const deadlineMs = evict ? 0 : options.drainTimeoutMs;
        for (const { id } of own)
          instances.drain(id, { deadlineMs, reason: 'no endpoint names the version' });
        continue;
      }
      if (failureOf(runtimeId, version.version) !== undefined) {
        // While it rests, what runs is all there is.
        setAtCap(runtimeId, version.version, own.length > 0);
        continue;
      }
      scale(runtime, version, own, wanted.minInstances);
    }
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
    const counted = instances.of(runtime.id).filter(({ state }) => state === 'starting' || state === 'ready');
    const runtimeRoom = options.maxInstancesPerRuntime - counted.length;
    const machineRoom = options.maxInstances - instances.all().length;
    const isStarting = live.some(({ state }) => state === 'starting');
    if (machineRoom <= 0) waitForMachine.add(runtime.id);
    setAtCap(runtime.id, version.version, Math.min(runtimeRoom, machineRoom) <= 0 && !isStarting);
    const decision = decideScale({
      instances: live.map(({ id, state, inFlight, sessions, idleSince }) => ({
        id,
        state: state as 'starting' | 'ready' | 'draining',
        inFlight,
        sessions,
        idleMs: idleSince === undefined ? undefined : now() - Math.max(idleSince, idleFloor),
      })),
      ...(waiting ?? { queued: 0, inFlight: 0 }),
      slotsPerInstance: sessionsPerInstance(version.spec),
      minInstances,
      maxInstances: running + Math.max(0, Math.min(runtimeRoom, machineRoom)),
      idleStopMs: options.idleStopMs,
    });
    if (decision.action === 'start') {
      for (let i = 0; i < decision.count; i++) startOne(runtime, version, decision.reason);
    } else if (decision.action === 'drain') {
      for (const id of decision.instanceIds) {
        instances.drain(id, { deadlineMs: options.drainTimeoutMs, reason: decision.reason });
      }
    }
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

    isAtCap: (runtimeId: string, version: number): boolean => atCap.has(key(runtimeId, version)),

    /** What the clock does every second; for tests, which have a clock of their own. */
    tick,

    begin(): void {
      ticking = setInterval(tick, TICK_MS);
    },

    /** Looks at a runtime again: its endpoints, versions or instances have changed. */
    look(runtimeId: string): void {
      // Before `begin` not all instances that there are have been taken over.
      if (ticking) loop.enqueue(runtimeId);
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
