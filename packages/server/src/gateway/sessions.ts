import { randomBytes } from 'node:crypto';
import {
  type CookiePlace,
  openCookie,
  type SessionOwner,
  sealCookie,
  sessionHash,
  sessionName,
  setCookie,
} from '../domain/affinity.ts';
import type { SessionRoute, UpMessage } from '../feed/messages.ts';
import type { Instance, InstanceSet } from './instances.ts';
import type { Held, MoveReason, Session } from './session.ts';
import type { Presented, SessionCall } from './session-call.ts';
import { SessionReport } from './session-report.ts';

/** Tells the caller of a session where it is: `new`, `bound` or `moved; reason=…`. */
export const SESSION_STATE_HEADER = 'x-runstead-session';

export interface SessionsOptions {
  instances: InstanceSet;
  send: (message: UpMessage) => void;
  /** A slot of the instance has fallen free. */
  freed: (instance: Instance) => void;
  /** Monotonic ms. */
  now: () => number;
  /** ms since 1970. */
  clock: () => number;
}

const SWEEP_MS = 1000;
/**
 * Sessions that are bound are as many as there are slots. Of those that lost their instance, so many are remembered, to
 * be told that they have moved; the ones lost longest ago are then new ones.
 */
const LOST_MAX = 10_000;
/** So many that ended are remembered; the cookie of an older one brings it back to its instance. */
const OVER_MAX = 10_000;
/** A cookie outlives the idle time by half of it: it is set anew when less than the idle time is left. */
const COOKIE_LIFE = 1.5;
const ID_BYTES = 18;
const SECRET_BYTES = 32;

/**
 * The sessions there are, in memory. A bound session holds one slot of its instance until it has been idle for too long,
 * is ended, or has to make room; its calls, however many, share that slot.
 */
export class Sessions {
  readonly #options: SessionsOptions;
  readonly #byAlias = new Map<string, Session>();
  readonly #byHash = new Map<string, Session>();
  readonly #held = new Map<Instance, Held>();
  /** Longest ago first. */
  readonly #lost = new Set<Session>();
  /** Hashes of sessions that have ended here, longest ago first: their cookies may still be good. */
  readonly #over = new Set<string>();
  readonly #report: SessionReport;
  #secret: Uint8Array = randomBytes(SECRET_BYTES);

  constructor(options: SessionsOptions) {
    this.#options = options;
    this.#report = new SessionReport(options);
  }

  /** Ends idle sessions from now on. @returns stops it */
  begin(): () => void {
    const sweeping = setInterval(() => this.sweep(), SWEEP_MS).unref();
    return () => clearInterval(sweeping);
  }

  /**
   * A call of the session that it says it belongs to; one that says so by none of the platform's cookies begins one.
   * @param place where a cookie would go
   */
  callOf(owner: SessionOwner, by: Presented, extras: string[], place: () => CookiePlace): SessionCall {
    if (typeof by !== 'string') return this.#callByCookie(owner, by, extras, place);
    const alias = sessionName(owner, by);
    const session = this.#byAlias.get(alias);
    return { owner, id: by, alias, cookie: undefined, extras, session, told: undefined };
  }

  /**
   * The instance that a call has to go to, since its session is bound there. It may be unreachable at the moment; then
   * the call waits until routes say what became of it.
   */
  instanceOf(call: SessionCall): Instance | undefined {
    const session = this.#find(call);
    if (!session) return this.#namedByCookie(call);
    const { instance } = session;
    if (!instance) {
      if (this.#hasExpired(session)) this.#forget(session);
      return undefined;
    }
    // Nobody looks into one that was to go anyway.
    if (instance.unreachable && instance.state === 'draining') {
      this.#lose(session, 'instance-gone');
      return undefined;
    }
    return instance;
  }

  /** The version that calls of the same session, none of which has a slot yet, wait for. */
  versionAwaited({ session }: SessionCall): number | undefined {
    return session && !session.instance && session.waiting > 0 ? session.version : undefined;
  }

  /**
   * A call begins to wait for a slot.
   * @returns what to tell when it waits no more
   */
  wait(call: SessionCall, version: number): Session {
    const session = this.#find(call) ?? this.#create(call, version);
    if (!session.instance) session.version = version;
    session.waiting++;
    return session;
  }

  /** A call waits no more. */
  waitOver(session: Session): void {
    session.waiting--;
    this.#forgetIfUnused(session);
  }

  /**
   * A call goes to an instance, and its session with it, if it is not there already.
   * @returns what to tell when the call is over
   */
  enter(call: SessionCall, instance: Instance): Session {
    const session = this.#find(call) ?? this.#create(call, instance.version);
    let how = 'bound';
    if (session.instance !== instance) {
      how = session.lost === undefined ? howBegun(call, instance) : `moved; reason=${session.lost}`;
      if (session.instance) this.#unbind(session);
      this.#bind(session, instance);
    }
    if (session.openCalls === 0) {
      const held = session.held!;
      held.idle.delete(session);
      if (!session.confirmed) held.unconfirmed.delete(session);
    }
    if (call.cookie?.came) session.confirmed = true;
    session.openCalls++;
    this.#report.changed(session);
    // What began with this very call is new to its caller, wherever it has been meanwhile.
    this.#tell(call, session, call.told === 'new' ? 'new' : how);
    // Whoever comes next must not find the instance free because this gateway was killed a moment from now.
    if (instance.isolated && how !== 'bound') this.flush();
    return session;
  }

  /** A call that entered is over. Meanwhile its session may have been ended, or have moved. */
  leave(session: Session): void {
    session.openCalls--;
    if (session.openCalls > 0) return;
    session.lastUsedMs = this.#options.now();
    const { instance } = session;
    if (!instance) return;
    if (session.isOver) {
      this.#unbind(session);
      this.#options.freed(instance);
      return;
    }
    const held = session.held!;
    held.idle.add(session);
    if (!session.confirmed) held.unconfirmed.add(session);
    this.#report.changed(session);
  }

  /**
   * Takes a slot from a session without an open call: at the cap from the one unused for longest; before it only from one
   * whose cookie never came back, as those of clients that keep no cookies do not.
   * @param candidates that may be given calls
   * @returns the instance with the free slot; undefined: nobody can make room
   */
  makeRoom(candidates: readonly Instance[], atCap: boolean): Instance | undefined {
    if (this.#held.size === 0) return undefined;
    let chosen: Session | undefined;
    for (const instance of candidates) {
      // It is never anybody else's.
      if (instance.isolated) continue;
      const held = this.#held.get(instance);
      const first = held && (firstOf(held.unconfirmed) ?? (atCap ? firstOf(held.idle) : undefined));
      if (first && (!chosen || precedes(first, chosen))) chosen = first;
    }
    const room = chosen?.instance;
    if (chosen) this.#lose(chosen, 'evicted');
    return room;
  }

  /** An instance is gone; calls to it may still be open. */
  instanceGone(instance: Instance, reason: MoveReason): void {
    for (const session of this.#held.get(instance)?.all ?? []) this.#lose(session, reason);
  }

  /** The runtime takes no calls any more. */
  endAllOf(runtimeId: string): void {
    for (const [instance, { all }] of this.#held) {
      if (instance.runtimeId === runtimeId) for (const session of all) this.#end(session);
    }
  }

  /** Ends one. Its open calls finish, and hold its slot until then. */
  end(hash: string): void {
    const session = this.#byHash.get(hash);
    if (session) this.#end(session);
    this.#report.endedBefore(hash);
    this.flush();
  }

  /** Ends what has been idle for too long; every second, and so at most that much too late. */
  sweep(): void {
    for (const { idle } of this.#held.values()) {
      for (const session of idle) {
        if (!this.#hasExpired(session)) break;
        this.#end(session);
      }
    }
    for (const session of this.#lost) {
      if (!this.#hasExpired(session)) break;
      this.#forget(session);
    }
  }

  /** What hashes and cookies are made with. */
  useSecret(secret: string | undefined): void {
    if (secret !== undefined) this.#secret = Buffer.from(secret, 'base64url');
  }

  /** Takes over the sessions that an earlier gateway bound. */
  adopt(routes: readonly SessionRoute[]): void {
    const { instances, now, clock } = this.#options;
    const [nowMs, clockMs] = [now(), clock()];
    for (const route of routes.toSorted((a, b) => a.lastUsedMs - b.lastUsedMs)) {
      const instance = instances.byId(route.instanceId);
      const idleMs = Math.max(0, clockMs - route.lastUsedMs);
      if (!instance || idleMs >= instance.sessionIdleMs || this.#byHash.has(route.hash)) {
        this.#report.endedBefore(route.hash);
        continue;
      }
      const session: Session = {
        hash: route.hash,
        runtimeId: route.runtimeId,
        endpointName: route.endpointName,
        keyId: route.keyId,
        alias: undefined,
        version: instance.version,
        instance: undefined,
        held: undefined,
        isOver: false,
        isUntold: false,
        lost: undefined,
        waiting: 0,
        openCalls: 0,
        confirmed: true,
        createdMs: route.createdMs,
        lastUsedMs: nowMs - idleMs,
        idleMs: instance.sessionIdleMs,
      };
      this.#byHash.set(session.hash, session);
      this.#bind(session, instance);
      session.held!.idle.add(session);
    }
  }

  /** Says of all sessions again where they are: whoever sent a snapshot may have missed it. */
  repeat(): void {
    for (const session of this.#byHash.values()) if (session.instance) this.#report.changed(session);
    this.flush();
  }

  /** Says at once what is still to be said. */
  flush(): void {
    this.#report.flush();
  }

  #callByCookie(
    owner: SessionOwner,
    values: readonly string[],
    extras: string[],
    place: () => CookiePlace,
  ): SessionCall {
    const nowSeconds = this.#options.clock() / 1000;
    const shared = { owner, extras, session: undefined, told: undefined };
    for (const value of values) {
      const came = openCookie(this.#secret, owner, value);
      if (!came) continue;
      const alias = sessionName(owner, came.id);
      const call: SessionCall = { ...shared, id: came.id, alias, cookie: { place, came } };
      // One that has expired counts as long as its session lives.
      if (this.#find(call)) return call;
      if (came.expiresAt > nowSeconds && !this.#over.has(sessionHash(this.#secret, alias))) return call;
    }
    const id = randomBytes(ID_BYTES).toString('base64url');
    return { ...shared, id, alias: sessionName(owner, id), cookie: { place, came: undefined } };
  }

  /** The session of a call, also one that only the gateway before this one has seen the id of. */
  #find(call: SessionCall): Session | undefined {
    if (call.session && !call.session.isOver) return call.session;
    let session = this.#byAlias.get(call.alias);
    if (!session) {
      session = this.#byHash.get(sessionHash(this.#secret, call.alias));
      if (session) {
        session.alias = call.alias;
        this.#byAlias.set(call.alias, session);
      }
    }
    call.session = session;
    return session;
  }

  /** A cookie names the instance of its session: this gateway may not have heard of it. */
  #namedByCookie({ cookie }: SessionCall): Instance | undefined {
    if (!cookie?.came) return undefined;
    const instance = this.#options.instances.byId(cookie.came.instanceId);
    if (!instance || instance.state === 'gone') return undefined;
    const isUsable = !instance.isolated && !instance.unreachable && instance.taken < instance.slots;
    return isUsable ? instance : undefined;
  }

  #create(call: SessionCall, version: number): Session {
    const session: Session = {
      ...call.owner,
      hash: sessionHash(this.#secret, call.alias),
      alias: call.alias,
      version,
      instance: undefined,
      held: undefined,
      isOver: false,
      isUntold: false,
      lost: undefined,
      waiting: 0,
      openCalls: 0,
      confirmed: call.cookie === undefined || call.cookie.came !== undefined,
      createdMs: this.#options.clock(),
      lastUsedMs: this.#options.now(),
      idleMs: 0,
    };
    this.#byAlias.set(call.alias, session);
    this.#byHash.set(session.hash, session);
    call.session = session;
    return session;
  }

  #bind(session: Session, instance: Instance): void {
    session.instance = instance;
    session.version = instance.version;
    session.lost = undefined;
    this.#over.delete(session.hash);
    session.idleMs = instance.sessionIdleMs;
    this.#lost.delete(session);
    let held = this.#held.get(instance);
    if (!held) {
      held = { all: new Set(), idle: new Set(), unconfirmed: new Set() };
      this.#held.set(instance, held);
    }
    held.all.add(session);
    session.held = held;
    this.#options.instances.bindSession(instance);
    this.#report.changed(session);
  }

  /** Gives the slot back. */
  #unbind(session: Session): void {
    const instance = session.instance!;
    const held = session.held!;
    held.all.delete(session);
    held.idle.delete(session);
    held.unconfirmed.delete(session);
    if (held.all.size === 0) this.#held.delete(instance);
    session.instance = undefined;
    session.held = undefined;
    this.#options.instances.unbindSession(instance);
  }

  /** It has no instance any more, and its next call is told. */
  #lose(session: Session, reason: MoveReason): void {
    this.#unbind(session);
    if (session.isOver) return;
    session.lost = reason;
    this.#lost.add(session);
    this.#report.ended(session);
    if (this.#lost.size > LOST_MAX) this.#forget(firstOf(this.#lost)!);
  }

  /** From now on its id begins another session. */
  #end(session: Session): void {
    this.#forget(session);
    this.#over.add(session.hash);
    if (this.#over.size > OVER_MAX) this.#over.delete(firstOf(this.#over)!);
    this.#report.ended(session);
    const { instance } = session;
    if (!instance) return;
    if (session.openCalls > 0) {
      this.#options.instances.spend(instance);
    } else {
      this.#unbind(session);
      this.#options.freed(instance);
    }
  }

  #forget(session: Session): void {
    if (session.isOver) return;
    session.isOver = true;
    this.#byHash.delete(session.hash);
    if (session.alias !== undefined) this.#byAlias.delete(session.alias);
    this.#lost.delete(session);
  }

  /** One that was never bound, and whose calls have all left. */
  #forgetIfUnused(session: Session): void {
    const isUnused = !session.instance && session.lost === undefined && session.openCalls === 0;
    if (isUnused && session.waiting === 0) this.#forget(session);
  }

  #hasExpired(session: Session): boolean {
    const isUsed = session.openCalls > 0 || session.waiting > 0;
    return !isUsed && this.#options.now() - session.lastUsedMs >= session.idleMs;
  }

  #tell(call: SessionCall, session: Session, how: string): void {
    setField(call.extras, SESSION_STATE_HEADER, how);
    call.told = how;
    const { cookie } = call;
    if (!cookie) return;
    const idleSeconds = Math.ceil(session.idleMs / 1000);
    const nowSeconds = Math.floor(this.#options.clock() / 1000);
    const { came } = cookie;
    const isGood = came?.instanceId === session.instance!.id && came.expiresAt - nowSeconds > idleSeconds;
    if (isGood) return;
    const maxAge = Math.ceil(idleSeconds * COOKIE_LIFE);
    const content = { id: call.id, instanceId: session.instance!.id, expiresAt: nowSeconds + maxAge };
    const value = sealCookie(this.#secret, call.owner, content);
    setField(call.extras, 'set-cookie', setCookie(value, cookie.place(), maxAge));
  }
}

/** A session that this gateway did not know: new, unless its cookie says that there was one. */
function howBegun({ cookie }: SessionCall, instance: Instance): string {
  if (!cookie?.came) return 'new';
  return cookie.came.instanceId === instance.id ? 'bound' : 'moved; reason=instance-gone';
}

function precedes(one: Session, other: Session): boolean {
  if (one.confirmed !== other.confirmed) return !one.confirmed;
  return one.lastUsedMs < other.lastUsedMs;
}

/** Replaces a field that is there already: a call may be let in again. */
function setField(fields: string[], name: string, value: string): void {
  const at = fields.indexOf(name);
  if (at === -1) fields.push(name, value);
  else fields[at + 1] = value;
}

function firstOf<T>(set: ReadonlySet<T>): T | undefined {
  for (const item of set) return item;
  return undefined;
}
