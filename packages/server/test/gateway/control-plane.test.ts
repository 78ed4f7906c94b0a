import { expect, test } from 'vitest';
import {
  call,
  INVOKE,
  openCall,
  rawConnection,
  readAll,
  runtime,
  startAgent,
  startControl,
  startTestGateway,
  until,
} from './harness.ts';

test('a control-plane request reaches the control process unchanged, with its id and caller', async () => {
  const controlSocket = await startControl(async (request, response) => {
    const body = await readAll(request);
    response.setHeader('content-type', 'application/json');
    response.end(
      JSON.stringify({ method: request.method, url: request.url, headers: request.headers, body }),
    );
  });
  const gateway = await startTestGateway({ controlSocket });
  const reply = await call(gateway.port, '/2025-09-10/agents/runtimes/a%2Fb?pageSize=1', {
    method: 'PUT',
    body: '{"a":1}',
    headers: { authorization: 'Bearer rsk_anything', 'x-runstead-peer': '6.6.6.6', 'x-acs-date': 'now' },
  });
  const seen = reply.json();
  expect(seen).toMatchObject({
    method: 'PUT',
    url: '/2025-09-10/agents/runtimes/a%2Fb?pageSize=1',
    body: '{"a":1}',
  });
  expect(seen.headers).toMatchObject({
    host: `127.0.0.1:${gateway.port}`,
    // Whether a key is good is the control process's own affair here.
    authorization: 'Bearer rsk_anything',
    'x-acs-date': 'now',
    'x-runstead-peer': '127.0.0.1',
    'x-acs-request-id': reply.headers['x-acs-request-id'],
  });
});

test('an error of the control process is the platform’s', async () => {
  const controlSocket = await startControl((_, response) => {
    response.writeHead(409, { 'content-type': 'application/json' }).end('{"code":"ERR_ALREADY_EXISTS"}');
  });
  const gateway = await startTestGateway({ controlSocket });
  const reply = await call(gateway.port, '/2025-09-10/agents/runtimes', { body: '{}' });
  expect(reply.status).toBe(409);
  expect(reply.headers['x-runstead-error-origin']).toBe('platform');
});

test('control and data requests alternated and pipelined on one connection each get their own answer', async () => {
  // The control process is slow and the agent quick, so that answers come back out of order.
  const controlSocket = await startControl((request, response) => {
    const answer = () => response.end(`control ${request.url};`);
    setImmediate(() => setImmediate(() => setImmediate(answer)));
  });
  const agent = await startAgent((request, response) => response.end(`agent ${request.url};`));
  const gateway = await startTestGateway({
    controlSocket,
    runtimes: [runtime({ serves: [{ instances: [agent], slots: 3 }] })],
  });
  const { socket, state } = await rawConnection(gateway.port);
  const rounds = 40;
  let text = '';
  const expected: string[] = [];
  for (let at = 0; at < rounds; at++) {
    const body = `body-${at}`;
    text += `GET /runtimes/${at} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
    text += `POST ${INVOKE}/${at} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    text += `GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n`;
    expected.push(`control /runtimes/${at};`, `agent /${at};`, '{"status":"ok"}');
  }
  socket.write(text);
  const answers = () => state.text.match(/control \S+;|agent \S+;|\{"status":"ok"\}/g) ?? [];
  await until(() => answers().length === expected.length, 'all answers');
  expect(answers()).toEqual(expected);
  expect(state.text.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(expected.length);
});

test.each([
  [401, 'counted'],
  [413, 'counted'],
  [401, 'chunked'],
])(
  'an early %d to a %s upload is passed on at once, and the rest is taken without harm',
  async (status, framing) => {
    const controlSocket = await startControl((request, response) => {
      if (request.method === 'GET') response.end('next');
      else response.writeHead(status, { 'content-type': 'application/json' }).end('{"code":"NO"}');
    });
    const gateway = await startTestGateway({ controlSocket });
    const { socket, state } = await rawConnection(gateway.port);
    const part = Buffer.alloc(250_000, 'z');
    const chunk = Buffer.concat([Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n')]);
    const [field, piece, last] =
      framing === 'chunked'
        ? ['Transfer-Encoding: chunked', chunk, '0\r\n\r\n']
        : [`Content-Length: ${part.length * 80}`, part, ''];
    socket.write(`POST /2025-09-10/agents/runtimes HTTP/1.1\r\nHost: localhost\r\n${field}\r\n\r\n`);
    socket.write(piece);
    await until(() => state.text.includes('{"code":"NO"}'), 'the answer');
    expect(state.text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    // The client goes on sending, as many do that look at the answer only afterwards, and then uses its connection.
    for (let at = 1; at < 80; at++) socket.write(piece);
    socket.write(last);
    socket.write('GET /next HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await until(() => state.text.endsWith('next'), 'the next answer');
  },
);

test('a large upload streams through, and calls go on meanwhile', async () => {
  let received = 0;
  const controlSocket = await startControl((request, response) => {
    request.on('data', (chunk: Buffer) => {
      received += chunk.length;
    });
    request.on('end', () => response.end('stored'));
  });
  const agent = await startAgent((_, response) => response.end('ok'));
  const gateway = await startTestGateway({
    controlSocket,
    runtimes: [runtime({ serves: [{ instances: [agent] }] })],
  });
  const size = 40 * 1024 * 1024;
  const upload = call(gateway.port, '/2025-09-10/agents/runtimes', { body: Buffer.alloc(size) });
  await until(() => received > 0, 'the first bytes');
  let calls = 0;
  while (received < size) {
    expect((await call(gateway.port, INVOKE)).status).toBe(200);
    calls++;
  }
  expect((await upload).body).toBe('stored');
  expect(received).toBe(size);
  expect(calls).toBeGreaterThan(0);
});

test('a client that hangs up ends its request to the control process', async () => {
  let gone = false;
  let begun = false;
  const controlSocket = await startControl((_, response) => {
    begun = true;
    response.on('close', () => {
      gone = true;
    });
  });
  const gateway = await startTestGateway({ controlSocket });
  const { request } = openCall(gateway.port, '/runtimes', { method: 'GET' });
  request.end();
  await until(() => begun, 'the request');
  request.destroy();
  await until(() => gone, 'its end');
});

test('while the control process is down its callers are told, and calls to agents go on', async () => {
  const agent = await startAgent((_, response) => response.end('ok'));
  const gateway = await startTestGateway({ runtimes: [runtime({ serves: [{ instances: [agent] }] })] });
  const reply = await call(gateway.port, '/2025-09-10/agents/runtimes', { body: Buffer.alloc(200_000) });
  expect(reply.status).toBe(503);
  expect(reply.json()).toEqual({
    code: 'ERR_UNAVAILABLE',
    message: expect.stringContaining('does not answer'),
    requestId: reply.headers['x-acs-request-id'],
  });
  expect(reply.headers['x-runstead-error-origin']).toBe('platform');
  expect((await call(gateway.port, INVOKE)).body).toBe('ok');
});

test('a control process that breaks off before it answers is told as 503', async () => {
  const controlSocket = await startControl((request) => request.socket.destroy());
  const gateway = await startTestGateway({ controlSocket });
  const reply = await call(gateway.port, '/2025-09-10/agents/runtimes', { body: '{}' });
  expect(reply.status).toBe(503);
  expect(reply.json().code).toBe('ERR_UNAVAILABLE');
});
