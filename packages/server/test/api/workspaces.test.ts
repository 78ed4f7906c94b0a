import type { Workspace } from '@runstead/contract';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ABSENT,
  containerRuntime,
  freshName,
  openTestApi,
  type Runtime,
  runtimeAt,
  STAGES,
  type TestApi,
  TIMESTAMP,
  workspaceIn,
} from './harness.ts';

let api: TestApi;
let standard: string;
beforeAll(async () => {
  api = await openTestApi();
  standard = (await api.store.defaultWorkspace()).id;
});
afterAll(() => api.close());

const create = (body: unknown) => api.call<Workspace>('CreateWorkspace', { body });
const get = (id: string) => api.call<Workspace>('GetWorkspace', { id });
const remove = (id: string) => api.call<Workspace>('DeleteWorkspace', { id });
const list = (query?: Record<string, string>) =>
  api.call<{ workspaces: Workspace[]; total: number; pageNumber: number; pageSize: number }>(
    'ListWorkspaces',
    { ...(query && { query }) },
  );

describe('CreateWorkspace', () => {
  it('answers with all of it, as GetWorkspace does after', async () => {
    const name = freshName();
    const { status, data } = await create({ name, description: 'Für ✓ 日本', resourceGroupId: 'rg-1' });
    expect(status).toBe(200);
    expect(data).toEqual({
      workspaceId: expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
      workspaceArn: `acs:agentrun:cn-hangzhou:0000000000000000:workspaces/${data.workspaceId}`,
      name,
      description: 'Für ✓ 日本',
      resourceGroupId: 'rg-1',
      isDefault: false,
      createdAt: expect.stringMatching(TIMESTAMP),
      updatedAt: data.createdAt,
    });
    expect((await get(data.workspaceId!)).data).toEqual(data);
  });

  it('leaves what was not given out', async () => {
    const { data } = await create({ name: freshName(), description: null });
    expect(data).not.toHaveProperty('description');
    expect(data).not.toHaveProperty('resourceGroupId');
  });

  it('passes fields over that it does not know, and says so', async () => {
    const { status, headers } = await create({ name: freshName(), enablePresetModel: true });
    expect(status).toBe(200);
    expect(headers['x-runstead-warning']).toBe('ignored fields that are not known: enablePresetModel');
  });

  it('refuses a name that is taken, with capital letters told apart', async () => {
    const name = freshName();
    await create({ name });
    for (const taken of [name, 'default']) {
      expect(await create({ name: taken })).toMatchObject({
        status: 409,
        code: 'ERR_ALREADY_EXISTS',
        message: `Workspace '${taken}' already exists`,
      });
    }
    expect((await create({ name: name.toUpperCase() })).status).toBe(200);
  });

  it.each([
    [{}, 'name is required'],
    [{ name: '' }, 'name must match ^[a-zA-Z][a-zA-Z0-9_-]{0,127}$ (got "")'],
    [{ name: 'a,b' }, 'name must match ^[a-zA-Z][a-zA-Z0-9_-]{0,127}$ (got "a,b")'],
    [{ name: 'a/b' }, 'name must match ^[a-zA-Z][a-zA-Z0-9_-]{0,127}$ (got "a/b")'],
    [{ name: 7 }, 'name must be a string (got 7)'],
    [
      { name: 'a', description: 'd'.repeat(257) },
      `description must have at most 256 characters (got "${'d'.repeat(79)}…)`,
    ],
    [
      { name: 'a', resourceGroupId: 'd'.repeat(129) },
      `resourceGroupId must have at most 128 characters (got "${'d'.repeat(79)}…)`,
    ],
  ])('refuses %j', async (body, message) => {
    const before = (await list()).data.total;
    expect(await create(body)).toMatchObject({ status: 400, code: 'ERR_VALIDATION_FAILED', message });
    expect((await list()).data.total).toBe(before);
  });

  it('of one name at once gives one workspace', async () => {
    const name = freshName();
    const answers = await Promise.all(Array.from({ length: 10 }, () => create({ name })));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array(9).fill(409)]);
  });
});

describe('ListWorkspaces', () => {
  it('has its array under another name than every other list, and numbers for strings', async () => {
    const name = freshName();
    const { data: made } = await create({ name, resourceGroupId: 'rg-listed' });
    const query = { name, resourceGroupId: '', pageNumber: '1', pageSize: '50' };
    const { data } = await list(query);
    expect(data).toEqual({ workspaces: [made], total: 1, pageNumber: 1, pageSize: 50 });
    expect((await list({ resourceGroupId: 'rg-listed' })).data.workspaces).toEqual([made]);
    expect((await list({ resourceGroupId: 'rg-liste' })).data.workspaces).toEqual([]);
    expect((await list({ name: name.toUpperCase() })).data.workspaces).toEqual([made]);
    expect((await list({ name, pageNumber: '20' })).data).toMatchObject({ workspaces: [], pageNumber: 20 });
  });

  it('shows the default one first of all that were made', async () => {
    const { data } = await list({ pageSize: '100' });
    expect(data.workspaces.at(-1)).toMatchObject({ workspaceId: standard, name: 'default', isDefault: true });
    expect(data.workspaces.filter(({ isDefault }) => isDefault)).toHaveLength(1);
  });

  it.each(['0', '-1', 'x', '1000000000'])('refuses a page size of %j', async (pageSize) => {
    expect(await list({ pageSize })).toMatchObject({ status: 400, code: 'ERR_VALIDATION_FAILED' });
  });
});

describe('UpdateWorkspace', () => {
  const update = (id: string, body: unknown) => api.call<Workspace>('UpdateWorkspace', { id, body });

  it('changes the description, and no name', async () => {
    const { data: before } = await create({ name: freshName(), description: 'old' });
    const { status, data, headers } = await update(before.workspaceId!, {
      description: 'new',
      name: 'other',
    });
    expect(status).toBe(200);
    expect(data).toEqual({ ...before, description: 'new', updatedAt: expect.stringMatching(TIMESTAMP) });
    expect(headers['x-runstead-warning']).toBe('ignored fields that are not known: name');
    expect((await get(before.workspaceId!)).data).toEqual(data);
  });

  it('leaves the description that it does not name, and describes the default one too', async () => {
    await update(standard, { description: 'for all' });
    expect((await update(standard, {})).data).toMatchObject({ description: 'for all', isDefault: true });
  });

  it('refuses what is no description, and changes nothing', async () => {
    const before = (await get(standard)).data;
    expect(await update(standard, { description: 7 })).toMatchObject({
      status: 400,
      code: 'ERR_VALIDATION_FAILED',
      message: 'description must be a string (got 7)',
    });
    expect((await get(standard)).data).toEqual(before);
  });
});

describe('DeleteWorkspace', () => {
  it('answers with the workspace, which is 404 from then on', async () => {
    const { data: made } = await create({ name: freshName() });
    expect(await remove(made.workspaceId!)).toMatchObject({ status: 200, data: made });
    for (const operation of ['GetWorkspace', 'DeleteWorkspace', 'UpdateWorkspace'] as const) {
      const body = operation === 'UpdateWorkspace' ? { body: {} } : {};
      expect(await api.call(operation, { id: made.workspaceId!, ...body })).toMatchObject({
        status: 404,
        code: 'ERR_NOT_FOUND',
        message: `Workspace '${made.workspaceId}' does not exist (not found)`,
      });
    }
    expect((await create({ name: made.name })).status).toBe(200);
  });

  it('refuses the default one', async () => {
    expect(await remove(standard)).toMatchObject({
      status: 400,
      code: 'ERR_WORKSPACE_IN_USE',
      message: expect.stringMatching(/^Workspace 'default' is the default one/),
    });
    expect((await get(standard)).status).toBe(200);
  });

  it('refuses one that holds runtimes, and says which, whatever they are at', async () => {
    const name = freshName();
    const id = await workspaceIn(api, name);
    const runtimes = [];
    for (const stage of STAGES) {
      const runtime = await runtimeAt(api, stage, { workspaceId: id });
      runtimes.push(runtime);
      expect(await remove(id)).toMatchObject({ status: 400, code: 'ERR_WORKSPACE_IN_USE' });
    }
    const { message } = await remove(id);
    expect(message).toMatch(
      new RegExp(
        `^Workspace '${name}' still holds 9 runtimes: (agent-\\d+ \\([A-Z_]+\\), ){4}agent-\\d+ \\([A-Z_]+\\) and 4 more\\. Delete them, or move`,
      ),
    );
    for (const runtime of runtimes.slice(1)) await api.store.removeRuntime(runtime.id);
    expect((await remove(id)).message).toContain(`still holds 1 runtime: ${runtimes[0]!.name} (CREATING).`);
    await api.store.removeRuntime(runtimes[0]!.id);
    expect((await remove(id)).status).toBe(200);
  });

  it('looks again when the last runtime left in the meantime', async () => {
    let leave: (() => Promise<void>) | undefined;
    const racing = await openTestApi({
      store: (real) =>
        new Proxy(real, {
          get(target, name: keyof typeof real) {
            if (name !== 'removeWorkspace') return target[name].bind(target);
            return async (id: string) => {
              const removed = await target.removeWorkspace(id);
              await leave?.();
              return removed;
            };
          },
        }),
    });
    const id = await workspaceIn(racing);
    const runtime = await runtimeAt(racing, 'READY', { workspaceId: id });
    leave = () => racing.store.removeRuntime(runtime.id);
    expect((await racing.call('DeleteWorkspace', { id })).status).toBe(200);
    await racing.close();
  });
});

describe('the workspace of a runtime', () => {
  const createRuntime = (fields: Record<string, unknown>) =>
    api.call<Runtime>('CreateAgentRuntime', { body: containerRuntime(fields) });

  it('is the default one unless another is named, and is told by every read', async () => {
    const other = await workspaceIn(api);
    for (const [workspaceId, expected] of [
      [undefined, standard],
      [null, standard],
      [standard, standard],
      [other, other],
    ]) {
      const { data } = await createRuntime({ workspaceId });
      expect(data.workspaceId).toBe(expected);
      expect((await api.call('GetAgentRuntime', { id: data.agentRuntimeId! })).data.workspaceId).toBe(
        expected,
      );
    }
  });

  it.each([ABSENT, 'default', '', 'no uuid'])('is refused on create and update when it is %j', async (id) => {
    const refusal = {
      status: 400,
      code: 'ERR_VALIDATION_FAILED',
      message: `workspaceId names no workspace; ListWorkspaces has those there are (got ${JSON.stringify(id)})`,
    };
    const agentRuntimeName = freshName();
    expect(await createRuntime({ agentRuntimeName, workspaceId: id })).toMatchObject(refusal);
    const names = (await api.store.listRuntimes({}, { pageNumber: 1, pageSize: 1000 })).items;
    expect(names.map(({ name }) => name)).not.toContain(agentRuntimeName);
    const runtime = await runtimeAt(api, 'READY');
    const told = api.told.runtimes.length;
    const update = { id: runtime.id, body: { workspaceId: id, cpu: 9 } };
    expect(await api.call('UpdateAgentRuntime', update)).toMatchObject(refusal);
    expect(await api.store.getRuntime(runtime.id)).toEqual(runtime);
    expect(api.told.runtimes).toHaveLength(told);
  });

  it('is another after an update that names it, and stays through one that does not', async () => {
    const other = await workspaceIn(api);
    const { id, spec } = await runtimeAt(api, 'READY');
    const moved = await api.call<Runtime>('UpdateAgentRuntime', { id, body: { workspaceId: other } });
    expect(moved).toMatchObject({ status: 200, data: { workspaceId: other, status: 'UPDATING' } });
    expect((await api.store.getRuntime(id))?.spec).toEqual(spec);
    const stayed = await api.call<Runtime>('UpdateAgentRuntime', { id, body: { description: 'x' } });
    expect(stayed.data.workspaceId).toBe(other);
    // A version is what runs; where it stands is told of today.
    const version = { id, query: { agentRuntimeVersion: '1' } };
    expect((await api.call('GetAgentRuntime', version)).data.workspaceId).toBe(other);
    expect((await remove(other)).status).toBe(400);
  });

  it('decides which of an absent runtime and an absent workspace is told of', async () => {
    const answer = await api.call('UpdateAgentRuntime', { id: ABSENT, body: { workspaceId: ABSENT } });
    expect(answer).toMatchObject({ status: 404, message: expect.stringContaining('AgentRuntime') });
  });
});
