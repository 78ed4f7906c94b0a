import { describe, expect, it } from 'vitest';
import type { SessionInfo } from '../../src/api/sessions.ts';
import { waitFor } from '../wait-for.ts';
import { type TestServer, withServer } from './harness.ts';

/** Sessions through the whole server: control process, gateway and instances of the fake driver. */

const ready = async (server: TestServer, name: string, more: object = {}) => {
  const id = await server.create(name, more);
  expect(await server.decided(id)).toMatchObject({ status: 'READY' });
  return id;
};

/** A call of a session. @returns which instance answered, and what was told of the session */
async function ask(server: TestServer, name: string, session?: string, path = '/') {
  server.driver.answer = ({ instanceId }, url) => (url.startsWith('/hang') ? undefined : instanceId);
  const headers = session === undefined ? {} : { 'x-agentrun-session-id': session };
  const response = await server.invoke(name, path, { headers });
  expect(response.status).toBe(200);
  return {
    response,
    state: response.headers.get('x-runstead-session'),
    instance: path === '/' ? await response.text() : '',
  };
}

const list = async (server: TestServer): Promise<SessionInfo[]> =>
  (await server.api('/runstead/v1/sessions')).data.items;
const listed = (server: TestServer, count: number) =>
  waitFor(`${count} sessions in the list`, async () => {
    const items = await list(server);
    return items.length === count ? items : undefined;
  });

describe('sessions', () => {
  it('keep their instance awake, and are listed by their hash', () =>
    withServer({ idleStopMs: 50 }, async (server) => {
      const agentRuntimeId = await ready(server, 'agent');
      const { instance } = await ask(server, 'agent', 'my-session');
      // By the time that another has gone to sleep, this one would have, too.
      await ready(server, 'other');
      await waitFor('the other to sleep', () => server.driver.instances.size === 1);
      expect(await ask(server, 'agent', 'my-session')).toMatchObject({ instance, state: 'bound' });
      const [session] = await listed(server, 1);
      expect(session).toMatchObject({
        agentRuntimeId,
        agentRuntimeName: 'agent',
        agentRuntimeEndpointName: 'Default',
        agentRuntimeVersion: '1',
        instanceId: instance,
      });
      expect(JSON.stringify(session)).not.toContain('my-session');
      const { data } = await server.api(`/runstead/v1/sessions/${session!.sessionHash}`, 'DELETE');
      expect(data.sessionHash).toBe(session!.sessionHash);
      expect(await list(server)).toEqual([]);
      await waitFor('sleep', () => server.driver.instances.size === 0);
      expect((await ask(server, 'agent', 'my-session')).state).toBe('new');
    }));

  it('get an instance each while there may be more, and make room for others when there may not', () =>
    withServer({ maxInstancesPerRuntime: 2 }, async (server) => {
      await ready(server, 'agent');
      const one = await ask(server, 'agent', 'one');
      const two = await ask(server, 'agent', 'two');
      expect(two.instance).not.toBe(one.instance);
      expect(server.driver.starts).toHaveLength(2);
      expect(await ask(server, 'agent', 'three')).toMatchObject({ instance: one.instance, state: 'new' });
      expect(await ask(server, 'agent', 'two')).toMatchObject({ instance: two.instance, state: 'bound' });
      expect((await ask(server, 'agent', 'one')).state).toBe('moved; reason=evicted');
      // Calls without a session find a slot as well.
      await ask(server, 'agent');
      expect(server.driver.starts).toHaveLength(2);
    }));

  it('stay where they are when an update has replaced their version', () =>
    withServer({}, async (server) => {
      const agentRuntimeId = await ready(server, 'agent');
      const { instance } = await ask(server, 'agent', 'one');
      await server.call('UpdateAgentRuntime', { agentRuntimeId }, { environmentVariables: { V: '2' } });
      await server.decided(agentRuntimeId);
      expect(await ask(server, 'agent', 'one')).toMatchObject({ instance, state: 'bound' });
      expect((await ask(server, 'agent', 'two')).instance).not.toBe(instance);
      await server.driver.crash(instance, { code: 1, lastLines: [] });
      expect((await ask(server, 'agent', 'one')).state).toBe('moved; reason=version-gone');
    }));

  it('outlive the gateway, and a restart of the server, with their instance', () =>
    withServer({}, async (server) => {
      await ready(server, 'agent', { sessionConcurrencyLimitPerInstance: 1 });
      const one = await ask(server, 'agent', 'one');
      const two = await ask(server, 'agent', 'two');
      await listed(server, 2);
      await server.replaceGateway();
      expect(await ask(server, 'agent', 'one')).toMatchObject({ instance: one.instance, state: 'bound' });
      await server.restart();
      expect(await ask(server, 'agent', 'two')).toMatchObject({ instance: two.instance, state: 'bound' });
      await server.restart({ instancesEnd: true });
      expect(await list(server)).toEqual([]);
      expect((await ask(server, 'agent', 'one')).state).toBe('new');
    }));

  it('go with their instance and their runtime', () =>
    withServer({}, async (server) => {
      const agentRuntimeId = await ready(server, 'agent');
      const { instance } = await ask(server, 'agent', 'one');
      await listed(server, 1);
      await server.driver.crash(instance, { code: 1, lastLines: [] });
      await listed(server, 0);
      await ask(server, 'agent', 'one');
      await listed(server, 1);
      await server.call('DeleteAgentRuntime', { agentRuntimeId });
      await waitFor(
        '404',
        async () => (await server.call('GetAgentRuntime', { agentRuntimeId })).status === 404,
      );
      expect(await list(server)).toEqual([]);
    }));
});

describe('under isolation', () => {
  const isolated = { enableSessionIsolation: true, sessionConcurrencyLimitPerInstance: 9 };

  it('every session has an instance of its own, which ends with it', () =>
    withServer({}, async (server) => {
      await ready(server, 'agent', isolated);
      const one = await ask(server, 'agent', 'one');
      const two = await ask(server, 'agent', 'two');
      const none = await ask(server, 'agent');
      expect(new Set([one, two, none].map(({ instance }) => instance)).size).toBe(3);
      await waitFor(
        'the instance of the call to be stopped',
        () => !server.driver.instances.has(none.instance),
      );
      const open = await ask(server, 'agent', 'one', '/hang');
      const session = await waitFor('its open call in the list', async () =>
        (await list(server)).find(
          ({ instanceId, openCalls }) => instanceId === one.instance && openCalls === 1,
        ),
      );
      await server.api(`/runstead/v1/sessions/${session.sessionHash}`, 'DELETE');
      expect((await ask(server, 'agent', 'one')).state).toBe('new');
      expect(server.driver.instances.has(one.instance)).toBe(true);
      server.driver.hanging[0]!.end('');
      expect(await open.response.text()).toBe('begun');
      await waitFor('its instance to be stopped', () => !server.driver.instances.has(one.instance));
      expect(await ask(server, 'agent', 'two')).toMatchObject({ instance: two.instance, state: 'bound' });
    }));

  it('a new gateway keeps the sessions and gives no instance to anybody that may have served another', () =>
    withServer({}, async (server) => {
      await ready(server, 'agent', isolated);
      const [first] = server.driver.instances.keys();
      await server.replaceGateway();
      await waitFor('the instance to be stopped', () => !server.driver.instances.has(first!));
      const { instance } = await ask(server, 'agent', 'one');
      await listed(server, 1);
      await server.replaceGateway();
      expect(await ask(server, 'agent', 'one')).toMatchObject({ instance, state: 'bound' });
    }));
});
