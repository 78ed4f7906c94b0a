import { expect, it } from 'vitest';
import { waitFor } from '../wait-for.ts';
import { type TestServer, withServer } from './harness.ts';

/** Secrets by reference, from the API to the instance. */

const set = (server: TestServer, name: string, value: string, workspace = 'default') =>
  server.api(`/runstead/v1/secrets/${name}?workspace=${workspace}`, 'PUT', { value });
const environmentVariables = { GREETING: 'secret://greeting', PLAIN: 'x' };

it('an agent gets the value as it is when it starts, and what runs keeps what it has', async () => {
  await withServer({ idleStopMs: 50 }, async (server) => {
    await set(server, 'greeting', 'planted-1');
    const id = await server.create('told', { environmentVariables });
    expect(await server.decided(id)).toMatchObject({ status: 'READY', environmentVariables });
    const [start] = server.driver.starts;
    expect(start).toMatchObject({
      environment: { GREETING: 'planted-1', PLAIN: 'x' },
      secretVariables: ['GREETING'],
    });

    await set(server, 'greeting', 'planted-2');
    // The same configuration: nothing is started for it, and no version made.
    await server.call('UpdateAgentRuntime', { agentRuntimeId: id }, { environmentVariables });
    expect(await server.decided(id)).toMatchObject({ status: 'READY', agentRuntimeVersion: '1' });
    expect(server.driver.starts).toHaveLength(1);
    await waitFor('the instance to be put to sleep', () => server.driver.instances.size === 0);
    expect(((await (await server.invoke('told')).json()) as { env: object }).env).toMatchObject({
      GREETING: 'planted-2',
    });

    const told = await Promise.all([
      server.call('GetAgentRuntime', { agentRuntimeId: id }),
      server.call('GetAgentRuntime', { agentRuntimeId: id, agentRuntimeVersion: '1' }),
      server.call('ListAgentRuntimes'),
      server.api(`/runstead/v1/runtimes/${id}/events`),
      server.api('/runstead/v1/audit'),
    ]);
    expect(JSON.stringify(told)).not.toContain('planted');
  });
});

it('a start without its secret fails by name and says what to do; then the same update goes through', async () => {
  await withServer({ idleStopMs: 50 }, async (server) => {
    const id = await server.create('lacking', { environmentVariables });
    const failed = await server.decided(id);
    expect(failed).toMatchObject({
      status: 'CREATE_FAILED',
      statusReason: `start: environmentVariables.GREETING refers to the secret 'greeting', which workspace 'default' does not have; set it with "runstead secrets set greeting --workspace default", and deploy or call again`,
    });
    expect(server.driver.starts).toHaveLength(0);
    const { data } = await server.api(`/runstead/v1/runtimes/${id}/events`);
    expect(data.items[0]).toMatchObject({ phase: 'start', outcome: 'failed' });

    await set(server, 'greeting', 'planted-1');
    await server.call('UpdateAgentRuntime', { agentRuntimeId: id }, { environmentVariables });
    expect(await server.decided(id)).toMatchObject({ status: 'READY' });

    // Removed while it sleeps: its callers are told, until it is there again.
    await waitFor('the instance to be put to sleep', () => server.driver.instances.size === 0);
    await server.api('/runstead/v1/secrets/greeting', 'DELETE');
    const refused = await server.invoke('lacking');
    expect(refused.status).toBe(503);
    expect(await refused.text()).toMatch(
      /refers to the secret 'greeting', which workspace 'default' does not/,
    );
    await set(server, 'greeting', 'planted-2');
    const answered = await waitFor('it to be tried again', async () => {
      const response = await server.invoke('lacking');
      return response.status === 200 && response;
    });
    expect(await answered.text()).toContain('planted-2');
  });
});

it('a runtime gets the secrets of its own workspace alone, also after it has moved', async () => {
  await withServer({ idleStopMs: 50 }, async (server) => {
    const { data } = await server.call('CreateWorkspace', {}, { name: 'team' });
    await set(server, 'greeting', 'planted-of-team', 'team');
    const id = await server.create('moving', { environmentVariables });
    expect(await server.decided(id)).toMatchObject({ status: 'CREATE_FAILED' });
    await server.call(
      'UpdateAgentRuntime',
      { agentRuntimeId: id },
      { environmentVariables, workspaceId: data.workspaceId },
    );
    expect(await server.decided(id)).toMatchObject({ status: 'READY' });
    expect(server.driver.starts.at(-1)!.environment.GREETING).toBe('planted-of-team');
  });
});
