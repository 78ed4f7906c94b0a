import { SESSION_IDLE_DEFAULT } from '@runstead/contract';
import type { RuntimeRoute, SocketLink, UpMessage } from '../feed/messages.ts';

/** What the gateway knows of one instance: its route, and what it does at present. */
export interface Instance {
  readonly id: string;
  readonly runtimeId: string;
  readonly version: number;
  host: string;
  port: number;
  /** One of them reads as given as long as the instance itself listens; undefined: the system does not say. */
  links: readonly SocketLink[] | undefined;
  /** Sessions, and calls without one, that it takes at the same time. */
  slots: number;
  /** Of them taken. */
  taken: number;
  /** How many sessions are bound to it. */
  sessions: number;
  /** Sessions bound to it end when they had no call for this long. */
  sessionIdleMs: number;
  /** It serves one session, or one call without, and no other ever. */
  isolated: boolean;
  /** An isolated instance that has: it gets no further call. */
  spent: boolean;
  /** `gone`: no longer among the routes, but calls to it are still open. */
  state: 'ready' | 'draining' | 'gone';
  /** A dial failed since the last routes; it gets no call until routes come again. */
  unreachable: boolean;
  inFlight: number;
  /** Monotonic ms: when it became known, or when its last call ended, whichever is later. */
  idleSinceMs: number;
  /** Which of its drains the routes tell of. */
  drain: number | undefined;
  drainedSaid: boolean;
  /** Why it is about to be stopped, whatever is still open on it. */
  cutBecause: string | undefined;
  /** What is open on it, each in the place that it knows. */
  leases: Cuttable[];
}

/** What is open on an instance and can be ended before its time. */
export interface Cuttable {
  /** @param reason one sentence for the client */
  cut(reason: string): void;
}

export interface InstanceEvents {
  /** A draining instance has no call and no session left. */
  drained(instanceId: string, drain: number | undefined): void;
  /** It is about to be stopped, and takes no call any more: sessions that are bound to it have to go elsewhere. */
  cut?(instance: Instance): void;
  /** It left the routes, or its address changed: nothing pooled for it may be used again. */
  retired(instanceId: string): void;
  /** It left the routes: no session is bound to it any more. */
  gone?(instance: Instance, wasDraining: boolean): void;
  /** It has served what it was for. */
  spent?(instanceId: string): void;
}

/** Every instance among the routes, by id and by version. */
export class InstanceSet {
  readonly #byId = new Map<string, Instance>();
  /** By runtime; also those that are gone and have calls open. */
  readonly #byRuntime = new Map<string, Set<Instance>>();
  /** By runtime and version; without those that are gone. */
  readonly #byVersion = new Map<string, Map<number, readonly Instance[]>>();
  readonly #events: InstanceEvents;
  readonly #now: () => number;

  /** @param now monotonic ms */
  constructor(events: InstanceEvents, now: () => number) {
    this.#events = events;
    this.#now = now;
  }

  /** Makes what is known of one runtime's instances equal to its route. */
  install(runtimeId: string, runtime: RuntimeRoute | undefined): void {
    const listed = new Set<string>();
    for (const version of runtime?.versions ?? []) {
      for (const route of version.instances) {
        listed.add(route.id);
        const instance = this.#byId.get(route.id) ?? this.#add(route.id, runtimeId, version.version);
        if (instance.port !== route.port || instance.host !== route.host) {
          if (instance.port !== 0) this.#events.retired(instance.id);
          instance.host = route.host;
          instance.port = route.port;
        }
        instance.links = route.links;
        instance.isolated = version.isolated === true;
        instance.slots = instance.isolated ? 1 : version.slotsPerInstance;
        instance.sessionIdleMs = (version.sessionIdleSeconds ?? SESSION_IDLE_DEFAULT) * 1000;
        instance.unreachable = false;
        // Routes that were made before it was to be cut may still be on their way.
        const state = instance.cutBecause === undefined ? route.state : 'draining';
        if (instance.state !== state || instance.drain !== route.drain) instance.drainedSaid = false;
        instance.state = state;
        instance.drain = route.drain;
        this.#sayIfDrained(instance);
      }
    }
    for (const instance of this.#byRuntime.get(runtimeId) ?? NONE) {
      if (listed.has(instance.id) || instance.state === 'gone') continue;
      const wasDraining = instance.state === 'draining';
      instance.state = 'gone';
      this.#events.retired(instance.id);
      this.#events.gone?.(instance, wasDraining);
      this.#forgetIfDone(instance);
    }
    this.#regroup(runtimeId);
  }

  /** Says `drained` again of every drained instance: whoever sent a snapshot may have missed it. */
  repeatDrained(): void {
    for (const instance of this.#byId.values()) {
      instance.drainedSaid = false;
      this.#sayIfDrained(instance);
    }
  }

  /** Says `spent` again: whoever sent a snapshot may have missed it. */
  repeatSpent(): void {
    for (const instance of this.#byId.values()) if (instance.spent) this.#events.spent?.(instance.id);
  }

  /**
   * For a gateway that has just begun: which of the isolated instances that it finds have served somebody, the one before
   * it knew. Those that are bound to no session are of no use any more.
   */
  spendUnbound(): void {
    for (const instance of this.#byId.values()) if (instance.sessions === 0) this.spend(instance);
  }

  /** Nobody else may use an isolated instance. All others go on. */
  spend(instance: Instance): void {
    if (!instance.isolated || instance.spent || instance.state === 'gone') return;
    instance.spent = true;
    this.#events.spent?.(instance.id);
  }

  byId(instanceId: string): Instance | undefined {
    return this.#byId.get(instanceId);
  }

  /** A session is bound to it from now on and holds a slot. */
  bindSession(instance: Instance): void {
    instance.sessions++;
    instance.taken++;
  }

  unbindSession(instance: Instance): void {
    instance.sessions--;
    instance.taken--;
    this.spend(instance);
    this.#sayIfDrained(instance);
  }

  of(runtimeId: string, version: number): readonly Instance[] {
    return this.#byVersion.get(runtimeId)?.get(version) ?? NONE;
  }

  /** It is about to be stopped: it takes no new call, and what is open on it is told to end. */
  cut(instanceId: string, reason: string): void {
    const instance = this.#byId.get(instanceId);
    if (!instance || instance.state === 'gone') return;
    instance.cutBecause = reason;
    instance.state = 'draining';
    instance.drainedSaid = false;
    this.#events.cut?.(instance);
    for (const open of [...instance.leases]) open.cut(reason);
    this.#sayIfDrained(instance);
  }

  beginCall(instance: Instance): void {
    instance.inFlight++;
  }

  endCall(instance: Instance): void {
    instance.inFlight--;
    if (instance.inFlight > 0) return;
    instance.idleSinceMs = this.#now();
    this.#sayIfDrained(instance);
    this.#forgetIfDone(instance);
  }

  usage(): Extract<UpMessage, { type: 'usage' }>['instances'] {
    const now = this.#now();
    const usage = [];
    for (const { id, inFlight, idleSinceMs, state, sessions, taken } of this.#byId.values()) {
      if (state === 'gone') continue;
      const idleMs = inFlight > 0 ? 0 : Math.round(now - idleSinceMs);
      usage.push({
        id,
        inFlight,
        idleMs,
        ...(sessions > 0 && { sessions }),
        ...(taken !== inFlight && { taken }),
      });
    }
    return usage;
  }

  #add(id: string, runtimeId: string, version: number): Instance {
    const instance: Instance = {
      id,
      runtimeId,
      version,
      host: '',
      port: 0,
      links: undefined,
      slots: 0,
      taken: 0,
      sessions: 0,
      sessionIdleMs: 0,
      isolated: false,
      spent: false,
      state: 'ready',
      unreachable: false,
      inFlight: 0,
      idleSinceMs: this.#now(),
      drain: undefined,
      drainedSaid: false,
      cutBecause: undefined,
      leases: [],
    };
    this.#byId.set(id, instance);
    const ofRuntime = this.#byRuntime.get(runtimeId);
    if (ofRuntime) ofRuntime.add(instance);
    else this.#byRuntime.set(runtimeId, new Set([instance]));
    return instance;
  }

  #sayIfDrained(instance: Instance): void {
    if (instance.state !== 'draining' || instance.drainedSaid) return;
    if (instance.inFlight > 0 || instance.sessions > 0) return;
    instance.drainedSaid = true;
    this.#events.drained(instance.id, instance.drain);
  }

  #forgetIfDone(instance: Instance): void {
    if (instance.state !== 'gone' || instance.inFlight > 0) return;
    this.#byId.delete(instance.id);
    const ofRuntime = this.#byRuntime.get(instance.runtimeId);
    ofRuntime?.delete(instance);
    if (ofRuntime?.size === 0) this.#byRuntime.delete(instance.runtimeId);
  }

  #regroup(runtimeId: string): void {
    const groups = new Map<number, Instance[]>();
    for (const instance of this.#byRuntime.get(runtimeId) ?? NONE) {
      if (instance.state === 'gone') continue;
      const group = groups.get(instance.version);
      if (group) group.push(instance);
      else groups.set(instance.version, [instance]);
    }
    if (groups.size > 0) this.#byVersion.set(runtimeId, groups);
    else this.#byVersion.delete(runtimeId);
  }
}

const NONE: readonly Instance[] = [];

/** Whether an instance may be given calls at all, whether or not it has a free slot now. */
export function isChoosable(instance: Instance): boolean {
  return instance.state === 'ready' && !instance.unreachable && !instance.spent;
}
