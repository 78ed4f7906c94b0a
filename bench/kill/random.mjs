/** Chance that can be had again: the same seed gives the same numbers (mulberry32). */
export class Random {
  #state;

  constructor(seed) {
    this.#state = seed >>> 0;
  }

  /** From 0 to below 1. */
  next() {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  below(limit) {
    return this.next() * limit;
  }

  isUnder(share) {
    return this.next() < share;
  }

  oneOf(values) {
    return values[Math.floor(this.below(values.length))];
  }

  shuffled(values) {
    const left = [...values];
    return values.map(() => left.splice(Math.floor(this.below(left.length)), 1)[0]);
  }

  /** A source of its own, so that what one part draws does not depend on how often another did. */
  fork() {
    return new Random(Math.floor(this.next() * 2 ** 32));
  }
}
