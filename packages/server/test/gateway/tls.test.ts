import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type RequestOptions, request as sendRequest } from 'node:https';
import { connect as connectPlain } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import pino from 'pino';
import { beforeEach, describe, expect, test } from 'vitest';
import { followCertificate } from '../../src/gateway/certificate.ts';
import type { GatewayOptions } from '../../src/gateway/start-gateway.ts';
import { issueAuthority, issueServer } from '../../src/tls/issue.ts';
import {
  call,
  closeAtEnd,
  INVOKE,
  rawConnection,
  readAll,
  runtime,
  startAgent,
  startControl,
  startTestGateway,
  type TestAgent,
  type TestGatewayOptions,
  until,
} from './harness.ts';

const NAMES = ['127.0.0.1', 'localhost'];
const HOUR_MS = 3600 * 1000;
const lifetime = () => ({ fromMs: Date.now() - HOUR_MS, untilMs: Date.now() + HOUR_MS });
const authority = issueAuthority(NAMES, lifetime());

/** A certificate file of the test's own, with the key inside. */
let file: string;
function putCertificate(): void {
  const { cert, key } = issueServer(NAMES, authority, lifetime());
  writeFileSync(file, cert + key);
}
beforeEach(() => {
  const folder = mkdtempSync(join(tmpdir(), 'gateway-tls-'));
  closeAtEnd(() => rmSync(folder, { recursive: true, force: true }));
  file = join(folder, 'tls.pem');
  putCertificate();
});

async function startTls(options: TestGatewayOptions & { tlsTimes?: GatewayOptions['tlsTimes'] } = {}) {
  const gateway = await startTestGateway({
    ...options,
    settings: { ...options.settings, tls: { host: '127.0.0.1', port: 0, certFile: file, keyFile: file } },
  });
  return { ...gateway, tlsPort: gateway.running.tls!.port };
}

const serving = (agent: TestAgent) => [runtime({ serves: [{ instances: [agent], slots: 9 }] })];

interface TlsReply {
  status: number;
  body: string;
  fields: NodeJS.Dict<string | string[]>;
}

function tlsCall(
  port: number,
  path: string,
  options: RequestOptions & { body?: string } = {},
): Promise<TlsReply> {
  const { body, ...rest } = options;
  return new Promise((resolve, reject) => {
    const request = sendRequest(
      {
        host: '127.0.0.1',
        port,
        path,
        method: body === undefined ? 'GET' : 'POST',
        ca: authority.cert,
        agent: false,
        ...rest,
      },
      (answer) => {
        readAll(answer).then(
          (text) => resolve({ status: answer.statusCode ?? 0, body: text, fields: answer.headers }),
          reject,
        );
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

/** A connection over TLS for raw bytes. */
async function rawTls(port: number, options: ConnectionOptions = {}) {
  const ends = { host: '127.0.0.1', port, allowHalfOpen: true };
  const socket = connect({ ...ends, ca: authority.cert, ...options });
  closeAtEnd(() => socket.destroy());
  const state = { text: '', ended: false, closed: false, error: '' };
  socket.on('data', (chunk) => {
    state.text += chunk.toString('latin1');
  });
  socket.on('end', () => {
    state.ended = true;
  });
  socket.on('close', () => {
    state.closed = true;
  });
  socket.on('error', (error: NodeJS.ErrnoException) => {
    state.error = error.code ?? error.message;
  });
  await new Promise<void>((resolve) => {
    socket.once('secureConnect', resolve);
    socket.once('close', () => resolve());
  });
  return { socket, state };
}

const servedSerial = async (port: number) => {
  const { socket } = await rawTls(port);
  const { serialNumber } = (socket as TLSSocket).getPeerCertificate();
  socket.destroy();
  return serialNumber;
};

describe('a call over TLS', () => {
  test('takes the same way as any other; the agent is told that it came over TLS', async () => {
    const agent = await startAgent(async (request, response) => {
      response.end(`${request.headers['x-forwarded-proto']} ${request.url} ${await readAll(request)}`);
    });
    const gateway = await startTls({ runtimes: serving(agent) });
    expect(await tlsCall(gateway.tlsPort, `${INVOKE}/chat?x=1`, { body: 'hello' })).toMatchObject({
      status: 200,
      body: 'https /chat?x=1 hello',
    });
    const forged = { 'x-forwarded-proto': 'https' };
    expect((await call(gateway.port, `${INVOKE}/chat`, { headers: forged })).body).toBe('http /chat ');
  });

  test('goes to the control plane too', async () => {
    const controlSocket = await startControl((request, response) => response.end(request.headers.host));
    const gateway = await startTls({ controlSocket });
    const reply = await tlsCall(gateway.tlsPort, '/2025-09-10/agents/runtimes');
    expect(reply).toMatchObject({ status: 200, body: `127.0.0.1:${gateway.tlsPort}` });
  });

  test('large bodies pass whole, both ways', async () => {
    const agent = await startAgent((request, response) => request.pipe(response));
    const gateway = await startTls({ runtimes: serving(agent) });
    const body = 'abcdefgh'.repeat(1_000_000);
    const reply = await tlsCall(gateway.tlsPort, INVOKE, { body });
    expect(reply.body === body).toBe(true);
  });

  test('keeps its connection for the next', async () => {
    const gateway = await startTls();
    const { socket, state } = await rawTls(gateway.tlsPort);
    const asked = 'GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n';
    socket.write(asked);
    await until(() => state.text.includes('"ok"'), 'the first answer');
    socket.write(asked);
    await until(() => state.text.split('"ok"').length === 3, 'the second answer');
    expect(state.text).toMatch(/^HTTP\/1\.1 200 /);
  });

  test('is given up when the client hangs up', async () => {
    let gone = false;
    const agent = await startAgent((request) => {
      request.socket.on('close', () => {
        gone = true;
      });
    });
    const gateway = await startTls({ runtimes: serving(agent) });
    const { socket } = await rawTls(gateway.tlsPort);
    socket.write(`GET ${INVOKE} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    await until(() => agent.accepted.length, 'the call to reach the agent');
    socket.destroy();
    await until(() => gone, 'the agent to hear of it');
  });

  test('that is no HTTP is answered and ended, as without TLS', async () => {
    const gateway = await startTls();
    const { socket, state } = await rawTls(gateway.tlsPort);
    socket.write('NONSENSE\r\n\r\n');
    await until(() => state.ended, 'the end');
    expect(state.text).toMatch(/^HTTP\/1\.1 501 /);
    expect(state.text).toContain('ERR_BAD_REQUEST');
  });

  test('whose client ends its side in the same breath has an answer that is there at once', async () => {
    const gateway = await startTls();
    const { socket, state } = await rawTls(gateway.tlsPort);
    socket.end('GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await until(() => state.ended, 'the end');
    expect(state.text).toMatch(/^HTTP\/1\.1 200 .*"ok"\}$/s);
  });

  test('becomes a WebSocket, whose ends may close one by one', async () => {
    const agent = await startAgent((_, response) => response.end(), {
      setUp: (server) =>
        server.on('upgrade', (request, socket) => {
          socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n');
          let heard = request.headers['x-forwarded-proto'] as string;
          socket.on('data', (chunk: Buffer) => {
            heard += chunk;
          });
          socket.on('end', () => socket.end(heard));
        }),
    });
    const gateway = await startTls({ runtimes: serving(agent) });
    const { socket, state } = await rawTls(gateway.tlsPort);
    socket.write(`GET ${INVOKE} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n`);
    await until(() => state.text.includes('\r\n\r\n'), 'the upgrade');
    socket.end(' hello');
    await until(() => state.closed, 'the end');
    expect(state.text).toMatch(/https hello$/);
  });

  test('asks for a Host that is ours, whatever name the handshake asked for', async () => {
    const gateway = await startTls();
    const asking = (servername: string, host: string) =>
      tlsCall(gateway.tlsPort, '/health', { servername, headers: { host } });
    expect((await asking('localhost', 'evil.test')).status).toBe(403);
    expect((await asking('localhost', '127.0.0.1')).status).toBe(200);
    // The one certificate is shown to everybody; who asks for another name finds that it is not theirs.
    await expect(asking('evil.test', 'localhost')).rejects.toMatchObject({
      code: 'ERR_TLS_CERT_ALTNAME_INVALID',
    });
  });
});

describe('a client', () => {
  test('that does not know the authority refuses by itself', async () => {
    const gateway = await startTls();
    await expect(tlsCall(gateway.tlsPort, '/health', { ca: undefined })).rejects.toMatchObject({
      code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    });
  });

  test.each<[string, ConnectionOptions, string]>([
    ['TLS 1.1', { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }, ''],
    ['HTTP/2 alone', { ALPNProtocols: ['h2'] }, ''],
  ])('that speaks %s is refused', async (_, options, text) => {
    const gateway = await startTls();
    const { state } = await rawTls(gateway.tlsPort, options);
    await until(() => state.closed, 'the end');
    expect(state.error).toMatch(/ALERT|SSL|TLS/);
    expect(state.text).toBe(text);
    expect((await tlsCall(gateway.tlsPort, '/health')).status).toBe(200);
  });

  test.each<[string, ConnectionOptions]>([
    ['TLS 1.2', { maxVersion: 'TLSv1.2' }],
    ['TLS 1.3', { minVersion: 'TLSv1.3' }],
    ['HTTP/2 or HTTP/1.1', { ALPNProtocols: ['h2', 'http/1.1'] }],
  ])('that speaks %s is served with HTTP/1.1', async (_, options) => {
    const gateway = await startTls();
    const { socket, state } = await rawTls(gateway.tlsPort, options);
    socket.write('GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await until(() => state.text.includes('"ok"'), 'the answer');
    if (options.ALPNProtocols) expect(socket.alpnProtocol).toBe('http/1.1');
  });

  test.each<[string, Buffer]>([
    ['plain HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')],
    ['noise', Buffer.from(Array.from({ length: 999 }, (_, at) => (at * 7919) % 256))],
    ['the start of a handshake and no more', Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc])],
  ])('that sends %s is let go, and others are served', async (_, bytes) => {
    const gateway = await startTls({ tlsTimes: { handshakeMs: 50 } });
    const { socket, state } = await rawConnection(gateway.tlsPort);
    socket.write(bytes);
    await until(() => state.closed || state.ended, 'the end of the connection');
    expect(state.text).not.toContain('HTTP/');
    expect((await tlsCall(gateway.tlsPort, '/health')).status).toBe(200);
  });

  test('that says nothing at all is let go', async () => {
    const gateway = await startTls({ tlsTimes: { handshakeMs: 50 } });
    const { state } = await rawConnection(gateway.tlsPort);
    await until(() => state.closed || state.ended, 'the end of the connection');
  });

  test('that says nothing does not keep a gateway from ending', async () => {
    const gateway = await startTls();
    const { state } = await rawConnection(gateway.tlsPort);
    const { socket, state: other } = await rawTls(gateway.tlsPort);
    socket.write('GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await until(() => other.text.includes('"ok"'), 'the answer');
    gateway.control.send({ type: 'shutdown', graceMs: 60_000 });
    await gateway.running.ended;
    await until(() => state.closed || state.ended, 'the end of the connection');
    expect(gateway.of('closed')).toHaveLength(1);
  });
});

describe('shutting down', () => {
  test('lets open calls over TLS finish, and takes no more', async () => {
    let answer: (() => void) | undefined;
    const agent = await startAgent((_, response) => {
      answer = () => response.end('late');
    });
    const gateway = await startTls({ runtimes: serving(agent) });
    const reply = tlsCall(gateway.tlsPort, INVOKE);
    await until(() => answer, 'the call to reach the agent');
    gateway.control.send({ type: 'shutdown', graceMs: 60_000 });
    await untilAsync(() =>
      tlsCall(gateway.tlsPort, '/health').then(
        () => false,
        (error: NodeJS.ErrnoException) => error.code === 'ECONNREFUSED',
      ),
    );
    answer!();
    expect(await reply).toMatchObject({ status: 200, body: 'late' });
    await gateway.running.ended;
  });
});

describe('the certificate', () => {
  test('is served anew when its file changes; open connections stay', async () => {
    const gateway = await startTls({ tlsTimes: { lookMs: 5 } });
    const { socket, state } = await rawTls(gateway.tlsPort);
    const before = await servedSerial(gateway.tlsPort);
    putCertificate();
    await untilAsync(async () => (await servedSerial(gateway.tlsPort)) !== before);
    socket.write('GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await until(() => state.text.includes('"ok"'), 'the answer on the old connection');
    const { state: old } = await rawTls(gateway.tlsPort, { maxVersion: 'TLSv1.1', minVersion: 'TLSv1' });
    expect(old.error, 'the rules hold for the new one too').not.toBe('');
  });

  test('goes on when the file is broken or gone, which is told, until it can be read again', async () => {
    const served: string[] = [];
    const warned: string[] = [];
    const stop = followCertificate(
      { setSecureContext: ({ cert }) => served.push(String(cert)) },
      { certFile: file, keyFile: file },
      pino({ level: 'warn' }, { write: (line) => warned.push(line) }),
      5,
    );
    closeAtEnd(stop);
    writeFileSync(file, 'broken');
    await until(() => warned.length === 1, 'the broken file to be told of');
    rmSync(file);
    await until(() => warned.length === 2, 'the missing file to be told of');
    expect(served).toEqual([]);
    putCertificate();
    await until(() => served.length === 1, 'the good one to be served');
    expect(warned[0]).toMatch(/no certificate in PEM form.*the earlier certificate goes on/);
    expect(warned[1]).toMatch(/cannot be read: ENOENT.*the earlier certificate goes on/);
    expect(warned.join()).not.toMatch(/PRIVATE|[A-Za-z0-9+/]{60}/);
  });

  test('that cannot be served with is told as an address that cannot be had', async () => {
    writeFileSync(file, readFileSync(file, 'utf8').replace(/-----BEGIN PRIVATE[\s\S]+/, ''));
    await expect(startTls()).rejects.toThrow(/^Cannot listen on 127\.0\.0\.1:0: .*no private key/);
  });
});

describe('listening', () => {
  test('tells both addresses', async () => {
    const gateway = await startTls();
    expect(gateway.of('listening')).toEqual([
      {
        type: 'listening',
        host: '127.0.0.1',
        port: gateway.port,
        tls: { host: '127.0.0.1', port: gateway.tlsPort },
      },
    ]);
  });

  test('on both or on none: the plain port is free again when that for TLS is taken', async () => {
    const other = await startAgent((_, response) => response.end());
    const free = await startAgent((_, response) => response.end());
    await free.close();
    await expect(
      startTestGateway({
        settings: {
          port: free.port,
          tls: { host: '127.0.0.1', port: other.port, certFile: file, keyFile: file },
        },
      }),
    ).rejects.toThrow(new RegExp(`Cannot listen on 127\\.0\\.0\\.1:${other.port}: .*in use.*--tls-port`));
    await new Promise<void>((resolve, reject) => {
      const socket = connectPlain(free.port, '127.0.0.1', () => reject(new Error('it listens')));
      socket.on('error', () => resolve());
    });
  });

  test('without TLS there is one listener', async () => {
    const gateway = await startTestGateway();
    expect(gateway.running.tls).toBeUndefined();
    expect(gateway.of('listening')[0]).not.toHaveProperty('tls');
  });
});

async function untilAsync(look: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + 8000;
  while (!(await look())) if (performance.now() > endMs) throw new Error('never came');
}

test('the session cookie of a call that came over TLS goes back over TLS alone', async () => {
  const agent = await startAgent((_, response) => response.end('ok'));
  const [route] = serving(agent);
  route!.endpoints[0]!.affinity = { by: 'cookie' };
  const gateway = await startTls({ runtimes: [route!] });
  const { fields } = await tlsCall(gateway.tlsPort, INVOKE);
  expect(fields['set-cookie']).toEqual([
    expect.stringMatching(/^runstead-session=.*; SameSite=Lax; Secure$/),
  ]);
  const plain = await call(gateway.port, INVOKE);
  expect(plain.headers['set-cookie']).toEqual([expect.stringMatching(/; SameSite=Lax$/)]);
});
