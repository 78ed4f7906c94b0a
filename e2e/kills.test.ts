import { describe, expect, test } from 'vitest';
import { homeMissing } from '../bench/kill/homes.mjs';
import { runKills } from '../bench/kill/run-kills.mjs';
import { hasProc } from './harness/processes.ts';
import { registryOrSkip } from './harness/requirements.ts';

/** What `npm run bench -- kill` does a hundred times, a few times. */

const noSandbox = homeMissing('sandboxed');
if (noSandbox !== undefined) console.warn(`processes are tried without a sandbox: ${noSandbox}`);
const noEngine = homeMissing('containers');
if (noEngine !== undefined) console.warn(`skipped: kills with instances in containers: ${noEngine}`);

describe.skipIf(!hasProc)('parts of the server are killed while it is written to and called', () => {
  async function endures(instances: string, kinds: string[]) {
    const seed = Math.floor(Math.random() * 2 ** 32);
    const again = `npm run bench -- kill --instances ${instances} --seed ${seed} --kills ${kinds.length}`;
    console.log(`seed ${seed}: ${again}`);
    const { counts, ...findings } = await runKills({ instances, kinds, seed });
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
    expect(counts['instances looked at']).toBeGreaterThan(0);
  }

  test('six times: nothing acknowledged is lost, nothing is left over, and every answer holds', async (context) => {
    // Some of the packages have a lockfile, for which npm is run.
    registryOrSkip(context);
    const kinds = ['control', 'gateway', 'both', 'gateway', 'control', 'both'];
    await endures(noSandbox === undefined ? 'sandboxed' : 'plain', kinds);
  });

  test.skipIf(noEngine !== undefined)(
    'three times, with instances in containers: as much, and no container or network is left over',
    async (context) => {
      registryOrSkip(context);
      await endures('containers', ['control', 'both', 'gateway']);
    },
  );
});
