import { type OperationName, operationPaths } from '@runstead/contract';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ABSENT,
  API_KEY,
  containerRuntime,
  endpointAt,
  head,
  openTestApi,
  runtimeAt,
  sendBytes,
  type TestApi,
} from './harness.ts';

let api: TestApi;
let runtimeId: string;
let endpointId: string;
beforeAll(async () => {
  api = await openTestApi();
  ({ id: runtimeId } = await runtimeAt(api, 'READY'));
  endpointId = await endpointAt(api, runtimeId, 'prod');
});
afterAll(() => api.close());

const refused: [string, string | undefined, RegExp][] = [
  ['no credential', undefined, /AccessDenied: no credential was sent/],
  ['an empty one', '', /AccessDenied: no credential was sent/],
  ['a wrong key', 'Bearer rsk_wrong', /InvalidAccessKeyId\.NotFound: the API key is not known/],
  ['a key with a letter too many', `Bearer ${API_KEY}x`, /InvalidAccessKeyId\.NotFound/],
  ['a key with a letter too few', `Bearer ${API_KEY.slice(0, -1)}`, /InvalidAccessKeyId\.NotFound/],
  ['its hash', 'Bearer 9f86d081884c7d659a2feaa0c55ad015', /InvalidAccessKeyId\.NotFound/],
  ['the key in another scheme', `Basic ${API_KEY}`, /AccessDenied: scheme "Basic" is not accepted here/],
  ['the key without a scheme', API_KEY, /AccessDenied: the credential has no scheme/],
  ['two keys', `Bearer ${API_KEY} ${API_KEY}`, /AccessDenied: no single key follows "Bearer"/],
  ['a scheme without a key', 'Bearer', /AccessDenied/],
  [
    'a signature in a form of its own',
    'ACS3-HMAC-SHA256 Credential=LTAI,SignedHeaders=host,Signature=00',
    /AccessDenied: Authorization must read "ACS3-HMAC-SHA256/,
  ],
  ['a word that is no scheme', 'rsk_se/cr+et== of mine', /AccessDenied: the credential has no scheme/],
];

describe('a request', () => {
  it.each(refused)('with %s is 401 and says what to send', async (_name, authorization, message) => {
    const answer = await api.call('ListAgentRuntimes', { headers: { authorization } });
    expect(answer.status).toBe(401);
    expect(answer.message).toMatch(message);
    // Some clients drop the field and look for its word in the message.
    expect(answer.message.startsWith(`${answer.code}: `)).toBe(true);
    if (!authorization?.startsWith('ACS3')) {
      expect(answer.message).toContain('Authorization: Bearer rsk_…');
      expect(answer.message).toContain('local-key.json');
    }
  });

  it.each(refused)('with %s is not told, or logged, what it presented', async (_name, authorization = '') => {
    const answer = await api.call('ListAgentRuntimes', { headers: { authorization } });
    for (const secret of ['of-the-tests', 'rsk_wrong', 'rsk_se', '9f86d08', 'Signature=00']) {
      expect(answer.text).not.toContain(secret);
      expect(JSON.stringify(api.logged)).not.toContain(secret);
    }
  });

  it.each([`Bearer ${API_KEY}`, `bearer ${API_KEY}`, `BEARER  ${API_KEY} `])(
    'with the key as "%s" is answered',
    async (authorization) => {
      expect((await api.call('ListAgentRuntimes', { headers: { authorization } })).status).toBe(200);
    },
  );

  it('is not let in by a key in the query or a cookie', async () => {
    const answer = await api.call('ListAgentRuntimes', {
      query: { authorization: `Bearer ${API_KEY}`, api_key: API_KEY },
      headers: { authorization: undefined, cookie: `key=${API_KEY}`, 'x-api-key': API_KEY },
    });
    expect(answer.status).toBe(401);
  });

  it('is let in by the keys there are at the time', async () => {
    const changing = await openTestApi();
    const body = { role: 'deploy' };
    const made = await changing.send<{ apiKey: string; keyId: string }>({
      method: 'POST',
      url: '/runstead/v1/keys',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const headers = { authorization: `Bearer ${made.data.apiKey}` };
    expect((await changing.call('ListAgentRuntimes', { headers })).status).toBe(200);
    await changing.send({ method: 'DELETE', url: `/runstead/v1/keys/${made.data.keyId}` });
    expect((await changing.call('ListAgentRuntimes', { headers })).status).toBe(401);
    await changing.close();
  });
});

describe('without a credential', () => {
  const everything: [string, string, string][] = [
    ...(Object.keys(operationPaths) as OperationName[]).map((name): [string, string, string] => [
      name,
      operationPaths[name].method,
      operationPaths[name].path
        .replace('{agentRuntimeId}', ABSENT)
        .replace('{agentRuntimeEndpointId}', ABSENT),
    ]),
    ['events', 'GET', `/runstead/v1/runtimes/${ABSENT}/events`],
    ['instances', 'GET', '/runstead/v1/instances'],
    ['keys', 'POST', '/runstead/v1/keys'],
    ['audit', 'GET', '/runstead/v1/audit'],
    ['a path that nothing lies under', 'GET', '/nothing'],
    ['a method that is not there', 'PATCH', operationPaths.CreateAgentRuntime.path],
    ['OPTIONS', 'OPTIONS', operationPaths.CreateAgentRuntime.path],
    ['a malformed id', 'GET', `${operationPaths.CreateAgentRuntime.path}/x`],
  ];
  it.each(everything)('%s is 401', async (_name, method, url) => {
    expect(await api.send({ method, url, headers: { authorization: undefined } })).toMatchObject({
      status: 401,
      code: 'AccessDenied',
    });
  });

  it('nothing changes', async () => {
    const before = JSON.stringify([
      await api.store.getRuntime(runtimeId),
      await api.store.endpoints(runtimeId),
    ]);
    const bodies: Partial<Record<OperationName, unknown>> = {
      CreateAgentRuntime: containerRuntime(),
      UpdateAgentRuntime: { cpu: 4 },
      CreateAgentRuntimeEndpoint: { agentRuntimeEndpointName: 'other' },
      UpdateAgentRuntimeEndpoint: { description: 'changed' },
      PublishRuntimeVersion: { description: 'changed' },
    };
    for (const name of Object.keys(operationPaths) as OperationName[]) {
      const body = bodies[name];
      const answer = await api.call(name, {
        id: runtimeId,
        endpointId,
        headers: { authorization: 'Bearer rsk_wrong' },
        ...(body !== undefined && { body }),
      });
      expect([name, answer.status]).toEqual([name, 401]);
    }
    const after = JSON.stringify([
      await api.store.getRuntime(runtimeId),
      await api.store.endpoints(runtimeId),
    ]);
    expect(after).toBe(before);
    expect(await api.store.runtimeIds()).toEqual([runtimeId]);
    expect((await api.store.getVersion(runtimeId, 1))?.description).toBeUndefined();
    expect(api.told).toEqual({ runtimes: [], endpoints: [], settled: expect.anything() });
  });

  it('a body is refused unread, and never reaches the disk', async () => {
    const path = operationPaths.CreateAgentRuntime.path;
    const answer = await sendBytes(
      await api.socket(),
      head('POST', path, { 'content-length': 8_000_000, authorization: 'Bearer rsk_wrong' }),
      '{"codeConfiguration":{"zipFile":"',
    );
    expect(answer).toMatchObject({ status: 401 });
    expect(await api.incoming()).toEqual([]);
  });
});
