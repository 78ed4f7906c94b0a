import { RunsteadError } from '@runstead/contract';
import { hasRoomToWait, type Pace, paceAfter, retryAfterSeconds } from '../domain/waiting.ts';
import type { UpMessage } from '../feed/messages.ts';
import { chooseVersion, type Destination, findEndpoint, isOpenTo, pickInstance } from './choose.ts';
import { type Demand, DemandReport } from './demand.ts';
import type { HangUpSignal } from './hang-up.ts';
import { type Instance, type InstanceSet, isChoosable } from './instances.ts';
import { type Lease, SlotLease } from './lease.ts';
import type { RouteTable } from './route-table.ts';
import type { Session } from './session.ts';
import type { SessionCall } from './session-call.ts';
import type { Sessions } from './sessions.ts';
import type { GatewaySettings } from './settings.ts';
import { type InLine, WaitingLine } from './waiting-line.ts';

export type { Lease } from './lease.ts';

/** Thrown to a call whose client hung up while it waited: nobody is left to answer. */
export class ClientGone extends Error {
  override readonly name = 'ClientGone';
}

interface Waiter extends InLine<Waiter> {
  destination: Destination;
  line: Line;
  /** Of its call, while that waits. */
  session: Session | undefined;
  /** Of memory, while it waits. */
  heldBytes: number;
  sinceMs: number;
  grant(lease: Lease): void;
  refuse(error: Error): void;
}

/** The calls of one version: those it answers and, first come first served, those that wait for a slot. */
interface Line {
  runtimeId: string;
  version: number;
  waiting: WaitingLine<Waiter>;
  /** How many of those that wait belong to sessions. */
  ofSessions: number;
  /** Held in memory by the calls that wait. */
  heldBytes: number;
  pace: Pace;
  inFlight: number;
  demand: DemandReport;
  /** More calls are about to be called out than one turn of the event loop is given. */
  isCalledOutLater: boolean;
}

/** The lines of one runtime. */
interface RuntimeLines {
  byVersion: Map<number, Line>;
  /** Held in memory by the calls that wait, in all of them. */
  heldBytes: number;
}

/** Nothing else of the gateway happens while calls are called out: a long line is emptied in several turns. */
const CALLED_OUT_AT_ONCE = 64;

export interface AdmissionOptions {
  table: RouteTable;
  instances: InstanceSet;
  sessions: Sessions;
  limits: Pick<GatewaySettings, 'queueLength' | 'queueBytes' | 'queueBytesTotal' | 'queueTimeoutMs'>;
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
  readonly #lines = new Map<string, RuntimeLines>();
  /** Calls that are open or wait, in all lines. */
  #calls = 0;
  /** Held in memory by the calls that wait, in all lines. */
  #heldBytes = 0;
  #closedBecause: string | undefined;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** Whether any call is open or waits. */
  get isBusy(): boolean {
    return this.#calls > 0;
  }

  /**
   * @param signal aborted when the client hangs up: the call leaves the line
   * @param turn `again` for a call that had its turn and met an instance that was not there: it goes first, and
   * however long the line is
   * @param heldBytes what the call keeps in memory while it waits
   * @throws RunsteadError ERR_TOO_MANY_REQUESTS (line full), ERR_UNAVAILABLE (waited too long, no room for an instance,
   * or closing), ERR_VERSION_FAILED, or what `chooseVersion` throws if the routes change meanwhile; ClientGone
   */
  admit(
    destination: Destination,
    signal: HangUpSignal,
    turn: 'first' | 'again' = 'first',
    heldBytes = 0,
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
    const refusal =
      this.#uselessToWait(line, to) ??
      (turn === 'first' ? this.#noRoomToWait(line, to, heldBytes) : undefined);
    if (refusal) {
      // The call cannot be helped any more, but it is a reason to try starting the version again; and where nothing
      // may wait, it has to wake the version.
      line.demand.turnedAway();
      throw refusal;
    }
    return this.#join(line, to, signal, turn, heldBytes);
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
    const lines = this.#linesOf(runtimeId);
    let refused = 0;
    for (const line of lines) {
      for (let waiter = line.waiting.first, next: Waiter | undefined; waiter; waiter = next) {
        next = waiter.after;
        if (this.#isServed(waiter.destination) || this.#move(waiter)) continue;
        if (++refused < CALLED_OUT_AT_ONCE) continue;
        // Those behind have not been looked at, and may not be let in to where they stand.
        setImmediate(() => this.routesChanged(runtimeId));
        return;
      }
    }
    // Also those that calls have just moved to.
    for (const line of this.#linesOf(runtimeId)) {
      this.#callOut(line);
      line.demand.changed();
      this.#forgetIfIdle(line);
    }
  }

  /** A slot has fallen free without a call that ended. */
  slotFreed({ runtimeId, version }: Instance): void {
    const line = this.#lines.get(runtimeId)?.byVersion.get(version);
    if (line) this.#callOut(line);
  }

  /** Says again what waits: whoever sent a snapshot may have missed it. */
  repeatDemand(): void {
    for (const line of this.#everyLine()) line.demand.repeat();
  }

  /** From now on no call waits; those that do are answered. Calls that find a free slot are still let in. */
  close(reason: string): void {
    this.#closedBecause = reason;
    for (const line of this.#everyLine()) this.#callOut(line);
  }

  #join(
    line: Line,
    destination: Destination,
    signal: HangUpSignal,
    turn: 'first' | 'again',
    heldBytes: number,
  ): Promise<Lease> {
    return new Promise<Lease>((resolve, reject) => {
      const leave = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', onGone);
        this.#leave(waiter);
        if (waiter.session) this.#options.sessions.waitOver(waiter.session);
        waiter.line.demand.changed();
      };
      const waiter: Waiter = {
        before: undefined,
        after: undefined,
        destination,
        line,
        session: destination.session && this.#options.sessions.wait(destination.session, destination.version),
        heldBytes,
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
      this.#enter(waiter, line, turn);
      line.demand.changed();
    });
  }

  #enter(waiter: Waiter, line: Line, turn: 'first' | 'again'): void {
    if (line.waiting.length === 0) line.pace = { ...line.pace, sinceMs: this.#options.now() };
    waiter.line = line;
    if (turn === 'again') line.waiting.enterFirst(waiter);
    else line.waiting.enter(waiter);
    this.#count(waiter, 1);
  }

  #leave(waiter: Waiter): void {
    waiter.line.waiting.leave(waiter);
    this.#count(waiter, -1);
  }

  #count({ line, heldBytes, session }: Waiter, sign: 1 | -1): void {
    const bytes = heldBytes * sign;
    if (session) line.ofSessions += sign;
    this.#calls += sign;
    this.#heldBytes += bytes;
    line.heldBytes += bytes;
    this.#lines.get(line.runtimeId)!.heldBytes += bytes;
  }

  /**
   * The version a call waits for takes no new calls any more: it goes to the end of another's line.
   * @returns false if there is none: it has been told so
   */
  #move(waiter: Waiter): boolean {
    let destination: Destination;
    try {
      destination = this.#chooseAgain(waiter.destination);
      const { session } = destination;
      if (session) destination = this.#withItsSession(destination, session, undefined);
    } catch (error) {
      waiter.refuse(error as Error);
      return false;
    }
    this.#leave(waiter);
    waiter.destination = destination;
    if (waiter.session) waiter.session.version = destination.version;
    this.#enter(waiter, this.#lineOf(destination.runtimeId, destination.version), 'first');
    return true;
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
    for (let waiter = waiting.first; waiter; waiter = waiter.after) {
      if (this.#boundTo(waiter) === undefined) return false;
    }
    return true;
  }

  /**
   * Hands free slots to those who have waited longest, lets those go on whose session has one, and tells those who wait
   * in vain why.
   */
  #callOut(line: Line): void {
    let isFull = false;
    let left = CALLED_OUT_AT_ONCE;
    for (let waiter = line.waiting.first, next: Waiter | undefined; waiter; waiter = next) {
      next = waiter.after;
      // Nobody behind has anything to hope for but a slot.
      if (isFull && line.ofSessions === 0) return;
      if (left === 0) {
        this.#callOutLater(line);
        return;
      }
      const bound = this.#boundTo(waiter);
      if (isFull && !bound) continue;
      const isClosed = this.#closedBecause !== undefined;
      let instance = bound?.unreachable || isClosed ? undefined : bound;
      if (!bound && !isClosed) instance = this.#freeInstance(line);
      if (instance) {
        left--;
        const its = instance.version === line.version ? line : this.#lineOf(line.runtimeId, instance.version);
        line.pace = paceAfter(line.pace, this.#options.now());
        waiter.grant(this.#lease(its, instance, waiter.destination.session));
        continue;
      }
      const refusal = isClosed
        ? closing(this.#closedBecause!)
        : bound
          ? undefined
          : this.#uselessToWait(line, waiter.destination);
      if (refusal) {
        left--;
        waiter.refuse(refusal);
      } else if (!bound) isFull = true;
    }
  }

  #callOutLater(line: Line): void {
    if (line.isCalledOutLater) return;
    line.isCalledOutLater = true;
    setImmediate(() => {
      line.isCalledOutLater = false;
      this.#callOut(line);
      this.#forgetIfIdle(line);
    });
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
    this.#calls++;
    return new SlotLease(instance, () => {
      line.inFlight--;
      this.#calls--;
      if (session) {
        sessions.leave(session);
      } else {
        instance.taken--;
        instances.spend(instance);
      }
      instances.endCall(instance);
      this.#callOut(line);
      line.demand.changed();
      this.#forgetIfIdle(line);
    });
  }

  /**
   * Why calls need not wait. A version that cannot start more instances but has some that answer is merely busy:
   * its calls wait for those.
   */
  #uselessToWait(line: Line, destination: Destination): RunsteadError | undefined {
    const version = this.#options.table.version(line.runtimeId, line.version);
    if (version === undefined) return undefined;
    const { failure, noRoom } = version;
    if ((failure ?? noRoom) === undefined || this.#choosable(line) > 0) return undefined;
    if (failure !== undefined) return versionFailed(destination, failure);
    return new RunsteadError(
      'ERR_UNAVAILABLE',
      `${capital(describe(destination))} has no instance, and none can be started now: ${noRoom}`,
      { retryAfterSeconds: 1 },
    );
  }

  /** Why a call may not wait: bounds that keep one version, or one runtime, from filling the gateway. */
  #noRoomToWait(line: Line, destination: Destination, bytes: number): RunsteadError | undefined {
    const { queueLength, queueBytes, queueBytesTotal } = this.#options.limits;
    const { length } = line.waiting;
    let full: string | undefined;
    if (length >= queueLength) full = `is full: ${length} calls are waiting`;
    else if (bytes === 0) return undefined;
    else if (line.heldBytes + bytes > queueBytes) {
      full = `is full: ${length} calls are waiting with ${line.heldBytes} bytes, this one has ${bytes}, and ${queueBytes} may be held`;
    } else {
      const ofRuntime = this.#lines.get(line.runtimeId)!.heldBytes;
      const inAll = this.#heldBytes;
      if (!hasRoomToWait({ bytes, ofRuntime, inAll, limit: queueBytesTotal })) {
        full = `can take no call of ${bytes} bytes now: calls that wait for any runtime hold ${inAll} of ${queueBytesTotal} bytes, those for this one ${ofRuntime}`;
      }
    }
    if (full === undefined) return undefined;
    return new RunsteadError('ERR_TOO_MANY_REQUESTS', `The queue of ${describe(destination)} ${full}`, {
      retryAfterSeconds: this.#comeAgainIn(line),
    });
  }

  #comeAgainIn(line: Line): number {
    const { length } = line.waiting;
    if (length === 0) return 1;
    return retryAfterSeconds(line.pace, length, this.#options.now(), this.#options.limits.queueTimeoutMs);
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
      { retryAfterSeconds: this.#comeAgainIn(waiter.line) },
    );
  }

  #lineOf(runtimeId: string, version: number): Line {
    let lines = this.#lines.get(runtimeId);
    if (!lines) {
      lines = { byVersion: new Map(), heldBytes: 0 };
      this.#lines.set(runtimeId, lines);
    }
    const known = lines.byVersion.get(version);
    if (known) return known;
    const line: Line = {
      runtimeId,
      version,
      waiting: new WaitingLine(),
      ofSessions: 0,
      heldBytes: 0,
      pace: { left: 0, spanMs: 0, sinceMs: 0 },
      inFlight: 0,
      demand: new DemandReport(
        () => this.#demandOf(line),
        (demand) => {
          this.#options.send({ type: 'demand', runtimeId, version, ...demand });
          // The last word on a version may be said after its last call was.
          if (demand.queued === 0) this.#forgetIfIdle(line);
        },
      ),
      isCalledOutLater: false,
    };
    lines.byVersion.set(version, line);
    return line;
  }

  /** Calls of one session wait for one slot; those whose session has one wait for none. */
  #demandOf({ runtimeId, version, waiting, inFlight }: Line): Demand {
    if (waiting.length === 0) return { queued: 0, inFlight };
    const known = new Set<Session>();
    let queued = 0;
    for (let waiter = waiting.first; waiter; waiter = waiter.after) {
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
    return [...(this.#lines.get(runtimeId)?.byVersion.values() ?? [])];
  }

  *#everyLine(): Generator<Line> {
    for (const { byVersion } of this.#lines.values()) yield* byVersion.values();
  }

  /** A version that still has instances keeps its line; those of versions long gone would pile up. */
  #forgetIfIdle(line: Line): void {
    if (line.waiting.length > 0 || line.inFlight > 0 || !line.demand.idle) return;
    if (this.#options.table.version(line.runtimeId, line.version)) return;
    const lines = this.#lines.get(line.runtimeId);
    // It may have been forgotten already, and begun anew.
    if (lines?.byVersion.get(line.version) !== line) return;
    lines.byVersion.delete(line.version);
    if (lines.byVersion.size === 0) this.#lines.delete(line.runtimeId);
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

function closing(reason: string): RunsteadError {
  return new RunsteadError('ERR_UNAVAILABLE', reason, { retryAfterSeconds: 1 });
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function seconds(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
