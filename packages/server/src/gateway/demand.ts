import type { UpMessage } from '../feed/messages.ts';

/** Changes within this time go up as one message. */
const COALESCE_MS = 50;
const USAGE_PERIOD_MS = 1000;

export interface Demand {
  /** Calls that wait for the version. */
  queued: number;
  /** Calls its instances are answering. */
  inFlight: number;
  /** One of `queued` was refused. */
  turnedAway?: true;
}

/**
 * Tells the control process that calls wait for one version: at once when the first one does, then at most every
 * 50 ms while the numbers change, and at last that none waits any more.
 */
export class DemandReport {
  #sent: Demand = { queued: 0, inFlight: 0 };
  #timer: NodeJS.Timeout | undefined;
  readonly #read: () => Demand;
  readonly #send: (demand: Demand) => void;

  constructor(read: () => Demand, send: (demand: Demand) => void) {
    this.#read = read;
    this.#send = send;
  }

  /** True when what was said last is that nothing waits, and nothing else is about to be said. */
  get idle(): boolean {
    return this.#sent.queued === 0 && this.#timer === undefined;
  }

  /** To be called after every change of the numbers. */
  changed(): void {
    if (this.#timer) return;
    const demand = this.#read();
    if (this.#sent.queued === 0) {
      // Calls that are served without waiting are no demand; usage reports them.
      if (demand.queued > 0) this.#say(demand);
      return;
    }
    if (!isSame(demand, this.#sent)) this.#sayLater();
  }

  /** A call was turned away that should wake the version all the same. Many of them are one message per 50 ms. */
  turnedAway(): void {
    if (this.#sent.queued > 0) return;
    const demand = this.#read();
    this.#say({ ...demand, queued: demand.queued + 1, turnedAway: true });
    this.#sayLater();
  }

  /** Says it again: whoever sent a snapshot may have missed it. */
  repeat(): void {
    const demand = this.#read();
    if (demand.queued > 0) this.#say(demand);
  }

  #sayLater(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      const demand = this.#read();
      if (!isSame(demand, this.#sent)) this.#say(demand);
    }, COALESCE_MS).unref();
  }

  #say(demand: Demand): void {
    this.#sent = demand;
    this.#send(demand);
  }
}

function isSame(one: Demand, other: Demand): boolean {
  return one.queued === other.queued && one.inFlight === other.inFlight;
}

/** Sends `usage` every second. @returns stops it */
export function reportUsage(
  usage: () => Extract<UpMessage, { type: 'usage' }>['instances'],
  send: (message: UpMessage) => void,
): () => void {
  const timer = setInterval(() => {
    const instances = usage();
    if (instances.length > 0) send({ type: 'usage', instances });
  }, USAGE_PERIOD_MS).unref();
  return () => clearInterval(timer);
}
