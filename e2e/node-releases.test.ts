import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createInput, fixture, untilSettled } from './harness/deploy.ts';
import { hasProc } from './harness/processes.ts';
import { startServer, startServerForTest } from './harness/server.ts';
import { waitFor } from './harness/wait-for.ts';

test.skipIf(!hasProc)(
  'an agent gets the Node that it names, and starts from a record when it is woken',
  async (context) => {
    const server = await startServerForTest({ env: { RUNSTEAD_IDLE_STOP: '1s' } });
    const client = server.client();
    const input = await createInput({ folder: fixture('chat-node'), language: 'nodejs24' });
    const { agentRuntimeId: id = '' } = await client.create(input);
    const runtime = await untilSettled(client, id);
    if (/could not be got from npm/.test(runtime.statusReason ?? '')) {
      console.warn(`skipped: ${runtime.statusReason}`);
      return context.skip();
    }
    expect(runtime.status, runtime.statusReason).toBe('READY');
    const starts = join(server.data, 'starts', id);
    const isKept = () => existsSync(starts) && readdirSync(starts).some((name) => !name.endsWith('.tmp'));
    await waitFor('the start to be recorded', isKept);
    await waitFor('the agent to be asleep', async () => (await server.instances(id)).length === 0);

    await fetch(`${server.invocationUrl(runtime.agentRuntimeName)}/who`);
    const [instance] = await server.instances(id);
    const pid = instance!.pid;
    expect(execFileSync(`/proc/${pid}/exe`, ['--version'], { encoding: 'utf8' })).toMatch(/^v24\./);
    const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
    expect(environment.find((it) => it.startsWith('RUNSTEAD_NODE_START='))).toMatch(/=play:/);

    await client.delete(id);
    await waitFor('its records to be gone', () => !existsSync(starts));
  },
);

test('a folder of Node releases that is not there is refused at the start', async () => {
  await expect(startServer({ args: ['--node-dir', '/nowhere/at/all'] })).rejects.toThrow(
    /RUNSTEAD_NODE_DIR names \/nowhere\/at\/all, which is no directory/,
  );
});
