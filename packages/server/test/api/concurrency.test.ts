import { setImmediate } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Store } from '../../src/store/store.ts';
import {
  codeRuntime,
  containerRuntime,
  type Endpoint,
  endpointAt,
  freshName,
  openTestApi,
  type Page,
  type Runtime,
  runtimeAt,
  type TestApi,
  workspaceIn,
} from './harness.ts';

/** A store that answers later, as one on another machine does: what happens in between then shows. */
function distant(real: Store): Store {
  return Object.fromEntries(
    Object.entries(real as unknown as Record<string, (...given: unknown[]) => unknown>).map(
      ([name, method]) => [
        name,
        async (...given: unknown[]) => {
          await setImmediate();
          const result = await method(...given);
          await setImmediate();
          return result;
        },
      ],
    ),
  ) as unknown as Store;
}

const TIMES = Array.from({ length: 20 }, (_, index) => index);

describe.each([
  ['as it is', (real: Store) => real],
  ['at a distance', distant],
])('twenty at once, with the store %s:', (_name, store) => {
  let api: TestApi;
  beforeAll(async () => {
    api = await openTestApi({ store });
  });
  afterAll(() => api.close());

  it('updates of different fields all survive', async () => {
    const fields: Record<string, unknown>[] = [
      { cpu: 3 },
      { memory: 3000 },
      { port: 3003 },
      { description: 'd' },
      { diskSize: 3 },
      { credentialName: 'c' },
      { disableOndemand: true },
      { disableSessionAffinity: true },
      { sessionAffinityType: 'NONE' },
      { headerFieldName: 'x-h' },
      { edition: 'e' },
      { enableSessionIsolation: true },
      { environmentVariables: { A: '1' } },
      { executionRoleArn: 'r' },
      { externalAgentEndpointUrl: 'u' },
      { healthCheckConfiguration: { httpGetUrl: '/h' } },
      { sessionConcurrencyLimitPerInstance: 3 },
      { sessionIdleTimeoutSeconds: 300 },
      { systemTags: ['t'] },
      { workspaceId: await workspaceIn(api) },
    ];
    const { id, revision } = await runtimeAt(api, 'READY');
    const answers = await Promise.all(
      fields.map((body) => api.call<Runtime>('UpdateAgentRuntime', { id, body })),
    );
    expect(answers.map(({ status }) => status)).toEqual(TIMES.map(() => 200));
    const { data } = await api.call<Runtime>('GetAgentRuntime', { id });
    expect(data).toMatchObject(Object.assign({}, ...fields));
    expect((await api.store.getRuntime(id))?.revision).toBe(revision + 20);
  });

  it('updates survive attempts that are settled in between', async () => {
    const { id } = await runtimeAt(api, 'READY');
    const settle = async () => {
      const { revision } = (await api.store.getRuntime(id))!;
      await api.store.settleRuntime(id, revision, {
        status: 'READY',
        newVersion: true,
        at: new Date().toISOString(),
      });
    };
    await Promise.all(
      TIMES.flatMap((index) => [
        api.call('UpdateAgentRuntime', {
          id,
          body: index % 2 ? { cpu: 1 + index / 10 } : { memory: 1000 + index },
        }),
        settle(),
      ]),
    );
    const { spec } = (await api.store.getRuntime(id))!;
    expect([spec.cpu > 1, spec.memory >= 1000]).toEqual([true, true]);
    const numbers = (await api.store.versions(id)).map(({ version }) => version);
    expect(numbers).toEqual(numbers.map((_, index) => index + 1));
  });

  it('updates of one endpoint all survive', async () => {
    const { id } = await runtimeAt(api, 'READY', { versions: 2 });
    const endpointId = await endpointAt(api, id, 'shared');
    const fields = [
      { description: 'd' },
      { disablePublicNetworkAccess: true },
      { targetVersion: '1' },
      { scalingConfig: { minInstances: 2 } },
      { agentRuntimeEndpointName: 'renamed' },
      { routingConfiguration: { versionWeights: [{ version: '2', weight: 0.5 }] } },
    ];
    const answers = await Promise.all(
      fields.map((body) => api.call('UpdateAgentRuntimeEndpoint', { id, endpointId, body })),
    );
    expect(answers.map(({ status }) => status)).toEqual(fields.map(() => 200));
    const { scalingConfig, ...shown } = Object.assign({}, ...fields);
    expect((await api.call<Endpoint>('GetAgentRuntimeEndpoint', { id, endpointId })).data).toMatchObject(
      shown,
    );
    expect((await api.store.getEndpoint(id, endpointId))?.spec.scalingConfig).toEqual(scalingConfig);
  });

  it('an update that fails does not hold up those behind it', async () => {
    const { name } = await runtimeAt(api, 'READY');
    const { id } = await runtimeAt(api, 'READY');
    const answers = await Promise.all(
      TIMES.map((index) =>
        api.call('UpdateAgentRuntime', { id, body: index % 2 ? { agentRuntimeName: name } : { cpu: 4 } }),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual(TIMES.map((index) => (index % 2 ? 409 : 200)));
  });

  it('creates of one name give one runtime, and the rest are told', async () => {
    const agentRuntimeName = freshName();
    const answers = await Promise.all(
      TIMES.map(async (index) =>
        api.call<Runtime>('CreateAgentRuntime', {
          body:
            index % 2
              ? containerRuntime({ agentRuntimeName })
              : await codeRuntime({ agentRuntimeName, port: 1 + index }),
        }),
      ),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    for (const answer of answers.filter(({ status }) => status !== 200)) {
      expect(answer).toMatchObject({
        status: 409,
        code: 'ERR_ALREADY_EXISTS',
        message: `AgentRuntime '${agentRuntimeName}' already exists`,
      });
    }
    const query = { agentRuntimeName, searchMode: 'exact' };
    expect((await api.call<Page<Runtime>>('ListAgentRuntimes', { query })).data.total).toBe(1);
  });

  it('endpoints of one name give one endpoint', async () => {
    const { id } = await runtimeAt(api, 'READY');
    const body = { agentRuntimeEndpointName: 'one' };
    const answers = await Promise.all(TIMES.map(() => api.call('CreateAgentRuntimeEndpoint', { id, body })));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, ...TIMES.slice(1).map(() => 409)]);
  });

  it('renames to one name give it to one runtime', async () => {
    const agentRuntimeName = freshName();
    const runtimes = await Promise.all(TIMES.map(() => runtimeAt(api, 'READY')));
    const answers = await Promise.all(
      runtimes.map(({ id }) => api.call('UpdateAgentRuntime', { id, body: { agentRuntimeName } })),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([200, ...TIMES.slice(1).map(() => 409)]);
  });

  it('updates against a delete are done before it or find nothing', async () => {
    const { id } = await runtimeAt(api, 'READY');
    const answers = await Promise.all(
      TIMES.map((index) =>
        index === 10
          ? api.call('DeleteAgentRuntime', { id })
          : api.call('UpdateAgentRuntime', { id, body: { port: 1000 + index } }),
      ),
    );
    for (const { status } of answers) expect([200, 404]).toContain(status);
    expect((await api.call('GetAgentRuntime', { id })).data.status).toBe('DELETING');
  });

  it('packages with the same bytes are kept once, however many bring them', async () => {
    const bodies = await Promise.all(TIMES.map(() => codeRuntime()));
    const code = bodies[0]!.codeConfiguration;
    const answers = await Promise.all(
      bodies.map((body) => api.call('CreateAgentRuntime', { body: { ...body, codeConfiguration: code } })),
    );
    expect(answers.map(({ status }) => status)).toEqual(TIMES.map(() => 200));
    expect(await api.incoming()).toEqual([]);
  });
});

describe('an update that another process keeps overtaking', () => {
  it('merges again, and in the end says when to come back', async () => {
    let writes = 0;
    const overtaken = await openTestApi({
      store: (real) => ({
        ...real,
        updateRuntime: async (id, change) => {
          writes += 1;
          const { name, spec, revision } = (await real.getRuntime(id))!;
          if (writes <= limit) {
            await real.updateRuntime(id, {
              name,
              spec: { ...spec, port: 2000 + writes },
              expectedRevision: revision,
              forceEvict: false,
              at: change.at,
            });
          }
          return real.updateRuntime(id, change);
        },
      }),
    });
    const { id } = await runtimeAt(overtaken, 'READY');
    let limit = 5;
    expect(await overtaken.call('UpdateAgentRuntime', { id, body: { cpu: 4 } })).toMatchObject({
      status: 200,
      data: { cpu: 4, port: 2005 },
    });
    limit = Number.POSITIVE_INFINITY;
    expect(await overtaken.call('UpdateAgentRuntime', { id, body: { cpu: 8 } })).toMatchObject({
      status: 503,
      code: 'ERR_UNAVAILABLE',
      headers: { 'retry-after': '1' },
    });
    expect((await overtaken.store.getRuntime(id))?.spec.cpu).toBe(4);
    await overtaken.close();
  });
});
