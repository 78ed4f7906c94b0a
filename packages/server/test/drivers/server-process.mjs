// A server that can be killed: plain Node over the built driver. One argument, JSON:
// { dataDir, spec, dieAt?, freeze?, sandboxed?, warmUp?, pool?, forkMemoryBytes? } â dieAt is a step at which it kills itself,
// freeze stops the wrapper before that; sandboxed: in the sandbox and under limits, as a server runs its agents. With warmUp,
// another spec, that one is started and stopped first, and the steps begin to count when a process waits for the next
// start; that is a step of its own, "waiting".
// Prints the running instance as JSON once it is ready, then does nothing.

import pino from 'pino';
import { createSecretBox } from '../../dist/auth/secret-box.js';
import { dataMark } from '../../dist/drivers/process/identity.js';
import { openLimits } from '../../dist/drivers/process/limits/limits.js';
import { createProcessDriver } from '../../dist/drivers/process/process-driver.js';
import { openSandbox } from '../../dist/drivers/process/sandbox/sandbox.js';

const { dataDir, spec, dieAt, freeze, sandboxed, warmUp, ...more } = JSON.parse(process.argv[2]);
const held = sandboxed && {
  confinedBy: (await openSandbox('auto')).sandbox,
  limits: openLimits({ dataMark: dataMark(dataDir), processes: 512, diskBytes: 1024 ** 3 }),
};
let isWarm = warmUp === undefined;
let waits;
const waiting = new Promise((resolve) => {
  waits = resolve;
});
function reach(step, pid) {
  if (!isWarm || step !== dieAt) return;
  if (freeze) process.kill(-pid, 'SIGSTOP');
  process.kill(process.pid, 'SIGKILL');
}
const log = pino(
  { level: 'debug' },
  { write: (line) => /waits for a start|to fork from/.test(line) && waits() },
);
const driver = createProcessDriver({
  box: () => createSecretBox(Buffer.alloc(32, 7)),
  dataDir,
  log,
  logLimitBytes: 256 * 1024,
  logCheckMs: 50,
  accountId: '0000000000000000',
  region: 'cn-test',
  ...held,
  portRange: { from: 22_000, to: 22_999 },
  onStep: reach,
  ...more,
});
// What waits does not keep this process up.
setInterval(() => {}, 1000);
const options = { signal: new AbortController().signal, onExit: () => {} };
if (!isWarm) {
  await driver.start(warmUp, options);
  await driver.stop(warmUp.instanceId, { graceMs: 0 });
  await waiting;
  isWarm = true;
  reach('waiting');
}
const instance = await driver.start(spec, options);
console.log(JSON.stringify(instance));
