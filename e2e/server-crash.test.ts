import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createInput, deploy, fixture, type Runtime, untilGone } from './harness/deploy.ts';
import { callContinuously } from './harness/load.ts';
import { hasProc, isAlive, processesWith } from './harness/processes.ts';
import { isRefused } from './harness/raw-http.ts';
import {
  AGENTS_KNOW_THEIR_PIDS,
  type InstanceInfo,
  type Server,
  startServerForTest,
} from './harness/server.ts';
import { waitFor } from './harness/wait-for.ts';

/** S2: whatever happens to the server, agents run on, and nothing is lost or left over. */

const deployLogWriter = (server: Server, environmentVariables = {}): Promise<Runtime> =>
  deploy(server.client(), {
    folder: fixture('log-writer'),
    environmentVariables,
    command: ['node', 'agent.mjs'],
    sessionConcurrencyLimitPerInstance: 20,
  });

const logOf = (server: Server, runtime: Runtime, instance: InstanceInfo) =>
  join(server.data, 'logs', runtime.agentRuntimeId, `${instance.instanceId}.log`);

/** The numbers in a log's whole lines. */
function numbersIn(log: string): number[] {
  const lines = readFileSync(log, 'utf8').split('\n').slice(0, -1);
  return lines.map((line) => Number(/^line (\d+)$/.exec(line)?.[1] ?? Number.NaN));
}

async function onlyInstance(server: Server, runtime: Runtime): Promise<InstanceInfo> {
  const instances = await server.instances(runtime.agentRuntimeId);
  expect(instances).toHaveLength(1);
  return instances[0]!;
}

async function call(server: Server, runtime: Runtime): Promise<{ pid: number; written: number }> {
  const response = await fetch(server.invocationUrl(runtime.agentRuntimeName));
  if (!response.ok) throw new Error(`HTTP ${response.status} ${await response.text()}`);
  return (await response.json()) as { pid: number; written: number };
}

describe.skipIf(!hasProc)('the control process is killed', () => {
  test('an agent that logs 1,000 lines a second runs on without a gap and is taken over', async () => {
    const server = await startServerForTest({ env: AGENTS_KNOW_THEIR_PIDS });
    const runtime = await deployLogWriter(server);
    const instance = await onlyInstance(server, runtime);
    const log = logOf(server, runtime, instance);
    await waitFor('the agent to log', () => numbersIn(log).length > 500);

    await server.kill();
    const beforeRestart = numbersIn(log).length;
    await waitFor('the agent to log without a server', () => numbersIn(log).length > beforeRestart + 500);
    expect(isAlive(instance.pid)).toBe(true);

    await server.start();
    expect(await onlyInstance(server, runtime)).toMatchObject({
      instanceId: instance.instanceId,
      pid: instance.pid,
      state: 'ready',
    });
    const { pid, written } = await call(server, runtime);
    expect(pid).toBe(instance.pid);
    await waitFor('the log to have what the agent wrote', () => numbersIn(log).length > written);
    const numbers = numbersIn(log);
    const gap = numbers.findIndex((number, index) => number !== index + 1);
    expect(gap, `around ${numbers.slice(Math.max(0, gap - 2), gap + 3)}`).toBe(-1);

    // An adopted agent is no child of the new server: its end must be noticed, and its signal known, all the same.
    process.kill(instance.pid, 'SIGKILL');
    const exit = await waitFor('the end of the agent to be recorded', async () =>
      (await server.events(runtime.agentRuntimeId)).find(({ phase }) => phase === 'exit'),
    );
    expect(exit.reason).toMatch(/^killed by SIGKILL \| .*line \d+/);
    // Nobody deployed anything anew: the next call starts another.
    expect((await call(server, runtime)).pid).not.toBe(instance.pid);
  });

  test('the log of a chatty agent stays bounded, also after the server has changed', async () => {
    const LIMIT_KIB = 16;
    const server = await startServerForTest({
      env: { ...AGENTS_KNOW_THEIR_PIDS, RUNSTEAD_LOG_LIMIT: `${LIMIT_KIB}KiB` },
    });
    const runtime = await deployLogWriter(server, { PADDING: 'long '.repeat(20) });
    const log = logOf(server, runtime, await onlyInstance(server, runtime));
    await server.kill();
    await waitFor('the log to outgrow its limit', () => statSync(log).size > 4 * LIMIT_KIB * 1024);
    await server.start();
    // Its head is given back: blocks of 512 bytes are what it takes up, not its size.
    await waitFor('the log to be cut', () => statSync(log).blocks * 512 < 4 * LIMIT_KIB * 1024);
  });

  test('it may be killed again and again: always the same agent', async () => {
    const server = await startServerForTest({ env: AGENTS_KNOW_THEIR_PIDS });
    const runtime = await deployLogWriter(server);
    const { pid } = await call(server, runtime);
    for (let round = 0; round < 3; round++) {
      await server.kill();
      await server.start();
      expect((await call(server, runtime)).pid).toBe(pid);
    }
  });

  test('an open stream goes on to its end without it', async () => {
    const server = await startServerForTest();
    const runtime = await deploy(server.client(), { folder: fixture('chat-node') });
    const stream = await server.client().invokeOpenai(runtime.agentRuntimeName, undefined, {
      messages: [{ role: 'user', content: 'on' }],
      stream: true,
      words: 10,
      delay_ms: 100,
    });
    let text = '';
    for await (const chunk of stream) {
      if (text === '') await server.kill();
      text += chunk.choices[0]?.delta.content ?? '';
    }
    expect(text).toBe('hello: on '.repeat(10));
    await server.start();
  });
});

describe.skipIf(!hasProc)('the gateway process is killed', () => {
  test('another one listens on the same port, calls go on, and the agent does not notice', async () => {
    const server = await startServerForTest({ env: AGENTS_KNOW_THEIR_PIDS });
    const runtime = await deployLogWriter(server);
    const { pid } = await call(server, runtime);
    const gateway = server.gatewayPid()!;
    const { pid: control, url } = server;

    process.kill(gateway, 'SIGKILL');
    await waitFor('another gateway', () => {
      const now = server.gatewayPid();
      return now !== undefined && now !== gateway;
    });
    await waitFor('the port to be listened on again', async () => !(await isRefused(server.port)));
    // From the first connection on every call succeeds: it waits until the new gateway knows its routes.
    const { failures } = await callContinuously(
      4,
      (calls) => calls >= 50,
      async () => expect((await call(server, runtime)).pid).toBe(pid),
    );
    expect(failures).toEqual([]);
    expect(await onlyInstance(server, runtime)).toMatchObject({ pid });
    expect(server.pid).toBe(control);
    expect(server.url).toBe(url);
    expect(isAlive(control)).toBe(true);
  });
});

describe.skipIf(!hasProc)('one of the two is killed while the server starts', () => {
  test('without its gateway it starts another and comes up', async () => {
    const server = await startServerForTest();
    await server.stop();
    const starting = server.start();
    const first = await waitFor('a gateway to be on its way', () => server.gatewayPid());
    process.kill(first, 'SIGKILL');
    await starting;
    expect(server.gatewayPid()).not.toBe(first);
    expect((await fetch(`${server.url}/health`)).status).toBe(200);
  });

  test('without its gateway four times in a row it comes up as well', async () => {
    const server = await startServerForTest();
    await server.stop();
    const starting = server.start();
    const killed = new Set<number>();
    while (killed.size < 4) {
      const next = await waitFor('another gateway to be on its way', () => {
        const pid = server.gatewayPid();
        return pid !== undefined && !killed.has(pid) ? pid : undefined;
      });
      process.kill(next, 'SIGKILL');
      killed.add(next);
    }
    await starting;
    await waitFor('a gateway that answers', async () => !(await isRefused(server.port)));
    expect((await fetch(`${server.url}/health`)).status).toBe(200);
  });

  test('killed before its gateway has loaded, it leaves nobody on the port for the next one', async () => {
    const server = await startServerForTest();
    await server.stop();
    const starting = server.start().catch((error: Error) => error);
    const gateway = await waitFor('a gateway to be on its way', () => server.gatewayPid());
    await server.kill();
    expect(await starting).toBeInstanceOf(Error);
    await waitFor('that gateway to be gone', () => !isAlive(gateway));
    await server.start();
    expect((await fetch(`${server.url}/health`)).status).toBe(200);
  });
});

describe.skipIf(!hasProc)('the control process is killed during a create', () => {
  const ROUNDS = 10;
  /** A create takes 150 to 300 ms: most rounds fall within it, the others just after. */
  const WINDOW_MS = 300;

  test(`${ROUNDS} times at random moments: the runtime is decided after a restart, and nothing else runs`, async () => {
    const server = await startServerForTest();
    const input = await createInput({ folder: fixture('chat-node') });
    for (let round = 0; round < ROUNDS; round++) {
      const agentRuntimeName = `${input.agentRuntimeName}-${round}`;
      const delayMs = Math.random() * WINDOW_MS;
      const dies = new Promise<void>((resolve) => {
        setTimeout(() => void server.kill().then(resolve), delayMs);
      });
      // Whether the answer still came decides nothing: the runtime is there, or it is not.
      await server
        .client()
        .create({ ...input, agentRuntimeName })
        .catch(() => {});
      await dies;
      await server.start();

      const client = server.client();
      const moment = `round ${round}, killed after ${Math.round(delayMs)} ms`;
      const decided = await waitFor(`the runtime to be decided (${moment})`, async () => {
        const found = await client.list({ agentRuntimeName, searchMode: 'exact' });
        return found.every(({ status }) => /(READY|_FAILED)$/.test(status ?? '')) ? found : undefined;
      });
      expect(decided.length, moment).toBeLessThanOrEqual(1);
      for (const { status, statusReason, agentRuntimeId: id } of decided) {
        // Nothing is wrong with the package: being killed is no reason to fail.
        expect(status, `${moment}: ${statusReason}`).toBe('READY');
        expect(await say(server, agentRuntimeName), moment).toBe(200);
        // What runs is what the server knows of: no second agent from the attempt that was cut off.
        const known = await server.instances(id!);
        expect(known.length, moment).toBe(1);
        const its = processesWith('RUNSTEAD_INSTANCE_ID', known[0]!.instanceId);
        expect(server.agentProcesses(), moment).toEqual(its);
        await client.delete(id!);
        await untilGone('the runtime', () => client.get(id!));
      }
      await waitFor(`no agent to be left (${moment})`, () => server.agentProcesses().length === 0);
    }
  });

  async function say(server: Server, runtimeName: string): Promise<number> {
    const response = await fetch(`${server.invocationUrl(runtimeName)}/who`);
    await response.arrayBuffer();
    return response.status;
  }
});
