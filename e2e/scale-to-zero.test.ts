import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { deploy, fixture } from './harness/deploy.ts';
import { hasProc, processesWith } from './harness/processes.ts';
import { AGENTS_KNOW_THEIR_PIDS, type Server, startServer } from './harness/server.ts';
import { waitFor } from './harness/wait-for.ts';

let server: Server;

beforeAll(async () => {
  server = await startServer({ env: { ...AGENTS_KNOW_THEIR_PIDS, RUNSTEAD_IDLE_STOP: '1s' } });
});
afterAll(() => server.dispose());

const processesOf = (agentRuntimeId: string) => processesWith('RUNSTEAD_RUNTIME_ID', agentRuntimeId);
const asleep = (agentRuntimeId: string) =>
  waitFor('the last process of the runtime to be gone', () => processesOf(agentRuntimeId).length === 0);

async function pidOf(runtimeName: string): Promise<number> {
  const response = await fetch(`${server.invocationUrl(runtimeName)}/who`);
  expect(response.status).toBe(200);
  return ((await response.json()) as { pid: number }).pid;
}

describe.skipIf(!hasProc)('a runtime without calls', () => {
  test('costs no process, is still READY, and the next call wakes it', async () => {
    const client = server.client();
    const runtime = await deploy(client, { folder: fixture('chat-node') });
    const first = await pidOf(runtime.agentRuntimeName);
    expect(processesOf(runtime.agentRuntimeId)).toContain(first);

    await asleep(runtime.agentRuntimeId);
    const instances = () => server.instances(runtime.agentRuntimeId);
    await waitFor('the instance to be forgotten', async () => (await instances()).length === 0);
    expect(await client.get(runtime.agentRuntimeId)).toMatchObject({ status: 'READY' });

    const second = await pidOf(runtime.agentRuntimeName);
    expect(second).not.toBe(first);
    expect(processesOf(runtime.agentRuntimeId)).toContain(second);
    await asleep(runtime.agentRuntimeId);
  });

  test('is woken once by callers who come together', async () => {
    const runtime = await deploy(server.client(), {
      folder: fixture('chat-node'),
      sessionConcurrencyLimitPerInstance: 10,
    });
    await asleep(runtime.agentRuntimeId);
    const pids = await Promise.all(Array.from({ length: 10 }, () => pidOf(runtime.agentRuntimeName)));
    expect(new Set(pids).size).toBe(1);
  });

  test('is not put to sleep while a call is open', async () => {
    const runtime = await deploy(server.client(), { folder: fixture('chat-node') });
    const stream = await server.client().invokeOpenai(runtime.agentRuntimeName, undefined, {
      messages: [{ role: 'user', content: 'slowly' }],
      stream: true,
      words: 6,
      delay_ms: 500,
    });
    let text = '';
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
    expect(text).toBe('hello: slowly '.repeat(6));
  });

  test('many of them cost nothing: five sleep, and no agent runs', async () => {
    const own = await startServer({ env: { ...AGENTS_KNOW_THEIR_PIDS, RUNSTEAD_IDLE_STOP: '1s' } });
    try {
      const runtimes = await Promise.all(
        Array.from({ length: 5 }, () => deploy(own.client(), { folder: fixture('chat-node') })),
      );
      expect(runtimes).toHaveLength(5);
      await waitFor('all agents to be gone', () => own.agentProcesses().length === 0);
    } finally {
      await own.dispose();
    }
  });
});
