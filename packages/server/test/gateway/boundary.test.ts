import { expect, test } from 'vitest';
import {
  call,
  INVOKE,
  keyRoute,
  openCall,
  rawConnection,
  readAll,
  runtime,
  startAgent,
  startControl,
  startTestGateway,
  until,
} from './harness.ts';

const KEY = 'rsk_test_0123456789';

async function echoing(settings: Parameters<typeof startTestGateway>[0] = {}) {
  const agent = await startAgent((request, response) => {
    response.setHeader('x-runstead-error-origin', 'platform');
    response.setHeader('x-acs-request-id', 'forged');
    response.setHeader('content-type', 'application/json');
    const status = /^\/status\/(\d+)/.exec(request.url!);
    if (status) response.statusCode = Number(status[1]);
    response.end(JSON.stringify({ url: request.url, method: request.method, fields: request.rawHeaders }));
  });
  const gateway = await startTestGateway({
    runtimes: [runtime({ serves: [{ instances: [agent], slots: 50 }] })],
    keys: [keyRoute(KEY)],
    ...settings,
  });
  return { agent, gateway };
}

test('a platform key is checked and never reaches the agent', async () => {
  const { gateway } = await echoing();
  const reply = await call(gateway.port, INVOKE, { headers: { authorization: `Bearer ${KEY}` } });
  expect(reply.status).toBe(200);
  expect(reply.body).not.toContain('rsk_');
  expect(reply.body).not.toMatch(/authorization/i);
});

test('an unknown platform key is refused, and the agent does not hear of it', async () => {
  const { agent, gateway } = await echoing();
  const reply = await call(gateway.port, INVOKE, { headers: { authorization: 'Bearer rsk_unknown' } });
  expect(reply.status).toBe(401);
  expect(reply.json().error).toMatchObject({
    code: 'InvalidAccessKeyId.NotFound',
    type: 'authentication_error',
  });
  expect(reply.json().error.message).toContain('InvalidAccessKeyId.NotFound');
  expect(agent.accepted).toHaveLength(0);
});

test('a key revoked over the feed is unknown from then on', async () => {
  const { gateway } = await echoing();
  const ask = () => call(gateway.port, INVOKE, { headers: { authorization: `Bearer ${KEY}` } });
  expect((await ask()).status).toBe(200);
  gateway.control.send({ type: 'keys', sequence: 1000, keys: [] });
  await gateway.routes({ runtimeId: 'none', gone: true });
  expect((await ask()).status).toBe(401);
});

test('any other bearer belongs to the agent and passes', async () => {
  const { gateway } = await echoing();
  const reply = await call(gateway.port, INVOKE, { headers: { authorization: 'Bearer sk-openai' } });
  expect(reply.json().fields).toContain('Bearer sk-openai');
});

test('the agent sees its own address, the caller’s, and none of what only the platform may say', async () => {
  const { agent, gateway } = await echoing();
  const reply = await call(gateway.port, INVOKE, {
    headers: {
      'x-fc-access-key-id': 'forged',
      'x-runstead-anything': 'forged',
      'x-acs-request-id': 'forged',
      'x-forwarded-for': '6.6.6.6',
      connection: 'x-hop',
      'x-hop': 'forged',
      'x-agentrun-session-id': 's-1',
    },
  });
  const { fields } = reply.json() as { fields: string[] };
  expect(fields).not.toContain('forged');
  expect(fields).not.toContain('6.6.6.6');
  const value = (name: string) => fields[fields.findIndex((field) => field.toLowerCase() === name) + 1];
  expect(value('host')).toBe(`127.0.0.1:${agent.port}`);
  expect(value('x-forwarded-host')).toBe(`127.0.0.1:${gateway.port}`);
  expect(value('x-forwarded-for')).toBe('127.0.0.1');
  expect(value('x-forwarded-proto')).toBe('http');
  expect(value('x-agentrun-session-id')).toBe('s-1');
  expect(value('x-acs-request-id')).toBe(reply.headers['x-acs-request-id']);
  expect(reply.headers['x-acs-request-id']).not.toBe('forged');
});

test.each([
  [200, undefined],
  [302, 'agent'],
  [404, 'agent'],
  [500, 'agent'],
])('an agent’s %d says that it is the agent’s: %s', async (status, origin) => {
  const { gateway } = await echoing();
  const reply = await call(gateway.port, `${INVOKE}/status/${status}`);
  expect(reply.status).toBe(status);
  expect(reply.headers['x-runstead-error-origin']).toBe(origin);
});

test.each([
  ['a foreign Host', { host: 'evil.test:7700' }],
  ['a foreign page', { origin: 'http://evil.test' }],
  ['a page without an origin', { origin: 'null' }],
])('%s is forbidden on both planes', async (_, headers) => {
  let asked = 0;
  const controlSocket = await startControl((_request, response) => {
    asked++;
    response.end();
  });
  const { agent, gateway } = await echoing({ controlSocket });
  const onData = await call(gateway.port, INVOKE, { headers, body: '{}' });
  expect(onData.status).toBe(403);
  expect(onData.json().error).toMatchObject({ code: 'Forbidden', type: 'permission_error' });
  const onControl = await call(gateway.port, '/2025-09-10/agents/runtimes', { headers, body: '{}' });
  expect(onControl.status).toBe(403);
  expect(onControl.json()).toEqual({
    code: 'Forbidden',
    message: expect.any(String),
    requestId: onControl.headers['x-acs-request-id'],
  });
  expect(agent.accepted).toHaveLength(0);
  expect(asked).toBe(0);
});

test('pages of an allowed origin may call: preflights are answered, answers can be read', async () => {
  const { gateway } = await echoing({ settings: { allowOrigins: ['http://front.test:5173'] } });
  const origin = 'http://front.test:5173';
  const preflight = await call(gateway.port, INVOKE, {
    method: 'OPTIONS',
    headers: {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization,content-type',
    },
  });
  expect(preflight.status).toBe(204);
  expect(preflight.headers).toMatchObject({
    'access-control-allow-origin': origin,
    'access-control-allow-headers': 'authorization,content-type',
    'access-control-allow-methods': expect.stringContaining('POST'),
  });
  for (const path of [
    INVOKE,
    `${INVOKE}/status/500`,
    '/health',
    '/agent-runtimes/x/endpoints/y/invocations',
  ]) {
    const reply = await call(gateway.port, path, { headers: { origin } });
    expect(reply.headers['access-control-allow-origin'], path).toBe(origin);
    expect(reply.headers.vary, path).toContain('Origin');
  }
  const own = await call(gateway.port, INVOKE, {
    method: 'OPTIONS',
    headers: { 'access-control-request-method': 'POST' },
  });
  expect(own.json().method).toBe('OPTIONS');
});

test('a disguised prefix is a bad request and reaches nobody', async () => {
  let asked = 0;
  const controlSocket = await startControl((_, response) => {
    asked++;
    response.end();
  });
  const { agent, gateway } = await echoing({ controlSocket });
  for (const path of [
    '/agent-runtimes/ec%68o/endpoints/Default/invocations/x',
    '/agent%2Druntimes/echo/endpoints/Default/invocations/x',
    '/agent-runtimes/echo//endpoints/Default/invocations/x',
    '/agent-runtimes/./echo/endpoints/Default/invocations/x',
    '/agent-runtimes/echo/endpoints/Default;a/invocations/x',
    '/x/../agent-runtimes/echo/endpoints/Default/invocations/x',
  ]) {
    const { socket, state } = await rawConnection(gateway.port);
    socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
    await until(() => state.ended, path);
    expect(state.text, path).toMatch(/^HTTP\/1\.1 400 /);
    expect(state.text, path).toContain('ERR_BAD_REQUEST');
    expect(state.text, path).toContain('x-runstead-error-origin: platform');
  }
  expect(agent.accepted).toHaveLength(0);
  expect(asked).toBe(0);
});

test.each([
  ['nonsense', 'what is this\r\n\r\n', 400],
  ['a missing Host', `GET ${INVOKE} HTTP/1.1\r\nConnection: close\r\n\r\n`, 400],
  [
    'two Hosts',
    `GET ${INVOKE} HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\nConnection: close\r\n\r\n`,
    400,
  ],
  [
    'both framings',
    `POST ${INVOKE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    400,
  ],
  [
    'another coding',
    `POST ${INVOKE} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
    501,
  ],
  [
    'fields without end',
    `GET ${INVOKE} HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(70_000)}\r\n\r\n`,
    431,
  ],
])('%s is answered in JSON, and the connection closed', async (_, text, status) => {
  const { gateway } = await echoing();
  const { socket, state } = await rawConnection(gateway.port);
  socket.write(text);
  await until(() => state.ended || state.closed, 'the end');
  expect(state.text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
  expect(state.text).toContain('ERR_BAD_REQUEST');
  expect(state.text).toMatch(/x-acs-request-id: [0-9a-f-]{36}/);
});

test('a body past the limit is refused by its length, before anybody is asked', async () => {
  const { agent, gateway } = await echoing({ settings: { bodyLimitBytes: 1000 } });
  const { request, answer } = openCall(gateway.port, INVOKE, { headers: { 'content-length': 1001 } });
  request.write('x');
  const reply = await answer;
  expect(reply.statusCode).toBe(413);
  expect(await readAll(reply)).toContain('ERR_PAYLOAD_TOO_LARGE');
  expect(agent.accepted).toHaveLength(0);
});

test('a body of unknown length is cut when it passes the limit', async () => {
  let begun = false;
  let whole = false;
  let cut = false;
  const agent = await startAgent((request) => {
    request.on('error', () => {});
    request.on('data', () => {
      begun = true;
    });
    request.on('end', () => {
      whole = true;
    });
    request.on('close', () => {
      cut = !request.complete;
    });
  });
  const gateway = await startTestGateway({
    settings: { bodyLimitBytes: 100_000 },
    runtimes: [runtime({ serves: [{ instances: [agent] }] })],
  });
  const { request, answer } = openCall(gateway.port, INVOKE, { headers: { 'transfer-encoding': 'chunked' } });
  request.write(Buffer.alloc(60_000));
  await until(() => begun, 'the first of it to arrive');
  request.write(Buffer.alloc(60_000));
  const reply = await answer;
  expect(reply.statusCode).toBe(413);
  await until(() => cut, 'the agent’s connection to be cut');
  expect(whole).toBe(false);
});

test('an HTTP/1.0 client gets its answer and the end of the connection', async () => {
  const { gateway } = await echoing();
  const { socket, state } = await rawConnection(gateway.port);
  socket.write(`GET ${INVOKE}/old HTTP/1.0\r\nHost: localhost\r\n\r\n`);
  await until(() => state.ended, 'the end');
  expect(state.text).toContain('"url":"/old"');
});

test('/health answers from memory, to GET and HEAD', async () => {
  const gateway = await startTestGateway();
  const reply = await call(gateway.port, '/health');
  expect(reply.status).toBe(200);
  expect(reply.json()).toEqual({ status: 'ok' });
  expect((await call(gateway.port, '/health', { method: 'HEAD' })).status).toBe(200);
  expect((await call(gateway.port, '/health', { method: 'DELETE' })).status).toBe(405);
});
