import { describe, expect, it } from 'vitest';
import { waitFor } from '../wait-for.ts';
import { type TestServer, withServer } from './harness.ts';

const ready = async (server: TestServer, name: string, more: object = {}) => {
  const id = await server.create(name, more);
  expect(await server.decided(id)).toMatchObject({ status: 'READY' });
  return id;
};
const only = (server: TestServer) => [...server.driver.instances.keys()][0]!;
const endpointSettled = (server: TestServer, agentRuntimeId: string, agentRuntimeEndpointId: string) =>
  waitFor('the endpoint to be decided', async () => {
    const { data } = await server.call('GetAgentRuntimeEndpoint', { agentRuntimeId, agentRuntimeEndpointId });
    return !/ING$/.test(data.status) && data;
  });

describe('a version', () => {
  it('goes to sleep after its idle time and wakes for the next call', () =>
    withServer({ idleStopMs: 100 }, async (server) => {
      const id = await ready(server, 'agent');
      expect((await server.invoke('agent')).status).toBe(200);
      await waitFor('sleep', () => server.driver.instances.size === 0);
      expect((await server.call('GetAgentRuntime', { agentRuntimeId: id })).data.status).toBe('READY');
      expect((await server.invoke('agent')).status).toBe(200);
      expect(server.driver.starts).toHaveLength(2);
    }));

  it('is not put to sleep while a call is open', () =>
    withServer({ idleStopMs: 100 }, async (server) => {
      await ready(server, 'agent');
      const open = await server.invoke('agent', '/hang');
      await ready(server, 'other');
      await waitFor('the other to sleep', () => server.driver.instances.size === 1);
      server.driver.hanging[0]!.end('');
      expect(await open.text()).toBe('begun');
      await waitFor('sleep', () => server.driver.instances.size === 0);
    }));

  it('is given an instance per call at one slot each, up to the limit, and the rest wait', () =>
    withServer({ maxInstancesPerRuntime: 3, parallelStarts: 2 }, async (server) => {
      await ready(server, 'agent');
      const open = await Promise.all([1, 2, 3].map(() => server.invoke('agent', '/hang')));
      expect(server.driver.instances.size).toBe(3);
      expect(server.driver.peakStarting).toBeLessThanOrEqual(2);
      const waiting = server.invoke('agent');
      await waitFor('the call to wait', async () => {
        const { data } = await server.api('/runstead/v1/instances');
        return data.items.length === 3;
      });
      server.driver.hanging[0]!.end('');
      expect((await waiting).status).toBe(200);
      for (const answer of server.driver.hanging) answer.end('');
      await Promise.all(open.map((response) => response.text()));
      expect(server.driver.starts).toHaveLength(3);
    }));

  it('takes several calls at once when it may', () =>
    withServer({}, async (server) => {
      await ready(server, 'agent', { sessionConcurrencyLimitPerInstance: 4 });
      const open = await Promise.all([1, 2, 3, 4].map(() => server.invoke('agent', '/hang')));
      expect(server.driver.instances.size).toBe(1);
      for (const answer of server.driver.hanging) answer.end('');
      await Promise.all(open.map((response) => response.text()));
    }));

  it('that cannot be started answers 503 with its own reason, rests, and is tried again', () =>
    withServer({ idleStopMs: 50 }, async (server) => {
      await ready(server, 'agent');
      await waitFor('sleep', () => server.driver.instances.size === 0);
      server.driver.behave = () => ({
        failure: { kind: 'exited', message: 'exited with code 7', lastLines: ['Error: no database'] },
      });
      const refused = await server.invoke('agent');
      expect(refused.status).toBe(503);
      expect(await refused.text()).toMatch(/exited with code 7.*no database/);
      const startsThen = server.driver.starts.length;
      expect((await server.invoke('agent')).status).toBe(503);
      expect(server.driver.starts).toHaveLength(startsThen);
      server.driver.behave = () => ({});
      await waitFor('an answer', async () => (await server.invoke('agent')).status === 200);
    }));

  it('that crashes is taken out of the routes and comes back with the next call', () =>
    withServer({}, async (server) => {
      const id = await ready(server, 'agent');
      await server.driver.crash(only(server), { signal: 'SIGKILL', lastLines: ['out of luck'] });
      expect((await server.invoke('agent')).status).toBe(200);
      expect(server.driver.starts).toHaveLength(2);
      const { data } = await server.api(`/runstead/v1/runtimes/${id}/events`);
      const exit = data.items.find(({ phase }: { phase: string }) => phase === 'exit');
      expect(exit.reason).toBe('killed by SIGKILL | out of luck');
    }));

  it('whose health check fails as often as allowed is replaced', () =>
    withServer({}, async (server) => {
      const healthCheckConfiguration = { httpGetUrl: '/ready', periodSeconds: 1, failureThreshold: 2 };
      const id = await ready(server, 'agent', { healthCheckConfiguration });
      const sick = only(server);
      await server.call(
        'CreateAgentRuntimeEndpoint',
        { agentRuntimeId: id },
        {
          agentRuntimeEndpointName: 'kept',
          scalingConfig: { minInstances: 1 },
        },
      );
      server.driver.instances.get(sick)!.healthy = false;
      await waitFor(
        'another instance',
        () => server.driver.starts.length === 2 && !server.driver.instances.has(sick),
      );
    }));
});

describe('an endpoint', () => {
  it('with a minimum is READY when its instances are up, and they are kept', () =>
    withServer({ idleStopMs: 100 }, async (server) => {
      const agentRuntimeId = await ready(server, 'agent');
      const { data } = await server.call(
        'CreateAgentRuntimeEndpoint',
        { agentRuntimeId },
        {
          agentRuntimeEndpointName: 'warm',
          scalingConfig: { minInstances: 2 },
        },
      );
      expect(data.status).toBe('CREATING');
      const endpoint = await endpointSettled(server, agentRuntimeId, data.agentRuntimeEndpointId);
      expect(endpoint).toMatchObject({
        status: 'READY',
        scalingStatus: { minInstances: 2, currentInstances: 2 },
      });
      await ready(server, 'other');
      await waitFor('only the other to sleep', () => server.driver.instances.size === 2);
    }));

  it('whose minimum cannot be started fails with the reason', () =>
    withServer({}, async (server) => {
      const agentRuntimeId = await ready(server, 'agent');
      server.driver.behave = () => ({ failure: { kind: 'exited', message: 'exited with code 9' } });
      const { data } = await server.call(
        'CreateAgentRuntimeEndpoint',
        { agentRuntimeId },
        {
          agentRuntimeEndpointName: 'warm',
          scalingConfig: { minInstances: 2 },
        },
      );
      const endpoint = await endpointSettled(server, agentRuntimeId, data.agentRuntimeEndpointId);
      expect(endpoint).toMatchObject({
        status: 'CREATE_FAILED',
        statusReason: expect.stringMatching(/exited with code 9/),
      });
    }));

  it('splits calls by weight, is promoted and rolled back without a failed call', () =>
    withServer({}, async (server) => {
      const slots = { sessionConcurrencyLimitPerInstance: 8 };
      const agentRuntimeId = await ready(server, 'agent', slots);
      await server.call('UpdateAgentRuntime', { agentRuntimeId }, { environmentVariables: { V: '2' } });
      await server.decided(agentRuntimeId);
      const { data } = await server.call(
        'CreateAgentRuntimeEndpoint',
        { agentRuntimeId },
        {
          agentRuntimeEndpointName: 'canary',
          targetVersion: '1',
          routingConfiguration: { versionWeights: [{ version: '2', weight: 0.5 }] },
        },
      );
      const agentRuntimeEndpointId = data.agentRuntimeEndpointId;
      await endpointSettled(server, agentRuntimeId, agentRuntimeEndpointId);
      const count = async () => {
        const seen = new Set<number>();
        for (let i = 0; i < 40; i++) {
          const response = await server.invoke('agent', '/', { endpoint: 'canary' });
          expect(response.status).toBe(200);
          seen.add(((await response.json()) as { revision: number }).revision);
        }
        return [...seen].sort();
      };
      expect(await count()).toEqual([1, 2]);
      for (const [targetVersion, revision] of [
        ['2', 2],
        ['1', 1],
      ] as const) {
        const routingConfiguration = { versionWeights: [] };
        await server.call(
          'UpdateAgentRuntimeEndpoint',
          { agentRuntimeId, agentRuntimeEndpointId },
          { targetVersion, routingConfiguration },
        );
        await endpointSettled(server, agentRuntimeId, agentRuntimeEndpointId);
        expect(await count()).toEqual([revision]);
      }
    }));

  it('that is deleted answers 404, and a name that answers by itself does so again', () =>
    withServer({}, async (server) => {
      const agentRuntimeId = await ready(server, 'agent');
      await server.call('UpdateAgentRuntime', { agentRuntimeId }, { environmentVariables: { V: '2' } });
      await server.decided(agentRuntimeId);
      for (const [name, after] of [
        ['mine', 404],
        ['Default', 200],
      ] as const) {
        const { data } = await server.call(
          'CreateAgentRuntimeEndpoint',
          { agentRuntimeId },
          {
            agentRuntimeEndpointName: name,
            targetVersion: '1',
          },
        );
        await endpointSettled(server, agentRuntimeId, data.agentRuntimeEndpointId);
        expect(await (await server.invoke('agent', '/', { endpoint: name })).json()).toMatchObject({
          revision: 1,
        });
        const ids = { agentRuntimeId, agentRuntimeEndpointId: data.agentRuntimeEndpointId };
        expect((await server.call('DeleteAgentRuntimeEndpoint', ids)).data.status).toBe('DELETING');
        await waitFor('404', async () => (await server.call('GetAgentRuntimeEndpoint', ids)).status === 404);
        expect((await server.invoke('agent', '/', { endpoint: name })).status).toBe(after);
      }
    }));
});

describe('a restart', () => {
  it('of the server takes over running instances: no start, no stop, same answers', () =>
    withServer({}, async (server) => {
      await ready(server, 'agent');
      const before = only(server);
      await server.restart();
      expect((await server.invoke('agent')).status).toBe(200);
      expect(only(server)).toBe(before);
      expect(server.driver.starts).toHaveLength(1);
      await server.driver.crash(before, { code: 1, lastLines: [] });
      expect((await server.invoke('agent')).status).toBe(200);
    }));

  it('of the server takes up an attempt that was under way, and its half-started instance goes', () =>
    withServer({}, async (server) => {
      server.driver.behave = () => ({ until: new Promise(() => {}) });
      const id = await server.create('agent');
      await waitFor('the start', () => server.driver.starts.length === 1);
      server.driver.behave = () => ({});
      await server.restart();
      expect(await server.decided(id)).toMatchObject({ status: 'READY', agentRuntimeVersion: '1' });
      expect(server.driver.instances.size).toBe(1);
    }));

  it('of the server finishes a delete that was under way', () =>
    withServer({ deleteGraceMs: 60_000 }, async (server) => {
      const id = await ready(server, 'agent');
      const open = await server.invoke('agent', '/hang');
      await server.call('DeleteAgentRuntime', { agentRuntimeId: id });
      await server.restart();
      await expect(open.text()).rejects.toThrow();
      await waitFor(
        '404',
        async () => (await server.call('GetAgentRuntime', { agentRuntimeId: id })).status === 404,
      );
      expect(server.driver.instances.size).toBe(0);
    }));

  it('of the gateway loses no route', () =>
    withServer({}, async (server) => {
      await ready(server, 'agent');
      await server.replaceGateway();
      expect((await server.invoke('agent')).status).toBe(200);
      expect(server.driver.starts).toHaveLength(1);
    }));
});
