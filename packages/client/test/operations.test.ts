import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { environmentVariables } from '../src/config/environment.ts';
import { AgentRuntimeClient, type Config } from '../src/index.ts';
import { recordingFetch, success } from './recording-fetch.ts';

const RUNTIMES = 'https://runstead.example/2025-09-10/agents/runtimes';
const ID = '5b7d0c1e-0000-4000-8000-000000000001';
const EID = '5b7d0c1e-0000-4000-8000-000000000002';
const page = { items: [], total: 0, pageNumber: 1, pageSize: 50 };

beforeEach(() => {
  for (const name of Object.values(environmentVariables).flat()) vi.stubEnv(name, '');
  vi.stubEnv('RUNSTEAD_DATA', '/nonexistent');
});
afterEach(() => vi.unstubAllEnvs());

function clientWith(answer: () => Response, config: Config = {}) {
  const { fetch, calls } = recordingFetch(answer);
  const client = new AgentRuntimeClient({
    baseUrl: 'https://runstead.example',
    apiKey: 'rsk_test',
    fetch,
    ...config,
  });
  return { client, calls };
}

interface Row {
  operation: string;
  call: (client: AgentRuntimeClient) => Promise<unknown>;
  method: string;
  url: string;
  body?: object;
  answer?: object;
}

const rows: Row[] = [
  {
    operation: 'CreateAgentRuntime',
    call: (client) =>
      client.create({
        agentRuntimeName: 'hello',
        codeConfiguration: { language: 'nodejs20' },
        cpu: 1,
        description: undefined,
      }),
    method: 'POST',
    url: RUNTIMES,
    body: {
      agentRuntimeName: 'hello',
      artifactType: 'Code',
      codeConfiguration: { language: 'nodejs20' },
      networkConfiguration: { networkMode: 'PUBLIC' },
      cpu: 1,
      memory: 4096,
      port: 9000,
    },
  },
  {
    operation: 'GetAgentRuntime',
    call: (client) => client.get(ID),
    method: 'GET',
    url: `${RUNTIMES}/${ID}`,
  },
  {
    operation: 'GetAgentRuntime',
    call: (client) => client.get(ID, { agentRuntimeVersion: '3' }),
    method: 'GET',
    url: `${RUNTIMES}/${ID}?agentRuntimeVersion=3`,
  },
  {
    operation: 'GetAgentRuntime',
    call: (client) => client.get('a/b?c#d%'),
    method: 'GET',
    url: `${RUNTIMES}/a%2Fb%3Fc%23d%25`,
  },
  {
    operation: 'UpdateAgentRuntime',
    call: (client) => client.update(ID, { description: 'new' }),
    method: 'PUT',
    url: `${RUNTIMES}/${ID}`,
    body: { description: 'new' },
  },
  {
    operation: 'DeleteAgentRuntime',
    call: (client) => client.delete(ID),
    method: 'DELETE',
    url: `${RUNTIMES}/${ID}`,
  },
  {
    operation: 'ListAgentRuntimes',
    call: (client) => client.list(),
    method: 'GET',
    url: RUNTIMES,
    answer: page,
  },
  {
    operation: 'ListAgentRuntimes',
    call: (client) =>
      client.list({ agentRuntimeName: "a b/c~'", status: 'READY,CREATING', pageNumber: 2, pageSize: 10 }),
    method: 'GET',
    url: `${RUNTIMES}?agentRuntimeName=a%20b%2Fc~%27&status=READY%2CCREATING&pageNumber=2&pageSize=10`,
    answer: page,
  },
  {
    operation: 'CreateAgentRuntimeEndpoint',
    call: (client) => client.createEndpoint(ID, { agentRuntimeEndpointName: 'prod' }),
    method: 'POST',
    url: `${RUNTIMES}/${ID}/endpoints`,
    body: { agentRuntimeEndpointName: 'prod', targetVersion: 'LATEST' },
  },
  {
    operation: 'GetAgentRuntimeEndpoint',
    call: (client) => client.getEndpoint(ID, EID),
    method: 'GET',
    url: `${RUNTIMES}/${ID}/endpoints/${EID}`,
  },
  {
    operation: 'UpdateAgentRuntimeEndpoint',
    call: (client) => client.updateEndpoint(ID, EID, { scalingConfig: { minInstances: 1 } }),
    method: 'PUT',
    url: `${RUNTIMES}/${ID}/endpoints/${EID}`,
    body: { scalingConfig: { minInstances: 1 } },
  },
  {
    operation: 'DeleteAgentRuntimeEndpoint',
    call: (client) => client.deleteEndpoint(ID, EID),
    method: 'DELETE',
    url: `${RUNTIMES}/${ID}/endpoints/${EID}`,
  },
  {
    operation: 'ListAgentRuntimeEndpoints',
    call: (client) => client.listEndpoints(ID, { endpointName: 'prod', searchMode: 'exact' }),
    method: 'GET',
    url: `${RUNTIMES}/${ID}/endpoints?endpointName=prod&searchMode=exact`,
    answer: page,
  },
  {
    operation: 'ListAgentRuntimeVersions',
    call: (client) => client.listVersions(ID, { pageSize: 5 }),
    method: 'GET',
    url: `${RUNTIMES}/${ID}/versions?pageSize=5`,
    answer: page,
  },
];

describe('operations on the wire', () => {
  it.each(rows)('$operation $method $url', async ({ operation, call, method, url, body, answer }) => {
    const { client, calls } = clientWith(() => success(answer ?? { agentRuntimeId: ID }));
    const result = await call(client);
    expect(result).toEqual(answer === undefined ? { agentRuntimeId: ID } : []);
    expect(calls).toEqual([
      {
        method,
        url,
        headers: {
          accept: 'application/json',
          authorization: 'Bearer rsk_test',
          'user-agent': 'runstead-client/0.1.0',
          'x-acs-action': operation,
          'x-acs-version': '2025-09-10',
          ...(body && { 'content-type': 'application/json; charset=utf-8' }),
          ...(method === 'POST' && { 'idempotency-key': expect.stringMatching(/^[0-9a-f-]{36}$/) }),
        },
        body,
      },
    ]);
  });

  it('gives lists as arrays that know the rest', async () => {
    const items = [{ agentRuntimeId: 'a' }, { agentRuntimeId: 'b' }];
    const { client } = clientWith(() => success({ items, total: 12, pageNumber: 2, pageSize: 2 }));
    const list = await client.list({ pageNumber: 2, pageSize: 2 });
    expect(Array.isArray(list)).toBe(true);
    expect(list).toEqual(items);
    expect(JSON.stringify(list)).toBe(JSON.stringify(items));
    expect([list.total, list.pageNumber, list.pageSize]).toEqual([12, 2, 2]);
  });

  it('takes a list without items for an empty one', async () => {
    const { client } = clientWith(() => success({ items: null, total: 0 }));
    const list = await client.listVersions(ID);
    expect([...list, list.total]).toEqual([0]);
  });

  it.each(['', '.', '..', undefined as unknown as string])('refuses the id %j before sending', async (id) => {
    const { client, calls } = clientWith(() => success({}));
    for (const call of [
      () => client.delete(id),
      () => client.get(id),
      () => client.update(id, {}),
      () => client.deleteEndpoint(ID, id),
      () => client.deleteEndpoint(id, EID),
      () => client.listVersions(id),
      () => client.invokeOpenai(id, 'Default', { messages: [] }),
    ]) {
      await expect(call()).rejects.toMatchObject({ name: 'ValueError' });
    }
    expect(calls).toEqual([]);
  });

  it('rejects, and does not throw, for a runtime without an artifact', async () => {
    const { client } = clientWith(() => success({}));
    await expect(client.create({ agentRuntimeName: 'a' })).rejects.toMatchObject({ name: 'ValueError' });
  });
});

describe('settings of a call', () => {
  it("are laid over the client's", async () => {
    const { client, calls } = clientWith(() => success({}), {
      headers: { 'X-A': 'client', 'X-B': 'client' },
    });
    await client.get(ID, { baseUrl: 'https://other.example', headers: { 'x-b': 'call', 'X-C': 'call' } });
    await client.get(ID);
    expect(calls.map(({ url }) => new URL(url).host)).toEqual(['other.example', 'runstead.example']);
    expect(calls[0]?.headers).toMatchObject({ 'x-a': 'client', 'x-b': 'call', 'x-c': 'call' });
    expect(calls[1]?.headers).toMatchObject({ 'x-a': 'client', 'x-b': 'client' });
    expect(calls[1]?.headers).not.toHaveProperty('x-c');
  });

  it('reads the environment when it is used', async () => {
    const { fetch, calls } = recordingFetch(() => success({}));
    const client = new AgentRuntimeClient({ fetch });
    await expect(client.get(ID)).rejects.toMatchObject({ name: 'ValueError' });
    vi.stubEnv('RUNSTEAD_BASE_URL', 'https://later.example');
    vi.stubEnv('RUNSTEAD_API_KEY', 'rsk_later');
    await client.get(ID);
    expect(calls[0]).toMatchObject({
      url: `https://later.example/2025-09-10/agents/runtimes/${ID}`,
      headers: { authorization: 'Bearer rsk_later' },
    });
  });

  it.each([0, -1, Number.NaN, '5s' as unknown as number])('refuses the timeout %s', async (timeout) => {
    const { client } = clientWith(() => success({}));
    await expect(client.get(ID, { timeout })).rejects.toMatchObject({
      name: 'ValueError',
      message: expect.stringContaining('timeout'),
    });
  });

  it('refuses a header that cannot be sent, without showing it', async () => {
    const { client } = clientWith(() => success({}));
    await expect(client.get(ID, { headers: { 'x-key': 'hunter2\nx' } })).rejects.toMatchObject({
      name: 'ValueError',
      message: expect.not.stringContaining('hunter2'),
    });
  });
});

describe('credentials on the wire', () => {
  const accessKey = { accessKeyId: 'testak', accessKeySecret: 'testsk', apiKey: undefined };

  it('signs the control plane with an access key', async () => {
    const { client, calls } = clientWith(() => success({}), { ...accessKey, securityToken: 'testtoken' });
    await client.update(ID, { description: 'ü' });
    const { headers } = calls[0]!;
    expect(headers.authorization).toMatch(
      /^ACS3-HMAC-SHA256 Credential=testak,SignedHeaders=content-type;host;x-acs-accesskey-id;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-security-token;x-acs-signature-nonce;x-acs-version,Signature=[0-9a-f]{64}$/,
    );
    expect(headers['x-acs-signature-nonce']).toMatch(/^[0-9a-f]{32}$/);
    expect(headers['x-acs-date']).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    expect(calls[0]?.body).toEqual({ description: 'ü' });
  });

  it("signs the caller's own x-acs headers too", async () => {
    const { client, calls } = clientWith(() => success({}), accessKey);
    await client.get(ID, { headers: { 'X-Acs-Trace': '1' } });
    expect(calls[0]?.headers.authorization).toContain('x-acs-trace;x-acs-version');
  });

  it('signs the data plane with an access key, on the host for signed calls', async () => {
    const { fetch, calls } = recordingFetch(() => Response.json({ choices: [] }));
    const client = new AgentRuntimeClient({ ...accessKey, accountId: '123', regionId: 'cn-beijing', fetch });
    await client.invokeOpenai('hello', undefined, { messages: [] });
    const { url, headers } = calls[0]!;
    expect(url).toBe(
      'https://123-ram.agentrun-data.cn-beijing.aliyuncs.com' +
        '/agent-runtimes/hello/endpoints/Default/invocations/openai/v1/chat/completions',
    );
    expect(headers['agentrun-authorization']).toMatch(
      /^AGENTRUN4-HMAC-SHA256 Credential=testak\/\d{8}\/cn-beijing\/agentrun\/aliyun_v4_request,SignedHeaders=host;x-acs-content-sha256;x-acs-date,Signature=[0-9a-f]{64}$/,
    );
    expect(headers).not.toHaveProperty('authorization');
    expect(headers['content-type']).toBe('application/json');
  });

  it('leaves the host of an own data endpoint as it is', async () => {
    const { client, calls } = clientWith(() => Response.json({ choices: [] }), accessKey);
    await client.invokeOpenai('hello', 'prod', { messages: [] });
    expect(calls[0]?.url).toMatch(/^https:\/\/runstead\.example\/agent-runtimes\/hello\/endpoints\/prod\//);
    expect(calls[0]?.headers).toHaveProperty('agentrun-authorization');
  });

  it('sends a token on the data plane only', async () => {
    const { client, calls } = clientWith(() => Response.json({ choices: [], data: {} }), { token: 'tok' });
    await client.get(ID);
    await client.invokeOpenai('hello', undefined, { messages: [] });
    expect(calls[0]?.headers).not.toHaveProperty('agentrun-access-token');
    expect(calls[0]?.headers).toMatchObject({ authorization: 'Bearer rsk_test' });
    expect(calls[1]?.headers).toMatchObject({ 'agentrun-access-token': 'tok' });
    expect(calls[1]?.headers).not.toHaveProperty('authorization');
  });

  it("lets the caller's own authorization stand", async () => {
    const { client, calls } = clientWith(() => Response.json({ choices: [], data: {} }));
    await client.get(ID, { headers: { Authorization: 'Basic x' } });
    await client.invokeOpenai('hello', undefined, {
      messages: [],
      headers: { Authorization: 'Bearer agent-key' },
    });
    expect(calls.map(({ headers }) => headers.authorization)).toEqual(['Basic x', 'Bearer agent-key']);
  });
});

describe('errors of the API', () => {
  function failing(status: number, body: object, headers: Record<string, string> = {}) {
    return clientWith(() => Response.json(body, { status, headers })).client;
  }
  const said = (message: string) => ({ code: 'ERR_X', message, requestId: 'q7' });

  it.each<[number, string, (client: AgentRuntimeClient) => Promise<unknown>, string, string]>([
    [404, 'gone', (c) => c.get(ID), 'ResourceNotExistError', `AgentRuntime '${ID}' does not exist`],
    [404, 'gone', (c) => c.delete(ID), 'ResourceNotExistError', `AgentRuntime '${ID}' does not exist`],
    [404, 'gone', (c) => c.update(ID, {}), 'ResourceNotExistError', `AgentRuntime '${ID}' does not exist`],
    [404, 'gone', (c) => c.listVersions(ID), 'ResourceNotExistError', `AgentRuntime '${ID}' does not exist`],
    [404, 'gone', (c) => c.listEndpoints(ID), 'ResourceNotExistError', `AgentRuntime '${ID}' does not exist`],
    [
      404,
      'gone',
      (c) => c.getEndpoint(ID, EID),
      'ResourceNotExistError',
      `AgentRuntimeEndpoint '${ID}/${EID}' does not exist`,
    ],
    [
      409,
      'prod already exists',
      (c) => c.createEndpoint(ID, { agentRuntimeEndpointName: 'prod' }),
      'ResourceAlreadyExistError',
      `AgentRuntimeEndpoint '${ID}/prod' already exists`,
    ],
    [
      400,
      'x already exists',
      (c) => c.create({ agentRuntimeName: 'x', codeConfiguration: {} }),
      'ResourceAlreadyExistError',
      "AgentRuntime 'x' already exists",
    ],
    [404, 'no such workspace', (c) => c.list(), 'ResourceNotExistError', 'no such workspace'],
    [400, 'CPU is required', (c) => c.list(), 'ClientError', 'CPU is required'],
    [403, 'Forbidden', (c) => c.list(), 'ClientError', 'Forbidden'],
    [500, 'fault', (c) => c.list(), 'ServerError', 'fault'],
  ])('%d "%s"', async (status, message, call, name, text) => {
    await expect(call(failing(status, said(message)))).rejects.toMatchObject({
      name,
      message: text,
      statusCode: status,
      errorCode: 'ERR_X',
      requestId: 'q7',
    });
  });

  it('reads the bodies of gateways', async () => {
    const client = failing(403, { Code: 'NoPermission', Message: 'not you', RequestId: 'q8' });
    await expect(client.list()).rejects.toMatchObject({
      message: 'not you',
      errorCode: 'NoPermission',
      requestId: 'q8',
    });
  });

  it('says who failed on the data plane, and takes only the platform at its word about what exists', async () => {
    const body = {
      error: { message: 'no such endpoint', type: 'invalid_request_error', code: 'ERR_NOT_FOUND' },
    };
    const call = (origin?: string) =>
      failing(404, body, {
        'x-acs-request-id': 'q9',
        ...(origin && { 'x-runstead-error-origin': origin }),
      }).invokeOpenai('a', 'b', {
        messages: [],
      });
    await expect(call('platform')).rejects.toMatchObject({
      name: 'ResourceNotExistError',
      message: 'no such endpoint',
      origin: 'platform',
      errorCode: 'ERR_NOT_FOUND',
      requestId: 'q9',
    });
    // The cloud does not say: then it may well have been the agent.
    await expect(call()).rejects.toMatchObject({ name: 'ClientError', statusCode: 404, origin: undefined });
    await expect(call('agent')).rejects.toMatchObject({
      name: 'ClientError',
      statusCode: 404,
      origin: 'agent',
    });
  });

  it('keeps credentials out of messages', async () => {
    const echo = {
      code: 'InvalidAccessKeyId.NotFound',
      message: 'the key rsk_test is unknown; Basic dXNlcg== too',
    };
    const client = failing(401, echo);
    await expect(client.list({}, { headers: { 'x-api-key': 'Basic dXNlcg==' } })).rejects.toMatchObject({
      message: 'the key *** is unknown; *** too',
    });
  });
});

it('a path without a method of its own can be asked all the same', async () => {
  const { client, calls } = clientWith(() => success({ items: [] }));
  const body = { role: 'deploy' };
  const options = { query: { limit: 3, absent: undefined }, body };
  expect(await client.request('POST', '/runstead/v1/keys', options)).toEqual({ items: [] });
  expect(calls[0]?.url).toBe('https://runstead.example/runstead/v1/keys?limit=3');
  expect(calls[0]?.body).toEqual(body);
  await expect(client.request('GET', 'runstead/v1/keys')).rejects.toThrow(/must begin with/);
});
