import { describe, expect, it } from 'vitest';
import { waitFor } from '../wait-for.ts';
import { type TestServer, withServer } from './harness.ts';

const ready = async (server: TestServer, name: string, more: object = {}) => {
  const id = await server.create(name, more);
  expect(await server.decided(id)).toMatchObject({ status: 'READY' });
  return id;
};
/** Puts all instances to sleep. */
const asleep = (server: TestServer) => waitFor('sleep', () => server.driver.instances.size === 0);
const namesOf = (server: TestServer) =>
  [...server.driver.instances.values()]
    .map(({ spec }) => spec.runtimeName)
    .sort()
    .join();
/** Calls that do not end by themselves, as many as there may be instances. */
const keepBusy = async (server: TestServer, name: string, calls: number) => {
  const open = await Promise.all(Array.from({ length: calls }, () => server.invoke(name, '/hang')));
  for (const { status } of open) expect(status).toBe(200);
  for (const response of open) response.text().catch(() => {});
};
const letGo = (server: TestServer) => {
  for (const answer of server.driver.hanging.splice(0)) answer.end('');
};

describe('with the machine full', () => {
  it('of instances that have had calls for a while, a first call is told so, and served when there is room', () =>
    withServer({ maxInstances: 2, maxInstancesPerRuntime: 2, idleStopMs: 100 }, async (server) => {
      await ready(server, 'busy');
      await asleep(server);
      await ready(server, 'other');
      await asleep(server);
      await keepBusy(server, 'busy', 2);
      const refused = await server.invoke('other');
      expect(refused.status).toBe(503);
      expect(refused.headers.get('retry-after')).toBe('1');
      expect(await refused.text()).toContain(
        "Version 1 of runtime 'other' has no instance, and none can be started now: the limit of 2 instances in all is reached",
      );
      letGo(server);
      await waitFor('an answer', async () => (await server.invoke('other')).status === 200);
    }));

  it('of instances without calls, the one idle longest makes room for the first of another', () =>
    withServer({ maxInstances: 2, idleStopMs: 600_000 }, async (server) => {
      await ready(server, 'oldest');
      await ready(server, 'older');
      expect((await server.invoke('older')).status).toBe(200);
      const id = await server.create('other');
      // Its own first start, for the deploy, is not a matter of room.
      await server.decided(id);
      await waitFor('the deploy', () => server.driver.instances.size === 3);
      const [instance] = [...server.driver.instances.values()].filter(
        ({ spec }) => spec.runtimeName === 'other',
      );
      await server.driver.crash(instance!.spec.instanceId, { code: 0, lastLines: [] });
      expect((await server.invoke('other')).status).toBe(200);
      expect(namesOf(server)).toBe('older,other');
    }));

  it('of instances that an endpoint asks for, none of them makes room', () =>
    withServer({ maxInstances: 1, idleStopMs: 300 }, async (server) => {
      await ready(server, 'other');
      await asleep(server);
      const agentRuntimeId = await ready(server, 'kept');
      await server.call(
        'CreateAgentRuntimeEndpoint',
        { agentRuntimeId },
        { agentRuntimeEndpointName: 'warm', scalingConfig: { minInstances: 1 } },
      );
      // While it is only idle the call may hope, and waits.
      const refused = await server.invoke('other');
      expect(refused.status).toBe(503);
      expect(namesOf(server)).toBe('kept');
    }));

  it('the next room goes to the runtime that has nothing, not to the flood that asked first', () =>
    withServer(
      { maxInstances: 2, maxInstancesPerRuntime: 2, idleStopMs: 600_000, queueTimeoutMs: 20_000 },
      async (server) => {
        await ready(server, 'flood');
        await ready(server, 'other');
        for (const [id, { spec }] of server.driver.instances)
          if (spec.runtimeName === 'other') await server.driver.crash(id, { code: 0, lastLines: [] });
        await keepBusy(server, 'flood', 2);
        const waiting = Array.from({ length: 5 }, () => server.invoke('flood'));
        // Told at once that there is no room, or let wait for it: it comes again until it is let in.
        const first = waitFor(
          'the first call of the other',
          async () => (await server.invoke('other')).status === 200,
        );
        const before = server.driver.starts.length;
        const [flooding] = [...server.driver.instances.entries()].filter(
          ([, { spec }]) => spec.runtimeName === 'flood',
        );
        await waitFor('both to wait', async () => {
          const { data } = await server.api('/runstead/v1/instances');
          return data.items.every(({ inFlight }: { inFlight: number }) => inFlight === 1);
        });
        await server.driver.crash(flooding![0], { code: 1, lastLines: [] });
        await first;
        expect(server.driver.starts[before]?.runtimeName).toBe('other');
        letGo(server);
        for (const reply of waiting) expect((await reply).status).toBe(200);
      },
    ));
});

describe('with a runtime at its limit', () => {
  it('another version of it is let in when the first has no calls, and told of the limit when it has', () =>
    withServer({ maxInstancesPerRuntime: 1, idleStopMs: 600_000 }, async (server) => {
      const agentRuntimeId = await ready(server, 'agent');
      await server.call('UpdateAgentRuntime', { agentRuntimeId }, { environmentVariables: { V: '2' } });
      await server.decided(agentRuntimeId);
      for (const version of ['1', '2']) {
        await server.call(
          'CreateAgentRuntimeEndpoint',
          { agentRuntimeId },
          { agentRuntimeEndpointName: `on${version}`, targetVersion: version },
        );
      }
      const to = async (version: string, path = '/') =>
        server.invoke('agent', path, { endpoint: `on${version}` });
      await waitFor('version 1', async () => (await to('1')).status === 200);
      const open = await to('2', '/hang');
      expect(open.status).toBe(200);
      open.text().catch(() => {});
      const refused = await to('1');
      expect(refused.status).toBe(503);
      expect(await refused.text()).toContain('the limit of 1 instances of a runtime is reached');
      letGo(server);
    }));
});

describe('starts', () => {
  it('are taken in turn: a flood of one runtime does not keep the first call of another waiting', () =>
    withServer({ parallelStarts: 1, maxInstancesPerRuntime: 8, idleStopMs: 600_000 }, async (server) => {
      for (const name of ['flood', 'other']) {
        await ready(server, name);
      }
      for (const id of [...server.driver.instances.keys()])
        await server.driver.crash(id, { code: 0, lastLines: [] });
      const goOn: (() => void)[] = [];
      server.driver.behave = () => ({ until: new Promise((resolve) => goOn.push(resolve)) });
      const before = server.driver.starts.length;
      const begun = () => server.driver.starts.slice(before).map(({ runtimeName }) => runtimeName);
      const flood = Array.from({ length: 6 }, () => server.invoke('flood', '/hang'));
      await waitFor('all to be asked for', async () => {
        const { data } = await server.api('/runstead/v1/instances');
        return data.items.length === 6 && begun().length === 1;
      });
      const other = server.invoke('other');
      await waitFor('the other to be asked for', async () => {
        const { data } = await server.api('/runstead/v1/instances');
        return data.items.length === 7;
      });
      // It may still be on its way to the line of starts.
      await waitFor('the next start', () => {
        goOn.shift()?.();
        return begun().includes('other');
      });
      expect(begun().indexOf('other')).toBeLessThanOrEqual(2);
      server.driver.behave = () => ({});
      for (const resolve of goOn) resolve();
      expect((await other).status).toBe(200);
      for (const reply of await Promise.all(flood)) reply.text().catch(() => {});
      letGo(server);
    }));
});
