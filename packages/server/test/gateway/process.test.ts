import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { type GatewayProcessSettings, SETTINGS_VARIABLE } from '../../src/gateway/settings.ts';
import { closeAtEnd, SETTINGS } from './harness.ts';

/** The gateway as its own process, as the control process starts it. */
function startProcess(): ChildProcess {
  const settings: GatewayProcessSettings = {
    ...SETTINGS,
    bodyLimitBytes: 1000,
    controlSocket: '/nobody.sock',
    logLevel: 'silent',
  };
  const file = fileURLToPath(new URL('../../dist/gateway/main.js', import.meta.url));
  const child = spawn(process.execPath, [file], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: { ...process.env, [SETTINGS_VARIABLE]: JSON.stringify(settings) },
  });
  closeAtEnd(async () => void child.kill('SIGKILL'));
  return child;
}

test('a gateway whose control process is gone once it listens ends', async () => {
  const gateway = startProcess();
  await once(gateway, 'message');
  gateway.disconnect();
  expect(await once(gateway, 'exit')).toEqual([0, null]);
});

test('a gateway whose control process was killed before it had loaded does not stay, holding the port', async () => {
  const gateway = startProcess();
  gateway.disconnect();
  expect(await once(gateway, 'exit')).toEqual([0, null]);
});
