import { RunsteadError } from '@runstead/contract';
import type { UpMessage } from '../feed/messages.ts';
import { chooseVersion, type Destination, findEndpoint, isOpenTo, pickInstance } from './choose.ts';
import { type Demand, DemandReport } from './demand.ts';
import type { HangUpSignal } from './hang-up.ts';
import { type Instance, type InstanceSet, isChoosable, keyOf } from './instances.ts';
import type { RouteTable } from './route-table.ts';
import type { Session } from './session.ts';
import type { SessionCall } from './session-call.ts';
import type { Sessions } from './sessions.ts';
import type { GatewaySettings } from './settings.ts';

/** A call's place on an instance: a slot of its own, or that of its session. */
export interface Lease {
  readonly instance: Readonly<Instance>;
  /**
   * Set by whoever uses the lease: its instance is about to be stopped, and what is still open has to end now.
   * @param reason one sentence for the client
   */
  onCut?: ((reason: string) => void) | undefined;
  /** The call is over; more than once is harmless. */
  release(): void;
}

/** Thrown to a call whose client hung up while it waited: nobody is left to answer. */
export class ClientGone extends Error {
  override readonly name = 'ClientGone';
}

interface Waiter {
  destination: Destination;
  line: Line;
  /** Of its call, while that waits. */
  session: Session | undefined;
  sinceMs: number;
  grant(lease: Lease): void;
  refuse(error: Error): void;
}

/** The calls of one version: those it answers and, first come first served, those that wait for a slot. */
interface Line {
  runtimeId: string;
  version: number;
  waiting: Waiter[];
  inFlight: number;
  demand: DemandReport;
}

export interface AdmissionOptions {
  table: RouteTable;
  instances: InstanceSet;
  sessions: Sessions;
  limits: Pick<GatewaySettings, 'queueLength' | 'queueTimeoutMs'>;
  send: (message: UpMessage) => void;
  /** In [0,1). */
  random: () => number;
  /** Monotonic ms. */
  now: () => number;
}

/**
 * Lets calls in: an instance with a free slot, else a place in the version's bounded line, from where a slot that
 * falls free, an instance that starts, a failure or a deletion calls it out. Joining the line is what wakes a
 * sleeping version.
 */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #lines = new Map<string, Line>();
  #closedBecause: string | undefined;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** Whether any call is open or waits. */
  get isBusy(): boolean {
    for (const line of this.#lines.values()) if (line.inFlight > 0 || line.waiting.length > 0) return true;
    return false;
  }

  /**
   * @param signal aborted when the client hangs up: the call leaves the line
   * @param turn `again` for a call that had its turn and met an instance that was not there: it goes first, and
   * however long the line is
   * @throws RunsteadError ERR_TOO_MANY_REQUESTS (line full), ERR_UNAVAILABLE (waited too long, or closing),
   * ERR_VERSION_FAILED, or what `chooseVersion` throws if the routes change meanwhile; ClientGone
   */
  admit(
    destination: Destination,
    signal: HangUpSignal,
    turn: 'first' | 'again' = 'first',
  ): Lease | Promise<Lease> {
    if (signal.aborted) throw new ClientGone();
    // While it had its turn, its version may have been replaced.
    let to = turn === 'again' && !this.#isServed(destination) ? this.#chooseAgain(destination) : destination;
    const { session } = to;
    const bound = session && this.#options.sessions.instanceOf(session);
    // Its session has a slot already.
    if (bound && !bound.unreachable)
      return this.#lease(this.#lineOf(to.runtimeId, bound.version), bound, session);
    if (session) to = this.#withItsSession(to, session, bound);
    const line = this.#lineOf(to.runtimeId, to.version);
    if (!bound && (turn === 'again' || this.#nobodyIsBefore(line))) {
      const instance = this.#freeInstance(line);
      if (instance) return this.#lease(line, instance, session);
    }
    if (this.#closedBecause !== undefined) throw closing(this.#closedBecause);
    const failure = this.#failureOf(line);
    if (failure !== undefined) {
      // The call cannot be helped any more, but it is a reason to try starting the version again.
      line.demand.turnedAway();
      throw versionFailed(to, failure);
    }
    if (turn === 'first' && line.waiting.length >= this.#options.limits.queueLength) {
      // Where nothing may wait, a call that is turned away has to wake the version.
      line.demand.turnedAway();
      throw queueFull(to, this.#options.limits.queueLength);
    }
    return this.#join(line, to, signal, turn);
  }

  /**
   * A dial failed: the instance gets no call until routes come again, and the control process is told.
   * @param listenerInDoubt nobody listened there, or perhaps somebody else
   */
  markUnreachable(lease: Lease, reason: string, listenerInDoubt = false): void {
    const instance = lease.instance as Instance;
    if (instance.unreachable || instance.state === 'gone') return;
    instance.unreachable = true;
    this.#options.send({
      type: 'unreachable',
      instanceId: instance.id,
      reason,
      ...(listenerInDoubt && { listenerInDoubt }),
    });
  }

  /** To be called after the table and the instances of a runtime changed: waiting calls go on, move or are told why not. */
  routesChanged(runtimeId: string): void {
    for (const line of this.#linesOf(runtimeId)) {
      for (const waiter of [...line.waiting]) {
        if (!this.#isServed(waiter.destination)) this.#move(waiter);
      }
    }
    for (const line of this.#linesOf(runtimeId)) {
      this.#serve(line);
      const failure = this.#failureOf(line);
      if (failure !== undefined) {
        for (const waiter of [...line.waiting]) waiter.refuse(versionFailed(waiter.destination, failure));
      }
      line.demand.changed();
      this.#forgetIfIdle(line);
    }
  }

  /** A slot has fallen free without a call that ended. */
  slotFreed({ runtimeId, version }: Instance): void {
    const line = this.#lines.get(keyOf(runtimeId, version));
    if (line) this.#serve(line);
  }

  /** Says again what waits: whoever sent a snapshot may have missed it. */
  repeatDemand(): void {
    for (const line of this.#lines.values()) line.demand.repeat();
  }

  /** From now on no call waits; those that do are answered. Calls that find a free slot are still let in. */
  close(reason: string): void {
    this.#closedBecause = reason;
    for (const line of this.#lines.values()) {
      for (const waiter of [...line.waiting]) waiter.refuse(closing(reason));
    }
  }

  #join(line: Line, destination: Destination, signal: HangUpSignal, turn: 'first' | 'again'): Promise<Lease> {
    return new Promise<Lease>((resolve, reject) => {
      const leave = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', onGone);
        const at = waiter.line.waiting.indexOf(waiter);
        if (at !== -1) waiter.line.waiting.splice(at, 1);
        if (waiter.session) this.#options.sessions.waitOver(waiter.session);
        waiter.line.demand.changed();
      };
      const waiter: Waiter = {
        destination,
        line,
        session: destination.session && this.#options.sessions.wait(destination.session, destination.version),
        sinceMs: this.#options.now(),
        grant: (lease) => {
          leave();
          resolve(lease);
        },
        refuse: (error) => {
          leave();
          reject(error);
        },
      };
      const onGone = () => waiter.refuse(new ClientGone());
      const timer = setTimeout(
        () => waiter.refuse(this.#waitedTooLong(waiter)),
        this.#options.limits.queueTimeoutMs,
      );
      signal.addEventListener('abort', onGone, { once: true });
      if (turn === 'again') line.waiting.unshift(waiter);
      else line.waiting.push(waiter);
      line.demand.changed();
    });
  }

  /** The version a call waits for takes no new calls any more: it goes to the end of another's line. */
  #move(waiter: Waiter): void {
    let destination: Destination;
    try {
      destination = this.#chooseAgain(waiter.destination);
      const { session } = destination;
      if (session) destination = this.#withItsSession(destination, session, undefined);
    } catch (error) {
      waiter.refuse(error as Error);
      return;
    }
    const from = waiter.line;
    from.waiting.splice(from.waiting.indexOf(waiter), 1);
    waiter.destination = destination;
    if (waiter.session) waiter.session.version = destination.version;
    waiter.line = this.#lineOf(destination.runtimeId, destination.version);
    waiter.line.waiting.push(waiter);
  }

  /** Whether new calls still go to that version; one that only has calls to finish is never started again. */
  #isServed({ runtimeId, endpointName, version, isPrivate }: Destination): boolean {
    const runtime = this.#options.table.byId(runtimeId);
    if (runtime?.state !== 'serving') return false;
    const endpoint = findEndpoint(runtime, endpointName);
    if (!endpoint || !isOpenTo(endpoint, isPrivate)) return false;
    return endpoint.weights.some((weight) => weight.version === version);
  }

  /** @throws RunsteadError as `chooseVersion` */
  #chooseAgain(destination: Destination): Destination {
    const { table, random } = this.#options;
    return chooseVersion(table.byId(destination.runtimeId), destination, random());
  }

  /** Calls of one session stay together: with its instance, or where the first of them waits. */
  #withItsSession(to: Destination, session: SessionCall, bound: Instance | undefined): Destination {
    const version = bound?.version ?? this.#options.sessions.versionAwaited(session);
    if (version === undefined || version === to.version) return to;
    const other = { ...to, version };
    return bound || this.#isServed(other) ? other : to;
  }

  #boundTo({ destination: { session } }: Waiter): Instance | undefined {
    return session && this.#options.sessions.instanceOf(session);
  }

  /** Who waits for the instance of its session holds nobody up. */
  #nobodyIsBefore({ waiting }: Line): boolean {
    return waiting.length === 0 || waiting.every((waiter) => this.#boundTo(waiter) !== undefined);
  }

  /** Hands free slots to those who have waited longest, and lets those go on whose session has one. */
  #serve(line: Line): void {
    let isFull = false;
    for (let at = 0; at < line.waiting.length; ) {
      const waiter = line.waiting[at]!;
      const bound = this.#boundTo(waiter);
      let instance = bound?.unreachable ? undefined : bound;
      if (!bound && !isFull) {
        instance = this.#freeInstance(line);
        isFull = instance === undefined;
      }
      if (!instance) at++;
      else {
        const its = instance.version === line.version ? line : this.#lineOf(line.runtimeId, instance.version);
        waiter.grant(this.#lease(its, instance, waiter.destination.session));
      }
    }
  }

  #freeInstance({ runtimeId, version }: Line): Instance | undefined {
    const { instances, sessions, table, random } = this.#options;
    const all = instances.of(runtimeId, version);
    const free = all.filter((instance) => instance.taken < instance.slots && isChoosable(instance));
    if (free.length > 0) return pickInstance(free, [random(), random()]);
    return sessions.makeRoom(all.filter(isChoosable), table.version(runtimeId, version)?.atCap === true);
  }

  #lease(line: Line, instance: Instance, call: SessionCall | undefined): Lease {
    const { instances, sessions } = this.#options;
    const session = call && sessions.enter(call, instance);
    if (!session) instance.taken++;
    instances.beginCall(instance);
    line.inFlight++;
    let held = true;
    return {
      instance,
      release: () => {
        if (!held) return;
        held = false;
        line.inFlight--;
        if (session) {
          sessions.leave(session);
        } else {
          instance.taken--;
          instances.spend(instance);
        }
        instances.endCall(instance);
        this.#serve(line);
        line.demand.changed();
        this.#forgetIfIdle(line);
      },
    };
  }

  /**
   * Why calls need not wait. A version that cannot start more instances but has some that answer is merely busy:
   * its calls wait for those.
   */
  #failureOf(line: Line): string | undefined {
    const failure = this.#options.table.version(line.runtimeId, line.version)?.failure;
    if (failure === undefined) return undefined;
    return this.#choosable(line) === 0 ? failure : undefined;
  }

  #choosable(line: Line): number {
    return this.#options.instances.of(line.runtimeId, line.version).filter(isChoosable).length;
  }

  #waitedTooLong(waiter: Waiter): RunsteadError {
    const instances = this.#choosable(waiter.line);
    const waited = seconds(this.#options.now() - waiter.sinceMs);
    const why =
      instances === 0
        ? 'none has started yet'
        : instances === 1
          ? 'the only instance is busy'
          : `all ${instances} instances are busy`;
    return new RunsteadError(
      'ERR_UNAVAILABLE',
      `Waited ${waited} for an instance of ${describe(waiter.destination)}: ${why}`,
      { retryAfterSeconds: 1 },
    );
  }

  #lineOf(runtimeId: string, version: number): Line {
    const key = keyOf(runtimeId, version);
    const known = this.#lines.get(key);
    if (known) return known;
    const line: Line = {
      runtimeId,
      version,
      waiting: [],
      inFlight: 0,
      demand: new DemandReport(
        () => this.#demandOf(line),
        (demand) => {
          this.#options.send({ type: 'demand', runtimeId, version, ...demand });
          // The last word on a version may be said after its last call was.
          if (demand.queued === 0) this.#forgetIfIdle(line);
        },
      ),
    };
    this.#lines.set(key, line);
    return line;
  }

  /** Calls of one session wait for one slot; those whose session has one wait for none. */
  #demandOf({ runtimeId, version, waiting, inFlight }: Line): Demand {
    if (waiting.length === 0) return { queued: 0, inFlight };
    const known = new Set<Session>();
    let queued = 0;
    for (const waiter of waiting) {
      const { session } = waiter;
      if (session && (session.instance || known.has(session))) continue;
      if (session) known.add(session);
      queued++;
    }
    let taken = 0;
    for (const instance of this.#options.instances.of(runtimeId, version)) {
      if (isChoosable(instance)) taken += instance.taken;
    }
    return { queued, inFlight: taken };
  }

  #linesOf(runtimeId: string): Line[] {
    return [...this.#lines.values()].filter((line) => line.runtimeId === runtimeId);
  }

  /** A version that still has instances keeps its line; those of versions long gone would pile up. */
  #forgetIfIdle(line: Line): void {
    if (line.waiting.length > 0 || line.inFlight > 0 || !line.demand.idle) return;
    if (this.#options.table.version(line.runtimeId, line.version)) return;
    this.#lines.delete(keyOf(line.runtimeId, line.version));
  }
}

function describe({ runtimeName, version }: Destination): string {
  return `version ${version} of runtime '${runtimeName}'`;
}

function versionFailed(destination: Destination, failure: string): RunsteadError {
  return new RunsteadError(
    'ERR_VERSION_FAILED',
    `${capital(describe(destination))} cannot start: ${failure}`,
  );
}

function queueFull(destination: Destination, length: number): RunsteadError {
  return new RunsteadError(
    'ERR_TOO_MANY_REQUESTS',
    `The queue of ${describe(destination)} is full: ${length} calls are waiting`,
    { retryAfterSeconds: 1 },
  );
}

function closing(reason: string): RunsteadError {
  return new RunsteadError('ERR_UNAVAILABLE', reason, { retryAfterSeconds: 1 });
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function seconds(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
