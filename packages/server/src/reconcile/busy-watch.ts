import type { Driver } from '../drivers/driver.ts';
import type { Instance } from './instance-set.ts';

/** An answer counts for so long. */
const FRESH_MS = 2000;
/** One that says that it is busy is asked again after so long, or after the idle time if that is shorter. */
const ASK_AGAIN_MS = 5000;
const LEAST_MS = 100;

interface Asked {
  /** When it was asked, and when it answered. */
  at: number;
  answer: 'free' | 'busy' | undefined;
  isAsking: boolean;
  /** Since when it has said without a break that it is busy. */
  busySince: number | undefined;
}

export interface BusyWatchOptions {
  driver: Driver;
  /** How long an instance is kept because it says that it is busy. */
  busyLimitMs: number;
  idleStopMs: number;
  /** Monotonic, in ms. */
  now: () => number;
  /** It has answered, and no longer that it is busy as before. */
  onAnswer: (instance: Instance) => void;
}

/**
 * Asks instances without a call, before they are let go, whether they work on something all the same: one whose health path
 * answers `{"status":"HealthyBusy"}` does. One that does not answer says nothing, and counts as free.
 */
export class BusyWatch {
  readonly #options: BusyWatchOptions;
  readonly #asked = new Map<string, Asked>();

  constructor(options: BusyWatchOptions) {
    this.#options = options;
  }

  /** @returns `over`: it says so still, and has for too long. `unknown`: it is asked now, and `onAnswer` follows */
  ask(instance: Instance): 'free' | 'busy' | 'over' | 'unknown' {
    const { now, busyLimitMs, idleStopMs } = this.#options;
    const asked = this.#asked.get(instance.id);
    if (asked?.answer !== undefined && !hadCallSince(instance, asked)) {
      const age = now() - asked.at;
      const isBusy = asked.answer === 'busy';
      if (isBusy && now() - asked.busySince! >= busyLimitMs) return 'over';
      if (age < (isBusy ? Math.max(LEAST_MS, Math.min(ASK_AGAIN_MS, idleStopMs)) : FRESH_MS))
        return asked.answer;
      // Until it says otherwise it is what it was.
      void this.#ask(instance);
      return isBusy ? 'busy' : 'unknown';
    }
    void this.#ask(instance);
    return 'unknown';
  }

  forget(instanceId: string): void {
    this.#asked.delete(instanceId);
  }

  async #ask(instance: Instance): Promise<void> {
    const { driver, now, busyLimitMs, onAnswer } = this.#options;
    const before = this.#asked.get(instance.id);
    if (before?.isAsking) return;
    const isNew = before === undefined || hadCallSince(instance, before);
    const asked: Asked = isNew
      ? { at: now(), answer: undefined, isAsking: true, busySince: undefined }
      : before;
    asked.isAsking = true;
    this.#asked.set(instance.id, asked);
    const { busy = false } = await driver.probe(instance.id);
    asked.isAsking = false;
    // It has ended meanwhile.
    if (this.#asked.get(instance.id) !== asked) return;
    const wasBusy = asked.answer === 'busy';
    asked.at = now();
    asked.answer = busy ? 'busy' : 'free';
    asked.busySince = busy ? (asked.busySince ?? asked.at) : undefined;
    instance.keptBecause = busy
      ? `its health path answers HealthyBusy; it is kept for ${Math.round(busyLimitMs / 1000)} s at most`
      : undefined;
    if (!busy || !wasBusy) onAnswer(instance);
  }
}

/** What it said before a call says nothing any more. */
function hadCallSince({ idleSince }: Instance, { at }: Asked): boolean {
  return idleSince !== undefined && idleSince > at;
}
