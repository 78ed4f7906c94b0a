import { isClockGap } from '../domain/clock-gap.ts';
import type { Driver } from '../drivers/driver.ts';
import { BusyWatch } from './busy-watch.ts';
import type { Instance, InstanceSet } from './instance-set.ts';

export interface IdlenessOptions {
  driver: Driver;
  instances: InstanceSet;
  idleStopMs: number;
  /** How long an instance is kept because it says that it is busy. */
  busyLimitMs: number;
  drainTimeoutMs: number;
  /** Monotonic, in ms. */
  now: () => number;
  /** An instance has said whether it is busy. */
  onAnswer: (instance: Instance) => void;
}

/** The gateway reports every second, as long as there are instances. */
const REPORTS_MISSED_MS = 2500;

export type Idleness = ReturnType<typeof createIdleness>;

/** Which instances have nothing to do, and may therefore go: those without a call that do not say that they are busy. */
export function createIdleness(options: IdlenessOptions) {
  const { instances, now, onAnswer } = options;
  /** Draining instances that have no call left and may be busy without one, with the drain that it was said of. */
  const finishing = new Map<string, number | undefined>();
  const busy = new BusyWatch({
    ...options,
    onAnswer: (instance) => {
      finishIfFree(instance.id);
      onAnswer(instance);
    },
  });
  let lastTick: number | undefined;
  let lastReport: number | undefined;
  /** Idleness counts from here at the earliest: moved up after a gap in time. */
  let floor = 0;

  const find = (id: string): Instance | undefined => instances.all().find((instance) => instance.id === id);

  /**
   * Up to when it is known who had calls. What the gateway told a second ago says nothing of the second since: an instance
   * that is called all the time would be let go between two reports. Where reports stay away, the clock counts.
   */
  const knownUntil = (at: number): number =>
    lastReport === undefined || at - lastReport > REPORTS_MISSED_MS ? at : lastReport;

  const idleMs = ({ idleSince }: Instance): number | undefined =>
    idleSince === undefined ? undefined : Math.max(0, knownUntil(now()) - Math.max(idleSince, floor));

  const mayBeLetGo = (instance: Instance): boolean => ['free', 'over'].includes(busy.ask(instance));

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

  return {
    /** How long it has been without a call; undefined while it has one, or that is not known. */
    idleMs,

    busyOf: (instance: Instance) => busy.ask(instance),

    /** Its idle time is over, and it works on something all the same, or may: it is being asked. */
    mayBeBusy: (instance: Instance): boolean =>
      instance.state === 'ready' &&
      instance.inFlight === 0 &&
      instance.sessions === 0 &&
      (idleMs(instance) ?? 0) >= options.idleStopMs &&
      !mayBeLetGo(instance),

    letGo(id: string, why: string): void {
      const instance = find(id);
      const isOver = instance && busy.ask(instance) === 'over';
      const reason = isOver
        ? `${why}, and it has said that it is busy (HealthyBusy) for ${Math.round(options.busyLimitMs / 1000)} s, which is the longest it is kept for that`
        : why;
      instances.drain(id, { deadlineMs: options.drainTimeoutMs, reason });
    },

    /** The gateway has no call and no session left on a draining instance. */
    drained(id: string, drain: number | undefined): void {
      finishing.set(id, drain);
      finishIfFree(id);
    },

    /** It is not there any more. */
    gone(id: string): void {
      busy.forget(id);
      finishing.delete(id);
    },

    /**
     * What the clock does.
     * @returns runtimes with instances whose idle time is over
     */
    tick(at: number): string[] {
      if (isClockGap(lastTick, at)) floor = at;
      lastTick = at;
      return instances
        .all()
        .filter(
          ({ idleSince, sessions }) =>
            idleSince !== undefined &&
            sessions === 0 &&
            knownUntil(at) - Math.max(idleSince, floor) >= options.idleStopMs,
        )
        .map(({ runtimeId }) => runtimeId);
    },

    finishAll(): void {
      for (const id of [...finishing.keys()]) finishIfFree(id);
    },

    /** The gateway tells what it counted. @returns the earliest moment idleness may count from */
    reported(at: number): number {
      // The gateway, too, may have been asleep.
      if (isClockGap(lastReport, at)) floor = at;
      lastReport = at;
      return floor;
    },

    floor: (): number => floor,

    /** The gateway is gone. */
    forgetReports(): void {
      lastReport = undefined;
    },
  };
}
