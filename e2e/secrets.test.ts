import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { create, createInput, ready, untilGone, untilSettled } from './harness/deploy.ts';
import { commandOf } from './harness/processes.ts';
import { type Server, startServer } from './harness/server.ts';

/** When told so, it says what it was given under a name like that of a secret and ends. */
const AGENT = `
import { createServer } from 'node:http';
if (process.env.FAIL) throw new Error('refused: ' + process.env.API_TOKEN + ', ' + process.env.GREETING);
createServer((request, response) => response.end(process.env.DATABASE_URL)).listen(Number(process.env.PORT), '127.0.0.1');
`;

const secretsOf = (stage: string) => ({
  API_TOKEN: `planted-token-${stage}`,
  DATABASE_URL: `planted-url-${stage}`,
});

let server: Server;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'runstead-secrets-'));
  writeFileSync(join(folder, 'index.mjs'), AGENT);
  server = await startServer({ args: ['--log-level', 'debug'] });
});
afterAll(async () => {
  await server?.dispose();
  rmSync(folder, { recursive: true, force: true });
});

/** Where a planted value can be read: files of the data folder, what the server logs, arguments of its processes. */
function found(): string[] {
  const files = filesIn(server.data);
  expect(files.length).toBeGreaterThan(5);
  const inFiles = files.filter((file) =>
    ifThere(() => readFileSync(file), Buffer.alloc(0)).includes('planted-'),
  );
  const inArguments = server.processes().filter((pid) => commandOf(pid).includes('planted-'));
  return [
    ...inFiles,
    ...inArguments.map((pid) => `arguments of ${pid}`),
    ...(`${server.stdout}${server.stderr}`.includes('planted-') ? ['what the server logs'] : []),
  ];
}

function filesIn(path: string): string[] {
  return ifThere(() => readdirSync(path, { withFileTypes: true }), []).flatMap((entry) => {
    const inner = join(path, entry.name);
    return entry.isDirectory() ? filesIn(inner) : entry.isFile() ? [inner] : [];
  });
}

/** A file may go while others are read. */
function ifThere<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return otherwise;
    throw error;
  }
}

describe('secrets of a runtime', () => {
  test('lie nowhere in the data folder and stand in no log, from the create to the delete', async () => {
    const client = server.client();
    const first = secretsOf('first');
    const input = await createInput({ folder, environmentVariables: first });
    const refused = await fetch(`${server.url}/2025-09-10/agents/runtimes`, {
      method: 'POST',
      headers: { authorization: `Bearer ${server.apiKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        ...input,
        cpu: 'much',
        environmentVariables: { 'a=planted-name': 'planted-value' },
      }),
    });
    expect(refused.status).toBe(400);
    expect(found()).toEqual([]);

    const runtime = ready(await create(client, { folder, environmentVariables: first }));
    // The secrets did arrive.
    expect(await (await fetch(server.invocationUrl(runtime.agentRuntimeName))).text()).toBe(
      first.DATABASE_URL,
    );
    expect((await client.get(runtime.agentRuntimeId)).environmentVariables).toEqual(first);
    expect(found()).toEqual([]);

    const id = runtime.agentRuntimeId;
    const second = secretsOf('second');
    await client.update(id, {
      environmentVariables: second,
      containerConfiguration: {
        image: 'registry.test/agent:1',
        registryConfig: { authConfig: { userName: 'somebody', password: 'planted-password' } },
      },
    });
    ready(await untilSettled(client, id));
    expect(await (await fetch(server.invocationUrl(runtime.agentRuntimeName))).text()).toBe(
      second.DATABASE_URL,
    );
    expect(found()).toEqual([]);

    await client.update(id, { environmentVariables: { ...secretsOf('third'), FAIL: 'yes' } });
    const failed = await untilSettled(client, id);
    expect(failed).toMatchObject({ status: 'UPDATE_FAILED' });
    expect(failed.statusReason).toContain('refused: ***');
    expect(JSON.stringify(await server.events(id))).not.toContain('planted-');
    // What an agent writes lies there as it wrote it, until the runtime is deleted; what is shown of it is masked.
    const own = found();
    expect(own).toHaveLength(1);
    expect(own[0]).toMatch(/logs\/[\w-]+\/[\w-]+\.log$/);

    // All of it is still there for the next server.
    await server.stop();
    expect(found()).toEqual(own);
    await server.start({ args: ['--log-level', 'debug'] });
    expect(await (await fetch(server.invocationUrl(runtime.agentRuntimeName))).text()).toBe(
      second.DATABASE_URL,
    );

    await server.client().delete(id);
    await untilGone('the runtime', () => server.client().get(id));
    expect(found()).toEqual([]);
  });

  test('by reference reach the agent alone', async () => {
    const set = (value: string) =>
      server.client().request('PUT', '/runstead/v1/secrets/database', { body: { value } });
    await set('planted-by-reference');
    const environmentVariables = { DATABASE_URL: 'secret://database' };
    const runtime = ready(await create(server.client(), { folder, environmentVariables }));
    const called = async () => (await fetch(server.invocationUrl(runtime.agentRuntimeName))).text();
    expect(await called()).toBe('planted-by-reference');
    expect((await server.client().get(runtime.agentRuntimeId)).environmentVariables).toEqual(
      environmentVariables,
    );
    expect(found()).toEqual([]);

    // Told by the agent itself, it is masked, whatever the variable is called.
    await server.client().update(runtime.agentRuntimeId, {
      environmentVariables: { FAIL: 'yes', API_TOKEN: '-', GREETING: 'secret://database' },
    });
    const failed = await untilSettled(server.client(), runtime.agentRuntimeId);
    expect(failed.statusReason).toContain('refused: -, ***');
    expect(JSON.stringify(await server.events(runtime.agentRuntimeId))).not.toContain('planted-');
    await server.client().update(runtime.agentRuntimeId, {
      environmentVariables: { DATABASE_URL: 'secret://nothing' },
    });
    expect((await untilSettled(server.client(), runtime.agentRuntimeId)).statusReason).toMatch(
      /DATABASE_URL refers to the secret 'nothing', which workspace 'default' does not have; set it with "runstead secrets set nothing/,
    );
    await server.client().request('DELETE', '/runstead/v1/secrets/database');
    await server.client().delete(runtime.agentRuntimeId);
    await untilGone('the runtime', () => server.client().get(runtime.agentRuntimeId));
    expect(found()).toEqual([]);
  });

  test('are gone with their key, which a server says before it starts', async () => {
    const key = join(server.data, 'keys', 'secrets.key');
    const kept = readFileSync(key);
    await server.stop();
    rmSync(key);
    await expect(server.start()).rejects.toThrow(`${key} is missing`);
    expect(server.stderr).not.toMatch(/fault of Runstead/);
    expect(readdirSync(join(server.data, 'keys'))).toEqual([]);
    writeFileSync(key, `${Buffer.alloc(32, 1).toString('base64')}\n`);
    await expect(server.start()).rejects.toThrow(/secrets\.key is not the key .* Put back the file/);
    writeFileSync(key, 'no key');
    await expect(server.start()).rejects.toThrow(/secrets\.key holds no key/);
    expect(server.stderr).not.toMatch(/fault of Runstead/);
    writeFileSync(key, kept);
    await server.start();
  });
});
