import { connect } from 'node:net';
import { fillPath, type OperationName, operationPaths } from '@runstead/contract';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  ABSENT,
  containerRuntime,
  endpointAt,
  exchangeBytes,
  head,
  openTestApi,
  runtimeAt,
  sendBytes,
  type TestApi,
  until,
  workspaceIn,
} from './harness.ts';

const RUNTIMES = operationPaths.CreateAgentRuntime.path;
const BODY_LIMIT = 16 * 1024;

let api: TestApi;
let runtimeId: string;
let endpointId: string;
let workspaceId: string;
beforeAll(async () => {
  api = await openTestApi({ deps: { bodyLimitBytes: BODY_LIMIT } });
  ({ id: runtimeId } = await runtimeAt(api, 'READY'));
  endpointId = await endpointAt(api, runtimeId, 'prod');
  workspaceId = await workspaceIn(api);
});
afterAll(() => api.close());
afterEach(async () => {
  expect(await api.incoming()).toEqual([]);
});

/** Operations with a body; those that may carry a package go by way of the disk. */
const WITH_BODY = [
  'CreateAgentRuntime',
  'UpdateAgentRuntime',
  'CreateAgentRuntimeEndpoint',
  'UpdateAgentRuntimeEndpoint',
  'PublishRuntimeVersion',
  'CreateWorkspace',
  'UpdateWorkspace',
] as const satisfies OperationName[];
const ALL = Object.keys(operationPaths) as OperationName[];

describe.each(WITH_BODY)('the body of %s', (operation) => {
  const ask = (body?: string, headers?: Record<string, string | undefined>) =>
    api.call(operation, {
      id: operation === 'UpdateWorkspace' ? workspaceId : runtimeId,
      endpointId,
      ...(body !== undefined && { body }),
      ...(headers && { headers }),
    });

  it.each([
    ['cut off', '{"cpu":', /^The body is not valid JSON: Unexpected end of JSON input$/],
    ['with a stray letter', '{"cpu":x}', /^The body is not valid JSON: Unexpected token '?x'?/],
    ['a word', 'undefined', /^The body is not valid JSON: \S/],
    ['empty', '', /^The body is empty; a JSON object is needed$/],
    ['blank', ' \n ', /^The body is empty; a JSON object is needed$/],
  ])('is refused when it is %s', async (_name, body, message) => {
    const answer = await ask(body);
    expect(answer).toMatchObject({ status: 400, code: 'ERR_BAD_REQUEST' });
    expect(answer.message).toMatch(message);
  });

  it('is not quoted when it cannot be read', async () => {
    for (const body of [
      '{"environmentVariables":{"K":"s3same" "L":1}}',
      '{"k":s3same}',
      '"s3same',
      's3same',
    ]) {
      const answer = await ask(body);
      expect(answer).toMatchObject({ status: 400, code: 'ERR_BAD_REQUEST' });
      expect(answer.message).not.toMatch(/s3sam|3same/);
    }
  });

  it.each([
    ['[{}]', 'a list'],
    ['"text"', '"text"'],
    ['7', '7'],
    ['null', 'null'],
  ])('is refused when it is %s', async (body, seen) => {
    expect(await ask(body)).toMatchObject({
      status: 400,
      code: 'ERR_VALIDATION_FAILED',
      message: `The body must be a JSON object (got ${seen})`,
    });
  });

  it.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/jsonx',
    'text/json',
    'nonsense',
    'application/',
  ])('is refused as %s', async (type) => {
    const answer = await ask('{}', { 'content-type': type });
    expect(answer).toMatchObject({ status: 415, code: 'ERR_UNSUPPORTED_MEDIA_TYPE' });
    expect(answer.message).toMatch(/application\/json|Content-Type|media type/i);
  });

  it('is refused without a content type', async () => {
    expect(await ask('{}', { 'content-type': undefined })).toMatchObject({
      status: 415,
      code: 'ERR_UNSUPPORTED_MEDIA_TYPE',
      message: 'Content type is missing; application/json is needed',
    });
    expect(await ask()).toMatchObject({ status: 415, code: 'ERR_UNSUPPORTED_MEDIA_TYPE' });
  });

  it.each([
    'application/json',
    'application/json;charset=UTF-8',
    'Application/JSON ; charset=utf-8',
    'application/problem+json',
  ])('is read as %s', async (type) => {
    const answer = await ask('{"description":7}', { 'content-type': type });
    expect(answer).toMatchObject({ status: 400, code: 'ERR_VALIDATION_FAILED' });
    expect(answer.message).toContain('description must be a string (got 7)');
  });
});

describe.each([
  ['CreateAgentRuntime', BODY_LIMIT],
  ['UpdateAgentRuntime', BODY_LIMIT],
  ['CreateAgentRuntimeEndpoint', 1024 * 1024],
  ['PublishRuntimeVersion', 1024 * 1024],
  ['CreateWorkspace', 1024 * 1024],
  ['UpdateWorkspace', 1024 * 1024],
] as const)('a body of %s that is too large', (operation, limit) => {
  const { method, path } = operationPaths[operation];
  const target = () =>
    fillPath(path as '/{agentRuntimeId}{workspaceId}', { agentRuntimeId: runtimeId, workspaceId });

  it('is refused by the length it declares, before any of it was sent', async () => {
    const answer = await sendBytes(
      await api.socket(),
      head(method, target(), { 'content-length': limit + 1 }),
    );
    expect(answer).toMatchObject({
      status: 413,
      code: 'ERR_PAYLOAD_TOO_LARGE',
      message: `The body (${limit + 1} bytes) is larger than the limit of ${limit} bytes`,
    });
  });

  it('is refused in pieces, once they pass the limit', async () => {
    const piece = `${limit.toString(16)}\r\n${' '.repeat(limit)}\r\n1\r\n `;
    const answer = await sendBytes(
      await api.socket(),
      head(method, target(), { 'transfer-encoding': 'chunked' }),
      piece,
    );
    expect(answer).toMatchObject({
      status: 413,
      code: 'ERR_PAYLOAD_TOO_LARGE',
      message: `The body is larger than the limit of ${limit} bytes`,
    });
  });

  it('is just not so at the limit', async () => {
    const text = '{"description":7}';
    const answer = await sendBytes(
      await api.socket(),
      head(method, target(), { 'content-length': limit, connection: 'close' }),
      text + ' '.repeat(limit - text.length),
    );
    expect(answer).toMatchObject({ status: 400, code: 'ERR_VALIDATION_FAILED' });
  });
});

describe('a sender that hangs up', () => {
  it.each(['CreateAgentRuntime', 'PublishRuntimeVersion'] as const)(
    'in the middle of %s leaves nothing behind and is no fault of the server',
    async (operation) => {
      const before = api.logged.length;
      const { method, path } = operationPaths[operation];
      const arrived = new Promise<void>((resolve) => api.app.server.once('request', () => resolve()));
      const socket = connect(await api.socket());
      const target = fillPath(path as '/{agentRuntimeId}', { agentRuntimeId: runtimeId });
      socket.write(`${head(method, target, { 'content-length': 5000 })}{"description":"`);
      await arrived;
      if (operation === 'CreateAgentRuntime') {
        await until(async () => (await api.incoming()).length === 1, 'the body on the disk');
      }
      socket.destroy();
      await until(async () => (await api.incoming()).length === 0, 'the body gone');
      // The next answer comes after all that the broken one may have caused.
      await api.call('ListAgentRuntimes');
      const { total } = (await api.call<{ total: number }>('ListAgentRuntimes')).data;
      expect(total).toBe(1);
      expect(api.logged.slice(before).filter(({ level }) => Number(level) >= 50)).toEqual([]);
    },
  );
});

describe('a path', () => {
  it.each([
    '/',
    '/2025-09-10',
    '/2025-09-10/agents',
    '/2025-09-11/agents/runtimes',
    '/2025-09-10/Agents/runtimes',
    '//2025-09-10/agents/runtimes',
    `/2025-09-10/agents/runtimes/${ABSENT}/endpoints/${ABSENT}/more`,
    `/2025-09-10/workspaces/${ABSENT}/discovery/endpoints`,
    '/2025-09-10/workspace',
    '/runstead/v1',
  ])('%s that nothing lies under is 404', async (path) => {
    expect(await api.send({ method: 'GET', url: `${path}?token=abc` })).toMatchObject({
      status: 404,
      code: 'ERR_NOT_FOUND',
      message: `Path ${path} does not exist`,
    });
  });

  it('with a broken percent-encoding is 400', async () => {
    for (const path of [`${RUNTIMES}/%`, `${RUNTIMES}/%zz`, `${RUNTIMES}/%ff`]) {
      expect(await api.send({ method: 'GET', url: path })).toMatchObject({
        status: 400,
        code: 'ERR_BAD_REQUEST',
      });
    }
  });
});

describe('a method', () => {
  const paths = [...new Set(Object.values(operationPaths).map(({ path }) => path))];
  it.each(paths)('that %s does not have is 405 and names those it has', async (template) => {
    const allowed = Object.values(operationPaths).flatMap(({ method, path }) =>
      path === template ? (method === 'GET' ? ['GET', 'HEAD'] : [method]) : [],
    );
    const url = template.replace(/\{\w+\}/g, ABSENT);
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'QUERY']) {
      if (allowed.includes(method)) continue;
      const answer = await api.send({ method, url });
      expect([method, answer.status]).toEqual([method, 405]);
      expect(answer.code).toBe('ERR_METHOD_NOT_ALLOWED');
      expect(answer.headers.allow!.split(', ').sort()).toEqual([...allowed].sort());
      expect(answer.message).toContain(`Method ${method} is not allowed here`);
    }
  });

  it('is refused before its body is read', async () => {
    const answer = await sendBytes(
      await api.socket(),
      head('PUT', RUNTIMES, { 'content-length': 10_000_000 }),
    );
    expect(answer).toMatchObject({ status: 405 });
  });

  it('HEAD is answered as GET, without the body', async () => {
    for (const [url, status] of [
      [RUNTIMES, 200],
      [`${RUNTIMES}/${runtimeId}`, 200],
      [`${RUNTIMES}/${ABSENT}`, 404],
      [`${RUNTIMES}/x`, 400],
    ] as const) {
      const whole = await api.send({ method: 'GET', url });
      const answer = await api.send({ method: 'HEAD', url });
      expect(answer.status).toBe(status);
      expect(answer.headers['content-length']).toBe(whole.headers['content-length']);
    }
  });
});

describe('an id', () => {
  const withRuntime = ALL.filter((name) => operationPaths[name].path.includes('{agentRuntimeId}'));
  const withEndpoint = ALL.filter((name) => operationPaths[name].path.includes('{agentRuntimeEndpointId}'));
  const body = (operation: OperationName) =>
    operation === 'CreateAgentRuntimeEndpoint' ? { body: { agentRuntimeEndpointName: 'a' } } : { body: {} };

  it.each(withRuntime)('of a runtime that is malformed is 400 for %s', async (operation) => {
    for (const id of [
      'x',
      'ar-1',
      `${ABSENT}0`,
      ABSENT.replaceAll('-', ''),
      '../runtimes',
      'a b',
      'ü',
      '*',
    ]) {
      expect(await api.call(operation, { id, endpointId, ...body(operation) })).toMatchObject({
        status: 400,
        code: 'ERR_BAD_REQUEST',
        message: `agentRuntimeId must be a UUID (got ${JSON.stringify(id)})`,
      });
    }
  });

  it.each(withRuntime)('of a runtime that is absent is 404 for %s', async (operation) => {
    expect(await api.call(operation, { id: ABSENT, endpointId, ...body(operation) })).toMatchObject({
      status: 404,
      code: 'ERR_NOT_FOUND',
      message: `AgentRuntime '${ABSENT}' does not exist (not found)`,
    });
  });

  it.each(withEndpoint)('of an endpoint that is malformed is 400 for %s', async (operation) => {
    expect(
      await api.call(operation, { id: runtimeId, endpointId: 'prod', ...body(operation) }),
    ).toMatchObject({
      status: 400,
      code: 'ERR_BAD_REQUEST',
      message: 'agentRuntimeEndpointId must be a UUID (got "prod")',
    });
  });

  it.each(withEndpoint)('of an endpoint that is absent is 404 for %s', async (operation) => {
    expect(
      await api.call(operation, { id: runtimeId, endpointId: ABSENT, ...body(operation) }),
    ).toMatchObject({
      status: 404,
      code: 'ERR_NOT_FOUND',
      message: `AgentRuntimeEndpoint '${runtimeId}/${ABSENT}' does not exist (not found)`,
    });
  });

  it.each(withEndpoint)("of another runtime's endpoint is 404 for %s", async (operation) => {
    const other = await runtimeAt(api, 'READY');
    const answer = await api.call(operation, { id: other.id, endpointId, ...body(operation) });
    expect(answer).toMatchObject({ status: 404, code: 'ERR_NOT_FOUND' });
    expect(await api.store.getEndpoint(runtimeId, endpointId)).toMatchObject({ status: 'READY' });
    await api.store.removeRuntime(other.id);
  });

  it('is read in either case', async () => {
    const answer = await api.call('GetAgentRuntime', { id: runtimeId.toUpperCase() });
    expect(answer).toMatchObject({ status: 200, data: { agentRuntimeId: runtimeId } });
  });

  it('of any length is answered briefly', async () => {
    const answer = await api.call('GetAgentRuntime', { id: 'x'.repeat(4000) });
    expect(answer).toMatchObject({ status: 400, code: 'ERR_BAD_REQUEST' });
    expect(answer.message.length).toBeLessThan(200);
  });
});

describe('the request id', () => {
  it('is the one the gateway gave', async () => {
    const answer = await api.call('ListAgentRuntimes', {
      headers: { 'x-acs-request-id': 'id-of-the-gateway' },
    });
    expect(answer.requestId).toBe('id-of-the-gateway');
  });

  it('is made where none was given, each time another', async () => {
    const ids = await Promise.all([1, 2, 3].map(async () => (await api.call('ListAgentRuntimes')).requestId));
    expect(new Set(ids).size).toBe(3);
  });
});

it('answers the next request on a connection whose first one was refused', async () => {
  const refused = JSON.stringify(containerRuntime({ port: 0 }));
  const text = await exchangeBytes(
    await api.socket(),
    `${head('POST', RUNTIMES, { 'content-length': Buffer.byteLength(refused) })}${refused}`,
    head('GET', `${RUNTIMES}/${ABSENT}`, { connection: 'close' }),
  );
  expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 400', 'HTTP/1.1 404']);
});

describe('a fault of the server', () => {
  it.each([
    ['CreateAgentRuntime', 'createRuntime'],
    ['GetAgentRuntime', 'getRuntime'],
    ['ListAgentRuntimes', 'listRuntimes'],
    ['DeleteAgentRuntime', 'getRuntime'],
    ['ListAgentRuntimeVersions', 'getRuntime'],
  ] as const)('in %s is 500 with the id it is logged under, and nothing else', async (operation, method) => {
    const fault = new Error('SQLITE_CORRUPT: database disk image is malformed at /secret/place');
    const broken = await openTestApi({
      store: (real) => ({ ...real, [method]: () => Promise.reject(fault) }),
    });
    try {
      const body = operation === 'CreateAgentRuntime' ? { body: containerRuntime() } : {};
      const answer = await broken.call(operation, { id: ABSENT, ...body });
      expect(answer).toMatchObject({
        status: 500,
        code: 'ERR_INTERNAL_SERVER_ERROR',
        message: `An internal fault; the server's log has it under request id ${answer.requestId}`,
      });
      expect(answer.text).not.toMatch(/SQLITE|secret|\.ts|at /);
      const line = broken.logged.find(({ requestId }) => requestId === answer.requestId);
      expect(line).toMatchObject({ level: 50, err: { message: fault.message, stack: fault.stack } });
      expect(broken.told).toEqual({ runtimes: [], endpoints: [], settled: expect.anything() });
      expect(await broken.incoming()).toEqual([]);
    } finally {
      await broken.close();
    }
  });

  it('that throws at once is answered the same', async () => {
    const broken = await openTestApi({
      deps: {
        routesSettled: () => {
          throw new TypeError('of a programmer');
        },
      },
    });
    const answer = await broken.call('ListAgentRuntimes');
    expect(answer).toMatchObject({ status: 500, code: 'ERR_INTERNAL_SERVER_ERROR' });
    expect(answer.text).not.toContain('programmer');
    await broken.close();
  });
});
