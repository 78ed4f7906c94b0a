import { createHash } from 'node:crypto';
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { expect, test } from 'vitest';
import {
  call,
  INVOKE,
  keyRoute,
  rawConnection,
  runtime,
  startAgent,
  startControl,
  startTestGateway,
  until,
} from './harness.ts';

/** An agent that accepts upgrades and echoes whatever comes, byte for byte. */
async function startEcho(onOpen: (socket: Duplex, request: IncomingMessage) => void = () => {}) {
  return startAgent((_, response) => response.end('plain'), {
    setUp: (server: Server) =>
      server.on('upgrade', (request, socket, early) => {
        socket.on('error', () => {});
        const accept = createHash('sha1')
          .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
          .digest('base64');
        socket.write(
          `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nX-Acs-Request-Id: forged\r\n\r\n`,
        );
        if (early.length > 0) socket.write(early);
        socket.pipe(socket);
        onOpen(socket, request);
      }),
  });
}

function handshake(path: string, ...more: string[]): string {
  return [
    `GET ${path} HTTP/1.1`,
    'Host: localhost',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ...more,
    '\r\n',
  ].join('\r\n');
}

test('a WebSocket is passed through both ways, and its slot is held until it closes', async () => {
  let seen: IncomingMessage | undefined;
  const agent = await startEcho((_, request) => {
    seen = request;
  });
  const gateway = await startTestGateway({
    runtimes: [runtime({ serves: [{ instances: [agent] }] })],
    keys: [keyRoute('rsk_k')],
    settings: { queueTimeoutMs: 30 },
  });
  const { socket, state } = await rawConnection(gateway.port);
  socket.write(handshake(`${INVOKE}/ws?x=1`, 'Authorization: Bearer rsk_k'));
  await until(() => state.text.includes('\r\n\r\n'), 'the handshake');
  expect(state.text).toMatch(/^HTTP\/1\.1 101 /);
  expect(state.text).toMatch(/sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/i);
  expect(state.text).toMatch(/x-acs-request-id: [0-9a-f-]{36}/);
  expect(state.text).not.toContain('forged');
  expect(seen?.url).toBe('/ws?x=1');
  expect(seen?.headers.authorization).toBeUndefined();
  expect(seen?.headers['sec-websocket-key']).toBe('dGhlIHNhbXBsZSBub25jZQ==');

  socket.write('hello there');
  await until(() => state.text.endsWith('hello there'), 'the echo');
  expect((await call(gateway.port, INVOKE)).json().error.message).toContain('the only instance is busy');

  socket.end();
  await until(() => state.closed, 'both ends to close');
  expect((await call(gateway.port, INVOKE)).body).toBe('plain');
});

test('the agent closing ends the client, and the client vanishing ends the agent', async () => {
  const open: Duplex[] = [];
  const agent = await startEcho((socket) => open.push(socket));
  const gateway = await startTestGateway({
    runtimes: [runtime({ serves: [{ instances: [agent], slots: 2 }] })],
  });

  const first = await rawConnection(gateway.port);
  first.socket.write(handshake(INVOKE));
  await until(() => open.length === 1, 'the first');
  open[0]!.destroy();
  await until(() => first.state.ended || first.state.closed, 'the client to be told');
  first.socket.destroy();

  const second = await rawConnection(gateway.port);
  second.socket.write(handshake(INVOKE));
  await until(() => open.length === 2, 'the second');
  second.socket.resetAndDestroy();
  await until(() => open[1]!.destroyed, 'the agent to be told');
});

test('an upgrade waits for a sleeping version like any call, and leaves with its client', async () => {
  const agent = await startEcho();
  const gateway = await startTestGateway({ runtimes: [runtime()] });
  const gone = await rawConnection(gateway.port);
  gone.socket.write(handshake(INVOKE));
  await until(() => gateway.of('demand').at(-1)?.queued === 1, 'demand');
  gone.socket.destroy();
  await until(() => gateway.of('demand').at(-1)?.queued === 0, 'the call to leave');

  const { socket, state } = await rawConnection(gateway.port);
  socket.write(handshake(INVOKE));
  await until(() => gateway.of('demand').at(-1)?.queued === 1, 'demand');
  await gateway.routes(runtime({ serves: [{ instances: [agent] }] }));
  await until(() => state.text.startsWith('HTTP/1.1 101'), 'the handshake');
});

test('an agent that declines to upgrade is passed on', async () => {
  const agent = await startAgent((_, response) => {
    response.writeHead(403, { 'content-type': 'text/plain' });
    response.end('not here');
  });
  const gateway = await startTestGateway({ runtimes: [runtime({ serves: [{ instances: [agent] }] })] });
  const { socket, state } = await rawConnection(gateway.port);
  socket.write(handshake(INVOKE));
  await until(() => state.ended, 'the answer');
  expect(state.text).toMatch(/^HTTP\/1\.1 403 /);
  expect(state.text).toContain('x-runstead-error-origin: agent');
  expect(state.text).toContain('not here');
  expect((await call(gateway.port, INVOKE)).status).toBe(403);
});

test.each([
  ['a foreign page', handshake(INVOKE, 'Origin: http://evil.test'), 403],
  ['a page without an origin', handshake(INVOKE, 'Origin: null'), 403],
  ['an unknown key', handshake(INVOKE, 'Authorization: Bearer rsk_no'), 401],
  ['a disguised path', handshake('/agent-runtimes/%65cho/endpoints/Default/invocations'), 400],
  ['an unknown runtime', handshake('/agent-runtimes/nope/endpoints/Default/invocations'), 404],
  ['the control plane', handshake('/2025-09-10/agents/runtimes'), 404],
])('an upgrade by or to %s is refused', async (_, text, status) => {
  const agent = await startEcho();
  const gateway = await startTestGateway({ runtimes: [runtime({ serves: [{ instances: [agent] }] })] });
  const { socket, state } = await rawConnection(gateway.port);
  socket.write(text);
  await until(() => state.ended, 'the answer');
  expect(state.text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
  expect(state.text).toContain('x-runstead-error-origin: platform');
  expect(agent.accepted).toHaveLength(0);
});

test('an offer to speak HTTP/2 is passed over, on both planes', async () => {
  const controlSocket = await startControl((request, response) => request.pipe(response));
  const agent = await startAgent((request, response) => request.pipe(response));
  const gateway = await startTestGateway({
    controlSocket,
    runtimes: [runtime({ serves: [{ instances: [agent] }] })],
  });
  for (const path of [INVOKE, '/2025-09-10/agents/runtimes']) {
    const reply = await call(gateway.port, path, {
      body: 'the body',
      headers: { connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c', 'http2-settings': 'AAMAAABk' },
    });
    expect(reply.status).toBe(200);
    expect(reply.body).toBe('the body');
  }
});

test('a WebSocket is a call of its session: it keeps the session and goes to its instance', async () => {
  const agents = await Promise.all([startEcho(), startEcho(), startEcho()]);
  const gateway = await startTestGateway({
    runtimes: [runtime({ serves: [{ instances: agents, slots: 9 }] })],
  });
  const opened: number[] = [];
  for (const agent of agents) agent.server.prependListener('upgrade', () => opened.push(agent.port));
  for (const told of ['new', 'bound', 'bound', 'bound']) {
    const { socket, state } = await rawConnection(gateway.port);
    socket.write(handshake(INVOKE, 'X-AgentRun-Session-ID: chat', 'Cookie: runstead-session=x; a=1'));
    await until(() => state.text.includes('\r\n\r\n'), 'the handshake');
    expect(state.text).toMatch(/^HTTP\/1\.1 101 /);
    expect(state.text).toContain(`x-runstead-session: ${told}\r\n`);
  }
  expect(new Set(opened).size).toBe(1);
  expect(opened).toHaveLength(4);
});
