import { describe, expect, test } from 'vitest';
import { deploy, fixture } from './harness/deploy.ts';
import { hasProc, isAlive } from './harness/processes.ts';
import { AGENTS_KNOW_THEIR_PIDS, startServerForTest } from './harness/server.ts';
import { waitFor } from './harness/wait-for.ts';

describe.skipIf(!hasProc)('when the server is stopped', () => {
  test('agents end with it by default', async () => {
    const server = await startServerForTest({ env: AGENTS_KNOW_THEIR_PIDS });
    const runtime = await deploy(server.client(), { folder: fixture('chat-node') });
    const [instance] = await server.instances(runtime.agentRuntimeId);
    expect(await server.stop()).toEqual({ code: 0, signal: null });
    expect(isAlive(instance!.pid)).toBe(false);
    expect(server.processes()).toEqual([]);

    // The runtime itself is kept: it wakes with the next server.
    await server.start();
    const response = await fetch(`${server.invocationUrl(runtime.agentRuntimeName)}/who`);
    expect(((await response.json()) as { pid: number }).pid).not.toBe(instance!.pid);
  });

  test('with --on-exit keep they outlive it, and the next server takes them over', async () => {
    const server = await startServerForTest({ env: AGENTS_KNOW_THEIR_PIDS });
    await server.stop();
    await server.start({ args: ['--on-exit', 'keep'] });
    const runtime = await deploy(server.client(), { folder: fixture('chat-node') });
    const [instance] = await server.instances(runtime.agentRuntimeId);
    const gateway = server.gatewayPid()!;
    expect(await server.stop()).toEqual({ code: 0, signal: null });
    expect(isAlive(instance!.pid)).toBe(true);
    // An orderly stop is the gateway's end, whatever becomes of the agents.
    expect(isAlive(gateway)).toBe(false);

    await server.start();
    expect(await server.instances(runtime.agentRuntimeId)).toMatchObject([
      { pid: instance!.pid, state: 'ready' },
    ]);
    // This one has the default again.
    await server.stop();
    await waitFor('the agent to be gone', () => !isAlive(instance!.pid));
  });
});
