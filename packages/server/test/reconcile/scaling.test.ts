import { describe, expect, it } from 'vitest';
import { waitFor } from '../wait-for.ts';
import { type TestServer, withServer } from './harness.ts';

const ready = async (server: TestServer, name: string, more: object = {}) => {
  const id = await server.create(name, more);
  expect(await server.decided(id)).toMatchObject({ status: 'READY' });
  return id;
};
const asleep = (server: TestServer) => waitFor('sleep', () => server.driver.instances.size === 0);
const only = (server: TestServer) => [...server.driver.instances.keys()][0]!;
const isOpen = (server: TestServer, instanceId: string) => server.driver.instances.has(instanceId);
const eventsOf = async (
  server: TestServer,
  id: string,
): Promise<{ phase: string; outcome: string; reason: string }[]> =>
  (await server.api(`/runstead/v1/runtimes/${id}/events`)).data.items;
const endpointOf = async (server: TestServer, agentRuntimeId: string, body: object) => {
  const { data, message } = await server.call('CreateAgentRuntimeEndpoint', { agentRuntimeId }, body);
  if (!data) throw new Error(message);
  const ids = { agentRuntimeId, agentRuntimeEndpointId: data.agentRuntimeEndpointId as string };
  return {
    update: (change: object) => server.call('UpdateAgentRuntimeEndpoint', ids, change),
    read: async () => (await server.call('GetAgentRuntimeEndpoint', ids)).data,
  };
};
const letGo = (server: TestServer) => {
  for (const answer of server.driver.hanging.splice(0)) answer.end('');
};

describe('a scheduled policy', () => {
  const always = {
    name: 'always',
    scheduleExpression: 'cron(* * * * ? *)',
    target: 2,
    timeZone: 'Asia/Shanghai',
  };

  it('is in force from its last firing, told with its cause, and over at its end', () =>
    withServer({ idleStopMs: 100 }, async (server) => {
      const id = await ready(server, 'agent');
      await asleep(server);
      const endpoint = await endpointOf(server, id, {
        agentRuntimeEndpointName: 'office',
        scalingConfig: { minInstances: 0, scheduledPolicies: [always] },
      });
      await waitFor('the target', async () => {
        const { status, scalingStatus } = await endpoint.read();
        return status === 'READY' && scalingStatus.currentInstances === 2;
      });
      expect((await endpoint.read()).scalingStatus).toEqual({
        minInstances: 0,
        currentInstances: 2,
        targetInstances: 2,
        scheduledPolicies: [always],
      });
      const started = (await eventsOf(server, id)).find(({ phase }) => phase === 'scale');
      expect(started?.reason).toMatch(/^version 1: endpoint 'office': policy 'always' asks for 2 since 20/);
      const endTime = new Date(Date.now() + 1500).toISOString();
      await endpoint.update({ scalingConfig: { scheduledPolicies: [{ ...always, endTime }] } });
      expect((await endpoint.read()).scalingStatus.targetInstances).toBe(2);
      await asleep(server);
      expect((await endpoint.read()).scalingStatus).toMatchObject({
        currentInstances: 0,
        targetInstances: 0,
      });
    }));
});

describe('scalingStatus', () => {
  it('tells the instances of the versions that the endpoint sends calls to, and what calls need', () =>
    withServer({ idleStopMs: 600_000 }, async (server) => {
      const id = await ready(server, 'agent', { sessionConcurrencyLimitPerInstance: 2 });
      const first = await endpointOf(server, id, { agentRuntimeEndpointName: 'first', targetVersion: '1' });
      await server.call('UpdateAgentRuntime', { agentRuntimeId: id }, { environmentVariables: { V: '2' } });
      await server.decided(id);
      const second = await endpointOf(server, id, { agentRuntimeEndpointName: 'second', targetVersion: '2' });
      const open = await Promise.all(
        [1, 2, 3].map(() => server.invoke('agent', '/hang', { endpoint: 'first' })),
      );
      await waitFor(
        'the need to be known',
        async () => (await first.read()).scalingStatus.targetInstances === 2,
      );
      expect((await first.read()).scalingStatus).toMatchObject({ currentInstances: 2 });
      // It has one from its deploy, and needs none.
      expect((await second.read()).scalingStatus).toMatchObject({ currentInstances: 1, targetInstances: 0 });
      letGo(server);
      await Promise.all(open.map((response) => response.text()));
      await waitFor('no need', async () => (await first.read()).scalingStatus.targetInstances === 0);
    }));

  it('tells why a version fails, until it runs', () =>
    withServer({ idleStopMs: 50 }, async (server) => {
      const id = await ready(server, 'agent');
      await asleep(server);
      const endpoint = await endpointOf(server, id, { agentRuntimeEndpointName: 'mine' });
      server.driver.behave = () => ({ failure: { kind: 'exited', message: 'exited with code 7' } });
      expect((await server.invoke('agent', '/', { endpoint: 'mine' })).status).toBe(503);
      expect((await endpoint.read()).scalingStatus).toMatchObject({
        currentInstances: 0,
        currentError: expect.stringMatching(/exited with code 7/),
      });
      server.driver.behave = () => ({});
      await waitFor(
        'an answer',
        async () => (await server.invoke('agent', '/', { endpoint: 'mine' })).status === 200,
      );
      expect((await endpoint.read()).scalingStatus.currentError).toBeUndefined();
    }));

  it('tells the limit that keeps an endpoint below its minimum', () =>
    withServer({ maxInstances: 1 }, async (server) => {
      const id = await ready(server, 'agent');
      const endpoint = await endpointOf(server, id, {
        agentRuntimeEndpointName: 'warm',
        scalingConfig: { minInstances: 2 },
      });
      await waitFor('the reason', async () => {
        const { scalingStatus } = await endpoint.read();
        return /limit of 1 instances in all/.test(scalingStatus.currentError);
      });
      expect((await endpoint.read()).scalingStatus).toMatchObject({
        currentInstances: 1,
        targetInstances: 2,
      });
    }));
});

describe('a version whose instances end again and again', () => {
  it('rests, says so everywhere, and leaves calls of others alone', () =>
    withServer({ idleStopMs: 600_000 }, async (server) => {
      const id = await ready(server, 'agent');
      await server.call('UpdateAgentRuntime', { agentRuntimeId: id }, { environmentVariables: { V: '2' } });
      await server.decided(id);
      const old = await endpointOf(server, id, { agentRuntimeEndpointName: 'old', targetVersion: '1' });
      const fresh = await endpointOf(server, id, { agentRuntimeEndpointName: 'fresh', targetVersion: '2' });
      const crash = async () => {
        await waitFor('version 2', async () => {
          const { status } = await server.invoke('agent', '/', { endpoint: 'fresh' });
          return status === 200;
        });
        const [instance] = [...server.driver.instances].filter(([, { spec }]) => spec.environment.V === '2');
        await server.driver.crash(instance![0], { code: 3, lastLines: ['no licence'] });
      };
      await crash();
      // The first is no loop: the next call starts another.
      await crash();
      await waitFor('the rest', async () => (await fresh.read()).scalingStatus.currentError !== undefined);
      const says =
        /it ended 2 times in a row soon after it was ready, .* rest of 1 s: exited with code 3 \| no licence/;
      expect((await fresh.read()).scalingStatus).toMatchObject({
        currentInstances: 0,
        currentError: expect.stringMatching(says),
      });
      const refused = await server.invoke('agent', '/', { endpoint: 'fresh' });
      expect(refused.status).toBe(503);
      expect(await refused.text()).toMatch(says);
      expect((await server.invoke('agent', '/', { endpoint: 'old' })).status).toBe(200);
      expect((await old.read()).scalingStatus.currentError).toBeUndefined();
      await waitFor('the event', async () =>
        (await eventsOf(server, id)).some(
          ({ phase, reason }) => phase === 'scale' && /version 2 rests: .*code 3/.test(reason),
        ),
      );
      await waitFor('the next try', async () => {
        const { status } = await server.invoke('agent', '/', { endpoint: 'fresh' });
        return status === 200;
      });
      // It is up, and has to stay so before all is well.
      expect((await fresh.read()).scalingStatus).toMatchObject({
        currentInstances: 1,
        currentError: expect.stringMatching(says),
      });
    }));
});

describe('an instance that is not well', () => {
  const healthCheckConfiguration = { httpGetUrl: '/ready', periodSeconds: 1, failureThreshold: 1 };

  it('is replaced under calls, and none of them is lost', () =>
    withServer({ idleStopMs: 600_000 }, async (server) => {
      const id = await ready(server, 'agent', {
        healthCheckConfiguration,
        sessionConcurrencyLimitPerInstance: 9,
      });
      const sick = only(server);
      expect((await server.invoke('agent')).status).toBe(200);
      let goOn = () => {};
      server.driver.behave = () => ({ until: new Promise((resolve) => (goOn = resolve)) });
      const open = await server.invoke('agent', '/hang');
      server.driver.instances.get(sick)!.healthy = false;
      await waitFor('another start', () => server.driver.starts.length === 2);
      // As long as there is no other, it serves.
      expect((await server.invoke('agent')).status).toBe(200);
      expect(isOpen(server, sick)).toBe(true);
      const { data } = await server.api('/runstead/v1/instances');
      expect(data.items.find(({ instanceId }: { instanceId: string }) => instanceId === sick)).toMatchObject({
        state: 'ready',
        sick: 'health check /ready failed: HTTP 503',
      });
      goOn();
      const statuses: number[] = [];
      await waitFor('the new one to serve alone', async () => {
        const response = await server.invoke('agent');
        statuses.push(response.status);
        const { data } = await server.api('/runstead/v1/instances');
        return data.items.some(
          ({ instanceId, state }: { instanceId: string; state: string }) =>
            instanceId === sick && state === 'draining',
        );
      });
      expect(new Set(statuses)).toEqual(new Set([200]));
      letGo(server);
      expect(await open.text()).toBe('begun');
      await waitFor('its end', () => !isOpen(server, sick));
      const reasons = (await eventsOf(server, id)).map(({ phase, reason }) => `${phase}: ${reason}`);
      expect(reasons).toContain('health: health check /ready failed: HTTP 503');
      expect(reasons).toContainEqual(
        expect.stringMatching(
          /^scale: version 1: in place of one that is not well: health check \/ready failed/,
        ),
      );
    }));

  it('makes place itself where there is no room for two', () =>
    withServer({ maxInstancesPerRuntime: 1, idleStopMs: 600_000 }, async (server) => {
      await ready(server, 'agent', { healthCheckConfiguration });
      const sick = only(server);
      expect((await server.invoke('agent')).status).toBe(200);
      server.driver.instances.get(sick)!.healthy = false;
      await waitFor('its end', () => !isOpen(server, sick));
      expect((await server.invoke('agent')).status).toBe(200);
      expect(server.driver.starts).toHaveLength(2);
    }));
});

describe('an instance without calls that says that it is busy', () => {
  it('is kept, seen to be, and let go when its time is up, with the reason', () =>
    withServer({ idleStopMs: 100, busyLimitMs: 1200 }, async (server) => {
      server.driver.behave = () => ({ busy: true });
      const id = await ready(server, 'agent');
      expect((await server.invoke('agent')).status).toBe(200);
      await waitFor('the reason', async () => {
        const { data } = await server.api('/runstead/v1/instances');
        return /answers HealthyBusy/.test(data.items[0].busyReason);
      });
      await asleep(server);
      await waitFor('the event', async () =>
        (await eventsOf(server, id)).some(({ reason }) =>
          /^no call for 0 s, and it has said that it is busy \(HealthyBusy\) for 1 s/.test(reason),
        ),
      );
    }));

  it('is let go as soon as it is done', () =>
    withServer({ idleStopMs: 100 }, async (server) => {
      server.driver.behave = () => ({ busy: true });
      await ready(server, 'agent');
      const busy = only(server);
      server.driver.behave = () => ({});
      await ready(server, 'other');
      await waitFor('the other to sleep', () => server.driver.instances.size === 1);
      expect(isOpen(server, busy)).toBe(true);
      server.driver.instances.get(busy)!.busy = false;
      await waitFor('sleep', () => server.driver.instances.size === 0, 15_000);
    }));

  it('may finish when its version is replaced', () =>
    withServer({ idleStopMs: 600_000 }, async (server) => {
      server.driver.behave = () => ({ busy: true });
      const agentRuntimeId = await ready(server, 'agent');
      const busy = only(server);
      server.driver.behave = () => ({});
      await server.call('UpdateAgentRuntime', { agentRuntimeId }, { environmentVariables: { V: '2' } });
      await server.decided(agentRuntimeId);
      await waitFor('the reason', async () => {
        const { data } = await server.api('/runstead/v1/instances');
        return data.items.some(
          ({ state, busyReason }: { state: string; busyReason?: string }) =>
            state === 'draining' && busyReason !== undefined,
        );
      });
      server.driver.instances.get(busy)!.busy = false;
      await waitFor('its end', () => !isOpen(server, busy), 15_000);
    }));
});

describe('the memory for instances', () => {
  it('is held to: one that is idle makes room, and with all at work a call is told why it cannot be served', () =>
    withServer({ memoryBudget: 250 * 2 ** 20, idleStopMs: 600_000 }, async (server) => {
      server.driver.behave = () => ({ memoryMiB: 200 });
      await ready(server, 'large');
      await ready(server, 'small');
      // The deploys' own starts were no matter of room. Now one sleeps, and a call is to wake it.
      const [small] = [...server.driver.instances].find(([, { spec }]) => spec.runtimeName === 'small')!;
      await server.driver.crash(small, { code: 0, lastLines: [] });
      const open = await server.invoke('large', '/hang');
      expect(open.status).toBe(200);
      open.text().catch(() => {});
      // Until it is counted, it would be the one that is idle.
      await waitFor('the call to be counted', async () => {
        const { data } = await server.api('/runstead/v1/instances');
        return data.items.some(({ inFlight }: { inFlight: number }) => inFlight === 1);
      });
      await waitFor('the refusal, once it has been measured', async () => {
        const response = await server.invoke('small');
        const text = await response.text();
        return (
          response.status === 503 &&
          /none can be started now: the memory for instances is used up \(200 MiB of 250 MiB are taken, and one of this version takes about (128|200) MiB\)/.test(
            text,
          )
        );
      });
      letGo(server);
      await waitFor('an answer', async () => (await server.invoke('small')).status === 200);
      const names = [...server.driver.instances.values()].map(({ spec }) => spec.runtimeName);
      expect(names).toEqual(['small']);
    }));
});

describe('starts', () => {
  it(
    'stay within the limit, and a flood of one runtime does not keep others from their fair share',
    () =>
      withServer(
        {
          parallelStarts: 3,
          maxInstances: 400,
          maxInstancesPerRuntime: 200,
          queueLength: 200,
          memoryBudget: 2 ** 50,
          idleStopMs: 600_000,
        },
        async (server) => {
          const others = Array.from({ length: 50 }, (_, index) => `other-${index}`);
          await Promise.all(['flood', ...others].map((name) => ready(server, name)));
          await server.restart({ instancesEnd: true });
          expect(server.driver.instances.size).toBe(0);
          const before = server.driver.starts.length;
          server.driver.peakStarting = 0;
          const goOn: (() => void)[] = [];
          server.driver.behave = () => ({ until: new Promise((resolve) => goOn.push(resolve)) });
          const flood = Array.from({ length: 200 }, () => server.invoke('flood', '/hang'));
          for (const call of flood) call.catch(() => {});
          await waitFor('the flood to be asked for', () => server.driver.starts.length === before + 3);
          const calls = others.map((name) => server.invoke(name));
          await waitFor('all to be asked for', async () => {
            const { data } = await server.api('/runstead/v1/instances');
            return data.total === 250;
          });
          let answered = 0;
          for (const call of calls) void call.then(() => answered++);
          await waitFor('the others', () => {
            goOn.shift()?.();
            return answered === 50;
          });
          const begun = server.driver.starts.slice(before).map(({ runtimeName }) => runtimeName);
          const lastOther = begun.findLastIndex((name) => name !== 'flood');
          expect(begun.filter((name) => name !== 'flood')).toHaveLength(50);
          // Their share of the first hundred starts is half: twice what they need.
          expect(lastOther).toBeLessThan(100);
          expect(server.driver.peakStarting).toBeLessThanOrEqual(3);
          for (const call of calls) expect((await call).status).toBe(200);
          server.driver.behave = () => ({});
          for (const resolve of goOn) resolve();
          for (const reply of await Promise.all(flood)) reply.text().catch(() => {});
          letGo(server);
        },
      ),
    60_000,
  );

  it('are called off when all who waited have left, but not what a minimum asks for', () =>
    withServer({ parallelStarts: 1, idleStopMs: 100 }, async (server) => {
      const id = await ready(server, 'agent');
      await ready(server, 'kept');
      await asleep(server);
      server.driver.behave = () => ({ until: new Promise(() => {}) });
      const before = server.driver.starts.length;
      const hangUp = new AbortController();
      const calls = [1, 2, 3].map(() =>
        server.invoke('agent', '/', { signal: hangUp.signal }).catch(() => {}),
      );
      await waitFor('the starts', async () => {
        const { data } = await server.api('/runstead/v1/instances');
        return data.items.length === 3 && server.driver.starts.length === before + 1;
      });
      hangUp.abort();
      await Promise.all(calls);
      await waitFor('all to be called off', async () => {
        const { data } = await server.api('/runstead/v1/instances');
        return data.items.length === 0;
      });
      // Those that waited for their turn were never begun.
      expect(server.driver.starts).toHaveLength(before + 1);
      expect(await eventsOf(server, id)).toContainEqual(
        expect.objectContaining({
          phase: 'scale',
          outcome: 'superseded',
          reason: expect.stringMatching(/calls wait; nobody waits for it any more$/),
        }),
      );
      server.driver.behave = () => ({});
      // It was nobody's fault, and the next call is served at once.
      expect((await server.invoke('agent')).status).toBe(200);
    }));
});
