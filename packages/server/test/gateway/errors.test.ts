import { type ErrorCode, errorTable } from '@runstead/contract';
import { describe, expect, test, vi } from 'vitest';
import { hashKey } from '../../src/auth/key-ring.ts';
import type { PlatformKey } from '../../src/auth/keys.ts';
import type { KeyRoute, RuntimeRoute } from '../../src/feed/messages.ts';
import type { GatewaySettings } from '../../src/gateway/settings.ts';
import {
  call,
  INVOKE,
  openCall,
  type Reply,
  runtime,
  startAgent,
  startControl,
  startTestGateway,
  type TestGateway,
  until,
} from './harness.ts';

const key = (id: string, more: Partial<PlatformKey> = {}): PlatformKey => ({
  kind: 'platform',
  id,
  sha256: hashKey(`rsk_${id}`),
  accessKeyId: `ak-${id}`,
  accessKeySecret: `secret-${id}`,
  role: 'admin',
  workspaces: 'all',
  ...more,
});
const as = (id: string) => ({ authorization: `Bearer rsk_${id}` });

const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** What every error of the platform on the data plane looks like. @returns its message */
function expectError(
  reply: Pick<Reply, 'status' | 'headers' | 'body'>,
  code: ErrorCode,
  type: string,
): string {
  const { status } = errorTable[code];
  expect(reply.status).toBe(status);
  expect(reply.headers).toMatchObject({
    'content-type': 'application/json; charset=utf-8',
    'x-runstead-error-origin': 'platform',
    'x-acs-request-id': expect.stringMatching(ID),
  });
  const body = JSON.parse(reply.body) as { error: { message: string } };
  expect(body).toEqual({ error: { message: expect.any(String), type, code, param: null } });
  expect(body.error.message).not.toMatch(/\bat .+:\d+:\d+|node:/);
  return body.error.message;
}

interface Case {
  code: ErrorCode;
  type: string;
  says: RegExp;
  /** Whether it says when to come again. */
  isForNow?: true;
  route?: Partial<RuntimeRoute>;
  settings?: Partial<GatewaySettings>;
  keys?: KeyRoute[];
  ask: (port: number) => Promise<Pick<Reply, 'status' | 'headers' | 'body'>>;
}

const get =
  (headers: Record<string, string> = {}, path = INVOKE) =>
  (port: number) =>
    call(port, path, { headers });

const CASES: Record<string, Case> = {
  'a Host that cannot be read': {
    code: 'ERR_BAD_REQUEST',
    type: 'invalid_request_error',
    says: /Host/,
    ask: get({ host: 'a/b' }),
  },
  'a Host of somebody else': {
    code: 'Forbidden',
    type: 'permission_error',
    says: /does not answer to the host/,
    ask: get({ host: 'evil.test' }),
  },
  'a page of somebody else': {
    code: 'Forbidden',
    type: 'permission_error',
    says: /pages of the origin/,
    ask: get({ origin: 'null' }),
  },
  'a path that is disguised': {
    code: 'ERR_BAD_REQUEST',
    type: 'invalid_request_error',
    says: /starts with a letter/,
    ask: get({}, '/agent-runtimes/ec%68o/endpoints/Default/invocations'),
  },
  'a key that is not known': {
    code: 'InvalidAccessKeyId.NotFound',
    type: 'authentication_error',
    says: /^InvalidAccessKeyId\.NotFound/,
    ask: get(as('nobody')),
  },
  'a key that is missing': {
    code: 'AccessDenied',
    type: 'authentication_error',
    says: /^AccessDenied/,
    route: { credentialName: 'team' },
    ask: get(),
  },
  'a signature that does not hold': {
    code: 'SignatureDoesNotMatch',
    type: 'authentication_error',
    says: /^SignatureDoesNotMatch/,
    keys: [key('some')],
    ask: get({
      'agentrun-authorization': `AGENTRUN4-HMAC-SHA256 Credential=ak-some/20260101/cn-hangzhou/agentrun/aliyun_v4_request, SignedHeaders=host;x-acs-content-sha256;x-acs-date, Signature=${'0'.repeat(64)}`,
      'x-acs-date': '2020-01-01T00:00:00Z',
      'x-acs-content-sha256': 'UNSIGNED-PAYLOAD',
    }),
  },
  'a runtime that does not exist': {
    code: 'ERR_NOT_FOUND',
    type: 'not_found_error',
    says: /^Runtime 'ecko' does not exist$/,
    ask: get({}, INVOKE.replace('echo', 'ecko')),
  },
  'an endpoint that does not exist': {
    code: 'ERR_NOT_FOUND',
    type: 'not_found_error',
    says: /^Endpoint 'Defalt' of runtime 'echo' does not exist$/,
    ask: get({}, INVOKE.replace('Default', 'Defalt')),
  },
  'an endpoint without public access': {
    code: 'Forbidden',
    type: 'permission_error',
    says: /closed to public network access/,
    settings: { privateHosts: [] },
    route: {
      endpoints: [{ name: 'Default', weights: [{ version: 1, share: 1 }], disablePublicNetworkAccess: true }],
    },
    ask: get(),
  },
  'a runtime without a version': {
    code: 'ERR_UNAVAILABLE',
    type: 'platform_error',
    says: /^CREATING: installing$/,
    route: {
      unavailableReason: 'CREATING: installing',
      versions: [],
      endpoints: [{ name: 'Default', weights: [], disablePublicNetworkAccess: false }],
    },
    ask: get(),
  },
  'a version that cannot start': {
    code: 'ERR_VERSION_FAILED',
    type: 'agent_error',
    says: /cannot start: exit code 1$/,
    route: { versions: [{ version: 1, slotsPerInstance: 1, instances: [], failure: 'exit code 1' }] },
    ask: get(),
  },
  'a queue that is full': {
    code: 'ERR_TOO_MANY_REQUESTS',
    type: 'rate_limit_error',
    says: /is full/,
    isForNow: true,
    settings: { queueLength: 0 },
    route: { versions: [{ version: 1, slotsPerInstance: 1, instances: [] }] },
    ask: get(),
  },
  'a wait that is too long': {
    code: 'ERR_UNAVAILABLE',
    type: 'platform_error',
    says: /^Waited /,
    isForNow: true,
    settings: { queueTimeoutMs: 1 },
    route: { versions: [{ version: 1, slotsPerInstance: 1, instances: [] }] },
    ask: get(),
  },
  'a body that is too large': {
    code: 'ERR_PAYLOAD_TOO_LARGE',
    type: 'invalid_request_error',
    says: /10/,
    settings: { bodyLimitBytes: 10 },
    ask: (port) => call(port, INVOKE, { body: 'x'.repeat(11) }),
  },
  'an agent that breaks off': {
    code: 'ERR_AGENT_UNREACHABLE',
    type: 'agent_error',
    says: /^The agent /,
    ask: get({}, `${INVOKE}/die`),
  },
};

async function start({ route, settings, keys }: Partial<Case> = {}): Promise<TestGateway> {
  const agent = await startAgent((request, response) => {
    if (request.url === '/die') return request.socket.destroy();
    response.end('agent');
  });
  return startTestGateway({
    settings: settings ?? {},
    keys: keys ?? [],
    runtimes: [runtime({ serves: [{ instances: [agent], slots: 9 }], ...route })],
  });
}

describe('an error of the platform on the data plane says which, in one shape, and whose it is', () => {
  test.each(Object.entries(CASES))('%s', async (_, wrong) => {
    const { port } = await start(wrong);
    const reply = await wrong.ask(port);
    expect(expectError(reply, wrong.code, wrong.type)).toMatch(wrong.says);
    expect(reply.headers['retry-after']).toBe(wrong.isForNow && '1');
  });
});

describe('near names', () => {
  const ask = async (headers: Record<string, string>, path: string) => {
    const { port } = await start({ keys: [key('local'), key('other')] });
    return expectError(await call(port, path, { headers }), 'ERR_NOT_FOUND', 'not_found_error');
  };
  const [runtimePath, endpointPath] = [INVOKE.replace('echo', 'ecko'), INVOKE.replace('Default', 'Defalt')];

  test('are told to whoever has the key of this machine', async () => {
    expect(await ask(as('local'), runtimePath)).toBe("Runtime 'ecko' does not exist; did you mean 'echo'?");
    expect(await ask(as('local'), endpointPath)).toBe(
      "Endpoint 'Defalt' of runtime 'echo' does not exist; did you mean 'Default'?",
    );
    expect(await ask(as('local'), INVOKE.replace('echo', 'somethingElse'))).toBe(
      "Runtime 'somethingElse' does not exist",
    );
  });

  test('are told to nobody else, whatever their role', async () => {
    for (const headers of [{}, as('other'), { authorization: 'Bearer sk-1' }])
      for (const path of [runtimePath, endpointPath])
        expect(await ask(headers as Record<string, string>, path)).not.toMatch(/mean/);
  });
});

describe('every answer carries an id, and only one', () => {
  test.each([
    ['/health', 200],
    ['/2025-09-10/agents/runtimes', 200],
    [INVOKE, 200],
    [`${INVOKE}/die`, 502],
    ['/agent-runtimes/none/endpoints/Default/invocations', 404],
    ['/agent%2Druntimes/x', 400],
  ])('%s', async (path, status) => {
    const controlSocket = await startControl((_, response) =>
      response.setHeader('x-acs-request-id', 'theirs').end(),
    );
    const agent = await startAgent((request, response) => {
      if (request.url === '/die') return request.socket.destroy();
      response.setHeader('x-acs-request-id', 'theirs').end();
    });
    const gateway = await startTestGateway({
      controlSocket,
      runtimes: [runtime({ serves: [{ instances: [agent], slots: 9 }] })],
    });
    const seen = new Set<string>();
    for (let time = 0; time < 3; time++) {
      const reply = await call(gateway.port, path);
      expect(reply.status).toBe(status);
      const ids = reply.rawHeaders.filter((_, at) => reply.rawHeaders[at - 1] === 'x-acs-request-id');
      expect(ids).toEqual([expect.stringMatching(ID)]);
      seen.add(ids[0]!);
    }
    expect(seen.size).toBe(3);
  });
});

test.each([
  [404, 'application/json', '{"error":"mine"}'],
  [500, 'text/html', '<h1>broken</h1>'],
  [418, 'text/plain', ''],
  [503, 'application/problem+json', '{"title":"later"}'],
])('an agent’s own %d is passed on untouched, and said to be its own', async (status, type, body) => {
  const agent = await startAgent((_, response) => {
    response.writeHead(status, 'My Words', { 'Content-Type': type, 'Retry-After': '77', 'X-Own': 'yes' });
    response.end(body);
  });
  const { port } = await startTestGateway({ runtimes: [runtime({ serves: [{ instances: [agent] }] })] });
  const reply = await call(port, INVOKE);
  expect([reply.status, reply.body]).toEqual([status, body]);
  expect(reply.headers).toMatchObject({
    'content-type': type,
    'retry-after': '77',
    'x-own': 'yes',
    'x-runstead-error-origin': 'agent',
    'x-acs-request-id': expect.stringMatching(ID),
  });
});

describe('what a call comes to', () => {
  const counted = async (gateway: TestGateway) => {
    gateway.control.send({ type: 'count' });
    const before = gateway.of('counts').length;
    await until(() => gateway.of('counts').length > before, 'the counts');
    return gateway.of('counts').at(-1)!.counts;
  };

  test('is counted by runtime, and by the code of what was refused', async () => {
    const gateway = await start({ keys: [key('some')] });
    for (let time = 0; time < 3; time++) await call(gateway.port, INVOKE);
    await call(gateway.port, INVOKE.replace('echo', 'made-up-by-a-stranger'));
    await call(gateway.port, `${INVOKE}/die`);
    await call(gateway.port, '/health');
    const { runtimes, refusals } = await counted(gateway);
    expect(refusals).toEqual({ ERR_NOT_FOUND: 1, ERR_AGENT_UNREACHABLE: 1 });
    const byName = Object.fromEntries(
      runtimes.map(({ runtimeName, calls }) => [runtimeName, calls.reduce((sum, count) => sum + count, 0)]),
    );
    // Names that strangers make up are none of runtimes.
    expect(byName).toEqual({ '': 1, echo: 4 });
  });

  test('is open while it is under way, and waits where it waits', async () => {
    const gateway = await start({
      route: { versions: [{ version: 1, slotsPerInstance: 1, instances: [] }] },
    });
    const { request, answer } = openCall(gateway.port, INVOKE);
    request.end();
    await until(() => gateway.of('demand').some(({ queued }) => queued === 1), 'the call to wait');
    expect((await counted(gateway)).now).toEqual({ connections: 1, requests: 1, waiting: 1, streams: 0 });
    request.destroy();
    await answer.catch(() => {});
    // The client leaves in its own time.
    await vi.waitFor(async () => {
      const { now } = await counted(gateway);
      expect(now).toEqual({ connections: 0, requests: 0, waiting: 0, streams: 0 });
    }, 8000);
    const { runtimes } = await counted(gateway);
    expect(runtimes.map(({ runtimeName }) => runtimeName)).toEqual(['echo']);
  });
});
