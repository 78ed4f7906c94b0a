/** Chance that can be had again: the same seed gives the same numbers (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 to under 1. */
  number(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** From 0 to under `end`. */
  below(end: number): number {
    return Math.floor(this.number() * end);
  }

  chance(share: number): boolean {
    return this.number() < share;
  }

  one<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  /** One of the words, in proportion to its number. */
  weighted<W extends string>(weights: Partial<Record<W, number>>): W {
    const entries = Object.entries(weights) as [W, number][];
    let left = this.number() * entries.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [word, weight] of entries) {
      left -= weight;
      if (left < 0) return word;
    }
    return entries.at(-1)![0];
  }
}
