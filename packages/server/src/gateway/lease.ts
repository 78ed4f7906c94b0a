import type { Cuttable, Instance } from './instances.ts';

/** One slot of one instance, held for the duration of a call. */
export interface Lease {
  readonly instance: Readonly<Instance>;
  /**
   * Set by whoever uses the lease: its instance is about to be stopped, and what is still open has to end now.
   * @param reason one sentence for the client
   */
  onCut?: ((reason: string) => void) | undefined;
  /** Gives the slot back; more than once is harmless. */
  release(): void;
}

/** A slot of an instance. Whoever uses it may hear of its end; of those that do, the instance knows. */
export class SlotLease implements Lease, Cuttable {
  readonly instance: Instance;
  readonly #giveBack: () => void;
  #onCut: ((reason: string) => void) | undefined;
  #isHeld = true;

  /** @param giveBack called once */
  constructor(instance: Instance, giveBack: () => void) {
    this.instance = instance;
    this.#giveBack = giveBack;
  }

  get onCut(): ((reason: string) => void) | undefined {
    return this.#onCut;
  }

  set onCut(listener: ((reason: string) => void) | undefined) {
    this.#onCut = listener;
    if (!this.#isHeld || !listener) {
      this.instance.cuttable?.delete(this);
      return;
    }
    this.instance.cuttable ??= new Set();
    this.instance.cuttable.add(this);
    const reason = this.instance.cutBecause;
    // It was said between the call's being let in and now.
    if (reason !== undefined) queueMicrotask(() => this.cut(reason));
  }

  cut(reason: string): void {
    const listener = this.#onCut;
    if (!this.#isHeld || !listener) return;
    this.#onCut = undefined;
    this.instance.cuttable?.delete(this);
    listener(reason);
  }

  release(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    if (this.#onCut) this.instance.cuttable?.delete(this);
    this.#onCut = undefined;
    this.#giveBack();
  }
}
