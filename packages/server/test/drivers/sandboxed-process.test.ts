import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { InstanceExit } from '../../src/drivers/driver.ts';
import { openSandbox } from '../../src/drivers/process/sandbox/sandbox.ts';
import { agentSpec, driverCases, get, until } from '../driver-cases.ts';
import {
  benchOf,
  buildServer,
  groupsOf,
  killed,
  leftoversOf,
  makeDriver,
  newFolder,
  removeFolder,
  sandbox,
  startKillable,
  testLimits,
} from './harness.ts';

const held = (dataDir: string) => ({ confinedBy: sandbox!, limits: testLimits(dataDir) });

/** Agents in the sandbox and under limits are agents like all others. */
describe.skipIf(!sandbox)('in the sandbox,', () => {
  driverCases('process', () => benchOf(held), {
    processes: true,
    ownPids: true,
    limitsMemory: true,
    codeDirInside: () => '/code',
  });

  describe('when the server is killed', () => {
    beforeAll(buildServer, 120_000);

    it('its agent works on, is taken over with its limits, ends politely, and dies for its own reason', async () => {
      const dataDir = newFolder();
      onTestFinished(() => removeFolder(dataDir));
      const specs = [
        agentSpec(['node', 'polite.mjs']),
        agentSpec(['node', 'hog.mjs', 'asked'], { memoryMiB: 128 }),
      ];
      const before = [];
      for (const spec of specs) {
        const { server, instance } = startKillable({ dataDir, spec, sandboxed: true });
        before.push(await until('the agent', instance));
        await killed(server);
      }
      const driver = makeDriver(dataDir, held(dataDir));
      onTestFinished(() => driver.close());
      const adopted = await driver.adopt();
      const byId = new Map(adopted.map((it) => [it.instanceId, it]));
      const [polite, hog] = specs.map((spec) => byId.get(spec.instanceId)!);
      expect([polite!.pid, hog!.pid]).toEqual(before.map(({ pid }) => pid));
      expect(await driver.probe(polite!.instanceId)).toEqual({ ok: true, detail: 'HTTP 200' });
      expect((await driver.identify(polite!.instanceId)).holder).toBe('instance');

      await driver.stop(polite!.instanceId, { graceMs: 10_000 });
      expect(await driver.logTail(polite!.instanceId, { maxLines: 5 })).toEqual(['finishing', 'finished']);
      const exits: InstanceExit[] = [];
      hog!.onExit = (exit) => exits.push(exit);
      await get(hog!, '/more').catch(() => {});
      await until('its exit', () => exits.length);
      expect(exits[0]!.reason).toMatch(/^OOM: used 1[23]\d of 128 MiB$/);
      await driver.stop(hog!.instanceId, { graceMs: 0 });
      expect(await leftoversOf(dataDir)).toEqual([]);
    });

    it.each(['prepared', 'spawned'])('at "%s" no orphan is left, and no control group', async (dieAt) => {
      const dataDir = newFolder();
      onTestFinished(() => removeFolder(dataDir));
      const spec = agentSpec(['node', 'echo.mjs']);
      const { server } = startKillable({ dataDir, spec, dieAt, sandboxed: true });
      if (server.signalCode === null) await once(server, 'exit');
      const driver = makeDriver(dataDir, held(dataDir));
      onTestFinished(() => driver.close());
      // Taken over, if its wrapper had written its record by then.
      for (const { instanceId } of await driver.adopt()) await driver.stop(instanceId, { graceMs: 0 });
      expect(await leftoversOf(dataDir)).toEqual([]);
      expect(groupsOf(dataDir)).toEqual([]);
    });
  });
});

describe('whether there is a sandbox', () => {
  it('is off when it is told to be, or when bubblewrap is not there', async () => {
    expect((await openSandbox('off')).state).toEqual({
      kind: 'off',
      reason: expect.stringContaining('--sandbox off'),
    });
    const { state } = await openSandbox('require', ['/nowhere/bwrap']);
    expect(state).toEqual({ kind: 'off', reason: expect.stringContaining('not installed') });
  });

  it('is found out by trying, and what went wrong is told', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'runstead-no-sandbox-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    mkdirSync(join(folder, 'bin'));
    const program = join(folder, 'bin', 'bwrap');
    writeFileSync(program, '#!/bin/sh\necho "bwrap: setting up uid map: Permission denied" >&2\nexit 1\n', {
      mode: 0o755,
    });
    const { sandbox: none, state } = await openSandbox('auto', [program]);
    expect(none).toBeUndefined();
    const reason = `bubblewrap (${program}) does not work here: setting up uid map: Permission denied`;
    if (process.platform === 'linux') expect(state).toEqual({ kind: 'off', reason });
  });
});
