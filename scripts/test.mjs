// `npm test`: works right after cloning. Arguments go to vitest: `npm test -- packages/client`.
// `--unit` leaves out the suites that start whole servers.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { makeReady, root } from './ready.mjs';

makeReady();
const given = process.argv.slice(2);
const args = given.filter((argument) => argument !== '--unit');
if (given.length > args.length) args.push('--project', 'unit');
const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
const { status } = spawnSync(process.execPath, [vitest, 'run', ...args], { cwd: root, stdio: 'inherit' });
process.exitCode = status ?? 1;
