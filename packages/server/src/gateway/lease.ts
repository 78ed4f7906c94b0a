import type { Cuttable, Instance } from './instances.ts';

/** One slot of one instance, held for the duration of a call. */
export interface Lease {
  readonly instance: Readonly<Instance>;
  /** Whoever uses the lease: told when its instance is about to be stopped, and what is still open has to end now. */
  holder: Cuttable | undefined;
  /** Gives the slot back; more than once is harmless. */
  release(): void;
}

/** A slot of an instance, which knows who holds its slots: each lease has a place in a list, and is taken out by it. */
export class SlotLease implements Lease, Cuttable {
  readonly instance: Instance;
  readonly #giveBack: () => void;
  #holder: Cuttable | undefined = undefined;
  #isHeld = true;
  #at: number;

  /** @param giveBack called once */
  constructor(instance: Instance, giveBack: () => void) {
    this.instance = instance;
    this.#giveBack = giveBack;
    this.#at = instance.leases.push(this) - 1;
  }

  get holder(): Cuttable | undefined {
    return this.#holder;
  }

  set holder(holder: Cuttable | undefined) {
    this.#holder = holder;
    const reason = this.instance.cutBecause;
    // It was said between the call's being let in and now.
    if (holder && reason !== undefined) queueMicrotask(() => this.cut(reason));
  }

  cut(reason: string): void {
    const holder = this.#holder;
    if (!this.#isHeld || !holder) return;
    this.#holder = undefined;
    holder.cut(reason);
  }

  release(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.#holder = undefined;
    const { leases } = this.instance;
    const last = leases.pop() as SlotLease;
    if (last !== this) {
      leases[this.#at] = last;
      last.#at = this.#at;
    }
    this.#giveBack();
  }
}
