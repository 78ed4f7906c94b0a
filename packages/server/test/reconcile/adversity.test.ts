import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Control, composeControl } from '../../src/compose.ts';
import { loadConfig } from '../../src/config.ts';
import { createFeedPair } from '../../src/feed/port.ts';
import { createLog } from '../../src/observe/log.ts';
import { createInstanceSet } from '../../src/reconcile/instance-set.ts';
import { createMinimums } from '../../src/reconcile/minimums.ts';
import { createRoutes } from '../../src/reconcile/routes.ts';
import { createScaler } from '../../src/reconcile/scaler.ts';
import { createStartLimit } from '../../src/reconcile/start-limit.ts';
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { FakeDriver } from '../fake-driver.ts';
import { testBox } from '../secret-box.ts';
import { waitFor } from '../wait-for.ts';
import { type TestServer, withServer, zipOf } from './harness.ts';

const log = createLog('silent', 'control');
const env = (value: string) => ({ environmentVariables: { VALUE: value } });

async function ready(server: TestServer, name: string, more: object = {}): Promise<string> {
  const id = await server.create(name, more);
  expect(await server.decided(id)).toMatchObject({ status: 'READY' });
  return id;
}

/** Creates an endpoint and waits until it is READY. */
async function endpoint(server: TestServer, agentRuntimeId: string, spec: object): Promise<string> {
  const body = { agentRuntimeEndpointName: 'mine', ...spec };
  const { data } = await server.call('CreateAgentRuntimeEndpoint', { agentRuntimeId }, body);
  const ids = { agentRuntimeId, agentRuntimeEndpointId: data.agentRuntimeEndpointId };
  await waitFor('the endpoint', async () => {
    const { status } = (await server.call('GetAgentRuntimeEndpoint', ids)).data;
    return status === 'READY';
  });
  return data.agentRuntimeEndpointId;
}

/** Deploys to a control process that has no gateway. @returns the id of a runtime that is READY */
async function deployed({ api, apiKey, store }: Control, agentRuntimeName = 'agent'): Promise<string> {
  const zipFile = (await zipOf({ 'index.js': '1' })).toString('base64');
  const codeConfiguration = { zipFile, language: 'nodejs20' };
  const payload = {
    agentRuntimeName,
    artifactType: 'Code',
    codeConfiguration,
    cpu: 1,
    memory: 512,
    port: 9000,
  };
  const headers = { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' };
  const answer = await api.inject({ method: 'POST', url: '/2025-09-10/agents/runtimes', headers, payload });
  const id: string = answer.json().data.agentRuntimeId;
  await waitFor('READY', async () => (await store.getRuntime(id))?.status === 'READY');
  return id;
}

const gone = (server: TestServer, agentRuntimeId: string) =>
  waitFor('404', async () => (await server.call('GetAgentRuntime', { agentRuntimeId })).status === 404);

describe('when room is short', () => {
  it('a call that waits for room on the machine is served when another runtime gives it up', () =>
    withServer({ maxInstances: 1, idleStopMs: 200 }, async (server) => {
      await ready(server, 'first');
      await waitFor('sleep', () => server.driver.instances.size === 0);
      await ready(server, 'second');
      await waitFor('sleep', () => server.driver.instances.size === 0);
      expect((await server.invoke('first')).status).toBe(200);
      expect((await server.invoke('second')).status).toBe(200);
    }));

  it('a new version is not starved by the old one that drains', () =>
    withServer({ maxInstancesPerRuntime: 2 }, async (server) => {
      const agentRuntimeId = await ready(server, 'agent', env('1'));
      await Promise.all([1, 2].map(() => server.invoke('agent', '/hang')));
      await server.call('UpdateAgentRuntime', { agentRuntimeId }, env('2'));
      await server.decided(agentRuntimeId);
      await Promise.all([1, 2].map(() => server.invoke('agent', '/hang')));
      expect(server.driver.hanging).toHaveLength(4);
    }));

  it('an agent that never opens its port does not keep others from waking', () =>
    withServer({ parallelStarts: 1, idleStopMs: 100 }, async (server) => {
      await ready(server, 'good');
      await waitFor('sleep', () => server.driver.instances.size === 0);
      server.driver.behave = (spec) =>
        spec.environment.VALUE === 'bad' ? { until: new Promise(() => {}) } : {};
      await server.create('bad', env('bad'));
      await waitFor('the bad start', () => server.driver.starts.length === 2);
      expect((await server.invoke('good')).status).toBe(200);
    }));

  it('an endpoint whose minimum cannot all be started says which limit is reached', () =>
    withServer({ maxInstances: 1 }, async (server) => {
      const agentRuntimeId = await ready(server, 'agent');
      const spec = { agentRuntimeEndpointName: 'warm', scalingConfig: { minInstances: 2 } };
      const { data } = await server.call('CreateAgentRuntimeEndpoint', { agentRuntimeId }, spec);
      const ids = { agentRuntimeId, agentRuntimeEndpointId: data.agentRuntimeEndpointId };
      await waitFor('the endpoint to be decided', async () => {
        const { status, statusReason } = (await server.call('GetAgentRuntimeEndpoint', ids)).data;
        return status === 'CREATE_FAILED' && /limit of 1 instances/.test(statusReason);
      });
    }));
});

describe('a drain', () => {
  it('under way is shortened by a delete to its grace', () =>
    withServer({ deleteGraceMs: 100 }, async (server) => {
      const agentRuntimeId = await ready(server, 'agent', env('1'));
      const open = await server.invoke('agent', '/hang');
      const cut = expect(open.text()).rejects.toThrow();
      await server.call('UpdateAgentRuntime', { agentRuntimeId }, env('2'));
      await server.decided(agentRuntimeId);
      await server.call('DeleteAgentRuntime', { agentRuntimeId });
      await gone(server, agentRuntimeId);
      await cut;
    }));

  it('under way is cut by an update that evicts', () =>
    withServer({}, async (server) => {
      const agentRuntimeId = await ready(server, 'agent', env('1'));
      const open = await server.invoke('agent', '/hang');
      const cut = expect(open.text()).rejects.toThrow();
      await server.call('UpdateAgentRuntime', { agentRuntimeId }, env('2'));
      await server.decided(agentRuntimeId);
      await server.call('UpdateAgentRuntime', { agentRuntimeId }, { ...env('3'), forceEvictInstances: true });
      await server.decided(agentRuntimeId);
      await waitFor('only the newest', () => server.driver.instances.size === 1);
      await cut;
    }));

  it('after an endpoint is changed is not cut by an update that evicted long before', () =>
    withServer({}, async (server) => {
      const agentRuntimeId = await ready(server, 'agent', env('1'));
      await server.call('UpdateAgentRuntime', { agentRuntimeId }, { ...env('2'), forceEvictInstances: true });
      await server.decided(agentRuntimeId);
      const agentRuntimeEndpointId = await endpoint(server, agentRuntimeId, { targetVersion: '1' });
      const open = await server.invoke('agent', '/hang', { endpoint: 'mine' });
      const ids = { agentRuntimeId, agentRuntimeEndpointId };
      await server.call('UpdateAgentRuntimeEndpoint', ids, { targetVersion: '2' });
      await waitFor('the drain', async () => {
        const { data } = await server.api('/runstead/v1/instances');
        return data.items.some(({ state }: { state: string }) => state === 'draining');
      });
      server.driver.hanging.at(-1)!.end(' ended');
      expect(await open.text()).toBe('begun ended');
    }));
});

describe('after a restart', () => {
  it('minimum instances that ended with the server are started again', () =>
    withServer({}, async (server) => {
      const agentRuntimeId = await ready(server, 'agent');
      await endpoint(server, agentRuntimeId, { scalingConfig: { minInstances: 1 } });
      await server.restart({ instancesEnd: true });
      await waitFor('the minimum', () => server.driver.instances.size === 1);
    }));

  it('a slow look at what runs does not start spare instances', () =>
    withServer({}, async (server) => {
      const agentRuntimeId = await ready(server, 'agent');
      await endpoint(server, agentRuntimeId, { scalingConfig: { minInstances: 2 } });
      const starts = server.driver.starts.length;
      const probe = server.driver.probe.bind(server.driver);
      let asked = 0;
      server.driver.probe = async (id) => {
        if (asked++ > 0) await new Promise((resolve) => setTimeout(resolve, 100));
        return probe(id);
      };
      await server.restart();
      expect((await server.invoke('agent')).status).toBe(200);
      expect(server.driver.starts).toHaveLength(starts);
    }));

  it('an agent that is too busy to answer its health check is kept', () =>
    withServer({}, async (server) => {
      await ready(server, 'agent', { healthCheckConfiguration: { httpGetUrl: '/ready' } });
      const [[id, instance]] = server.driver.instances as unknown as [[string, { healthy: boolean }]];
      instance.healthy = false;
      await server.restart();
      expect([...server.driver.instances.keys()]).toEqual([id]);
    }));
});

describe('the control process', () => {
  let dataDir: string;
  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'runstead-adversity-'));
  });
  afterEach(() => rm(dataDir, { recursive: true, force: true }));

  it('decides a deploy although its history cannot be written', async () => {
    const full = new Error('database or disk is full');
    const store = {
      ...openSqliteStore(join(dataDir, 'db.sqlite'), testBox),
      addEvent: () => Promise.reject(full),
    };
    const driver = new FakeDriver();
    const config = loadConfig({ dataDir, logLevel: 'silent' }, {});
    const control = await composeControl({ config, driver, log, publicUrl: () => '', store });
    await deployed(control);
    await control.close({ stopInstances: true });
    await driver.endAll();
  });

  it('starts nothing for a runtime that was deleted while it looked', async () => {
    const real = openSqliteStore(join(dataDir, 'db.sqlite'), testBox);
    let slow: Promise<void> | undefined;
    let looking = 0;
    const endpoints = async (runtimeId: string) => {
      const seen = await real.endpoints(runtimeId);
      const wait = slow;
      slow = undefined;
      if (wait !== undefined) looking++;
      await wait;
      return seen;
    };
    const driver = new FakeDriver();
    const config = loadConfig({ dataDir, logLevel: 'silent' }, {});
    const store = { ...real, endpoints };
    const control = await composeControl({ config, driver, log, publicUrl: () => '', store });
    const feed = createFeedPair();
    feed.gateway.onMessage((message) => {
      if ('sequence' in message) feed.gateway.send({ type: 'installed', sequence: message.sequence });
    });
    await control.attach(feed.control);
    const runtimeId = await deployed(control);
    await driver.crash([...driver.instances.keys()][0]!, { code: 1, lastLines: [] });
    await waitFor(
      'the end to be known',
      async () => (await real.listEvents(runtimeId, 1))[0]?.phase === 'exit',
    );
    const headers = { authorization: `Bearer ${control.apiKey}` };
    const url = `/2025-09-10/agents/runtimes/${runtimeId}`;
    // Answered when the routes are in force, so that the next look is the one for the demand.
    await control.api.inject({ url, headers });
    let goOn = () => {};
    slow = new Promise((resolve) => {
      goOn = resolve;
    });
    feed.gateway.send({ type: 'demand', runtimeId, version: 1, queued: 1, inFlight: 0 });
    await waitFor('a look at the endpoints', () => looking > 0);
    await control.api.inject({ method: 'DELETE', url, headers });
    await waitFor('its end', async () => (await real.getRuntime(runtimeId)) === undefined);
    goOn();
    // Another deploy, for the one that is gone to have had its time.
    await deployed(control, 'next');
    expect(driver.starts.filter((spec) => spec.runtimeId === runtimeId)).toHaveLength(1);
    expect(await readdir(join(dataDir, 'code'))).not.toContain(runtimeId);
    await control.close({ stopInstances: true });
    await driver.endAll();
  });

  it('hears of an instance that ended while it was taken over', async () => {
    const driver = new FakeDriver();
    const exits: string[] = [];
    const instances = createInstanceSet({
      driver,
      limit: createStartLimit(1),
      stopGraceMs: 0,
      now: () => 0,
      log,
      onChange: () => {},
      onGone: () => {},
      onExit: ({ id }) => exits.push(id),
    });
    const spec = { instanceId: 'i', runtimeId: 'r', revision: 1, environment: {} } as never;
    await driver.start(spec, { signal: new AbortController().signal, onExit: () => {} });
    driver.leaveBehind();
    const [running] = await driver.adopt();
    await driver.crash('i', { code: 1, lastLines: [] });
    instances.adopt(running!);
    expect(instances.all()).toEqual([]);
    expect(exits).toEqual(['i']);
  });

  it('does not take an instance for ready that ended in the same moment', async () => {
    const driver = new FakeDriver();
    const start = driver.start.bind(driver);
    driver.start = async (spec, options) => {
      const running = await start(spec, options);
      await driver.stop(spec.instanceId);
      options.onExit({ instanceId: spec.instanceId, code: 1, lastLines: ['gone'] });
      return running;
    };
    const instances = createInstanceSet({
      driver,
      limit: createStartLimit(1),
      stopGraceMs: 0,
      now: () => 0,
      log,
      onChange: () => {},
      onGone: () => {},
      onExit: () => {},
    });
    const started = instances.start(
      { runtimeId: 'r', revision: 1 },
      async (instanceId) => ({ instanceId, runtimeId: 'r', revision: 1, environment: {} }) as never,
      new AbortController().signal,
    );
    await expect(started).rejects.toThrow(/ended as soon as it was ready/);
    expect(instances.all()).toEqual([]);
  });

  it('waits for no gateway that was lost while it was brought up to date', async () => {
    let slow = Promise.resolve();
    const store = {
      getRuntime: async () => undefined,
      runtimeIds: () => slow.then(() => []),
      versions: async () => [],
      endpoints: async () => [],
    };
    const routes = createRoutes({
      store: store as never,
      instancesOf: () => [],
      failureOf: () => undefined,
      noRoomFor: () => undefined,
      progress: () => undefined,
      keys: () => [],
      isAtCap: () => false,
      sessions: async () => [],
      sessionSecret: '',
      log,
    });
    let goOn = () => {};
    slow = new Promise((resolve) => {
      goOn = resolve;
    });
    const first = createFeedPair();
    const attached = routes.attach(first.control);
    first.gateway.close();
    expect(routes.detach(first.control)).toBe(false);
    goOn();
    const published = routes.publish('runtime');
    const second = createFeedPair();
    second.control.onMessage((message) => message.type === 'installed' && routes.installed(message));
    second.gateway.onMessage((message) => {
      if ('sequence' in message) second.gateway.send({ type: 'installed', sequence: message.sequence });
    });
    await routes.attach(second.control);
    await Promise.all([attached, published]);
  });

  it('does not believe idleness from before a gap in time', async () => {
    // A machine that sleeps for an hour, between one message of the gateway and the next.
    let time = 1000;
    const driver = new FakeDriver();
    const instances = createInstanceSet({
      driver,
      limit: createStartLimit(1),
      stopGraceMs: 0,
      now: () => time,
      log,
      onChange: () => {},
      onGone: () => {},
      onExit: () => {},
    });
    let evaluations = 0;
    const runtime = { id: 'r', name: 'r', status: 'READY', headVersion: 1 };
    const store = {
      getRuntime: async () => runtime,
      versions: async () => [{ runtimeId: 'r', version: 1, revision: 1, spec: { memory: 512 } }],
      endpoints: async () => {
        evaluations++;
        return [];
      },
      addEvent: async () => {},
    };
    const scaler = createScaler({
      store: store as never,
      driver,
      instances,
      minimums: createMinimums(() => 0),
      start: (() => {}) as never,
      publish: () => {},
      maxInstancesPerRuntime: 10,
      maxInstances: 10,
      memoryBudget: undefined,
      idleStopMs: 300_000,
      busyLimitMs: 300_000,
      drainTimeoutMs: 1000,
      now: () => time,
      log,
    });
    const running = {
      instanceId: 'i',
      runtimeId: 'r',
      revision: 1,
      host: '127.0.0.1',
      port: 1,
      startedAt: '',
    };
    driver.list = () => [running];
    instances.adopt(running, 512);
    scaler.begin();
    scaler.reportUsage([{ id: 'i', inFlight: 0, idleMs: 1000 }]);
    scaler.tick();
    time += 3_600_000;
    scaler.tick();
    const before = evaluations;
    scaler.look('r');
    await waitFor('an evaluation', () => evaluations > before);
    expect(instances.all()[0]!.state).toBe('ready');
    // Its whole idle time anew, second by second.
    const second = (idleMs: number) => {
      time += 1000;
      scaler.reportUsage([{ id: 'i', inFlight: 0, idleMs }]);
      scaler.tick();
    };
    for (let i = 0; i < 290; i++) second(3_601_000 + i * 1000);
    expect(instances.all()[0]!.state).toBe('ready');
    for (let i = 290; i < 310; i++) second(3_601_000 + i * 1000);
    await waitFor('the drain', () => instances.all()[0]?.state === 'draining');
    await scaler.close();
    instances.close();
  });
});
