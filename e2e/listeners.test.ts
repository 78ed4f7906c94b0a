import { describe, expect, test } from 'vitest';
import { deploy, fixture, type Runtime } from './harness/deploy.ts';
import { hasProc } from './harness/processes.ts';
import { pythonOrSkip } from './harness/requirements.ts';
import { AGENTS_KNOW_THEIR_PIDS, type Server, startServerForTest } from './harness/server.ts';
import { waitFor } from './harness/wait-for.ts';

/** S4, from the other side: an agent may change its listening sockets as it likes and goes on being served. */

async function start(command: string[], more: object = {}): Promise<{ server: Server; runtime: Runtime }> {
  const server = await startServerForTest({ env: AGENTS_KNOW_THEIR_PIDS });
  const runtime = await deploy(server.client(), {
    folder: fixture('listeners'),
    command,
    sessionConcurrencyLimitPerInstance: 20,
    ...more,
  });
  return { server, runtime };
}

async function call(server: Server, runtime: Runtime, path = '/'): Promise<{ pid: number; listens: number }> {
  const response = await fetch(server.invocationUrl(runtime.agentRuntimeName) + path);
  const text = await response.text();
  if (!response.ok) throw new Error(`HTTP ${response.status} ${text}`);
  return JSON.parse(text) as { pid: number; listens: number };
}

const idsOf = async (server: Server, runtime: Runtime) =>
  (await server.instances(runtime.agentRuntimeId)).map((it) => it.instanceId);

describe('an agent that closes its listening socket and opens another', () => {
  test.each([
    { gapMs: 0, what: 'at once' },
    { gapMs: 200, what: 'a little later' },
  ])('$what: keeps its process and all its calls', async ({ gapMs }) => {
    const { server, runtime } = await start(['node', 'reopens.mjs'], {
      environmentVariables: { GAP_MS: String(gapMs) },
    });
    const before = await idsOf(server, runtime);
    const { pid } = await call(server, runtime);
    for (let listens = 1; listens <= 5; listens++) {
      expect(await call(server, runtime, '/reopen')).toEqual({ pid, listens });
      const after = await Promise.all(Array.from({ length: 8 }, () => call(server, runtime)));
      expect(new Set(after.map((it) => it.pid))).toEqual(new Set([pid]));
    }
    expect((await call(server, runtime)).listens).toBe(6);
    expect(await idsOf(server, runtime)).toEqual(before);
  });
});

describe.skipIf(!hasProc)('an agent of several processes', () => {
  const agents = [
    { command: ['node', 'cluster.mjs'], what: 'Node, through node:cluster', python: false },
    { command: ['python3', 'workers.py', 'shared'], what: 'Python, one inherited socket', python: true },
    { command: ['python3', 'workers.py', 'reuseport'], what: 'Python, a socket each', python: true },
    {
      command: ['python3', 'workers.py', 'child'],
      what: 'Python, the socket in a child alone',
      python: true,
    },
  ];
  test.for(agents)(
    '$what: goes on being served while they are replaced',
    async ({ command, python }, context) => {
      if (python) pythonOrSkip(context);
      const { server, runtime } = await start(command, python ? { language: 'python3.10' } : {});
      const before = await idsOf(server, runtime);
      const seen = new Set<number>();
      await waitFor('eight workers to have come and gone', async () => {
        seen.add((await call(server, runtime, '/exit')).pid);
        seen.add((await call(server, runtime)).pid);
        return seen.size > 8;
      });
      expect(await idsOf(server, runtime)).toEqual(before);
    },
  );
});
