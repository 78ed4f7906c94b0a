import { describe, expect, it } from 'vitest';
import { simulate } from './simulation.ts';

/**
 * Overlapping operations have one meaning: random histories of creates, updates, deletes, endpoint writes, publishes,
 * calls, slow steps and kills are held against a small model. `RUNSTEAD_SEED=n` runs one again and prints its history;
 * `RUNSTEAD_SEEDS=n` runs more of them.
 */
const ALL = Number(process.env.RUNSTEAD_SEEDS ?? 2000);
const BATCH = 100;
const one = process.env.RUNSTEAD_SEED;
const first = Math.floor(Math.random() * 2 ** 31);

if (one !== undefined) {
  it(`seed ${one}`, async () => {
    const { history } = await simulate(Number(one));
    console.log(history.join('\n'));
  });
} else {
  describe(`random histories from seed ${first}`, () => {
    for (let batch = 0; batch < ALL; batch += BATCH) {
      const seeds = Array.from({ length: Math.min(BATCH, ALL - batch) }, (_, i) => first + batch + i);
      it(`${seeds.length} from ${seeds[0]} end as the model says`, { timeout: 300_000 }, async () => {
        let steps = 0;
        for (const seed of seeds) steps += (await simulate(seed)).history.length;
        // Histories in which nothing happens would prove nothing.
        expect(steps / seeds.length).toBeGreaterThan(60);
      });
    }
  });
}
