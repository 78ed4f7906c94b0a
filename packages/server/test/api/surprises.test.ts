import { type OperationName, operationPaths } from '@runstead/contract';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withServer } from '../reconcile/harness.ts';
import { waitFor } from '../wait-for.ts';
import {
  ABSENT,
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
} from './harness.ts';

/** What surprises in the contract (contract: surprises) and is a server's to get right: a test each. */

let api: TestApi;
beforeAll(async () => {
  api = await openTestApi();
});
afterAll(() => api.close());

const create = (body: unknown) => api.call<Runtime>('CreateAgentRuntime', { body });
const createEndpoint = (id: string, body: object) =>
  api.call<Endpoint>('CreateAgentRuntimeEndpoint', { id, body });
/** Fraction of 1 to 6 digits, and a zone: the format that one client's parser takes, and no other. */
const READ_BY_CLIENTS = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,6}(Z|[+-]\d\d:?\d\d)$/;

describe('answers', () => {
  it('of an absent resource have both wordings that clients look for, in small letters', async () => {
    for (const operation of ['GetAgentRuntime', 'GetAgentRuntimeEndpoint', 'GetWorkspace'] as const) {
      const answer = await api.call(operation, { id: ABSENT, endpointId: ABSENT });
      expect(answer.status).toBe(404);
      expect(answer.message).toContain('does not exist');
      expect(answer.message).toContain('not found');
    }
  });

  it('of a duplicate are 409 and say that it already exists; nothing else is 409 or says so', async () => {
    const body = containerRuntime();
    await create(body);
    const { id } = await runtimeAt(api, 'READY');
    await endpointAt(api, id, 'twice');
    for (const answer of [
      await create(body),
      await createEndpoint(id, { agentRuntimeEndpointName: 'twice' }),
      await api.call('CreateWorkspace', { body: { name: 'default' } }),
    ]) {
      expect(answer.status).toBe(409);
      expect(answer.message).toContain('already exists');
    }
    const standard = (await api.store.defaultWorkspace()).id;
    for (const answer of [
      await api.call('DeleteWorkspace', { id: standard }),
      await create(containerRuntime({ workspaceId: ABSENT })),
    ]) {
      expect(answer.status).toBe(400);
      expect(answer.message).not.toContain('already exists');
    }
  });

  it('are 200 with JSON whenever all is well, also to a delete, which tells the id', async () => {
    const { id } = await runtimeAt(api, 'READY');
    const endpointId = await endpointAt(api, id, 'prod');
    const { data: workspace } = await api.call<{ workspaceId: string }>('CreateWorkspace', {
      body: { name: freshName() },
    });
    const bodies: Partial<Record<OperationName, unknown>> = {
      CreateAgentRuntime: containerRuntime(),
      UpdateAgentRuntime: {},
      CreateAgentRuntimeEndpoint: { agentRuntimeEndpointName: 'new' },
      UpdateAgentRuntimeEndpoint: {},
      PublishRuntimeVersion: {},
      CreateWorkspace: { name: freshName() },
      UpdateWorkspace: {},
    };
    const last = (name: string) =>
      Number(name === 'DeleteAgentRuntime') * 2 + Number(name.startsWith('Delete'));
    const names = (Object.keys(operationPaths) as OperationName[])
      .filter((name) => name !== 'GetAccessToken')
      .sort((a, b) => last(a) - last(b));
    for (const name of names) {
      const answer = await api.call(name, {
        id: name.includes('Workspace') ? workspace.workspaceId : id,
        endpointId,
        ...(bodies[name] !== undefined && { body: bodies[name] }),
      });
      expect([name, answer.status, answer.code]).toEqual([name, 200, 'SUCCESS']);
      if (name === 'DeleteAgentRuntime') expect(answer.data.agentRuntimeId).toBe(id);
    }
  });

  it('have times with a fraction and a zone, which one client cannot do without', async () => {
    const { id } = await runtimeAt(api, 'READY');
    const { data: runtime } = await api.call<Runtime>('GetAgentRuntime', { id });
    const { data: versions } = await api.call<Page<{ lastUpdatedAt: string }>>('ListAgentRuntimeVersions', {
      id,
    });
    const { data: workspace } = await api.call<Record<string, string>>('GetWorkspace', {
      id: runtime.workspaceId!,
    });
    for (const time of [
      runtime.createdAt,
      runtime.lastUpdatedAt,
      versions.items[0]!.lastUpdatedAt,
      workspace.createdAt,
      workspace.updatedAt,
    ]) {
      expect(time).toMatch(READ_BY_CLIENTS);
      expect(time).toMatch(/\.\d{3}Z$/);
    }
  });

  it('leave unset fields out: clients expect null where others send empty objects', async () => {
    const { data } = await create(
      await codeRuntime({ logConfiguration: {}, environmentVariables: {}, protocolConfiguration: null }),
    );
    for (const field of [
      'environmentVariables',
      'executionRoleArn',
      'healthCheckConfiguration',
      'logConfiguration',
      'protocolConfiguration',
      'containerConfiguration',
      'nasConfig',
      'ossMountConfig',
      'edition',
      'description',
      'resourceGroupId',
      'statusReason',
    ]) {
      expect(data).not.toHaveProperty(field);
    }
  });
});

describe('a runtime', () => {
  it('without cpu, memory and port is refused in the words that clients know', async () => {
    const { cpu: _cpu, memory: _memory, port: _port, ...body } = containerRuntime();
    const answer = await create(body);
    expect(answer).toMatchObject({
      status: 400,
      message: 'CPU is required; Memory is required; Port is required',
    });
  });

  it('has its diskSize back as it was sent: whether that is MB or GB no two sources agree', async () => {
    for (const diskSize of [0, 10, 512, 10_240]) {
      expect((await create(containerRuntime({ diskSize }))).data.diskSize).toBe(diskSize);
    }
  });

  it('has both spellings of switches back, each in its place', async () => {
    const { data } = await create(
      containerRuntime({
        networkConfiguration: { networkMode: 'PRIVATE', vpcId: 'vpc-1', vswitchIds: ['vsw-1'] },
        containerConfiguration: {
          image: 'i',
          registryConfig: { networkConfig: { vpcId: 'vpc-1', vSwitchId: 'vsw-1', securityGroupId: 'sg-1' } },
        },
      }),
    );
    expect(data.networkConfiguration?.vswitchIds).toEqual(['vsw-1']);
    expect(data.containerConfiguration?.registryConfig?.networkConfig?.vSwitchId).toBe('vsw-1');
  });

  it('takes what only the wire has, and gives back of it what the model has', async () => {
    const shown = {
      disableOndemand: true,
      sessionAffinityType: 'GENERATED_COOKIE',
      disableSessionAffinity: false,
      edition: 'any',
      resourceGroupId: 'rg-1',
    };
    const answer = await create(
      containerRuntime({
        ...shown,
        armsConfiguration: { armsLicenseKey: 'l', enableArms: true },
        credentialId: 'c-1',
      }),
    );
    expect(answer).toMatchObject({ status: 200, data: shown });
    expect(answer.headers['x-runstead-warning']).toBeUndefined();
    expect(answer.data).not.toHaveProperty('armsConfiguration');
    expect(answer.data).not.toHaveProperty('credentialId');
    const update = { id: answer.data.agentRuntimeId!, body: { forceEvictInstances: true } };
    const updated = await api.call('UpdateAgentRuntime', update);
    expect(updated.status).toBe(200);
    expect(updated.data).not.toHaveProperty('forceEvictInstances');
  });

  it('of code stays one when a container configuration is sent, which is kept beside', async () => {
    const { data } = await create(await codeRuntime({}, { language: 'nodejs20' }));
    const body = { containerConfiguration: { image: 'i' }, artifactType: 'Container' };
    const update = { id: data.agentRuntimeId!, body };
    expect((await api.call('UpdateAgentRuntime', update)).data).toMatchObject({
      artifactType: 'Code',
      containerConfiguration: { image: 'i' },
      codeConfiguration: { language: 'nodejs20' },
    });
  });

  it('is deleted twice without a fault, and its endpoints can be listed meanwhile', async () => {
    const { id } = await runtimeAt(api, 'READY');
    await endpointAt(api, id, 'prod');
    for (let times = 0; times < 2; times++) {
      expect(await api.call('DeleteAgentRuntime', { id })).toMatchObject({
        status: 200,
        data: { agentRuntimeId: id, status: 'DELETING' },
      });
    }
    const listed = await api.call<Page<Endpoint>>('ListAgentRuntimeEndpoints', { id });
    expect(listed.data.items.map(({ status }) => status)).toEqual(['DELETING']);
    expect((await api.call('GetAgentRuntime', { id })).data.status).toBe('DELETING');
  });

  it('whose update sends cpu, memory and port again is updated without a new version', () =>
    withServer({}, async (server) => {
      const sent = { cpu: 2, memory: 4096, port: 9000 };
      const agentRuntimeId = await server.create('agent', sent);
      expect((await server.decided(agentRuntimeId)).agentRuntimeVersion).toBe('1');
      const { data } = await server.call(
        'UpdateAgentRuntime',
        { agentRuntimeId },
        { ...sent, description: 'x' },
      );
      expect(data.status).toBe('UPDATING');
      expect(await server.decided(agentRuntimeId)).toMatchObject({
        status: 'READY',
        agentRuntimeVersion: '1',
      });
      expect(server.driver.starts).toHaveLength(1);
    }));

  it('that moves to another workspace is updated without a new version', () =>
    withServer({}, async (server) => {
      const agentRuntimeId = await server.create('agent');
      await server.decided(agentRuntimeId);
      const { workspaceId } = (await server.call('CreateWorkspace', {}, { name: 'other' })).data;
      const { data } = await server.call('UpdateAgentRuntime', { agentRuntimeId }, { workspaceId });
      expect(data).toMatchObject({ status: 'UPDATING', workspaceId });
      expect(await server.decided(agentRuntimeId)).toMatchObject({
        status: 'READY',
        agentRuntimeVersion: '1',
        workspaceId,
      });
      expect(server.driver.starts).toHaveLength(1);
    }));
});

describe('an endpoint', () => {
  it('is named with capital letters told apart: Default is not default, and both answer without being made', () =>
    withServer({}, async (server) => {
      const agentRuntimeId = await server.create('agent');
      await server.decided(agentRuntimeId);
      const ask = async (endpoint: string) => (await server.invoke('agent', '/', { endpoint })).status;
      expect([await ask('Default'), await ask('default'), await ask('DEFAULT')]).toEqual([200, 200, 404]);
      for (const agentRuntimeEndpointName of ['Default', 'default']) {
        const body = { agentRuntimeEndpointName, targetVersion: 'LATEST' };
        const made = await server.call('CreateAgentRuntimeEndpoint', { agentRuntimeId }, body);
        expect(made).toMatchObject({ status: 200, data: { agentRuntimeEndpointName } });
      }
    }));

  it('takes weights of 1 and of 100, and gives them back unscaled', async () => {
    const { id } = await runtimeAt(api, 'READY', { versions: 2 });
    for (const [one, two] of [
      [0.9, 0.1],
      [90, 10],
    ]) {
      const routingConfiguration = {
        versionWeights: [
          { version: '1', weight: one },
          { version: '2', weight: two },
        ],
      };
      const { status, data } = await createEndpoint(id, {
        agentRuntimeEndpointName: freshName(),
        routingConfiguration,
      });
      expect(status).toBe(200);
      expect(data.routingConfiguration).toEqual(routingConfiguration);
    }
  });

  it('is told scalingConfig, and tells scalingStatus', async () => {
    const { id } = await runtimeAt(api, 'READY');
    const { data } = await createEndpoint(id, {
      agentRuntimeEndpointName: 'scaled',
      scalingConfig: { minInstances: 1 },
    });
    expect(data).not.toHaveProperty('scalingConfig');
    expect(data.scalingStatus).toMatchObject({ currentInstances: expect.any(Number) });
  });

  it('that is pinned loses its pin when an update names LATEST, and keeps it when none is named', async () => {
    const { id } = await runtimeAt(api, 'READY', { versions: 2 });
    const endpointId = await endpointAt(api, id, 'pinned', { targetVersion: '1' });
    const update = async (body: object) =>
      (await api.call<Endpoint>('UpdateAgentRuntimeEndpoint', { id, endpointId, body })).data.targetVersion;
    expect(await update({ description: 'as one client has it' })).toBe('1');
    expect(await update({ description: 'as the other has it', targetVersion: 'LATEST' })).toBe('LATEST');
  });

  it('becomes READY, never ACTIVE, and once deleted leaves the list, for which clients wait without end', () =>
    withServer({}, async (server) => {
      const agentRuntimeId = await server.create('agent');
      await server.decided(agentRuntimeId);
      const { data } = await server.call(
        'CreateAgentRuntimeEndpoint',
        { agentRuntimeId },
        { agentRuntimeEndpointName: 'prod' },
      );
      const ids = { agentRuntimeId, agentRuntimeEndpointId: data.agentRuntimeEndpointId };
      await waitFor('the endpoint to be READY', async () => {
        const { status } = (await server.call('GetAgentRuntimeEndpoint', ids)).data;
        expect(status).toMatch(/^(CREATING|READY)$/);
        return status === 'READY';
      });
      expect((await server.call('DeleteAgentRuntimeEndpoint', ids)).data.status).toBe('DELETING');
      await waitFor('the endpoint to leave the list', async () => {
        const listed = await server.call('ListAgentRuntimeEndpoints', { agentRuntimeId });
        return listed.data.total === 0 && listed.data.items.length === 0;
      });
      expect((await server.call('GetAgentRuntimeEndpoint', ids)).status).toBe(404);
    }));
});

describe('lists', () => {
  it('honour the page number, or clients would walk for ever', async () => {
    const { id } = await runtimeAt(api, 'READY', { versions: 3 });
    const page = async (pageNumber: string) => {
      const query = { pageNumber, pageSize: '2' };
      const { data } = await api.call<Page<Record<string, string>>>('ListAgentRuntimeVersions', {
        id,
        query,
      });
      return data.items.map(({ agentRuntimeVersion }) => agentRuntimeVersion);
    };
    expect([await page('1'), await page('2'), await page('3')]).toEqual([['3', '2'], ['1'], []]);
  });

  it('of workspaces take their page as strings, and have their array under another name', async () => {
    const query = { pageNumber: '1', pageSize: '50' };
    const { data } = await api.call('ListWorkspaces', { query });
    expect(data).toMatchObject({ workspaces: expect.any(Array), pageNumber: 1, pageSize: 50 });
    expect(data).not.toHaveProperty('items');
  });

  it('take pages of 50, which clients ask for: a shorter one would end their walk', async () => {
    for (const operation of ['ListAgentRuntimes', 'ListWorkspaces'] as const) {
      expect((await api.call(operation, { query: { pageSize: '50' } })).data.pageSize).toBe(50);
    }
  });
});
