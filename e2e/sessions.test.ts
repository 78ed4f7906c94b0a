import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { deploy, fixture } from './harness/deploy.ts';
import { hasProc, isAlive } from './harness/processes.ts';
import { AGENTS_KNOW_THEIR_PIDS, type Server, startServerForTest } from './harness/server.ts';
import { waitFor } from './harness/wait-for.ts';

async function whoAnswers(server: Server, runtimeName: string, session: string) {
  const response = await fetch(`${server.invocationUrl(runtimeName)}/who`, {
    headers: { 'X-AgentRun-Session-ID': session },
  });
  expect(response.status).toBe(200);
  const { pid } = (await response.json()) as { pid: number };
  return { pid, state: response.headers.get('x-runstead-session') };
}

const listed = async (server: Server): Promise<{ sessionHash: string; instanceId: string }[]> => {
  const response = await fetch(`${server.url}/runstead/v1/sessions`, {
    headers: { authorization: `Bearer ${server.apiKey}` },
  });
  return ((await response.json()) as { data: { items: { sessionHash: string; instanceId: string }[] } }).data
    .items;
};

describe.skipIf(!hasProc)('sessions under isolation', () => {
  test('have a process each, keep it when the gateway is killed, and end with it', async () => {
    const server = await startServerForTest({
      env: { ...AGENTS_KNOW_THEIR_PIDS, RUNSTEAD_LOG_LEVEL: 'debug' },
    });
    const runtime = await deploy(server.client(), {
      folder: fixture('chat-node'),
      enableSessionIsolation: true,
    });
    const name = runtime.agentRuntimeName;
    const ann = await whoAnswers(server, name, 'session-of-ann');
    const bob = await whoAnswers(server, name, 'session-of-bob');
    expect([ann.state, bob.state]).toEqual(['new', 'new']);
    expect(bob.pid).not.toBe(ann.pid);
    await waitFor('both sessions to be written down', async () => (await listed(server)).length === 2);

    const gateway = server.gatewayPid()!;
    process.kill(gateway, 'SIGKILL');
    await waitFor('another gateway to answer', async () => {
      if ((server.gatewayPid() ?? gateway) === gateway) return false;
      return (await fetch(`${server.url}/health`).catch(() => undefined))?.ok;
    });
    expect(await whoAnswers(server, name, 'session-of-ann')).toEqual({ pid: ann.pid, state: 'bound' });
    expect(await whoAnswers(server, name, 'session-of-bob')).toEqual({ pid: bob.pid, state: 'bound' });

    const sessions = await listed(server);
    const instances = await server.instances(runtime.agentRuntimeId);
    const { instanceId } = instances.find(({ pid }) => pid === ann.pid)!;
    const { sessionHash } = sessions.find((session) => session.instanceId === instanceId)!;
    const ended = await fetch(`${server.url}/runstead/v1/sessions/${sessionHash}`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${server.apiKey}` },
    });
    expect(ended.status).toBe(200);
    await waitFor('its process to be gone', () => !isAlive(ann.pid));
    expect((await whoAnswers(server, name, 'session-of-ann')).state).toBe('new');
    expect((await whoAnswers(server, name, 'session-of-bob')).state).toBe('bound');
    // Its hash is in all of them, which shows that they were looked for in the right places.
    const database = ['db.sqlite', 'db.sqlite-wal'].map((file) =>
      readFileSync(join(server.data, file), 'latin1'),
    );
    for (const output of [JSON.stringify(sessions), server.stderr, database.join()]) {
      expect(output).toContain(sessionHash);
      expect(output).not.toContain('session-of');
    }
  });
});
