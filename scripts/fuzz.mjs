// `npm run fuzz [-- CASES]`: the readers against Node's parser, in 1,000,000 new cases if not told otherwise. Every test
// run tries the same 100,000.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { makeReady, root } from './ready.mjs';

const cases = process.argv[2] ?? '1000000';
if (!/^[1-9][0-9]{0,8}$/.test(cases)) {
  console.error(`"${cases}" is no number of cases; say for example: npm run fuzz -- 1000000`);
  process.exit(2);
}
makeReady();
const from = String(Math.floor(Math.random() * 2 ** 31));
const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
const { status } = spawnSync(
  process.execPath,
  [vitest, 'run', '--project', 'suites', 'packages/server/test/http/differential.test.ts'],
  {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, RUNSTEAD_FUZZ_CASES: cases, RUNSTEAD_FUZZ_FROM: from },
  },
);
process.exitCode = status ?? 1;
