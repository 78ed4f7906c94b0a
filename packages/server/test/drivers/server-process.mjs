// A server that can be killed: plain Node over the built driver. One argument, JSON:
// { dataDir, spec, dieAt?, freeze?, sandboxed? } – dieAt is a step at which it kills itself, freeze stops the wrapper
// before that; sandboxed: in the sandbox and under limits, as a server runs its agents.
// Prints the running instance as JSON once it is ready, then does nothing.

import pino from 'pino';
import { createSecretBox } from '../../dist/auth/secret-box.js';
import { dataMark } from '../../dist/drivers/process/identity.js';
import { openLimits } from '../../dist/drivers/process/limits/limits.js';
import { createProcessDriver } from '../../dist/drivers/process/process-driver.js';
import { openSandbox } from '../../dist/drivers/process/sandbox/sandbox.js';

const { dataDir, spec, dieAt, freeze, sandboxed } = JSON.parse(process.argv[2]);
const held = sandboxed && {
  confinedBy: (await openSandbox('auto')).sandbox,
  limits: openLimits({ dataMark: dataMark(dataDir), processes: 512, diskBytes: 1024 ** 3 }),
};
const driver = createProcessDriver({
  box: () => createSecretBox(Buffer.alloc(32, 7)),
  dataDir,
  log: pino({ level: 'silent' }),
  logLimitBytes: 256 * 1024,
  logCheckMs: 50,
  accountId: '0000000000000000',
  region: 'cn-test',
  ...held,
  portRange: { from: 22_000, to: 22_999 },
  onStep(step, pid) {
    if (step !== dieAt) return;
    if (freeze) process.kill(-pid, 'SIGSTOP');
    process.kill(process.pid, 'SIGKILL');
  },
});
const instance = await driver.start(spec, { signal: new AbortController().signal, onExit: () => {} });
console.log(JSON.stringify(instance));
setInterval(() => {}, 1000);
