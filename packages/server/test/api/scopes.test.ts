import { createHash } from 'node:crypto';
import { type OperationName, operationPaths } from '@runstead/contract';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hashKey, KeyRing } from '../../src/auth/key-ring.ts';
import { newKeySecrets } from '../../src/auth/key-secrets.ts';
import { includesRole, type Key, ROLES, type Role } from '../../src/auth/keys.ts';
import { Nonces } from '../../src/auth/nonces.ts';
import { type ExtensionName, permissions } from '../../src/auth/permissions.ts';
import type { Instance } from '../../src/reconcile/instance-set.ts';
import {
  ABSENT,
  type Answer,
  containerRuntime,
  endpointAt,
  freshName,
  openTestApi,
  type Page,
  type Runtime,
  runtimeAt,
  TEST_KEY,
  type TestApi,
  workspaceIn,
} from './harness.ts';

/** Every operation with keys of every role, on what their workspaces hold, on what others hold and on what is nowhere. */

type Name = OperationName | ExtensionName;

interface Target {
  workspaceId: string;
  workspaceName: string;
  runtimeId: string;
  runtimeName: string;
  endpointId: string;
  keyId: string;
  sessionHash: string;
  secretName: string;
}

interface Request {
  method: string;
  url: string;
  body?: unknown;
}

let api: TestApi;
let bearers: Record<string, string>;
let own: string;
let foreign: string;
const ring = new KeyRing();
const standing: Key[] = [];
const running: Instance[] = [];
const readKeys = async () => ring.replace([...standing, ...(await api.store.keys())]);

beforeAll(async () => {
  const authentication = { keys: ring, nonces: undefined as never as Nonces, now: Date.now };
  api = await openTestApi({
    deps: {
      authentication,
      keysChanged: readKeys,
      givenKeys: ['tests', 'invoke', 'deploy', 'admin'],
      instances: () => running,
    },
  });
  authentication.nonces = await Nonces.open(api.store, Date.now());
  own = await workspaceIn(api, 'own-workspace');
  foreign = await workspaceIn(api, 'foreign-workspace');
  bearers = {};
  standing.push(TEST_KEY);
  for (const role of ROLES) {
    const { apiKey, ...pair } = newKeySecrets();
    bearers[role] = apiKey;
    standing.push({
      kind: 'platform',
      id: role,
      sha256: hashKey(apiKey),
      ...pair,
      role,
      workspaces: [own],
    });
  }
  await readKeys();
});
afterAll(() => api.close());

/** All there is in a workspace, made anew so that it can be deleted. */
async function targetIn(workspaceId: string): Promise<Target> {
  const workspace = (await api.store.getWorkspace(workspaceId))!;
  const runtime = await runtimeAt(api, 'READY', { workspaceId });
  const endpointId = await endpointAt(api, runtime.id, 'prod');
  const key = await send('admin-of-all', {
    method: 'POST',
    url: '/runstead/v1/keys',
    body: { role: 'invoke', workspaces: [workspaceId] },
  });
  running.push({
    id: `instance-of-${runtime.id}`,
    runtimeId: runtime.id,
    revision: runtime.revision,
    state: 'ready',
    host: '127.0.0.1',
    port: 1,
    startedAt: new Date().toISOString(),
    inFlight: 0,
  } as unknown as Instance);
  const sessionHash = createHash('md5').update(runtime.id).digest('hex');
  const at = new Date().toISOString();
  const session = {
    id: sessionHash,
    runtimeId: runtime.id,
    endpointName: 'prod',
    keyId: undefined,
    version: 1,
  };
  await api.store.saveSessions([{ ...session, instanceId: 'i', createdAt: at, lastUsedAt: at }], []);
  const secretName = 'a-secret';
  await api.store.setSecret({ workspaceId, name: secretName, value: 'planted-value', at });
  return {
    sessionHash,
    secretName,
    workspaceId,
    workspaceName: workspace.name,
    runtimeId: runtime.id,
    runtimeName: runtime.name,
    endpointId,
    keyId: String(key.data.keyId),
  };
}

const NOWHERE: Target = {
  workspaceId: ABSENT,
  workspaceName: 'absent-workspace',
  runtimeId: ABSENT,
  runtimeName: 'absent-runtime',
  endpointId: ABSENT,
  keyId: 'rak00000000000000000000',
  sessionHash: '0'.repeat(32),
  secretName: 'absent-secret',
};

function send<T = Record<string, unknown>>(
  bearer: string,
  { method, url, body }: Request,
): Promise<Answer<T>> {
  const apiKey = bearers[bearer];
  return api.send<T>({
    method,
    url,
    headers: {
      ...(apiKey !== undefined && { authorization: `Bearer ${apiKey}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
}

/** One request of every operation, about a target. */
function requestOf(name: Name, target: Target): Request {
  const { method, url, body } = shapes(target)[name];
  return body === undefined ? { method, url } : { method, url, body };
}

function shapes(target: Target): Record<Name, Request> {
  const { workspaceId, workspaceName, runtimeId, runtimeName, endpointId, keyId, sessionHash, secretName } =
    target;
  const of = (operation: OperationName, body?: unknown, query = ''): Request => {
    const { method, path } = operationPaths[operation];
    const url = path
      .replace('{agentRuntimeId}', runtimeId)
      .replace('{agentRuntimeEndpointId}', endpointId)
      .replace('{workspaceId}', workspaceId);
    return { method, url: url + query, body };
  };
  return {
    CreateAgentRuntime: of('CreateAgentRuntime', containerRuntime({ workspaceId })),
    GetAgentRuntime: of('GetAgentRuntime'),
    UpdateAgentRuntime: of('UpdateAgentRuntime', { description: 'changed' }),
    DeleteAgentRuntime: of('DeleteAgentRuntime'),
    ListAgentRuntimes: of('ListAgentRuntimes', undefined, `?workspaceId=${workspaceId}`),
    CreateAgentRuntimeEndpoint: of('CreateAgentRuntimeEndpoint', {
      agentRuntimeEndpointName: 'another',
      targetVersion: 'LATEST',
    }),
    GetAgentRuntimeEndpoint: of('GetAgentRuntimeEndpoint'),
    UpdateAgentRuntimeEndpoint: of('UpdateAgentRuntimeEndpoint', { description: 'changed' }),
    DeleteAgentRuntimeEndpoint: of('DeleteAgentRuntimeEndpoint'),
    ListAgentRuntimeEndpoints: of('ListAgentRuntimeEndpoints'),
    ListAgentRuntimeVersions: of('ListAgentRuntimeVersions'),
    PublishRuntimeVersion: of('PublishRuntimeVersion', { description: 'v' }),
    GetAccessToken: of('GetAccessToken', undefined, `?resourceType=runtime&resourceName=${runtimeName}`),
    CreateWorkspace: of('CreateWorkspace', { name: freshName() }),
    ListWorkspaces: of('ListWorkspaces', undefined, `?name=${workspaceName}`),
    GetWorkspace: of('GetWorkspace'),
    UpdateWorkspace: of('UpdateWorkspace', { description: 'changed' }),
    DeleteWorkspace: of('DeleteWorkspace'),
    ListEvents: { method: 'GET', url: `/runstead/v1/runtimes/${runtimeId}/events` },
    ReadLogs: { method: 'GET', url: `/runstead/v1/runtimes/${runtimeId}/logs` },
    ListInstances: { method: 'GET', url: `/runstead/v1/instances?agentRuntimeId=${runtimeId}` },
    ListSessions: { method: 'GET', url: `/runstead/v1/sessions?agentRuntimeId=${runtimeId}` },
    EndSession: { method: 'DELETE', url: `/runstead/v1/sessions/${sessionHash}` },
    CreateKey: {
      method: 'POST',
      url: '/runstead/v1/keys',
      body: { role: 'invoke', workspaces: [workspaceName] },
    },
    ListKeys: { method: 'GET', url: '/runstead/v1/keys' },
    RevokeKey: { method: 'DELETE', url: `/runstead/v1/keys/${keyId}` },
    SetSecret: {
      method: 'PUT',
      url: `/runstead/v1/secrets/${secretName}?workspace=${workspaceId}`,
      body: { value: 'planted-other' },
    },
    ListSecrets: { method: 'GET', url: `/runstead/v1/secrets?workspace=${workspaceName}` },
    DeleteSecret: { method: 'DELETE', url: `/runstead/v1/secrets/${secretName}?workspace=${workspaceId}` },
    ListAuditEvents: { method: 'GET', url: '/runstead/v1/audit' },
    ReadHealth: { method: 'GET', url: '/runstead/v1/health' },
    ReadMetrics: { method: 'GET', url: '/metrics' },
  };
}

/** An answer without what is of one target: two that read the same then tell nothing of either. */
function anonymous({ status, text, requestId }: Answer, target: Target): string {
  let plain = text.replaceAll(requestId, '<request>');
  for (const value of Object.values(target)) plain = plain.replaceAll(value, '<target>');
  return `${status} ${plain}`;
}

/** About a foreign target, each operation answers as about one that is nowhere: this, or 200 without a word of it. */
const FOREIGN: Partial<Record<Name, number>> = {
  // A 404 would say to clients that the runtime itself is gone.
  CreateAgentRuntime: 400,
  CreateKey: 400,
  SetSecret: 400,
  ListSecrets: 400,
  DeleteSecret: 400,
  ListAgentRuntimes: 200,
  ListWorkspaces: 200,
  ListInstances: 200,
  ListSessions: 200,
  ListKeys: 200,
  ReadHealth: 200,
};

const NAMES = Object.keys(permissions) as Name[];
const CELLS = NAMES.flatMap((name) => ROLES.map((role) => [name, role] as const));

describe.each(CELLS)('%s with a key of role %s', (name, role: Role) => {
  const { role: needed, global = false, writes } = permissions[name];
  const isAllowed = includesRole(role, needed) && !global;

  it(isAllowed ? 'is answered for what its workspaces hold' : 'is refused as NoPermission', async () => {
    const target = await targetIn(own);
    const answer = await send(role, requestOf(name, target));
    if (isAllowed) return expect(answer).toMatchObject({ status: 200 });
    expect(answer).toMatchObject({ status: 403, code: 'NoPermission' });
    expect(answer.message).toMatch(/^NoPermission: /);
    // Nothing came of it: an administrator finds it as it was.
    expect((await api.store.getRuntime(target.runtimeId))?.status).toBe('READY');
    expect((await api.store.getWorkspace(own))?.name).toBe('own-workspace');
    expect((await api.store.keys()).some(({ id }) => id === target.keyId)).toBe(true);
  });

  it('answers for what other workspaces hold as for what is nowhere', async () => {
    const target = await targetIn(foreign);
    const before = await api.store.getRuntime(target.runtimeId);
    const answer = await send(role, requestOf(name, target));
    const absent = await send(role, requestOf(name, NOWHERE));
    if (name !== 'CreateWorkspace') expect(anonymous(answer, target)).toBe(anonymous(absent, NOWHERE));
    if (!isAllowed) expect(answer).toMatchObject({ status: 403, code: 'NoPermission' });
    else expect(answer.status).toBe(FOREIGN[name] ?? 404);
    if (answer.status === 200)
      for (const id of [target.runtimeId, foreign]) expect(answer.text).not.toContain(id);
    expect(await api.store.getRuntime(target.runtimeId)).toEqual(before);
    expect((await api.store.keys()).some(({ id }) => id === target.keyId)).toBe(true);
  });

  it('is answered by a key for all workspaces', async () => {
    // A workspace that holds something stays.
    const answer = await send('admin-of-all', requestOf(name, await targetIn(foreign)));
    expect(answer.status).toBe(name === 'DeleteWorkspace' ? 400 : 200);
  });

  it(writes ? 'leaves an audit event, whatever the answer' : 'leaves no audit event', async () => {
    for (const target of [await targetIn(own), await targetIn(foreign), NOWHERE]) {
      const { requestId, status } = await send(role, requestOf(name, target));
      const events = (await api.store.listAuditEvents(20)).filter((event) => event.requestId === requestId);
      expect(events.map((event) => [event.operation, event.keyId, event.status])).toEqual(
        writes ? [[name, role, status]] : [],
      );
    }
  });
});

describe('the table of permissions', () => {
  it('has every route of the API, and nothing else', () => {
    const paths = new Set<string>();
    for (const name of NAMES) {
      const { method, url } = requestOf(name, NOWHERE);
      const path = url.split('?', 1)[0]!;
      expect(
        api.app.findRoute({ method: method as 'GET', url: path }) ??
          api.app.hasRoute({ method: method as 'GET', url: patternOf(name) }),
        name,
      ).toBeTruthy();
      paths.add(`${method} ${patternOf(name)}`);
    }
    const routed = routesOf(api.app.printRoutes({ commonPrefix: false, includeMeta: false }));
    const known = [...paths].map((route) => route.split(' ')[1]!);
    for (const path of routed) {
      if (path.startsWith('/docs')) continue;
      expect(known, `a route without a permission: ${path}`).toContain(path);
    }
    expect(new Set(routed.filter((path) => !path.startsWith('/docs')))).toEqual(new Set(known));
  });
});

/** Of an operation, its path as the router has it. */
function patternOf(name: Name): string {
  const markers = { ...NOWHERE, runtimeId: ':agentRuntimeId', endpointId: ':agentRuntimeEndpointId' };
  const { url } = requestOf(name, {
    ...markers,
    workspaceId: ':workspaceId',
    keyId: ':keyId',
    sessionHash: ':sessionHash',
    secretName: ':secretName',
  });
  return url.split('?', 1)[0]!;
}

/** Paths of the router's own drawing of itself. */
function routesOf(drawing: string): string[] {
  const paths: string[] = [];
  const above: string[] = [];
  for (const line of drawing.split('\n')) {
    const [, indent = '', text = ''] = /^([│ ]*)[├└]── (.*?)(?: \(.*\))?$/.exec(line) ?? [];
    if (text === '') continue;
    const depth = indent.length / 4;
    above.length = depth;
    above.push(text);
    if (/\(.*\)$/.test(line)) paths.push(above.join(''));
  }
  return paths;
}

describe('a key of some workspaces', () => {
  it.each([
    ['workspaceId', () => `workspaceId=${foreign}`],
    ['workspaceIds', () => `workspaceIds=${foreign}`],
    ['both', () => `workspaceId=${foreign}&workspaceIds=${foreign},${ABSENT}`],
  ])('finds nothing in lists that name others by %s', async (_, query) => {
    await targetIn(foreign);
    const answer = await send<Page<Runtime>>('admin', {
      method: 'GET',
      url: `${operationPaths.ListAgentRuntimes.path}?${query()}`,
    });
    expect(answer).toMatchObject({ status: 200, data: { items: [], total: 0 } });
  });

  it('finds its own alone in lists that name none, or others beside', async () => {
    const [mine, theirs] = [await targetIn(own), await targetIn(foreign)];
    for (const query of [
      '',
      `workspaceIds=${own},${foreign}`,
      `workspaceId=${own}&workspaceIds=${foreign}`,
    ]) {
      const url = `${operationPaths.ListAgentRuntimes.path}?pageSize=100&${query}`;
      const { data, text } = await send<Page<Runtime>>('invoke', { method: 'GET', url });
      expect(new Set(data.items.map(({ workspaceId }) => workspaceId))).toEqual(new Set([own]));
      expect(text).toContain(mine.runtimeId);
      expect(text).not.toContain(theirs.runtimeId);
    }
    const named = await send<Page<Runtime>>('invoke', {
      method: 'GET',
      url: `${operationPaths.ListAgentRuntimes.path}?agentRuntimeName=${theirs.runtimeName}&searchMode=exact`,
    });
    expect(named.data).toMatchObject({ items: [], total: 0 });
  });

  it('moves nothing into a workspace of others, nor out of it', async () => {
    const mine = await targetIn(own);
    const url = operationPaths.UpdateAgentRuntime.path.replace('{agentRuntimeId}', mine.runtimeId);
    const move = (workspaceId: string) => send('deploy', { method: 'PUT', url, body: { workspaceId } });
    const [refused, absent] = [await move(foreign), await move(ABSENT)];
    expect(refused).toMatchObject({ status: 400, code: 'ERR_VALIDATION_FAILED' });
    expect(refused.message.replace(foreign, '')).toBe(absent.message.replace(ABSENT, ''));
    expect((await api.store.getRuntime(mine.runtimeId))!.workspaceId).toBe(own);
    const theirs = await targetIn(foreign);
    const taken = await send('admin', {
      method: 'PUT',
      url: operationPaths.UpdateAgentRuntime.path.replace('{agentRuntimeId}', theirs.runtimeId),
      body: { workspaceId: own },
    });
    expect(taken.status).toBe(404);
    expect((await api.store.getRuntime(theirs.runtimeId))!.workspaceId).toBe(foreign);
    // Moved away by one who may, it is gone for the first.
    const moved = await send('admin-of-all', { method: 'PUT', url, body: { workspaceId: foreign } });
    expect(moved.status).toBe(200);
    expect((await move(own)).status).toBe(404);
  });

  it('creates in its only workspace when it names none', async () => {
    const url = operationPaths.CreateAgentRuntime.path;
    const { data } = await send('deploy', { method: 'POST', url, body: containerRuntime() });
    expect(data.workspaceId).toBe(own);
  });

  it('gets a token for no runtime of others, by name or by id, as for none', async () => {
    const theirs = await targetIn(foreign);
    for (const [query, absent] of [
      [`resourceName=${theirs.runtimeName}`, `resourceName=${NOWHERE.runtimeName}`],
      [`resourceId=${theirs.runtimeId}`, `resourceId=${NOWHERE.runtimeId}`],
    ]) {
      const path = operationPaths.GetAccessToken.path;
      const refused = await send('admin', { method: 'GET', url: `${path}?${query}` });
      const none = await send('admin', { method: 'GET', url: `${path}?${absent}` });
      expect(refused.status).toBe(404);
      expect(anonymous(refused, theirs)).toBe(anonymous(none, NOWHERE));
    }
  });
});

describe('an administrator of some workspaces', () => {
  const keys = '/runstead/v1/keys';
  it('makes keys for no more than its own', async () => {
    const made = await send('admin', { method: 'POST', url: keys, body: { role: 'admin' } });
    expect(made).toMatchObject({ status: 200, data: { role: 'admin', workspaces: [own] } });
    const both = { role: 'invoke', workspaces: [own, foreign] };
    expect((await send('admin', { method: 'POST', url: keys, body: both })).status).toBe(400);
    bearers.made = String(made.data.apiKey);
    expect((await send('made', { method: 'POST', url: keys, body: both })).status).toBe(400);
    const theirs = await targetIn(foreign);
    expect((await send('made', requestOf('GetAgentRuntime', theirs))).status).toBe(404);
    expect((await send('made', requestOf('GetAgentRuntime', await targetIn(own)))).status).toBe(200);
    expect((await send('made', requestOf('CreateWorkspace', theirs))).code).toBe('NoPermission');
    const credential = { credential: 'team', workspaces: [foreign] };
    expect((await send('admin', { method: 'POST', url: keys, body: credential })).status).toBe(400);
  });

  it('sees and revokes no key that reaches further', async () => {
    const whole = await send('admin-of-all', { method: 'POST', url: keys, body: { role: 'invoke' } });
    const both = await send('admin-of-all', {
      method: 'POST',
      url: keys,
      body: { role: 'invoke', workspaces: [own, foreign] },
    });
    const { text } = await send('admin', { method: 'GET', url: keys });
    for (const { data } of [whole, both]) {
      expect(text).not.toContain(data.keyId);
      const refused = await send('admin', { method: 'DELETE', url: `${keys}/${data.keyId}` });
      const absent = await send('admin', { method: 'DELETE', url: `${keys}/${NOWHERE.keyId}` });
      expect(refused).toMatchObject({ status: 404, code: 'ERR_NOT_FOUND' });
      expect(refused.message.replace(String(data.keyId), '')).toBe(absent.message.replace(NOWHERE.keyId, ''));
    }
    expect((await send('admin-of-all', { method: 'GET', url: keys })).text).toContain(whole.data.keyId);
  });
});

describe('a key that may only invoke', () => {
  it('sees which variables and passwords a runtime has, but not what they are', async () => {
    const input = containerRuntime({
      workspaceId: own,
      environmentVariables: { TOKEN: 'planted-token', EMPTY: '' },
      containerConfiguration: {
        image: 'registry.test/agent:1',
        registryConfig: { authConfig: { userName: 'me', password: 'planted-password' } },
      },
    });
    const url = operationPaths.CreateAgentRuntime.path;
    const created = await send('deploy', { method: 'POST', url, body: input });
    expect(created.status).toBe(200);
    const id = String(created.data.agentRuntimeId);
    const { id: runtimeId, revision } = (await api.store.getRuntime(id))!;
    await api.store.settleRuntime(runtimeId, revision, {
      status: 'READY',
      newVersion: true,
      at: new Date().toISOString(),
    });
    const paths = [
      `${url}/${id}`,
      `${url}/${id}?agentRuntimeVersion=1`,
      `${url}/${id}?agentRuntimeVersion=LATEST`,
      `${url}?agentRuntimeName=${input.agentRuntimeName}`,
      `${url}/${id}/versions`,
      `${url}/${id}/endpoints`,
    ];
    for (const path of paths) {
      const { text, status } = await send('invoke', { method: 'GET', url: path });
      expect([path, status]).toEqual([path, 200]);
      expect(text).not.toContain('planted-');
    }
    const shown = await send('invoke', { method: 'GET', url: paths[0]! });
    expect(shown.data.environmentVariables).toEqual({ TOKEN: '***', EMPTY: '***' });
    const seen = await send('deploy', { method: 'GET', url: paths[0]! });
    expect(seen.data.environmentVariables).toEqual({ TOKEN: 'planted-token', EMPTY: '' });
  });
});

describe('the audit', () => {
  it('keeps no secret that was sent where an id belongs', async () => {
    for (const secret of ['rsk_planted-secret', 'rck_planted-secret']) {
      const url = `/runstead/v1/keys/${secret}`;
      const { message, requestId } = await send('admin-of-all', { method: 'DELETE', url });
      expect(message).not.toContain('planted');
      expect(message).toMatch(/key id/);
      const event = (await api.store.listAuditEvents(5)).find((one) => one.requestId === requestId);
      expect(event).toMatchObject({ operation: 'RevokeKey', status: 400 });
      expect(event!.resource).not.toContain('planted');
    }
  });

  it('is bounded by what it keeps of a request', async () => {
    const { requestId } = await send('admin-of-all', {
      method: 'DELETE',
      url: `/runstead/v1/keys/${'x'.repeat(8000)}`,
    });
    const event = (await api.store.listAuditEvents(5)).find((one) => one.requestId === requestId);
    expect(event!.resource.length).toBeLessThan(300);
  });
});
