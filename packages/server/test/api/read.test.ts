import type { OperationName } from '@runstead/contract';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ABSENT,
  containerRuntime,
  endpointAt,
  freshName,
  openTestApi,
  type Page,
  type Runtime,
  runtimeAt,
  STAGES,
  statusOf,
  type TestApi,
  TIMESTAMP,
  workspaceIn,
} from './harness.ts';

let api: TestApi;
beforeAll(async () => {
  api = await openTestApi();
});
afterAll(() => api.close());

const get = (id: string, query?: Record<string, string>) =>
  api.call<Runtime>('GetAgentRuntime', { id, ...(query && { query }) });

describe('GetAgentRuntime', () => {
  it.each(STAGES)('shows %s', async (stage) => {
    const { id, name, headVersion } = await runtimeAt(api, stage);
    const { status, data } = await get(id);
    expect(status).toBe(200);
    expect(data).toMatchObject({ agentRuntimeId: id, agentRuntimeName: name, status: statusOf(stage) });
    expect(data.agentRuntimeVersion).toBe(headVersion === undefined ? undefined : String(headVersion));
    expect(data.createdAt).toMatch(TIMESTAMP);
    expect(data.lastUpdatedAt).toMatch(TIMESTAMP);
    if (stage.includes('FAILED')) expect(data.statusReason).toBe('start: the agent exited with code 3');
    else expect(data).not.toHaveProperty('statusReason');
  });

  it('waits until the routes follow what it is about to say', async () => {
    const { id } = await runtimeAt(api, 'READY');
    await get(id);
    expect(api.told.settled.at(-1)).toBe(id);
    await api.call('ListAgentRuntimes');
    expect(api.told.settled.at(-1)).toBeUndefined();
  });

  it('tells what it read before it waited: later news may not be in force yet', async () => {
    const late = await openTestApi({
      deps: { routesSettled: async (id) => late.store.removeRuntime(id!) },
    });
    const { id } = await runtimeAt(late, 'READY');
    expect((await late.call('GetAgentRuntime', { id })).data.status).toBe('READY');
    expect((await late.call('GetAgentRuntime', { id })).status).toBe(404);
    await late.close();
  });

  it('says what the attempt under way is doing, unless there is a reason already', async () => {
    const busy = await openTestApi({ deps: { progress: () => 'install: npm ci, 3 s' } });
    const { id } = await runtimeAt(busy, 'CREATING');
    const failed = await runtimeAt(busy, 'CREATE_FAILED');
    expect((await busy.call('GetAgentRuntime', { id })).data.statusReason).toBe('install: npm ci, 3 s');
    expect((await busy.call('GetAgentRuntime', { id: failed.id })).data.statusReason).toMatch(
      /exited with code 3/,
    );
    await busy.close();
  });

  describe('with agentRuntimeVersion', () => {
    it('shows that version, and without it what is desired', async () => {
      const { id } = await runtimeAt(api, 'UPDATE_FAILED', { versions: 3 });
      expect((await get(id)).data).toMatchObject({
        cpu: 15,
        agentRuntimeVersion: '3',
        status: 'UPDATE_FAILED',
      });
      for (const [asked, cpu, agentRuntimeVersion] of [
        ['1', 1, '1'],
        ['2', 2, '2'],
        ['3', 3, '3'],
        ['LATEST', 3, '3'],
        ['', 15, '3'],
      ] as const) {
        const { status, data } = await get(id, { agentRuntimeVersion: asked });
        expect(status).toBe(200);
        expect(data).toMatchObject({ cpu, agentRuntimeVersion, agentRuntimeId: id });
      }
    });

    it.each([
      '4',
      '0',
      '-1',
      '1.5',
      '01',
      '1e0',
      '0x1',
      ' 1',
      'latest',
      'v1',
      '9999999999',
      '٣',
      'x'.repeat(3000),
    ])('of %j, which is none, is 404', async (agentRuntimeVersion) => {
      const { id } = await runtimeAt(api, 'READY', { versions: 3 });
      const answer = await get(id, { agentRuntimeVersion });
      expect(answer).toMatchObject({ status: 404, code: 'ERR_NOT_FOUND' });
      expect(answer.message).toMatch(/^Version '.{1,82}' of AgentRuntime '.*' does not exist \(not found\)$/);
    });

    it.each(['LATEST', '1'])('%s is 404 while there is none', async (agentRuntimeVersion) => {
      const { id } = await runtimeAt(api, 'CREATING');
      expect(await get(id, { agentRuntimeVersion })).toMatchObject({ status: 404, code: 'ERR_NOT_FOUND' });
    });

    it('shows DELETING while the runtime goes', async () => {
      const { id } = await runtimeAt(api, 'DELETING');
      expect((await get(id, { agentRuntimeVersion: '1' })).data.status).toBe('DELETING');
    });
  });
});

describe('ListAgentRuntimes', () => {
  let listed: TestApi;
  /** The ids of what the cases below call w1, w2 and w3; the last is none. */
  const workspaces: Record<string, string> = { w3: ABSENT };
  const named = <T extends Record<string, unknown>>(fields: T): T =>
    JSON.parse(JSON.stringify(fields), (key, value) =>
      key.startsWith('workspaceId') ? value.replace(/w\d/g, (name: string) => workspaces[name]!) : value,
    ) as T;
  const list = (query: Record<string, string> = {}) =>
    listed.call<Page<Runtime>>('ListAgentRuntimes', { query: named(query) });
  const namesOf = async (query: Record<string, string>) =>
    (await list(query)).data.items.map(({ agentRuntimeName }) => agentRuntimeName);

  /** Oldest first. */
  const rows: [string, Record<string, unknown>, string][] = [
    ['alpha', { systemTags: ['red', 'blue'], workspaceId: 'w1' }, 'READY'],
    ['Alpha-2', { systemTags: ['red'], workspaceId: 'w2' }, 'CREATING'],
    ['beta_50', { workspaceId: 'w1' }, 'CREATE_FAILED'],
    ['betaX50', { systemTags: ['a b', 'é'] }, 'DELETING'],
  ];
  beforeAll(async () => {
    listed = await openTestApi();
    for (const name of ['w1', 'w2']) workspaces[name] = await workspaceIn(listed, name);
    for (const [agentRuntimeName, fields, status] of rows) {
      const created = await listed.call<Runtime>('CreateAgentRuntime', {
        body: containerRuntime({ agentRuntimeName, ...named(fields) }),
      });
      const id = created.data.agentRuntimeId!;
      const at = new Date().toISOString();
      if (status === 'READY') await listed.store.settleRuntime(id, 1, { status, newVersion: true, at });
      if (status === 'CREATE_FAILED')
        await listed.store.settleRuntime(id, 1, { status, statusReason: 'x', at });
      if (status === 'DELETING') await listed.store.markRuntimeDeleting(id, at);
      // Newest first is by the millisecond.
      while (new Date().toISOString() === created.data.createdAt);
    }
  });
  afterAll(() => listed.close());

  it('is newest first, each as GET shows it', async () => {
    const { status, data } = await list();
    expect(status).toBe(200);
    expect(data).toMatchObject({ total: 4, pageNumber: 1, pageSize: 50 });
    expect(data.items.map(({ agentRuntimeName }) => agentRuntimeName)).toEqual(
      rows.map(([name]) => name).reverse(),
    );
    for (const item of data.items) {
      expect(item).toEqual((await listed.call('GetAgentRuntime', { id: item.agentRuntimeId! })).data);
    }
  });

  const cases: [Record<string, string>, string[]][] = [
    [{ agentRuntimeName: 'ALPHA' }, ['Alpha-2', 'alpha']],
    [{ agentRuntimeName: 'pha', searchMode: 'fuzzy' }, ['Alpha-2', 'alpha']],
    [{ agentRuntimeName: 'alpha', searchMode: 'exact' }, ['alpha']],
    [{ agentRuntimeName: 'ALPHA', searchMode: 'exact' }, []],
    [{ agentRuntimeName: '_50' }, ['beta_50']],
    [{ agentRuntimeName: '%' }, []],
    [{ agentRuntimeName: "'--" }, []],
    [{ agentRuntimeName: '' }, ['betaX50', 'beta_50', 'Alpha-2', 'alpha']],
    [{ agentRuntimeName: '', searchMode: 'exact' }, ['betaX50', 'beta_50', 'Alpha-2', 'alpha']],
    [{ status: 'READY' }, ['alpha']],
    [{ status: 'READY,CREATING' }, ['Alpha-2', 'alpha']],
    [{ status: ' CREATE_FAILED , DELETING,' }, ['betaX50', 'beta_50']],
    [{ status: '' }, ['betaX50', 'beta_50', 'Alpha-2', 'alpha']],
    [{ status: 'ACTIVE' }, []],
    [{ status: 'ready' }, []],
    [{ systemTags: 'red' }, ['Alpha-2', 'alpha']],
    [{ systemTags: 'blue,red' }, ['alpha']],
    [{ systemTags: 'a b' }, ['betaX50']],
    [{ systemTags: 'é' }, ['betaX50']],
    [{ systemTags: 're' }, []],
    [{ workspaceId: 'w1' }, ['beta_50', 'alpha']],
    [{ workspaceIds: 'w1,w2' }, ['beta_50', 'Alpha-2', 'alpha']],
    [{ workspaceIds: 'w3' }, []],
    [{ workspaceIds: 'w3, w2 ,' }, ['Alpha-2']],
    [{ workspaceId: 'w2', workspaceIds: 'w1' }, ['beta_50', 'Alpha-2', 'alpha']],
    [{ workspaceId: '', workspaceIds: '' }, ['betaX50', 'beta_50', 'Alpha-2', 'alpha']],
    [{ workspaceIds: ',' }, ['betaX50', 'beta_50', 'Alpha-2', 'alpha']],
    [{ workspaceId: 'no uuid' }, []],
    [{ systemTags: '' }, ['betaX50', 'beta_50', 'Alpha-2', 'alpha']],
    [{ searchMode: 'exact' }, ['betaX50', 'beta_50', 'Alpha-2', 'alpha']],
    [{ agentRuntimeName: 'pha', searchMode: '' }, ['Alpha-2', 'alpha']],
    [{ agentRuntimeName: 'alpha', searchMode: 'exact', workspaceIds: 'w1' }, ['alpha']],
    [{ agentRuntimeName: 'alpha', searchMode: 'exact', workspaceIds: 'w2' }, []],
    [{ status: 'READY', workspaceId: 'w1', systemTags: 'red', agentRuntimeName: 'al' }, ['alpha']],
    [{ resourceGroupId: 'any', discoveryResourceGroupId: 'any' }, ['betaX50', 'beta_50', 'Alpha-2', 'alpha']],
    [{ unheardOf: '1' }, ['betaX50', 'beta_50', 'Alpha-2', 'alpha']],
  ];
  it.each(cases)('by %j is %j', async (query, expected) => {
    expect(await namesOf(query)).toEqual(expected);
    expect((await list(query)).data.total).toBe(expected.length);
  });

  it('of a status that there is none of says so', async () => {
    const warningOf = async (status: string) => (await list({ status })).headers['x-runstead-warning'];
    expect(await warningOf('ACTIVE,READY,ready')).toBe(
      'status "ACTIVE", "ready" matches nothing: there are CREATING, CREATE_FAILED, UPDATING, UPDATE_FAILED, ' +
        'READY, DELETING, DELETE_FAILED',
    );
    expect(await warningOf('READY,DELETE_FAILED')).toBeUndefined();
  });

  it('is cut into pages that together are the whole', async () => {
    const pages = await Promise.all(
      ['1', '2', '3'].map(async (pageNumber) => (await list({ pageNumber, pageSize: '3' })).data),
    );
    expect(pages.map(({ items }) => items.length)).toEqual([3, 1, 0]);
    expect(pages.map(({ total, pageSize, pageNumber }) => [total, pageSize, pageNumber])).toEqual([
      [4, 3, 1],
      [4, 3, 2],
      [4, 3, 3],
    ]);
    expect(pages.flatMap(({ items }) => items)).toEqual((await list()).data.items);
  });

  it('refuses a search mode that is none', async () => {
    expect(await list({ agentRuntimeName: 'a', searchMode: 'regex' })).toMatchObject({
      status: 400,
      code: 'ERR_VALIDATION_FAILED',
      message: 'searchMode must be one of exact, fuzzy (got "regex")',
    });
  });

  it('counts the last of a parameter that is given twice', async () => {
    const url = '/2025-09-10/agents/runtimes?status=DELETING&status=READY&pageSize=x&pageSize=1';
    const answer = await listed.send<Page<Runtime>>({ method: 'GET', url });
    expect(answer).toMatchObject({ status: 200, data: { total: 1, pageSize: 1 } });
  });
});

describe('the pages of', () => {
  let runtimeId: string;
  beforeAll(async () => {
    ({ id: runtimeId } = await runtimeAt(api, 'READY', { versions: 2 }));
    await endpointAt(api, runtimeId, 'one');
  });
  const lists: OperationName[] = [
    'ListAgentRuntimes',
    'ListAgentRuntimeEndpoints',
    'ListAgentRuntimeVersions',
  ];

  describe.each(lists)('%s', (operation) => {
    const list = (query: Record<string, string>) =>
      api.call<Page<unknown>>(operation, { id: runtimeId, query });

    it('are of 50 unless another size is asked for', async () => {
      const answer = await list({});
      expect(answer.data).toMatchObject({ pageNumber: 1, pageSize: 50, total: answer.data.items.length });
      expect(answer.headers['x-runstead-warning']).toBeUndefined();
    });

    it('are of 50, the first of them, when number and size are given empty', async () => {
      const answer = await list({ pageNumber: '', pageSize: '' });
      expect(answer).toMatchObject({ status: 200, data: { pageNumber: 1, pageSize: 50 } });
    });

    it.each(['100', '50', '1'])('are of %s when asked for', async (pageSize) => {
      const answer = await list({ pageSize });
      expect(answer.data.pageSize).toBe(Number(pageSize));
      expect(answer.headers['x-runstead-warning']).toBeUndefined();
    });

    it.each(['101', '999999999'])('are of 100 when %s is asked for, and that is said', async (pageSize) => {
      const answer = await list({ pageSize });
      expect(answer).toMatchObject({
        status: 200,
        data: { pageSize: 100 },
        headers: { 'x-runstead-warning': `pageSize ${pageSize} was cut to 100` },
      });
    });

    it.each(['0', '-1', '1e9', 'x', '1.5', ' 1', '0x10', 'NaN', '99999999999'])(
      'are neither numbered nor sized %j',
      async (value) => {
        for (const [field, max] of [
          ['pageNumber', 2_147_483_647],
          ['pageSize', 999_999_999],
        ] as const) {
          expect(await list({ [field]: value })).toMatchObject({
            status: 400,
            code: 'ERR_VALIDATION_FAILED',
            message: `${field} must be an integer from 1 to ${max} (got ${JSON.stringify(value)})`,
          });
        }
      },
    );

    it('name both parameters when both are wrong', async () => {
      const answer = await list({ pageNumber: '0', pageSize: 'x' });
      expect(answer.message).toMatch(/^pageNumber must .* \(got "0"\); pageSize must .* \(got "x"\)$/);
    });

    it.each(['1000000000', '2147483647'])('are empty far behind the last: %s', async (pageNumber) => {
      const answer = await list({ pageNumber });
      expect(answer).toMatchObject({ status: 200, data: { items: [], pageNumber: Number(pageNumber) } });
      expect(answer.data.total).toBeGreaterThan(0);
      expect((await list({ pageNumber, pageSize: '100' })).data.items).toEqual([]);
    });

    it('are not sized by a billion', async () => {
      expect((await list({ pageSize: '1000000000' })).status).toBe(400);
    });
  });
});

describe('DeleteAgentRuntime', () => {
  const remove = (id: string) => api.call<Runtime>('DeleteAgentRuntime', { id });

  it.each(STAGES)('in %s answers with the id in DELETING, again and again', async (stage) => {
    const { id, name } = await runtimeAt(api, stage);
    const told = api.told.runtimes.length;
    for (let times = 0; times < 3; times++) {
      const { status, data } = await remove(id);
      expect(status).toBe(200);
      expect(data).toMatchObject({ agentRuntimeId: id, agentRuntimeName: name, status: 'DELETING' });
      expect(data).not.toHaveProperty('statusReason');
    }
    expect(api.told.runtimes.slice(told)).toEqual([id, id, id]);
  });

  it('is seen at once, and never taken back', async () => {
    const { id, name, revision } = await runtimeAt(api, 'UPDATING');
    await remove(id);
    const shown = async () => [
      (await get(id)).data.status,
      ...(
        await api.call<Page<Runtime>>('ListAgentRuntimes', {
          query: { agentRuntimeName: name, searchMode: 'exact' },
        })
      ).data.items.map(({ status }) => status),
    ];
    expect(await shown()).toEqual(['DELETING', 'DELETING']);
    // The attempt that was under way comes to its end, of the revision it worked for and of the newest.
    const at = new Date().toISOString();
    for (const late of [revision, revision + 1]) {
      expect(await api.store.settleRuntime(id, late, { status: 'READY', newVersion: true, at })).toBe(false);
    }
    expect(await shown()).toEqual(['DELETING', 'DELETING']);
  });

  it('is 404 once the runtime is gone', async () => {
    const { id } = await runtimeAt(api, 'DELETING');
    await api.store.removeRuntime(id);
    for (const operation of ['GetAgentRuntime', 'DeleteAgentRuntime', 'ListAgentRuntimeEndpoints'] as const) {
      expect(await api.call(operation, { id })).toMatchObject({
        status: 404,
        code: 'ERR_NOT_FOUND',
        message: `AgentRuntime '${id}' does not exist (not found)`,
      });
    }
  });

  it('leaves what lies under the runtime readable until then', async () => {
    const { id } = await runtimeAt(api, 'READY', { versions: 2 });
    const endpointId = await endpointAt(api, id, freshName());
    await remove(id);
    const endpoints = await api.call<Page<{ status: string }>>('ListAgentRuntimeEndpoints', { id });
    expect(endpoints.data.items.map(({ status }) => status)).toEqual(['DELETING']);
    expect((await api.call('GetAgentRuntimeEndpoint', { id, endpointId })).data.status).toBe('DELETING');
    expect((await api.call('ListAgentRuntimeVersions', { id })).data.total).toBe(2);
    expect((await api.call('DeleteAgentRuntimeEndpoint', { id, endpointId })).status).toBe(200);
  });
});

describe('a server that is told to mask lists', () => {
  it('shows in them which secrets there are, and everywhere else what they are', async () => {
    const masking = await openTestApi({ deps: { redactLists: true } });
    try {
      const environmentVariables = { API_KEY: 'a value', PLAIN: 'another' };
      const authConfig = { userName: 'somebody', password: 'a word' };
      const containerConfiguration = { image: 'i', registryConfig: { authConfig } };
      const { id } = await runtimeAt(masking, 'READY', {
        spec: { environmentVariables, containerConfiguration },
      });
      await runtimeAt(masking, 'READY');
      const list = await masking.call<Page<Runtime>>('ListAgentRuntimes');
      expect(list.data.items).toHaveLength(2);
      expect(list.data.items.find((item) => item.agentRuntimeId === id)).toMatchObject({
        environmentVariables: { API_KEY: '***', PLAIN: '***' },
        containerConfiguration: {
          image: 'i',
          registryConfig: { authConfig: { userName: 'somebody', password: '***' } },
        },
      });
      const one = await masking.call<Runtime>('GetAgentRuntime', { id });
      expect(one.data).toMatchObject({ environmentVariables, containerConfiguration });
    } finally {
      await masking.close();
    }
  });

  it('is none unless it is told', async () => {
    const environmentVariables = { API_KEY: 'a value' };
    const { id } = await runtimeAt(api, 'READY', { spec: { environmentVariables } });
    const list = await api.call<Page<Runtime>>('ListAgentRuntimes', { query: { pageSize: '100' } });
    expect(list.data.items.find((item) => item.agentRuntimeId === id)).toMatchObject({
      environmentVariables,
    });
  });
});
