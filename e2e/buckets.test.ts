import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { AgentRuntimeClient } from '@runstead/client';
import { codeFromOss, zipFolder } from '@runstead/client/code';
import { describe, expect, onTestFinished, test } from 'vitest';
import { fixture, ready, uniqueName, untilGone, untilSettled } from './harness/deploy.ts';
import { commandOf, hasProc } from './harness/processes.ts';
import { type Server, startServerForTest } from './harness/server.ts';
import { waitFor } from './harness/wait-for.ts';

/** Agents whose packages lie in buckets, with the server as its users run it. */

const SECRET = 'that-nobody-may-see';
const code = (object: string) => codeFromOss('agents', object, { language: 'nodejs20' });

async function create(client: AgentRuntimeClient, object: string) {
  const { agentRuntimeId, agentRuntimeName } = await client.create({
    agentRuntimeName: uniqueName('bucket'),
    cpu: 1,
    memory: 512,
    port: 9000,
    codeConfiguration: code(object),
  });
  return { id: agentRuntimeId!, name: agentRuntimeName! };
}

/** As an operator puts a package in place: never half of it. */
function put(server: Server, object: string, bytes: Buffer): string {
  const file = join(server.data, 'buckets', 'agents', object);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.new`, bytes);
  renameSync(`${file}.new`, file);
  return file;
}

async function answer(server: Server, name: string): Promise<string> {
  const { choices } = await server.client().invokeOpenai(name, undefined, {
    messages: [{ role: 'user', content: 'you' }],
  });
  return choices[0]!.message.content!.trim();
}

/** A chat agent that greets by the word. */
async function agent(greeting: string): Promise<Buffer> {
  const folder = mkdtempSync(join(tmpdir(), 'runstead-agent-'));
  try {
    cpSync(fixture('chat-node'), folder, { recursive: true });
    const file = join(folder, 'server.mjs');
    writeFileSync(file, readFileSync(file, 'utf8').replace("?? 'hello'", `?? '${greeting}'`));
    return (await zipFolder(folder)).zip;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function startStore(answerWith: (request: IncomingMessage, response: ServerResponse) => void) {
  const store = createServer(answerWith);
  await new Promise<void>((resolve) => store.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    store.closeAllConnections();
    await new Promise((resolve) => store.close(resolve));
  });
  return `http://127.0.0.1:${(store.address() as AddressInfo).port}`;
}

describe('a package in a bucket', () => {
  test('that is a folder of the server runs, is replaced, and is woken when its file is long gone', async () => {
    const server = await startServerForTest({ env: { RUNSTEAD_IDLE_STOP: '1s' } });
    const client = server.client();
    put(server, 'teams/a/agent 1.zip', await agent('hello'));
    const { id, name } = await create(client, 'teams/a/agent 1.zip');
    ready(await untilSettled(client, id));
    expect(await answer(server, name)).toBe('hello: you');

    const file = put(server, 'teams/a/agent 1.zip', await agent('moin'));
    await client.update(id, { codeConfiguration: code('teams/a/agent 1.zip') });
    expect(ready(await untilSettled(client, id)).agentRuntimeVersion).toBe('2');
    expect(await answer(server, name)).toBe('moin: you');
    await client.update(id, { codeConfiguration: code('teams/a/agent 1.zip') });
    expect(ready(await untilSettled(client, id)).agentRuntimeVersion).toBe('2');

    rmSync(file);
    await client.createEndpoint(id, { agentRuntimeEndpointName: 'before', targetVersion: '1' });
    await waitFor('all instances to be let go', async () => (await server.instances(id)).length === 0);
    await server.stop();
    rmSync(join(server.data, 'code', id), { recursive: true });
    await server.start();
    expect(await answer(server, name)).toBe('moin: you');
    await waitFor('the older version to answer', async () => {
      const response = await fetch(`${server.invocationUrl(name, 'before')}/who`);
      return response.ok && ((await response.json()) as { greeting: string }).greeting === 'hello';
    });
  });

  test.skipIf(!hasProc)(
    'of a store is fetched with the key alone, and the secret is seen nowhere',
    async () => {
      const zip = await agent('hello');
      const asked: string[] = [];
      const store = await startStore((request, response) => {
        asked.push(JSON.stringify([request.url, request.rawHeaders]));
        if (request.url!.includes('denied'))
          response.writeHead(403).end('<Error><Code>AccessDenied</Code></Error>');
        else response.end(zip);
      });
      const server = await startServerForTest({
        env: {
          RUNSTEAD_S3_ENDPOINT: store,
          RUNSTEAD_S3_ACCESS_KEY_ID: 'the-key',
          RUNSTEAD_S3_ACCESS_KEY_SECRET: SECRET,
          RUNSTEAD_LOG_LEVEL: 'debug',
        },
      });
      const client = server.client();
      const { id, name } = await create(client, 'agent.zip');
      ready(await untilSettled(client, id));
      expect(await answer(server, name)).toBe('hello: you');
      const denied = await create(client, 'denied.zip');
      const { status, statusReason } = await untilSettled(client, denied.id);
      expect([status, statusReason]).toEqual([
        'CREATE_FAILED',
        expect.stringMatching(/^fetch: .*denies access/),
      ]);

      expect(asked[0]).toContain('Credential=the-key/');
      const agents = server.agentProcesses();
      expect(agents.length).toBeGreaterThan(0);
      const others = [server.gatewayPid()!, ...agents];
      const environments = others.map((pid) => readFileSync(`/proc/${pid}/environ`, 'utf8'));
      const commands = [server.pid, ...others].map(commandOf);
      const events = [await server.events(id), await server.events(denied.id)];
      const kept = readdirSync(server.data, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && !/\.js$|\.mjs$/.test(entry.name))
        .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'));
      for (const text of [
        ...asked,
        ...environments,
        ...commands,
        ...kept,
        server.stderr,
        JSON.stringify(events),
      ]) {
        expect(text).not.toContain(SECRET);
      }
    },
  );

  test('is fetched anew by a server that was killed over it', async () => {
    const zip = await agent('hello');
    const held: ServerResponse[] = [];
    const store = await startStore((_request, response) => {
      response.write(zip.subarray(0, 100));
      held.push(response);
    });
    const server = await startServerForTest({ env: { RUNSTEAD_S3_ENDPOINT: store } });
    const { id, name } = await create(server.client(), 'agent.zip');
    const incoming = join(server.data, 'blobs', 'incoming');
    await waitFor('the first bytes to be on the disk', () =>
      readdirSync(incoming).some((file) => statSync(join(incoming, file)).size > 0),
    );
    await server.kill();
    expect(server.agentProcesses()).toEqual([]);
    await server.start();
    await waitFor('the store to be asked again', () => held.length === 2);
    await waitFor('the bytes to come anew', () => readdirSync(incoming).length === 1);
    held[1]!.end(zip.subarray(100));
    ready(await untilSettled(server.client(), id));
    expect(await answer(server, name)).toBe('hello: you');
    expect(readdirSync(incoming)).toEqual([]);

    const other = await create(server.client(), 'other.zip');
    await waitFor('the store to be asked for the other', () => held.length === 3);
    await server.client().delete(other.id);
    await untilGone('the runtime', () => server.client().get(other.id));
    expect(readdirSync(incoming)).toEqual([]);
  });
});
