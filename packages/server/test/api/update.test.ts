import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  codeRuntime,
  freshName,
  openTestApi,
  type Runtime,
  runtimeAt,
  STAGES,
  type Stage,
  statusOf,
  type TestApi,
  TIMESTAMP,
  zip,
} from './harness.ts';

let api: TestApi;
beforeAll(async () => {
  api = await openTestApi();
});
afterAll(() => api.close());

const update = (id: string, body: unknown) => api.call<Runtime>('UpdateAgentRuntime', { id, body });
const get = async (id: string) => (await api.call<Runtime>('GetAgentRuntime', { id })).data;
/** A runtime with a package, as a caller creates it, and then READY. */
async function deployed(fields: Record<string, unknown> = {}, code: Record<string, unknown> = {}) {
  const created = await api.call<Runtime>('CreateAgentRuntime', { body: await codeRuntime(fields, code) });
  const id = created.data.agentRuntimeId!;
  await api.store.settleRuntime(id, 1, { status: 'READY', newVersion: true, at: new Date().toISOString() });
  return id;
}

describe('UpdateAgentRuntime answers', () => {
  it('at once in UPDATING, and wakes the parts behind', async () => {
    const { id, createdAt } = await runtimeAt(api, 'READY');
    const { status, data } = await update(id, { cpu: 4 });
    expect(status).toBe(200);
    expect(data).toMatchObject({
      agentRuntimeId: id,
      status: 'UPDATING',
      cpu: 4,
      agentRuntimeVersion: '1',
      createdAt,
    });
    expect(data.lastUpdatedAt).toMatch(TIMESTAMP);
    expect(data.lastUpdatedAt! >= createdAt).toBe(true);
    expect(api.told.runtimes).toContain(id);
    expect(await get(id)).toEqual(data);
  });

  const outcome: Record<Stage, number> = {
    CREATING: 200,
    CREATE_FAILED: 200,
    READY: 200,
    UPDATING: 200,
    'UPDATING without a version': 200,
    UPDATE_FAILED: 200,
    'UPDATE_FAILED without a version': 200,
    DELETING: 404,
    DELETE_FAILED: 404,
  };
  it.each(STAGES)('in %s', async (stage) => {
    const { id, revision } = await runtimeAt(api, stage);
    const told = api.told.runtimes.length;
    const answer = await update(id, { memory: 4096 });
    expect(answer.status).toBe(outcome[stage]);
    const after = (await api.store.getRuntime(id))!;
    if (answer.status === 200) {
      expect(answer.data).toMatchObject({ status: 'UPDATING', memory: 4096 });
      expect(answer.data).not.toHaveProperty('statusReason');
      expect(after).toMatchObject({ status: 'UPDATING', revision: revision + 1 });
      expect(api.told.runtimes.slice(told)).toEqual([id]);
    } else {
      expect(answer).toMatchObject({
        code: 'ERR_NOT_FOUND',
        message: `AgentRuntime '${id}' does not exist (not found)`,
      });
      expect(after).toMatchObject({ status: statusOf(stage), revision });
      expect(api.told.runtimes.slice(told)).toEqual([]);
    }
  });
});

describe('an update', () => {
  it('leaves what it does not name, and replaces whole what it names', async () => {
    const id = await deployed({
      description: 'old',
      environmentVariables: { A: '1', B: '2' },
      systemTags: ['x'],
      healthCheckConfiguration: { httpGetUrl: '/ready', periodSeconds: 5 },
    });
    const before = await get(id);
    const { data } = await update(id, {
      environmentVariables: { C: '3' },
      healthCheckConfiguration: { timeoutSeconds: 2 },
      description: null,
    });
    expect(data).toEqual({
      ...before,
      environmentVariables: { C: '3' },
      healthCheckConfiguration: { timeoutSeconds: 2 },
      status: 'UPDATING',
      lastUpdatedAt: data.lastUpdatedAt,
    });
  });

  it('takes away what it gives as empty', async () => {
    const id = await deployed({
      environmentVariables: { A: '1' },
      healthCheckConfiguration: { httpGetUrl: '/ready' },
      networkConfiguration: { networkMode: 'PRIVATE', vpcId: 'vpc-1' },
      description: 'old',
      systemTags: ['x'],
    });
    const { data, text } = await update(id, {
      environmentVariables: {},
      healthCheckConfiguration: {},
      networkConfiguration: {},
      description: '',
      systemTags: [],
    });
    expect(data).not.toHaveProperty('environmentVariables');
    expect(data).not.toHaveProperty('healthCheckConfiguration');
    expect(text).not.toContain('{}');
    expect(data).toMatchObject({
      networkConfiguration: { networkMode: 'PUBLIC' },
      description: '',
      systemTags: [],
    });
  });

  it('of nothing is an update all the same, so that a failed one can be tried again', async () => {
    const { id, revision } = await runtimeAt(api, 'UPDATE_FAILED');
    expect(await update(id, {})).toMatchObject({ status: 200, data: { status: 'UPDATING', cpu: 15 } });
    expect((await api.store.getRuntime(id))?.revision).toBe(revision + 1);
  });

  it('merges onto what a failed one asked for', async () => {
    const { id } = await runtimeAt(api, 'UPDATE_FAILED');
    expect((await update(id, { memory: 4096 })).data).toMatchObject({ cpu: 15, memory: 4096 });
  });

  it('is warned of fields that are not known', async () => {
    const { id } = await runtimeAt(api, 'READY');
    const answer = await update(id, { memroy: 1 });
    expect(answer).toMatchObject({
      status: 200,
      headers: { 'x-runstead-warning': 'ignored fields that are not known: memroy' },
    });
  });

  it.each([true, false, undefined])(
    'hands forceEvictInstances=%s on, and does not echo it',
    async (force) => {
      const { id } = await runtimeAt(api, 'READY');
      const { data } = await update(id, { cpu: 2, forceEvictInstances: force });
      expect(data).not.toHaveProperty('forceEvictInstances');
      expect((await api.store.getRuntime(id))?.forceEvict).toBe(force === true);
      // It was for that update alone.
      await update(id, { cpu: 3 });
      expect((await api.store.getRuntime(id))?.forceEvict).toBe(false);
    },
  );
});

describe('the artifact', () => {
  const artifact = async (id: string) => (await api.store.getRuntime(id))?.spec.artifact;

  it('is replaced by a new package, with all that described the old one', async () => {
    const id = await deployed({}, { command: ['node', 'a'], language: 'nodejs20', checksum: '1' });
    const before = await artifact(id);
    const zipFile = await zip({ 'main.py': '1' });
    const { data, text } = await update(id, { codeConfiguration: { zipFile, language: 'python3.12' } });
    expect(data.codeConfiguration).toEqual({ language: 'python3.12' });
    expect(text).not.toContain('zipFile');
    expect((await artifact(id))?.digest).not.toBe(before?.digest);
    expect((await artifact(id))?.entry?.command).toEqual(['python3', 'main.py']);
  });

  it('stays when codeConfiguration comes without a package', async () => {
    const id = await deployed({}, { language: 'nodejs20', checksum: '7' });
    const before = await artifact(id);
    const { data } = await update(id, { codeConfiguration: { command: ['node', 'other.mjs'] } });
    expect(data.codeConfiguration).toEqual({
      command: ['node', 'other.mjs'],
      language: 'nodejs20',
      checksum: '7',
    });
    expect(await artifact(id)).toEqual(before);
    expect(
      (await update(id, { codeConfiguration: { language: 'nodejs22' } })).data.codeConfiguration,
    ).toEqual({
      language: 'nodejs22',
      checksum: '7',
    });
    expect(await artifact(id)).toEqual(before);
  });

  it('keeps its command when nothing else could start it', async () => {
    const id = await deployed({}, { zipFile: await zip({ 'run.sh': '' }), command: ['sh', 'run.sh'] });
    const answer = await update(id, { codeConfiguration: { language: 'custom' } });
    expect(answer).toMatchObject({ status: 400, code: 'ERR_VALIDATION_FAILED' });
    expect(answer.message).toMatch(/^codeConfiguration\.command is required: the package has none of/);
    expect(await get(id)).toMatchObject({
      status: 'READY',
      codeConfiguration: { command: ['sh', 'run.sh'] },
    });
  });

  it('gives way to a bucket', async () => {
    const id = await deployed();
    const code = { ossBucketName: 'agents', ossObjectName: 'o', command: ['node', 'a'] };
    expect((await update(id, { codeConfiguration: code })).data.codeConfiguration).toEqual(code);
    expect(await artifact(id)).toBeUndefined();
  });

  it('never changes its type: a container configuration on a Code runtime is stored beside the code', async () => {
    const id = await deployed({}, { language: 'nodejs20' });
    const before = await artifact(id);
    const containerConfiguration = { image: 'registry.test/other:2', imageRegistryType: 'CUSTOM' };
    const { data } = await update(id, { artifactType: 'Container', containerConfiguration });
    expect(data).toMatchObject({
      artifactType: 'Code',
      codeConfiguration: { language: 'nodejs20' },
      containerConfiguration,
    });
    expect(await artifact(id)).toEqual(before);
    expect(await get(id)).toEqual(data);
  });

  it('of another type leaves a container a container', async () => {
    const { id } = await runtimeAt(api, 'READY');
    const { data } = await update(id, { artifactType: 'Code', codeConfiguration: { language: 'nodejs20' } });
    expect(data).toMatchObject({
      artifactType: 'Container',
      containerConfiguration: { image: 'registry.test/agent:1' },
    });
  });
});

describe('a new name', () => {
  it('is taken over, with the same id', async () => {
    const { id, name } = await runtimeAt(api, 'READY');
    const agentRuntimeName = freshName();
    expect((await update(id, { agentRuntimeName })).data).toMatchObject({
      agentRuntimeId: id,
      agentRuntimeName,
    });
    const again = await api.call<Runtime>('CreateAgentRuntime', {
      body: await codeRuntime({ agentRuntimeName: name }),
    });
    expect(again.status).toBe(200);
  });

  it('that is the old one is no collision', async () => {
    const { id, name } = await runtimeAt(api, 'READY');
    expect((await update(id, { agentRuntimeName: name })).status).toBe(200);
  });

  it('that another runtime has is 409, and changes nothing', async () => {
    const { name } = await runtimeAt(api, 'CREATE_FAILED');
    const { id } = await runtimeAt(api, 'READY');
    const before = await api.store.getRuntime(id);
    expect(await update(id, { agentRuntimeName: name, cpu: 8 })).toMatchObject({
      status: 409,
      code: 'ERR_ALREADY_EXISTS',
      message: `AgentRuntime '${name}' already exists`,
    });
    expect(await api.store.getRuntime(id)).toEqual(before);
  });
});
