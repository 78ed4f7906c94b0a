import { RunsteadError } from '@runstead/contract';
import { mismatch } from './signed-headers.ts';

/** Where nonces outlive the process. */
export interface NonceShelf {
  /** Those that have not expired. */
  nonces(nowMs: number): Promise<StoredNonce[]>;
  /** Durable when it resolves. */
  addNonce(nonce: StoredNonce): Promise<void>;
  removeNonces(expiredBeforeMs: number): Promise<void>;
}

export interface StoredNonce {
  keyId: string;
  nonce: string;
  /** ms since 1970. */
  expiresMs: number;
}

/** Of one key within its half hour: far more than a client that works sends. */
export const NONCES_PER_KEY = 50_000;
const SWEEP_EVERY_MS = 60_000;

/**
 * Remembers which signed requests there were, so that none counts twice, not even across a restart. Only for requests
 * whose signature holds: strangers cannot fill it.
 */
export class Nonces {
  readonly #shelf: NonceShelf;
  readonly #byKey = new Map<string, Map<string, number>>();
  readonly #limit: number;
  #sweptMs = 0;

  private constructor(shelf: NonceShelf, limit: number) {
    this.#shelf = shelf;
    this.#limit = limit;
  }

  static async open(shelf: NonceShelf, nowMs: number, limit: number = NONCES_PER_KEY): Promise<Nonces> {
    const nonces = new Nonces(shelf, limit);
    for (const { keyId, nonce, expiresMs } of await shelf.nonces(nowMs)) {
      nonces.#of(keyId).set(nonce, expiresMs);
    }
    return nonces;
  }

  /** How many are remembered. */
  get size(): number {
    let size = 0;
    for (const nonces of this.#byKey.values()) size += nonces.size;
    return size;
  }

  /**
   * @throws RunsteadError SignatureDoesNotMatch when it was used before, ERR_TOO_MANY_REQUESTS when a key has used more
   * than can be remembered
   */
  async use(nonce: StoredNonce, nowMs: number): Promise<void> {
    this.#sweep(nowMs);
    const known = this.#of(nonce.keyId);
    if (known.has(nonce.nonce))
      throw mismatch('x-acs-signature-nonce was used before; every request needs its own');
    if (known.size >= this.#limit) {
      throw new RunsteadError(
        'ERR_TOO_MANY_REQUESTS',
        `More than ${this.#limit} requests were signed with this key within half an hour; use an API key, or come again later`,
        { retryAfterSeconds: 60 },
      );
    }
    // Before the first wait: of two that come at once, one finds it taken.
    known.set(nonce.nonce, nonce.expiresMs);
    await this.#shelf.addNonce(nonce);
  }

  #of(keyId: string): Map<string, number> {
    let nonces = this.#byKey.get(keyId);
    if (!nonces) {
      nonces = new Map();
      this.#byKey.set(keyId, nonces);
    }
    return nonces;
  }

  #sweep(nowMs: number): void {
    if (nowMs - this.#sweptMs < SWEEP_EVERY_MS) return;
    this.#sweptMs = nowMs;
    for (const [keyId, nonces] of this.#byKey) {
      for (const [nonce, expiresMs] of nonces) if (expiresMs < nowMs) nonces.delete(nonce);
      if (nonces.size === 0) this.#byKey.delete(keyId);
    }
    // What stays a little longer on the disk is left out when it is read.
    void this.#shelf.removeNonces(nowMs).catch(() => {});
  }
}
