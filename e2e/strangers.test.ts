import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { deploy, fixture } from './harness/deploy.ts';
import { dataMark, hasProc, isAlive, startTicksOf } from './harness/processes.ts';
import { AGENTS_KNOW_THEIR_PIDS, type Server, startServerForTest } from './harness/server.ts';
import { staysTrue } from './harness/wait-for.ts';

/** S3: a record on disk names a process by number and start; another one with that number is never signalled. */

function startStranger(env: Record<string, string> = {}): ChildProcess & { pid: number } {
  const stranger = spawn('sleep', ['600'], {
    stdio: 'ignore',
    detached: true,
    env: { PATH: '/usr/bin:/bin', ...env },
  });
  onTestFinished(() => void stranger.kill('SIGKILL'));
  return stranger as ChildProcess & { pid: number };
}

const BOOT_ID = '/proc/sys/kernel/random/boot_id';

/** An instance's folder as a server leaves it, with a record that claims the stranger's number. */
function forge(server: Server, record: { pid: number; startTicks: string; bootId: string }): void {
  const instanceId = randomUUID();
  const folder = join(server.data, 'instances', instanceId);
  mkdirSync(folder, { mode: 0o700 });
  const identity = {
    instanceId,
    runtimeId: randomUUID(),
    revision: 1,
    host: '127.0.0.1',
    port: 20_001,
    startedAt: new Date().toISOString(),
    ...record,
  };
  writeFileSync(join(folder, 'identity.json'), JSON.stringify(identity));
  writeFileSync(join(folder, 'agent.pid'), `${record.pid}\n`);
}

describe.skipIf(!hasProc)('a record whose process number belongs to a stranger', () => {
  const cases = [
    {
      what: 'with other start ticks',
      record: (pid: number) => ({
        pid,
        startTicks: String(Number(startTicksOf(pid)) - 1),
        bootId: readFileSync(BOOT_ID, 'latin1').trim(),
      }),
    },
    {
      what: 'from another boot',
      record: (pid: number) => ({ pid, startTicks: startTicksOf(pid), bootId: randomUUID() }),
    },
  ];

  test.each(cases)(
    '$what: the next server clears the record and leaves the stranger alone',
    async ({ record }) => {
      const server = await startServerForTest({ env: AGENTS_KNOW_THEIR_PIDS });
      await server.kill();
      const stranger = startStranger();
      forge(server, record(stranger.pid));

      await server.start();
      expect(isAlive(stranger.pid)).toBe(true);
      await deploy(server.client(), { folder: fixture('chat-node') });
      await server.stop();
      expect(isAlive(stranger.pid)).toBe(true);
    },
  );

  test('what an earlier server had started but not yet written down is ended by the next one', async () => {
    const server = await startServerForTest({ env: AGENTS_KNOW_THEIR_PIDS });
    await server.kill();
    // As the wrapper is in the moment between its start and its record: marked, and in no file.
    const orphan = startStranger({
      RUNSTEAD_DATA_MARK: dataMark(server.data),
      RUNSTEAD_INSTANCE_ID: randomUUID(),
      RUNSTEAD_RUNTIME_ID: randomUUID(),
    });
    const neighbour = startStranger({ RUNSTEAD_DATA_MARK: dataMark(tmpdir()) });
    await server.start();
    expect(isAlive(orphan.pid)).toBe(false);
    expect(isAlive(neighbour.pid)).toBe(true);
  });

  test('a server and its gateway that were stopped for a while reap nothing when they go on', async () => {
    const server = await startServerForTest({ env: AGENTS_KNOW_THEIR_PIDS });
    const runtime = await deploy(server.client(), { folder: fixture('chat-node') });
    const [before] = await server.instances(runtime.agentRuntimeId);
    const frozen = [server.pid, server.gatewayPid()!];
    for (const pid of frozen) process.kill(pid, 'SIGSTOP');
    // Longer than any tick; sleeps of over 30 s are for the tests of the scaler, with a clock of their own.
    await staysTrue('the agent runs', () => isAlive(before!.pid), 1500);
    for (const pid of frozen) process.kill(pid, 'SIGCONT');
    const response = await fetch(`${server.invocationUrl(runtime.agentRuntimeName)}/who`);
    expect(await response.json()).toMatchObject({ pid: before!.pid });
    expect(await server.instances(runtime.agentRuntimeId)).toMatchObject([{ pid: before!.pid }]);
  });
});
