import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Endpoint,
  endpointAt,
  IDENTITY,
  openTestApi,
  type Page,
  PUBLIC_URL,
  runtimeAt,
  STAGES,
  type Stage,
  statusOf,
  type TestApi,
} from './harness.ts';

const SCALING = { currentInstances: 2, minInstances: 1, targetInstances: 3, currentError: 'quota' };

let api: TestApi;
beforeAll(async () => {
  api = await openTestApi({ deps: { scalingStatus: () => SCALING } });
});
afterAll(() => api.close());

const create = (id: string, body: unknown) => api.call<Endpoint>('CreateAgentRuntimeEndpoint', { id, body });
const update = (id: string, endpointId: string, body: unknown) =>
  api.call<Endpoint>('UpdateAgentRuntimeEndpoint', { id, endpointId, body });
const get = (id: string, endpointId: string) =>
  api.call<Endpoint>('GetAgentRuntimeEndpoint', { id, endpointId });
const remove = (id: string, endpointId: string) =>
  api.call<Endpoint>('DeleteAgentRuntimeEndpoint', { id, endpointId });
const list = (id: string, query: Record<string, string> = {}) =>
  api.call<Page<Endpoint>>('ListAgentRuntimeEndpoints', { id, query });

describe('CreateAgentRuntimeEndpoint', () => {
  it('answers at once in CREATING with all of it, and wakes the parts behind', async () => {
    const runtime = await runtimeAt(api, 'READY');
    const { status, data } = await create(runtime.id, { agentRuntimeEndpointName: 'prod_1' });
    expect(status).toBe(200);
    expect(data.agentRuntimeEndpointId).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(data).toEqual({
      agentRuntimeId: runtime.id,
      agentRuntimeEndpointId: data.agentRuntimeEndpointId,
      agentRuntimeEndpointArn: `acs:agentrun:${IDENTITY.region}:${IDENTITY.accountId}:runtime-endpoints/${data.agentRuntimeEndpointId}`,
      agentRuntimeEndpointName: 'prod_1',
      endpointPublicUrl: `${PUBLIC_URL}/agent-runtimes/${runtime.name}/endpoints/prod_1/invocations`,
      scalingStatus: SCALING,
      status: 'CREATING',
      targetVersion: 'LATEST',
    });
    expect(api.told.endpoints.at(-1)).toBe(runtime.id);
    expect((await get(runtime.id, data.agentRuntimeEndpointId!)).data).toEqual(data);
  });

  it('echoes what was sent, except for the scaling', async () => {
    const { id } = await runtimeAt(api, 'READY', { versions: 2 });
    const sent = {
      agentRuntimeEndpointName: 'all',
      description: 'Größe ✓',
      disablePublicNetworkAccess: true,
      targetVersion: '1',
      routingConfiguration: { versionWeights: [{ version: '2', weight: 0.25 }] },
    };
    const scalingConfig = {
      minInstances: 2,
      scheduledPolicies: [
        {
          name: 'morning',
          scheduleExpression: 'cron(0 8 * * ? *)',
          startTime: '2025-01-01T00:00:00Z',
          endTime: '2026-01-01T00:00:00Z',
          target: 3,
          timeZone: 'Asia/Shanghai',
        },
      ],
    };
    const answer = await create(id, { ...sent, scalingConfig });
    expect(answer.data).toMatchObject(sent);
    expect(answer.data).not.toHaveProperty('scalingConfig');
    expect(answer.data.scalingStatus).toEqual(SCALING);
    expect(answer.headers['x-runstead-warning']).toBeUndefined();
    const stored = await api.store.getEndpoint(id, answer.data.agentRuntimeEndpointId!);
    expect(stored?.spec.scalingConfig).toEqual(scalingConfig);
  });

  it('leaves unset fields out, and takes nulls and empty objects for unset', async () => {
    const { id } = await runtimeAt(api, 'READY');
    const answer = await create(id, {
      agentRuntimeEndpointName: 'bare',
      description: null,
      targetVersion: null,
      routingConfiguration: {},
      scalingConfig: {},
    });
    expect(answer.status).toBe(200);
    expect(answer.text).not.toMatch(/null|\{\}|description|routingConfiguration/);
    expect(answer.data.targetVersion).toBe('LATEST');
  });

  it('passes fields over that it does not know, and says so', async () => {
    const { id } = await runtimeAt(api, 'READY');
    const answer = await create(id, {
      agentRuntimeEndpointName: 'warned',
      tags: ['a'],
      scalingConfig: { minInstance: 1 },
    });
    expect(answer.status).toBe(200);
    expect(answer.headers['x-runstead-warning']).toBe(
      'ignored fields that are not known: tags, scalingConfig.minInstance',
    );
  });

  const rules: [Record<string, unknown>, string][] = [
    [{ agentRuntimeEndpointName: undefined }, 'agentRuntimeEndpointName is required'],
    [
      { agentRuntimeEndpointName: '9' },
      'agentRuntimeEndpointName must match ^[a-zA-Z][a-zA-Z0-9_-]{0,127}$ (got "9")',
    ],
    [
      { description: 'x'.repeat(257) },
      `description must have at most 256 characters (got "${'x'.repeat(79)}…)`,
    ],
    [{ disablePublicNetworkAccess: 'no' }, 'disablePublicNetworkAccess must be true or false (got "no")'],
    [{ targetVersion: '0' }, 'targetVersion must be "LATEST" or an integer from 1 (got "0")'],
    [{ targetVersion: 'latest' }, 'targetVersion must be "LATEST" or an integer from 1 (got "latest")'],
    [{ targetVersion: 1 }, 'targetVersion must be a string (got 1)'],
    [
      { routingConfiguration: { versionWeights: {} } },
      'routingConfiguration.versionWeights must be a list (got an object)',
    ],
    [
      { routingConfiguration: { versionWeights: [{ version: 2 }] } },
      'routingConfiguration.versionWeights[0].version must be a string (got 2); ' +
        'routingConfiguration.versionWeights[0].weight is required',
    ],
    [
      { routingConfiguration: { versionWeights: [{ version: '1', weight: '0.5' }] } },
      'routingConfiguration.versionWeights[0].weight must be a number (got "0.5")',
    ],
    [{ scalingConfig: { minInstances: -1 } }, 'scalingConfig.minInstances must be at least 0 (got -1)'],
    [{ scalingConfig: { minInstances: 0.5 } }, 'scalingConfig.minInstances must be an integer (got 0.5)'],
    [
      {
        scalingConfig: {
          minInstances: 2,
          scheduledPolicies: [
            {
              scheduleExpression: 'cron(0 8 * * * *)',
              timeZone: 'Mars/Olympus',
              endTime: 'never',
              target: 1,
            },
          ],
        },
      },
      'scalingConfig.scheduledPolicies[0].timeZone must be the name of a time zone such as Asia/Shanghai (got "Mars/Olympus"); ' +
        'scalingConfig.scheduledPolicies[0].scheduleExpression must have "?" either as day of month (3rd field) or as day of week (5th): ' +
        'its fields are minutes, hours, day of month, month, day of week, year, so that every day at 22:00 is cron(0 22 * * ? *); ' +
        'seconds are not part of it (got "cron(0 8 * * * *)"); ' +
        'scalingConfig.scheduledPolicies[0].endTime must be a time such as 2026-03-01T08:00:00Z, or 2026-03-01T08:00:00 for the clocks of timeZone (got "never"); ' +
        'scalingConfig.scheduledPolicies[0].target must be at least minInstances, which is 2 (got 1)',
    ],
    [
      { scalingConfig: { scheduledPolicies: [{ target: -1 }] } },
      'scalingConfig.scheduledPolicies[0].target must be at least 0 (got -1)',
    ],
  ];
  it.each(rules)('refuses %j', async (fields, message) => {
    const { id } = await runtimeAt(api, 'READY');
    expect(await create(id, { agentRuntimeEndpointName: 'a', ...fields })).toMatchObject({
      status: 400,
      code: 'ERR_VALIDATION_FAILED',
      message,
    });
    expect((await list(id)).data.total).toBe(0);
  });

  it('names every offending field in one answer', async () => {
    const { id } = await runtimeAt(api, 'READY');
    const { message } = await create(id, Object.assign({}, ...rules.map(([fields]) => fields)));
    for (const field of [
      'agentRuntimeEndpointName',
      'description',
      'disablePublicNetworkAccess',
      'targetVersion',
      'routingConfiguration.versionWeights[0].weight',
      'scalingConfig.scheduledPolicies[0].target',
    ]) {
      expect(message).toContain(field);
    }
  });
});

describe('while the runtime is in', () => {
  /** What endpoint operations answer at each stage: writes need a version that serves. */
  const writes: Record<Stage, number> = {
    CREATING: 400,
    CREATE_FAILED: 400,
    READY: 200,
    UPDATING: 200,
    'UPDATING without a version': 400,
    UPDATE_FAILED: 200,
    'UPDATE_FAILED without a version': 400,
    DELETING: 400,
    DELETE_FAILED: 400,
  };
  const serves: Stage[] = ['READY', 'UPDATING', 'UPDATE_FAILED', 'DELETING', 'DELETE_FAILED'];

  describe.each(STAGES)('%s', (stage) => {
    it('endpoints and versions are written or refused by whether a version serves', async () => {
      const { id } = await runtimeAt(api, stage);
      const endpointId = await endpointAt(api, id, 'there');
      const told = api.told.endpoints.length;
      const answers = [
        await create(id, { agentRuntimeEndpointName: 'new' }),
        await create(id, { agentRuntimeEndpointName: 'pinned', targetVersion: '1' }),
        await update(id, endpointId, { targetVersion: '1' }),
        await api.call('PublishRuntimeVersion', { id, body: { description: 'x' } }),
      ];
      for (const answer of answers) {
        expect(answer.status).toBe(writes[stage]);
        if (answer.status === 200) continue;
        expect(answer).toMatchObject({
          code: 'ERR_RUNTIME_NOT_READY',
          message: `runtime must be in READY status (AgentRuntime '${id}' is in ${statusOf(stage)})`,
        });
      }
      if (writes[stage] === 400) {
        expect(api.told.endpoints.slice(told)).toEqual([]);
        expect((await list(id)).data.total).toBe(1);
      }
    });

    it('endpoints are read and deleted', async () => {
      const { id } = await runtimeAt(api, stage);
      const endpointId = await endpointAt(api, id, 'there');
      expect((await get(id, endpointId)).status).toBe(200);
      expect((await list(id)).data.items).toHaveLength(1);
      expect((await api.call('ListAgentRuntimeVersions', { id })).data.total).toBe(
        serves.includes(stage) ? 1 : 0,
      );
      expect(await remove(id, endpointId)).toMatchObject({ status: 200, data: { status: 'DELETING' } });
    });
  });

  it('UPDATE_FAILED a rollback points to what was healthy', async () => {
    const { id } = await runtimeAt(api, 'UPDATE_FAILED', { versions: 2 });
    const endpointId = await endpointAt(api, id, 'Default');
    const rolledBack = await update(id, endpointId, { targetVersion: '1' });
    expect(rolledBack).toMatchObject({ status: 200, data: { targetVersion: '1', status: 'UPDATING' } });
    // The failed attempt has no number.
    expect(await update(id, endpointId, { targetVersion: '3' })).toMatchObject({
      status: 400,
      message: 'targetVersion "3" is no version of this runtime',
    });
  });
});

describe('target and weights', () => {
  let id: string;
  let endpointId: string;
  let names = 0;
  beforeAll(async () => {
    ({ id } = await runtimeAt(api, 'READY', { versions: 3 }));
    endpointId = await endpointAt(api, id, 'subject', { targetVersion: '1' });
  });

  type Weights = [string, number][];
  const asSent = (targetVersion: string | undefined, weights: Weights) => ({
    ...(targetVersion !== undefined && { targetVersion }),
    routingConfiguration: { versionWeights: weights.map(([version, weight]) => ({ version, weight })) },
  });
  const W = 'routingConfiguration.versionWeights';

  const accepted: [string, string | undefined, Weights][] = [
    ['a fraction and a target for the rest', '1', [['2', 0.2]]],
    [
      'fractions of 1',
      undefined,
      [
        ['1', 0.1],
        ['2', 0.2],
        ['3', 0.7],
      ],
    ],
    ['all of it to one', undefined, [['2', 1]]],
    [
      'percents',
      undefined,
      [
        ['1', 90],
        ['2', 10],
      ],
    ],
    ['percents and a target for the rest', 'LATEST', [['1', 5]]],
    [
      'percents beside a 1, which is one of them',
      '3',
      [
        ['1', 1],
        ['2', 50],
      ],
    ],
    ['LATEST by its name', '1', [['LATEST', 0.5]]],
    ['the target once more among the weights', '1', [['1', 0.5]]],
    ['no weights', '2', []],
  ];
  it.each(accepted)('are taken and echoed as sent: %s', async (_name, targetVersion, weights) => {
    const sent = asSent(targetVersion, weights);
    const { status, data } = await create(id, { agentRuntimeEndpointName: `w-${++names}`, ...sent });
    expect(status).toBe(200);
    expect(data).toMatchObject(sent);
    expect(data.targetVersion).toBe(targetVersion);
    expect((await get(id, data.agentRuntimeEndpointId!)).data.routingConfiguration).toEqual(
      sent.routingConfiguration,
    );
  });

  const refused: [string, string | undefined, Weights, string][] = [
    ['a target that is none', '4', [], 'targetVersion "4" is no version of this runtime'],
    ['a version that is none', '1', [['9', 0.5]], `${W}[0].version "9" is no version of this runtime`],
    ['a word for a version', '1', [['new', 0.5]], `${W}[0].version "new" is no version of this runtime`],
    [
      'a version twice',
      '1',
      [
        ['2', 0.1],
        ['2', 0.1],
      ],
      `${W}[1].version "2" is named twice`,
    ],
    [
      'a version twice by LATEST',
      '1',
      [
        ['3', 0.1],
        ['LATEST', 0.1],
      ],
      `${W}[1].version "LATEST" is named twice`,
    ],
    ['a negative weight', '1', [['2', -0.5]], `${W}[0].weight must be over 0 (got -0.5)`],
    [
      'fractions over 1',
      '1',
      [
        ['2', 0.5],
        ['3', 0.6],
      ],
      `${W} must sum to at most 1 (got 1.1)`,
    ],
    [
      'percents over 100',
      '1',
      [
        ['2', 51],
        ['3', 50],
      ],
      `${W} must sum to at most 100 (got 101)`,
    ],
    [
      'a rest that nobody takes',
      undefined,
      [['2', 0.5]],
      `${W} sum to 0.5 of 1: targetVersion is required to take the rest`,
    ],
  ];
  it.each(refused)('are refused on create: %s', async (_name, targetVersion, weights, message) => {
    const body = { agentRuntimeEndpointName: 'refused', ...asSent(targetVersion, weights) };
    expect(await create(id, body)).toMatchObject({ status: 400, code: 'ERR_VALIDATION_FAILED', message });
  });

  it('are refused with every fault at once', async () => {
    const body = asSent('7', [
      ['8', 0],
      ['2', 0.5],
      ['2', 0.9],
    ]);
    const { message } = await create(id, { agentRuntimeEndpointName: 'refused', ...body });
    expect(message.split('; ')).toEqual([
      'targetVersion "7" is no version of this runtime',
      `${W}[0].version "8" is no version of this runtime`,
      `${W}[0].weight must be over 0 (got 0)`,
      `${W}[2].version "2" is named twice`,
      `${W} must sum to at most 1 (got 1.4)`,
    ]);
  });

  it('may be 0 on update alone: the version stays, without new sessions', async () => {
    const zero = asSent('1', [['2', 0]]);
    expect(await create(id, { agentRuntimeEndpointName: 'refused', ...zero })).toMatchObject({
      status: 400,
      message: `${W}[0].weight must be over 0 (got 0)`,
    });
    expect(await update(id, endpointId, zero)).toMatchObject({ status: 200, data: zero });
    expect(await update(id, endpointId, asSent('1', [['2', -1]]))).toMatchObject({
      status: 400,
      message: `${W}[0].weight must be over 0 or 0 (got -1)`,
    });
  });

  it('of an update are judged together with what stays', async () => {
    await update(id, endpointId, asSent('1', [['2', 0.5]]));
    const more = await update(id, endpointId, {
      routingConfiguration: { versionWeights: [{ version: '3', weight: 40 }] },
    });
    expect(more).toMatchObject({ status: 200, data: { targetVersion: '1' } });
    expect(more.data.routingConfiguration?.versionWeights).toEqual([{ version: '3', weight: 40 }]);
    expect(await update(id, endpointId, { targetVersion: '8' })).toMatchObject({ status: 400 });
    expect((await get(id, endpointId)).data).toMatchObject({ targetVersion: '1' });
  });

  it('are cleared by an empty list or object; with no target either, LATEST is', async () => {
    const { data } = await create(id, {
      agentRuntimeEndpointName: 'cleared',
      ...asSent(undefined, [
        ['1', 0.5],
        ['2', 0.5],
      ]),
    });
    const cleared = data.agentRuntimeEndpointId!;
    const emptied = await update(id, cleared, { routingConfiguration: { versionWeights: [] } });
    expect(emptied.data).toMatchObject({
      routingConfiguration: { versionWeights: [] },
      targetVersion: 'LATEST',
    });
    const none = await update(id, cleared, { routingConfiguration: {} });
    expect(none.data).not.toHaveProperty('routingConfiguration');
  });
});

describe('UpdateAgentRuntimeEndpoint', () => {
  it('leaves what it does not name, answers in UPDATING, and wakes the parts behind', async () => {
    const { id } = await runtimeAt(api, 'READY', { versions: 2 });
    const endpointId = await endpointAt(api, id, 'kept', {
      targetVersion: '1',
      description: 'old',
      scalingConfig: { minInstances: 1 },
    });
    const told = api.told.endpoints.length;
    const { data } = await update(id, endpointId, { description: 'new', disablePublicNetworkAccess: null });
    expect(data).toMatchObject({
      agentRuntimeEndpointId: endpointId,
      agentRuntimeEndpointName: 'kept',
      description: 'new',
      targetVersion: '1',
      status: 'UPDATING',
    });
    expect(data).not.toHaveProperty('disablePublicNetworkAccess');
    expect(api.told.endpoints.slice(told)).toEqual([id]);
    expect((await api.store.getEndpoint(id, endpointId))?.spec.scalingConfig).toEqual({ minInstances: 1 });
  });

  it('takes the scaling away with deleteScalingConfig, and echoes neither', async () => {
    const { id } = await runtimeAt(api, 'READY');
    const scaling = async () => (await api.store.getEndpoint(id, endpointId))?.spec;
    const endpointId = await endpointAt(api, id, 'scaled', {
      targetVersion: 'LATEST',
      scalingConfig: { minInstances: 3 },
    });
    await update(id, endpointId, { deleteScalingConfig: false });
    expect(await scaling()).toHaveProperty('scalingConfig');
    const { status, data, headers } = await update(id, endpointId, { deleteScalingConfig: true });
    expect(status).toBe(200);
    expect(data).not.toHaveProperty('deleteScalingConfig');
    expect(data.scalingStatus).toEqual(SCALING);
    expect(headers['x-runstead-warning']).toBeUndefined();
    expect(await scaling()).toEqual({ targetVersion: 'LATEST' });
  });

  it('can be sent again after one that failed', async () => {
    const { id } = await runtimeAt(api, 'READY');
    const endpointId = await endpointAt(api, id, 'failed');
    await update(id, endpointId, { description: 'x' });
    await api.store.settleEndpoint(endpointId, 2, { status: 'UPDATE_FAILED', statusReason: 'no instance' });
    expect((await get(id, endpointId)).data).toMatchObject({
      status: 'UPDATE_FAILED',
      statusReason: 'no instance',
    });
    const again = await update(id, endpointId, { description: 'x' });
    expect(again.data.status).toBe('UPDATING');
    expect(again.data).not.toHaveProperty('statusReason');
  });
});

describe('the name of an endpoint', () => {
  it('is taken once per runtime', async () => {
    const { id } = await runtimeAt(api, 'READY');
    const other = await runtimeAt(api, 'READY');
    expect((await create(id, { agentRuntimeEndpointName: 'prod' })).status).toBe(200);
    expect(await create(id, { agentRuntimeEndpointName: 'prod' })).toMatchObject({
      status: 409,
      code: 'ERR_ALREADY_EXISTS',
      message: `AgentRuntimeEndpoint '${id}/prod' already exists`,
    });
    expect((await create(other.id, { agentRuntimeEndpointName: 'prod' })).status).toBe(200);
  });

  it('tells Default from default', async () => {
    const { id, name } = await runtimeAt(api, 'READY');
    const upper = await create(id, { agentRuntimeEndpointName: 'Default' });
    const lower = await create(id, { agentRuntimeEndpointName: 'default' });
    expect([upper.status, lower.status]).toEqual([200, 200]);
    expect(upper.data.endpointPublicUrl).toBe(
      `${PUBLIC_URL}/agent-runtimes/${name}/endpoints/Default/invocations`,
    );
    const exact = await list(id, { endpointName: 'Default', searchMode: 'exact' });
    expect(exact.data.items.map(({ agentRuntimeEndpointName }) => agentRuntimeEndpointName)).toEqual([
      'Default',
    ]);
  });

  it('changes by update, and the address with it, unless another has it', async () => {
    const { id, name } = await runtimeAt(api, 'READY');
    const first = await endpointAt(api, id, 'first');
    await endpointAt(api, id, 'second');
    expect(await update(id, first, { agentRuntimeEndpointName: 'second' })).toMatchObject({
      status: 409,
      code: 'ERR_ALREADY_EXISTS',
      message: `AgentRuntimeEndpoint '${id}/second' already exists`,
    });
    expect((await get(id, first)).data).toMatchObject({ agentRuntimeEndpointName: 'first', status: 'READY' });
    expect((await update(id, first, { agentRuntimeEndpointName: 'third' })).data).toMatchObject({
      agentRuntimeEndpointName: 'third',
      endpointPublicUrl: `${PUBLIC_URL}/agent-runtimes/${name}/endpoints/third/invocations`,
    });
    expect((await update(id, first, { agentRuntimeEndpointName: 'third' })).status).toBe(200);
  });

  it('stays taken until the endpoint is gone', async () => {
    const { id } = await runtimeAt(api, 'READY');
    const endpointId = await endpointAt(api, id, 'prod');
    await remove(id, endpointId);
    expect((await create(id, { agentRuntimeEndpointName: 'prod' })).status).toBe(409);
    await api.store.removeEndpoint(endpointId);
    expect((await create(id, { agentRuntimeEndpointName: 'prod' })).status).toBe(200);
  });
});

describe('DeleteAgentRuntimeEndpoint', () => {
  it('leaves the endpoint to be seen as DELETING, then it is 404 and off the list', async () => {
    const { id } = await runtimeAt(api, 'READY');
    const endpointId = await endpointAt(api, id, 'gone');
    for (let times = 0; times < 2; times++) {
      expect(await remove(id, endpointId)).toMatchObject({
        status: 200,
        data: { agentRuntimeEndpointId: endpointId, agentRuntimeId: id, status: 'DELETING' },
      });
    }
    expect(api.told.endpoints.slice(-2)).toEqual([id, id]);
    expect((await get(id, endpointId)).data.status).toBe('DELETING');
    expect((await list(id)).data.items.map(({ status }) => status)).toEqual(['DELETING']);
    // It takes no writes any more, and nothing late makes it READY again.
    expect(await update(id, endpointId, { description: 'x' })).toMatchObject({
      status: 404,
      code: 'ERR_NOT_FOUND',
    });
    expect(await api.store.settleEndpoint(endpointId, 1, { status: 'READY' })).toBe(false);
    await api.store.removeEndpoint(endpointId);
    for (const answer of [await get(id, endpointId), await remove(id, endpointId)]) {
      expect(answer).toMatchObject({
        status: 404,
        code: 'ERR_NOT_FOUND',
        message: `AgentRuntimeEndpoint '${id}/${endpointId}' does not exist (not found)`,
      });
    }
    expect((await list(id)).data).toMatchObject({ items: [], total: 0 });
  });
});

describe('ListAgentRuntimeEndpoints', () => {
  const names = ['prod', 'Prod-eu', 'canary_1', 'canaryX1'];
  let id: string;
  beforeAll(async () => {
    ({ id } = await runtimeAt(api, 'READY'));
    for (const name of names) await endpointAt(api, id, name);
    const other = await runtimeAt(api, 'READY');
    await endpointAt(api, other.id, 'prod');
  });

  it.each([
    [{}, names],
    [{ endpointName: '' }, names],
    [{ endpointName: '', searchMode: 'exact' }, names],
    [{ endpointName: 'PROD' }, ['prod', 'Prod-eu']],
    [{ endpointName: 'prod', searchMode: 'fuzzy' }, ['prod', 'Prod-eu']],
    [{ endpointName: 'prod', searchMode: 'exact' }, ['prod']],
    [{ endpointName: 'y_1' }, ['canary_1']],
    [{ endpointName: '%' }, []],
  ])('by %j has what matches, of this runtime alone', async (query, expected) => {
    const { data } = await list(id, query as Record<string, string>);
    expect(data.items.map(({ agentRuntimeEndpointName }) => agentRuntimeEndpointName).sort()).toEqual(
      [...expected].sort(),
    );
    expect(data.total).toBe(expected.length);
  });

  it('shows each as GET does', async () => {
    const { data } = await list(id);
    for (const item of data.items) {
      expect((await get(id, item.agentRuntimeEndpointId!)).data).toEqual(item);
    }
  });

  it('refuses a search mode that is none', async () => {
    expect(await list(id, { searchMode: 'like' })).toMatchObject({
      status: 400,
      message: 'searchMode must be one of exact, fuzzy (got "like")',
    });
  });
});
