import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { deploy, fixture, type Runtime, uniqueName } from './harness/deploy.ts';
import { RawConnection, type RawResponse } from './harness/raw-http.ts';
import { type Server, startServer, startServerForTest } from './harness/server.ts';

/** S7: zero configuration is not zero authentication. */

const RUNTIMES = '/2025-09-10/agents/runtimes';

/** One request, its fields as given: Host and Origin cannot be chosen with `fetch`. */
async function request(
  server: Server,
  method: string,
  path: string,
  fields: Record<string, string>,
  body = '',
): Promise<RawResponse> {
  const connection = await RawConnection.open(server.port);
  try {
    const all: Record<string, string> = { Host: `127.0.0.1:${server.port}`, ...fields };
    if (body !== '') all['Content-Length'] = String(Buffer.byteLength(body));
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
    connection.send(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`);
    return await connection.read();
  } finally {
    connection.close();
  }
}

describe('a server on loopback', () => {
  let server: Server;
  let runtime: Runtime;
  let data: string;
  const withKey = () => ({ Authorization: `Bearer ${server.apiKey}` });

  beforeAll(async () => {
    server = await startServer();
    runtime = await deploy(server.client(), {
      folder: fixture('calls-home'),
      command: ['node', 'agent.mjs'],
    });
    data = new URL(server.invocationUrl(runtime.agentRuntimeName)).pathname;
  });
  afterAll(() => server.dispose());

  describe('refuses without a key, also from this machine', () => {
    const routes: [method: string, path: string][] = [
      ['POST', RUNTIMES],
      ['GET', RUNTIMES],
      ['GET', '/runstead/v1/instances'],
      ['GET', '/openai/v1/models'],
      ['GET', '/metrics'],
    ];
    test.each(routes)('%s %s', async (method, path) => {
      const bodyOf = method === 'POST' ? { body: '{}', headers: { 'content-type': 'application/json' } } : {};
      const fromHere = await fetch(`${server.url}${path}`, { method, ...bodyOf });
      expect(fromHere.status).toBe(401);
      const wrongKey = await fetch(`${server.url}${path}`, {
        method,
        headers: { authorization: 'Bearer rsk_wrong' },
      });
      expect(wrongKey.status).toBe(401);
    });

    test('a deployed agent that calls create: 401, and nothing is created', async () => {
      const agentRuntimeName = uniqueName('intruder');
      const response = await fetch(server.invocationUrl(runtime.agentRuntimeName), {
        method: 'POST',
        body: JSON.stringify({
          url: `${server.url}${RUNTIMES}`,
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ agentRuntimeName, artifactType: 'Code', cpu: 1, memory: 512, port: 9000 }),
        }),
      });
      const seen = (await response.json()) as { status: number; body: string };
      expect(seen.status).toBe(401);
      // Clients look for the word in the message.
      expect(seen.body).toMatch(/AccessDenied|InvalidAccessKeyId\.NotFound/);
      expect(await server.client().list({ agentRuntimeName })).toHaveLength(0);
    });
  });

  describe('answers to its own names only', () => {
    const upgrade = {
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    };
    const surfaces: [what: string, path: () => string, fields: () => Record<string, string>][] = [
      ['the control plane', () => RUNTIMES, withKey],
      ['the data plane', () => data, () => ({})],
      ['a WebSocket upgrade', () => `${data}/socket`, () => upgrade],
      ['health', () => '/health', () => ({})],
    ];

    test.each(surfaces)('%s asked for under the name evil.test: 403', async (_what, path, fields) => {
      const { status, body } = await request(server, 'GET', path(), {
        ...fields(),
        Host: `evil.test:${server.port}`,
      });
      expect(status).toBe(403);
      expect(body).toContain('evil.test');
    });

    test.each(surfaces)('%s asked for by a foreign page: 403', async (_what, path, fields) => {
      const { status, headers } = await request(server, 'GET', path(), {
        ...fields(),
        Origin: 'http://evil.test',
      });
      expect(status).toBe(403);
      expect(headers).not.toHaveProperty('access-control-allow-origin');
    });

    test.each(['localhost', '127.0.0.1', '[::1]'])('%s is a name of its own', async (name) => {
      const { status } = await request(server, 'GET', '/health', { Host: `${name}:${server.port}` });
      expect(status).toBe(200);
    });
  });

  describe('lets no foreign page write', () => {
    test.each(['http://evil.test', 'null', 'http://localhost:5173'])(
      'a post from %s: 403',
      async (origin) => {
        const control = await request(server, 'POST', RUNTIMES, { ...withKey(), Origin: origin }, '{}');
        expect(control.status).toBe(403);
        // What a browser sends without asking first.
        const agent = await request(
          server,
          'POST',
          data,
          { Origin: origin, 'Content-Type': 'text/plain' },
          '{"url":"http://127.0.0.1:1"}',
        );
        expect(agent.status).toBe(403);
      },
    );

    test('the preflight of one is not granted either', async () => {
      const { status, headers } = await request(server, 'OPTIONS', RUNTIMES, {
        Origin: 'http://evil.test',
        'Access-Control-Request-Method': 'POST',
      });
      expect(status).toBe(403);
      expect(headers).not.toHaveProperty('access-control-allow-origin');
    });
  });
});

describe('a server that was told of a front end', () => {
  test('lets that origin in, with its CORS fields, and no other', async () => {
    const origin = 'http://localhost:5173';
    const server = await startServerForTest({ env: { RUNSTEAD_ALLOW_ORIGIN: origin } });
    const key = { Authorization: `Bearer ${server.apiKey}` };
    const listed = await request(server, 'GET', RUNTIMES, { ...key, Origin: origin });
    expect(listed).toMatchObject({ status: 200, headers: { 'access-control-allow-origin': origin } });
    const preflight = await request(server, 'OPTIONS', RUNTIMES, {
      Origin: origin,
      'Access-Control-Request-Method': 'POST',
      'Access-Control-Request-Headers': 'authorization,content-type',
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers['access-control-allow-headers']).toContain('authorization');
    // Being let in is not being known.
    expect(await request(server, 'GET', RUNTIMES, { Origin: origin })).toMatchObject({ status: 401 });
    for (const other of ['http://localhost:5174', 'https://localhost:5173', 'http://evil.test']) {
      expect(await request(server, 'GET', RUNTIMES, { ...key, Origin: other })).toMatchObject({
        status: 403,
      });
    }
  });
});

describe('what it keeps', () => {
  test.each(['000', '022', '077'])('is for its owner alone under umask %s', async (umask) => {
    const server = await startServerForTest({ umask });
    const runtime = await deploy(server.client(), { folder: fixture('chat-node') });
    const mode = (...path: string[]) => statSync(join(server.data, ...path)).mode & 0o777;
    expect(mode()).toBe(0o700);
    expect(mode('local-key.json')).toBe(0o600);
    const [instance] = await server.instances(runtime.agentRuntimeId);
    expect(mode('instances', instance!.instanceId) & 0o077).toBe(0);
    expect(mode('logs', runtime.agentRuntimeId, `${instance!.instanceId}.log`) & 0o077).toBe(0);
    expect(mode('run', 'control.sock') & 0o077).toBe(0);
  });

  test('is for its owner alone also in a folder that was there before, open to all', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'runstead-e2e-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    chmodSync(folder, 0o755);
    const server = await startServerForTest({ data: folder, umask: '022' });
    // The variables of agents, secrets among them, are in the database and its log.
    await deploy(server.client(), { folder: fixture('chat-node') });
    const open = readdirSync(folder).filter((name) => (statSync(join(folder, name)).mode & 0o077) !== 0);
    expect(open).toEqual([]);
    await server.dispose();
  });
});
