import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { headersOf, signControl, signData } from '../packages/server/test/signing.ts';
import { create, ready } from './harness/deploy.ts';
import { commandOf } from './harness/processes.ts';
import { RUNSTEAD, type Server, startServer } from './harness/server.ts';
import { waitFor } from './harness/wait-for.ts';

/** Tells what it was sent, and what it was started with. */
const AGENT = `
import { createServer } from 'node:http';
createServer((request, response) => response.end(JSON.stringify([request.rawHeaders, process.env])))
  .listen(Number(process.env.PORT), '127.0.0.1');
`;

const CONFIGURED = { accessKeyId: 'operators-key', accessKeySecret: 'planted-secret-of-the-operator' };

let server: Server;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'runstead-keys-'));
  writeFileSync(join(folder, 'index.mjs'), AGENT);
  server = await startServer({
    args: ['--log-level', 'debug'],
    env: {
      RUNSTEAD_ACCESS_KEY_ID: CONFIGURED.accessKeyId,
      RUNSTEAD_ACCESS_KEY_SECRET: CONFIGURED.accessKeySecret,
    },
  });
});
afterAll(async () => {
  await server?.dispose();
  rmSync(folder, { recursive: true, force: true });
});

async function cli(...words: string[]) {
  const { RUNSTEAD_API_KEY: _key, RUNSTEAD_BASE_URL: _url, ...env } = process.env;
  const child = spawn(process.execPath, [RUNSTEAD, ...words, '--data', server.data], { env });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await ended, stdout, stderr };
}

interface Secrets {
  keyId: string;
  apiKey: string;
  accessKeyId: string;
  accessKeySecret: string;
  expiresAt?: string;
}

async function newKey(...flags: string[]): Promise<Secrets> {
  const made = await cli('keys', 'create', '--output', 'json', ...flags);
  expect(made.stderr).toContain('shown this once');
  expect(made.code).toBe(0);
  return JSON.parse(made.stdout) as Secrets;
}

const RUNTIMES = '/2025-09-10/agents/runtimes';
const bearer = (apiKey: string) => ({ authorization: `Bearer ${apiKey}` });
const hostOf = () => new URL(server.url).host;

const signedList = (pair: { accessKeyId: string; accessKeySecret: string }) => {
  const { host: _host, ...headers } = headersOf(
    signControl({ method: 'GET', path: RUNTIMES, host: hostOf(), pair }),
  );
  return headers;
};
const signedCall = (url: string, pair: { accessKeyId: string; accessKeySecret: string }) => {
  const { host: _host, ...headers } = headersOf(
    signData({ path: new URL(url).pathname, host: hostOf(), pair }),
  );
  return headers;
};
const statusOf = async (url: string, headers: Record<string, string>) => {
  const response = await fetch(url, { headers });
  await response.arrayBuffer();
  return response.status;
};

/** Statuses of a key in all its forms: bearer and signature on the control plane, then on the data plane. */
async function everywhere(key: Secrets, runtimeName: string): Promise<number[]> {
  const invocation = server.invocationUrl(runtimeName);
  return [
    await statusOf(`${server.url}${RUNTIMES}`, bearer(key.apiKey)),
    await statusOf(`${server.url}${RUNTIMES}`, signedList(key)),
    await statusOf(invocation, bearer(key.apiKey)),
    await statusOf(invocation, signedCall(invocation, key)),
  ];
}

const EVERYWHERE = [200, 200, 200, 200];
const NOWHERE = [401, 401, 401, 401];

async function deployed(name: string, extra: Record<string, unknown> = {}) {
  return ready(await create(server.client(), { agentRuntimeName: name, folder, ...extra }));
}

describe('keys', () => {
  test('made and revoked with the command count at once on both planes, and their secrets lie nowhere', async () => {
    await deployed('keys-agent');
    const key = await newKey('--role', 'invoke', '--description', 'e2e');
    expect(await everywhere(key, 'keys-agent')).toEqual(EVERYWHERE);

    const invocation = server.invocationUrl('keys-agent');
    const reply = await fetch(invocation, { headers: bearer(key.apiKey) });
    const seen = await reply.text();
    for (const secret of [key.apiKey, key.accessKeySecret, CONFIGURED.accessKeySecret])
      expect(seen).not.toContain(secret);
    // The agent keeps no word of the server's own settings.
    expect(seen).not.toContain('RUNSTEAD_ACCESS_KEY');

    const tokenUrl = `${server.url}/2025-09-10/agents/accessToken?resourceType=runtime&resourceName=keys-agent`;
    const listed = await cli('keys', 'list', '--output', 'json');
    expect(listed.stdout).toContain(key.keyId);
    for (const secret of [key.apiKey, key.accessKeySecret]) expect(listed.stdout).not.toContain(secret);
    expect(await statusOf(`${server.url}/runstead/v1/keys`, bearer(key.apiKey))).toBe(403);
    expect(found([key.apiKey, key.accessKeySecret, CONFIGURED.accessKeySecret])).toEqual([]);

    const token = await accessToken(tokenUrl, key);
    expect(await statusOf(invocation, { 'agentrun-access-token': token })).toBe(200);
    expect(await cli('keys', 'revoke', key.keyId)).toMatchObject({
      code: 0,
      stderr: `${key.keyId} is revoked.\n`,
    });
    expect(await everywhere(key, 'keys-agent')).toEqual(NOWHERE);
    expect(await statusOf(invocation, { 'agentrun-access-token': token })).toBe(401);
    expect((await cli('keys', 'revoke', key.keyId)).code).toBe(4);
    expect(found([key.apiKey, key.accessKeySecret, token])).toEqual([]);
  });

  test('that were made live through a restart, and those that were revoked do not come back', async () => {
    await deployed('restarted-agent');
    const [kept, revoked] = [await newKey(), await newKey()];
    const signed = signedList(kept);
    expect(await statusOf(`${server.url}${RUNTIMES}`, signed)).toBe(200);
    expect((await cli('keys', 'revoke', revoked.keyId)).code).toBe(0);
    await server.stop();
    await server.start();
    expect(await everywhere(kept, 'restarted-agent')).toEqual(EVERYWHERE);
    expect(await everywhere(revoked, 'restarted-agent')).toEqual(NOWHERE);
    // A request that was seen before the restart is not seen again.
    expect(await statusOf(`${server.url}${RUNTIMES}`, signed)).toBe(401);
  });

  test('end when they say', async () => {
    await deployed('expiring-agent');
    const key = await newKey('--expires', '3s');
    await waitFor(
      'the key to expire',
      async () => (await everywhere(key, 'expiring-agent')).join() === NOWHERE.join(),
      { withinMs: 20_000 },
    );
    expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(key.expiresAt!));
    const listed = await cli('keys', 'list');
    expect(listed.stdout).toContain(key.keyId);
  });

  test('of a credential open the runtimes that name it, in the field that they name', async () => {
    await deployed('credential-agent', { credentialName: 'partner' });
    const url = server.invocationUrl('credential-agent');
    expect(await statusOf(url, {})).toBe(401);
    const key = await newKey('--credential', 'partner', '--header', 'X-API-Key');
    expect(key).not.toHaveProperty('accessKeySecret');
    expect(await statusOf(url, { 'x-api-key': key.apiKey })).toBe(200);
    expect(await statusOf(url, bearer(key.apiKey))).toBe(401);
    expect(await statusOf(`${server.url}${RUNTIMES}`, bearer(key.apiKey))).toBe(401);
    const reply = await fetch(url, { headers: { 'x-api-key': key.apiKey } });
    expect(await reply.text()).not.toContain(key.apiKey);
    expect(await cli('keys', 'revoke', key.keyId)).toMatchObject({
      code: 0,
      stderr: `${key.keyId} is revoked.\n`,
    });
    expect(await statusOf(url, { 'x-api-key': key.apiKey })).toBe(401);
  });

  test('of the configuration sign on both planes, and are in no list of secrets', async () => {
    await deployed('configured-agent');
    expect(await statusOf(`${server.url}${RUNTIMES}`, signedList(CONFIGURED))).toBe(200);
    const url = server.invocationUrl('configured-agent');
    expect(await statusOf(url, signedCall(url, CONFIGURED))).toBe(200);
    const wrong = { ...CONFIGURED, accessKeySecret: 'planted-secret-of-a-stranger' };
    expect(await statusOf(url, signedCall(url, wrong))).toBe(401);
    expect(await statusOf(`${server.url}${RUNTIMES}`, signedList(wrong))).toBe(401);
    const revoked = await cli('keys', 'revoke', 'configured');
    expect(revoked.code).not.toBe(0);
    expect(revoked.stderr).toContain('RUNSTEAD_ACCESS_KEY_ID');
    // The gateway is given keys over its channel; its environment, which others of this user can read, has none.
    const gateway = readFileSync(`/proc/${server.gatewayPid()}/environ`, 'utf8');
    expect(gateway).not.toContain('planted-secret');
    expect(server.processes().filter((pid) => commandOf(pid).includes('planted-secret'))).toEqual([]);
    expect(found([CONFIGURED.accessKeySecret])).toEqual([]);
  });

  test('are in the audit with what they wrote, and what they were refused', async () => {
    const key = await newKey('--role', 'invoke');
    const refused = await fetch(`${server.url}${RUNTIMES}`, {
      method: 'POST',
      headers: { ...bearer(key.apiKey), 'content-type': 'application/json' },
      body: '{}',
    });
    expect(refused.status).toBe(403);
    expect(await cli('keys', 'revoke', key.keyId)).toMatchObject({
      code: 0,
      stderr: `${key.keyId} is revoked.\n`,
    });
    const answer = await fetch(`${server.url}/runstead/v1/audit`, { headers: bearer(server.apiKey) });
    const { data } = (await answer.json()) as { data: { items: Record<string, unknown>[] } };
    const own = data.items.filter((event) => event.keyId === key.keyId || event.resource === key.keyId);
    expect(own.map((event) => [event.operation, event.keyId, event.status])).toEqual([
      ['RevokeKey', 'local', 200],
      ['CreateAgentRuntime', key.keyId, 403],
      ['CreateKey', 'local', 200],
    ]);
  });
});

async function accessToken(url: string, key: Secrets): Promise<string> {
  const answer = await fetch(url, { headers: bearer(key.apiKey) });
  const { data } = (await answer.json()) as { data: { accessToken: string } };
  return data.accessToken;
}

/** Where any of these can be read: files of the data folder, what the server logs, arguments of its processes. */
function found(secrets: string[]): string[] {
  const files = readdirSync(server.data, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  expect(files.length).toBeGreaterThan(5);
  const holds = (content: string) => secrets.some((secret) => content.includes(secret));
  return [
    ...files.filter((file) => holds(contentOf(file))),
    ...server.processes().flatMap((pid) => (holds(commandOf(pid)) ? [`arguments of ${pid}`] : [])),
    ...(holds(`${server.stdout}${server.stderr}`) ? ['what the server logs'] : []),
  ];
}

/** A file may go while others are read. */
function contentOf(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}
