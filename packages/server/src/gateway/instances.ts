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
  /** Calls it takes at the same time. */
  slots: number;
  /** `gone`: no longer among the routes, but calls to it are still open. */
  state: 'ready' | 'draining' | 'gone';
  /** A dial failed since the last routes; it gets no call until routes come again. */
  unreachable: boolean;
  inFlight: number;
  /** Monotonic ms: when it became known, or when its last call ended, whichever is later. */
  idleSinceMs: number;
  drainedSaid: boolean;
}

export interface InstanceEvents {
  /** A draining instance has no call left. */
  drained(instanceId: string): void;
  /** It left the routes, or its address changed: nothing pooled for it may be used again. */
  retired(instanceId: string): void;
}

/** Every instance among the routes, by id and by version. */
export class InstanceSet {
  readonly #byId = new Map<string, Instance>();
  readonly #byVersion = new Map<string, Instance[]>();
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
        instance.slots = version.slotsPerInstance;
        instance.unreachable = false;
        if (instance.state !== route.state) instance.drainedSaid = false;
        instance.state = route.state;
        this.#sayIfDrained(instance);
      }
    }
    for (const instance of this.#byId.values()) {
      if (instance.runtimeId !== runtimeId || listed.has(instance.id) || instance.state === 'gone') continue;
      instance.state = 'gone';
      this.#events.retired(instance.id);
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

  of(runtimeId: string, version: number): readonly Instance[] {
    return this.#byVersion.get(keyOf(runtimeId, version)) ?? [];
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
    for (const { id, inFlight, idleSinceMs, state } of this.#byId.values()) {
      if (state === 'gone') continue;
      usage.push({ id, inFlight, idleMs: inFlight > 0 ? 0 : Math.round(now - idleSinceMs) });
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
      state: 'ready',
      unreachable: false,
      inFlight: 0,
      idleSinceMs: this.#now(),
      drainedSaid: false,
    };
    this.#byId.set(id, instance);
    return instance;
  }

  #sayIfDrained(instance: Instance): void {
    if (instance.state !== 'draining' || instance.inFlight > 0 || instance.drainedSaid) return;
    instance.drainedSaid = true;
    this.#events.drained(instance.id);
  }

  #forgetIfDone(instance: Instance): void {
    if (instance.state === 'gone' && instance.inFlight === 0) this.#byId.delete(instance.id);
  }

  #regroup(runtimeId: string): void {
    for (const key of this.#byVersion.keys()) {
      if (key.startsWith(`${runtimeId} `)) this.#byVersion.delete(key);
    }
    for (const instance of this.#byId.values()) {
      if (instance.runtimeId !== runtimeId || instance.state === 'gone') continue;
      const key = keyOf(runtimeId, instance.version);
      const group = this.#byVersion.get(key);
      if (group) group.push(instance);
      else this.#byVersion.set(key, [instance]);
    }
  }
}

/** Whether an instance may be given calls at all, whether or not it has a free slot now. */
export function isChoosable(instance: Instance): boolean {
  return instance.state === 'ready' && !instance.unreachable;
}

/** Ids are UUIDs: they have no space. */
export function keyOf(runtimeId: string, version: number): string {
  return `${runtimeId} ${version}`;
}
