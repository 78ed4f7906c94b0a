import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { expect, it, onTestFinished } from 'vitest';
import { type Control, composeControl } from '../src/compose.ts';
import { ConfigError, loadConfig } from '../src/config.ts';
import type { SandboxState } from '../src/drivers/driver.ts';
import { FakeDriver } from './fake-driver.ts';

/** S18: whoever shares a server shares it with a sandbox, or says that it is to be without. */

const MISSING: SandboxState = { kind: 'off', reason: 'bubblewrap is not installed' };

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'runstead-rule-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

async function open(
  dataDir: string,
  changes: { sandbox?: 'auto' | 'require' | 'off'; isPublic?: boolean; state?: SandboxState } = {},
): Promise<Control> {
  const driver = Object.assign(new FakeDriver(), { sandboxState: changes.state ?? MISSING });
  return composeControl({
    config: loadConfig({ dataDir, ...(changes.sandbox && { sandbox: changes.sandbox }) }, {}),
    driver,
    log: pino({ level: 'silent' }),
    publicUrl: () => '',
    isPublic: changes.isPublic ?? false,
  });
}

const close = (control: Control) => control.close({ stopInstances: true });

async function ask(control: Control, method: 'GET' | 'POST', url: string, body?: object) {
  const answer = await control.api.inject({
    method,
    url,
    headers: {
      authorization: `Bearer ${control.apiKey}`,
      ...(body && { 'content-type': 'application/json' }),
    },
    ...(body && { payload: JSON.stringify(body) }),
  });
  expect(answer.statusCode, answer.body).toBe(200);
  return { headers: answer.headers, data: (answer.json() as { data: Record<string, unknown> }).data };
}

it('a named key is the end of going without: it is said at once, and the next start is refused', async () => {
  const dataDir = folder();
  const control = await open(dataDir);
  const { data } = await ask(control, 'GET', '/runstead/v1/health');
  expect(data).toEqual({ status: 'ok', sandbox: { state: 'off', reason: MISSING.reason } });
  const { headers } = await ask(control, 'POST', '/runstead/v1/keys', { role: 'invoke' });
  expect(headers['x-runstead-warning']).toMatch(
    /without a sandbox \(bubblewrap is not installed\).*--sandbox off/,
  );
  await close(control);

  const refused = open(dataDir);
  await expect(refused).rejects.toThrow(ConfigError);
  await expect(refused).rejects.toThrow(
    /^Agents must be kept apart, as there are keys besides the local one, and there is no sandbox: bubblewrap is not/,
  );
  await close(await open(dataDir, { sandbox: 'off' }));
  const confined = await open(dataDir, { state: { kind: 'bubblewrap' } });
  const second = await ask(confined, 'POST', '/runstead/v1/keys', { role: 'invoke' });
  expect(second.headers['x-runstead-warning']).toBeUndefined();
  expect((await ask(confined, 'GET', '/runstead/v1/health')).data).toMatchObject({
    sandbox: { state: 'bubblewrap' },
  });
  await close(confined);
});

it('a key that has ended does not count', async () => {
  const dataDir = folder();
  const control = await open(dataDir);
  const key = (await ask(control, 'POST', '/runstead/v1/keys', { expiresInSeconds: 1 })).data as {
    expiresAt: string;
  };
  await close(control);
  await expect(open(dataDir)).rejects.toThrow(ConfigError);
  // Its second is over when the clock says so, however long the above took.
  while (Date.now() <= Date.parse(key.expiresAt)) await new Promise((resolve) => setTimeout(resolve, 20));
  await close(await open(dataDir));
});

it('beyond loopback, and where it is required, no server starts without', async () => {
  await expect(open(folder(), { isPublic: true })).rejects.toThrow(/the server listens beyond loopback/);
  await expect(open(folder(), { sandbox: 'require' })).rejects.toThrow(
    /^--sandbox require, but there is no sandbox/,
  );
  await close(await open(folder(), { isPublic: true, sandbox: 'off' }));
});
