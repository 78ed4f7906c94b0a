import { describe, expect, it } from 'vitest';
import { AgentRuntimeClient, type Config } from '../src/index.ts';
import { type RecordedCall, recordingFetch, success } from './recording-fetch.ts';

type Row = { workspaceId?: string; name?: string };

/** A server with these workspaces, which takes `name` for a part of the name, as servers may. */
function serverWith(workspaces: Row[], config: Config = {}) {
  const { fetch, calls } = recordingFetch(() => {
    const call = calls.at(-1)!;
    const { pathname, searchParams } = new URL(call.url);
    if (pathname !== '/2025-09-10/workspaces' || call.method !== 'GET') {
      return success({ agentRuntimeId: 'r1', items: [], total: 0, pageNumber: 1, pageSize: 50 });
    }
    const found = workspaces.filter(({ name }) => name?.includes(searchParams.get('name') ?? ''));
    const size = Number(searchParams.get('pageSize') ?? 50);
    const number = Number(searchParams.get('pageNumber') ?? 1);
    const page = found.slice((number - 1) * size, number * size);
    return success({
      workspaces: page,
      total: found.length,
      pageNumber: String(number),
      pageSize: String(size),
    });
  });
  const client = new AgentRuntimeClient({
    baseUrl: 'https://runstead.example',
    apiKey: 'rsk_x',
    fetch,
    ...config,
  });
  return { client, calls, lookUps: () => calls.filter(({ url }) => url.includes('/workspaces?')) };
}

const path = ({ url }: RecordedCall) => new URL(url).pathname + new URL(url).search;
const create = { agentRuntimeName: 'a', codeConfiguration: {} };
const two = [
  { workspaceId: 'w1', name: 'team' },
  { workspaceId: 'w2', name: 'team-b' },
];

describe('a workspace by its name', () => {
  it('is looked up, matched exactly, and sent as its id', async () => {
    const { client, calls } = serverWith(two);
    await client.create({ ...create, workspaceName: 'team' });
    expect(path(calls[0]!)).toBe('/2025-09-10/workspaces?name=team&pageNumber=1&pageSize=50');
    expect(calls[0]?.headers).toMatchObject({ 'x-acs-action': 'ListWorkspaces' });
    expect(calls[1]?.body).toMatchObject({ agentRuntimeName: 'a', workspaceId: 'w1' });
    expect(calls[1]?.body).not.toHaveProperty('workspaceName');
  });

  it('narrows lists, alone or as several', async () => {
    const { client, calls } = serverWith(two);
    await client.list({ workspaceName: 'team-b', pageSize: 5 });
    await client.list({ workspaceNames: ' team, team-b ,' });
    const lists = calls.filter(({ url }) => url.includes('/runtimes')).map(path);
    expect(lists).toEqual([
      '/2025-09-10/agents/runtimes?pageSize=5&workspaceId=w2',
      '/2025-09-10/agents/runtimes?workspaceIds=w1%2Cw2',
    ]);
  });

  it('is looked up once for one caller at one server', async () => {
    const { client, lookUps } = serverWith(two);
    await client.create({ ...create, workspaceName: 'team' });
    await client.listAll({ workspaceName: 'team' });
    expect(lookUps()).toHaveLength(1);
    await client.create({ ...create, workspaceName: 'team' }, { apiKey: 'rsk_other' });
    await client.create({ ...create, workspaceName: 'team' }, { regionId: 'cn-beijing' });
    expect(lookUps()).toHaveLength(3);
  });

  it('is looked up anew after a workspace was changed or deleted', async () => {
    const { client, lookUps } = serverWith(two);
    await client.create({ ...create, workspaceName: 'team' });
    await client.deleteWorkspace('w1');
    await client.create({ ...create, workspaceName: 'team' });
    await client.updateWorkspace('w1', { description: 'x' });
    await client.create({ ...create, workspaceName: 'team' });
    expect(lookUps()).toHaveLength(3);
  });

  it('is found on later pages, and looked for on no more than 20', async () => {
    const many = Array.from({ length: 120 }, (_, index) => ({
      workspaceId: `w${index}`,
      name: `team${index}`,
    }));
    const later = serverWith([...many, { workspaceId: 'last', name: 'team' }]);
    await later.client.create({ ...create, workspaceName: 'team' });
    expect(later.lookUps()).toHaveLength(3);
    expect(later.calls.at(-1)?.body).toMatchObject({ workspaceId: 'last' });

    const { fetch, calls } = recordingFetch(() => success({ workspaces: many.slice(0, 50) }));
    const client = new AgentRuntimeClient({ baseUrl: 'https://runstead.example', apiKey: 'rsk_x', fetch });
    await expect(client.list({ workspaceName: 'team' })).rejects.toMatchObject({
      name: 'ResourceNotExistError',
    });
    expect(calls).toHaveLength(20);
  });

  it('that does not exist is said so, and remembered by nobody', async () => {
    const workspaces: Row[] = [{ workspaceId: 'w2', name: 'team-b' }, { name: 'team' }];
    const { client, calls } = serverWith(workspaces);
    await expect(client.create({ ...create, workspaceName: 'team' })).rejects.toMatchObject({
      name: 'ResourceNotExistError',
      message: "Workspace 'team' does not exist",
      resourceType: 'Workspace',
      resourceId: 'team',
    });
    expect(calls).toHaveLength(1);
    workspaces.push({ workspaceId: 'w1', name: 'team' });
    await client.create({ ...create, workspaceName: 'team' });
  });

  it('that several have is refused, with their ids', async () => {
    const { client } = serverWith([...two, { workspaceId: 'w3', name: 'team' }]);
    await expect(client.list({ workspaceName: 'team' })).rejects.toMatchObject({
      name: 'ValueError',
      message: "2 workspaces are called 'team': give workspaceId (w1, w3)",
    });
  });

  it.each([
    { workspaceName: 'team', workspaceId: 'w1' },
    { workspaceNames: 'team', workspaceIds: 'w1' },
  ])('beside an id is refused: %o', async (input) => {
    const { client, calls } = serverWith(two);
    await expect(client.list(input)).rejects.toMatchObject({
      name: 'ValueError',
      message: expect.stringContaining('cannot be given together'),
    });
    expect(calls).toEqual([]);
  });

  it.each(['', undefined])('that is %j counts as not given', async (workspaceName) => {
    const { client, calls } = serverWith(two);
    await client.list({ workspaceName, workspaceId: 'w1' });
    expect(calls.map(path)).toEqual(['/2025-09-10/agents/runtimes?workspaceId=w1']);
  });

  it('and the call it is for have one time together', async () => {
    const hanging = ((url: string) =>
      url.includes('/workspaces?')
        ? Promise.resolve(success({ workspaces: [two[0]] }))
        : new Promise(() => {})) as typeof fetch;
    const { client } = serverWith([], { fetch: hanging, timeout: 50 });
    await expect(client.create({ ...create, workspaceName: 'team' })).rejects.toMatchObject({
      name: 'TimeoutError',
    });
  });
});

describe('workspaces', () => {
  it.each<[string, (client: AgentRuntimeClient) => PromiseLike<unknown>, string, string, object | undefined]>(
    [
      [
        'CreateWorkspace',
        (c) => c.createWorkspace({ name: 'n' }),
        'POST',
        '/2025-09-10/workspaces',
        { name: 'n' },
      ],
      ['GetWorkspace', (c) => c.getWorkspace('w/1'), 'GET', '/2025-09-10/workspaces/w%2F1', undefined],
      [
        'UpdateWorkspace',
        (c) => c.updateWorkspace('w1', { description: 'm' }),
        'PUT',
        '/2025-09-10/workspaces/w1',
        { description: 'm' },
      ],
      ['DeleteWorkspace', (c) => c.deleteWorkspace('w1'), 'DELETE', '/2025-09-10/workspaces/w1', undefined],
      ['ListWorkspaces', (c) => c.listWorkspaces(), 'GET', '/2025-09-10/workspaces', undefined],
    ],
  )('%s', async (action, call, method, url, body) => {
    const { client, calls } = serverWith(two);
    await call(client);
    expect({ method: calls[0]?.method, url: path(calls[0]!), body: calls[0]?.body }).toEqual({
      method,
      url,
      body,
    });
    expect(calls[0]?.headers['x-acs-action']).toBe(action);
    expect('idempotency-key' in calls[0]!.headers).toBe(method === 'POST');
  });

  it('are listed as arrays that know the rest, page by page or all', async () => {
    const many = Array.from({ length: 70 }, (_, index) => ({ workspaceId: `w${index}`, name: `n${index}` }));
    const { client } = serverWith(many);
    const page = await client.listWorkspaces({ pageSize: 20 });
    expect([page.length, page.total, page.pageNumber, page.pageSize]).toEqual([20, 70, 1, 20]);
    expect(await client.listAllWorkspaces()).toEqual(many);
    const all: unknown[] = [];
    for await (const workspace of client.listWorkspaces({ pageSize: 20 })) all.push(workspace);
    expect(all).toEqual(many);
  });

  it('have an id in their path', async () => {
    const { client, calls } = serverWith(two);
    for (const call of [
      client.getWorkspace(''),
      client.deleteWorkspace('..'),
      client.updateWorkspace('', {}),
    ]) {
      await expect(call).rejects.toMatchObject({ name: 'ValueError' });
    }
    expect(calls).toEqual([]);
  });
});
