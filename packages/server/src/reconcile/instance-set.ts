import { randomUUID } from 'node:crypto';
import { type Driver, type InstanceExit, type RunningInstance, StartFailure } from '../drivers/driver.ts';
import type { InstanceSpec } from '../drivers/instance-spec.ts';
import type { Log } from '../observe/log.ts';
import type { StartLimit } from './start-limit.ts';

/** One instance as the control process sees it; all numbers about calls come from the gateway. */
export interface Instance {
  readonly id: string;
  readonly runtimeId: string;
  readonly revision: number;
  state: 'starting' | 'ready' | 'draining' | 'stopping';
  host: string;
  port: number;
  pid: number | undefined;
  /** Who listens on its port: see `RunningInstance`. */
  links: RunningInstance['links'];
  startedAt: string;
  /** What its runtime may have. */
  memoryMiB: number;
  /** When it became ready, on the monotonic clock; of one taken over, as far as that can be told. */
  readyAt: number | undefined;
  /** How far its start is. */
  startStage: 'preparing' | 'waiting' | 'running' | undefined;
  /** Why it is to be replaced, in words. */
  sick: string | undefined;
  /** Why it is not put to sleep though it has no call, in words. */
  keptBecause: string | undefined;
  inFlight: number;
  /** Bound to it. */
  sessions: number;
  /** Slots taken by these. */
  taken: number;
  /** When it last had nothing to do, on the monotonic clock; undefined while it is busy or not known. That sessions are bound does not make it busy. */
  idleSince: number | undefined;
  /** When it was first said to be busy, on the same clock; undefined while it is not, or not known to be. */
  busySince: number | undefined;
  /** How often it has begun to drain: what is said of an earlier time, before it was taken back, counts no more. */
  drains: number;
}

export interface InstanceSetOptions {
  driver: Driver;
  limit: StartLimit;
  stopGraceMs: number;
  /** Monotonic, in ms. */
  now: () => number;
  log: Log;
  /** Something about a runtime's instances is different now. */
  onChange: (runtimeId: string) => void;
  /** It is not there any more, however that came. */
  onGone: (instance: Instance) => void;
  /** An instance ended that nobody stopped. */
  onExit: (instance: Instance, exit: InstanceExit) => void;
  /** It takes no new calls from now on, and is stopped when it has none left. @param reason why, in words */
  onDrain?: (instance: Instance, reason: string) => void;
  /** A draining instance is about to be stopped, whatever is still open on it. @param reason a sentence for whoever is cut off */
  onCut?: (instance: Instance, reason: string) => void;
}

export interface DrainOptions {
  deadlineMs: number;
  /** Why, in words; who is cut off at the deadline reads them too. */
  reason: string;
  /** Whether `revive` may take it back. */
  revocable?: boolean;
  /** What it works on without a call may be finished, too. Default: false. */
  mayFinish?: boolean;
}

interface Drain {
  /** Monotonic ms: when it is over. */
  at: number;
  timer: NodeJS.Timeout;
  revocable: boolean;
  mayFinish: boolean;
  reason: string;
}

/** What the gateway says of one. */
export interface InstanceUsage {
  id: string;
  inFlight: number;
  idleMs: number;
  /** Absent: none. */
  sessions?: number;
  /** Slots taken by calls and sessions. Absent: as many as calls. */
  taken?: number;
}

/** A start was called off: whoever it was for has gone. */
export class StartCalledOff extends Error {
  override readonly name = 'StartCalledOff';
}

/**
 * How long a start keeps its slot. Most are ready by then; one that hangs until its timeout must not keep all others on
 * the machine from starting.
 */
const START_SLOT_MS = 5000;
/** Between the word that what is open is cut off, and the stop: for last words to reach the clients. */
const LAST_WORDS_MS = 1000;

export type InstanceSet = ReturnType<typeof createInstanceSet>;

/**
 * The instances there are, whoever started them. A draining instance is stopped when the gateway reports that it has
 * no call left, or at its deadline.
 */
export function createInstanceSet(options: InstanceSetOptions) {
  const { driver, limit, now, log } = options;
  const instances = new Map<string, Instance>();
  const drains = new Map<string, Drain>();
  const stops = new Map<string, Promise<void>>();
  const starting = new Map<string, { own: AbortController; over: Promise<void> }>();
  const waitingForChange: (() => void)[] = [];
  const changed = (runtimeId: string) => {
    for (const resolve of waitingForChange.splice(0)) resolve();
    options.onChange(runtimeId);
  };

  const remove = (instance: Instance) => {
    clearTimeout(drains.get(instance.id)?.timer);
    drains.delete(instance.id);
    if (!instances.delete(instance.id)) return;
    options.onGone(instance);
    changed(instance.runtimeId);
  };

  const exited = (instance: Instance) => (exit: InstanceExit) => {
    if (!instances.has(instance.id)) return;
    const unexpected = instance.state !== 'stopping';
    remove(instance);
    if (unexpected) options.onExit(instance, exit);
  };

  const becomeReady = (instance: Instance, running: RunningInstance) => {
    Object.assign(instance, {
      state: 'ready',
      startStage: undefined,
      readyAt: now(),
      host: running.host,
      port: running.port,
      pid: running.pid,
      links: running.links,
      startedAt: running.startedAt,
    });
    changed(instance.runtimeId);
  };

  /** What is still open on a draining instance is told to end; `drained`, or the end of patience, then stops it. */
  const cutOff = (instance: Instance, reason: string) => {
    options.onCut?.(instance, `The instance that answers is being stopped: ${reason}`);
    const timer = setTimeout(() => void stop(instance.id, `${reason}; cut off`), LAST_WORDS_MS);
    drains.set(instance.id, { at: now(), timer, revocable: false, mayFinish: false, reason });
  };

  const newInstance = (id: string, runtimeId: string, revision: number, memoryMiB: number): Instance => ({
    id,
    runtimeId,
    revision,
    state: 'starting',
    host: '',
    port: 0,
    pid: undefined,
    links: undefined,
    startedAt: new Date().toISOString(),
    memoryMiB,
    readyAt: undefined,
    startStage: 'preparing',
    sick: undefined,
    keptBecause: undefined,
    inFlight: 0,
    sessions: 0,
    taken: 0,
    idleSince: undefined,
    busySince: undefined,
    drains: 0,
  });

  const stop = (id: string, reason: string, error = new Error(reason)): Promise<void> => {
    const under = stops.get(id);
    if (under !== undefined) return under;
    const instance = instances.get(id);
    if (!instance) return Promise.resolve();
    log.info({ instanceId: id, agentRuntimeId: instance.runtimeId, reason }, 'stopping instance');
    instance.state = 'stopping';
    const start = starting.get(id);
    start?.own.abort(error);
    changed(instance.runtimeId);
    const stopping = driver
      .stop(id, { graceMs: options.stopGraceMs })
      .then(() => start?.over)
      .catch((error: unknown) => log.error({ err: error, instanceId: id }, 'instance could not be stopped'))
      .finally(() => {
        stops.delete(id);
        remove(instance);
      });
    stops.set(id, stopping);
    return stopping;
  };

  return {
    all: (): Instance[] => [...instances.values()],
    of: (runtimeId: string): Instance[] =>
      [...instances.values()].filter((instance) => instance.runtimeId === runtimeId),

    /**
     * Starts an instance; it counts as starting from now on, also while it waits for its turn.
     * @param makeSpec prepares what is to be run
     * @throws what `makeSpec` or the driver threw, or why it was stopped meanwhile; the instance is gone then
     */
    async start(
      of: { runtimeId: string; revision: number; memoryMiB: number },
      makeSpec: (instanceId: string, signal: AbortSignal) => Promise<InstanceSpec>,
      outerSignal: AbortSignal,
      onProbe: () => void = () => {},
    ): Promise<Instance> {
      const instance = newInstance(randomUUID(), of.runtimeId, of.revision, of.memoryMiB);
      const own = new AbortController();
      const signal = AbortSignal.any([outerSignal, own.signal]);
      instances.set(instance.id, instance);
      let sayOver = () => {};
      const over = new Promise<void>((resolve) => {
        sayOver = resolve;
      });
      starting.set(instance.id, { own, over });
      try {
        const spec = await makeSpec(instance.id, signal);
        instance.startStage = 'waiting';
        const release = await limit.acquire(signal, of.runtimeId);
        instance.startStage = 'running';
        const patience = setTimeout(release, START_SLOT_MS);
        try {
          const running = await driver.start(spec, { signal, onProbe, onExit: exited(instance) });
          signal.throwIfAborted();
          if (!instances.has(instance.id))
            throw new StartFailure('start', 'exited', 'ended as soon as it was ready');
          becomeReady(instance, running);
        } finally {
          clearTimeout(patience);
          release();
        }
        return instance;
      } catch (error) {
        await driver.stop(instance.id, { graceMs: 0 });
        remove(instance);
        throw error;
      } finally {
        starting.delete(instance.id);
        sayOver();
      }
    },

    /** Takes over an instance that an earlier server started. */
    adopt(running: RunningInstance, memoryMiB: number): void {
      const instance = newInstance(running.instanceId, running.runtimeId, running.revision, memoryMiB);
      instances.set(instance.id, instance);
      running.onExit = exited(instance);
      becomeReady(instance, running);
      instance.readyAt = now() - Math.max(0, Date.now() - Date.parse(running.startedAt) || 0);
      // Before there was somebody to hear of it, it may have ended.
      const isThere = driver.list().some(({ instanceId }) => instanceId === running.instanceId);
      if (!isThere) running.onExit({ instanceId: running.instanceId, lastLines: [] });
    },

    /** No new calls; stopped when the calls it has are over, at the latest after `deadlineMs`, when they are cut off. */
    drain(id: string, { deadlineMs, reason, revocable = false, mayFinish = false }: DrainOptions): void {
      const instance = instances.get(id);
      if (instance?.state !== 'ready' && instance?.state !== 'draining') return;
      const at = now() + deadlineMs;
      const before = drains.get(id);
      if (before && before.at <= at) {
        // Who drains it for good does not have it taken back by who did not.
        if (!revocable) before.revocable = false;
        if (!mayFinish) before.mayFinish = false;
        return;
      }
      clearTimeout(before?.timer);
      log.info({ instanceId: id, agentRuntimeId: instance.runtimeId, reason }, 'draining instance');
      if (instance.state === 'ready') {
        instance.drains++;
        options.onDrain?.(instance, reason);
      }
      instance.state = 'draining';
      if (deadlineMs > 0) {
        const overdue = `${reason}, and the time to finish is over`;
        const timer = setTimeout(() => cutOff(instance, overdue), deadlineMs);
        drains.set(id, {
          at,
          timer,
          revocable: revocable && (before?.revocable ?? true),
          mayFinish: mayFinish && (before?.mayFinish ?? true),
          reason,
        });
      }
      // The routes follow before those that are cut off hear of it: their next calls are to find another instance.
      changed(instance.runtimeId);
      if (deadlineMs === 0) cutOff(instance, reason);
    },

    /** A draining instance is wanted again; not if it drains for a reason of its own, or has already been cut off. */
    revive(id: string): void {
      const instance = instances.get(id);
      const drain = drains.get(id);
      if (instance?.state !== 'draining' || !drain?.revocable) return;
      clearTimeout(drain.timer);
      drains.delete(id);
      instance.state = 'ready';
      changed(instance.runtimeId);
    },

    /** The gateway has no call and no session left on a draining instance. */
    drained(id: string, drain: number | undefined): void {
      const instance = instances.get(id);
      if (instance?.state !== 'draining' || (drain !== undefined && drain !== instance.drains)) return;
      void stop(id, drains.get(id)?.reason ?? 'drained');
    },

    /** Whether one that drains may finish what it works on without a call. */
    mayFinish: (id: string): boolean => drains.get(id)?.mayFinish ?? false,

    stop: (id: string, reason: string): Promise<void> => stop(id, reason),

    /** Ends a start that is for nobody any more; who started it hears a StartCalledOff. */
    callOff: (id: string, reason: string): Promise<void> => stop(id, reason, new StartCalledOff(reason)),

    /** What the gateway counted. `floor` is the earliest moment idleness may count from. */
    reportUsage(usage: readonly InstanceUsage[], floor: number): void {
      const at = now();
      for (const { id, inFlight, idleMs, sessions = 0, taken = inFlight } of usage) {
        const instance = instances.get(id);
        if (!instance) continue;
        instance.inFlight = inFlight;
        instance.sessions = sessions;
        instance.taken = taken;
        instance.idleSince = inFlight > 0 ? undefined : Math.max(floor, at - idleMs);
        instance.busySince = inFlight > 0 ? (instance.busySince ?? at) : undefined;
      }
    },

    /** Idle times are no longer known: nothing may be let go by them. */
    forgetUsage(): void {
      for (const instance of instances.values()) {
        instance.idleSince = undefined;
        instance.busySince = undefined;
      }
    },

    /** Resolves at the next change of any instance. */
    changed(): Promise<void> {
      return new Promise((resolve) => {
        waitingForChange.push(resolve);
      });
    },

    close(): void {
      for (const { timer } of drains.values()) clearTimeout(timer);
      drains.clear();
    },
  };
}
