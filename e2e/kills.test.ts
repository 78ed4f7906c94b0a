import { describe, expect, test } from 'vitest';
import { runKills } from '../bench/kill/run-kills.mjs';
import { hasProc } from './harness/processes.ts';
import { registryOrSkip } from './harness/requirements.ts';

/** What `npm run bench -- kill` does a hundred times, a few times. */

describe.skipIf(!hasProc)('parts of the server are killed while it is written to and called', () => {
  const kinds = ['control', 'gateway', 'both', 'gateway', 'control', 'both'];

  test(`${kinds.length} times: nothing acknowledged is lost, nothing is left over, and every answer holds`, async (context) => {
    // Some of the packages have a lockfile, for which npm is run.
    registryOrSkip(context);
    const seed = Math.floor(Math.random() * 2 ** 32);
    console.log(`seed ${seed}: npm run bench -- kill --seed ${seed} --kills ${kinds.length}`);
    const { counts, ...findings } = await runKills({ kinds, seed });
    expect(findings, `seed ${seed}`).toEqual({
      lost: [],
      untrue: [],
      cut: [],
      orphans: [],
      notFinal: [],
    });
    // It was not quiet.
    expect(counts.acknowledged).toBeGreaterThan(0);
    expect(counts['calls answered']).toBeGreaterThan(0);
  });
});
