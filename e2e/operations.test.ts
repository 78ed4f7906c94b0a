import {
  type AgentRuntimeClient,
  ClientError,
  HTTPError,
  ResourceAlreadyExistError,
  ResourceNotExistError,
  ServerError,
  ValueError,
} from '@runstead/client';
import { codeFromFile } from '@runstead/client/code';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  createInput,
  deploy,
  example,
  fixture,
  type Runtime,
  ready,
  uniqueName,
  untilEndpointReady,
  untilGone,
  untilSettled,
} from './harness/deploy.ts';
import { pythonOrSkip } from './harness/requirements.ts';
import { type Server, startServer } from './harness/server.ts';

/** The twelve operations, each against the shipped server with agents that really run. */

let server: Server;
let client: AgentRuntimeClient;

beforeAll(async () => {
  server = await startServer();
  client = server.client();
});
afterAll(() => server.dispose());

const chat = (more: { agentRuntimeName?: string; environmentVariables?: Record<string, string> } = {}) =>
  deploy(client, { folder: fixture('chat-node'), ...more });

async function say(runtime: Runtime, endpoint?: string): Promise<string | null | undefined> {
  const { choices } = await client.invokeOpenai(runtime.agentRuntimeName, endpoint, {
    messages: [{ role: 'user', content: 'there' }],
  });
  return choices[0]?.message.content;
}

describe('create and get', () => {
  test('create answers at once in CREATING, and get says READY as version 1', async () => {
    const input = await createInput({ folder: example('hello-http'), command: ['node', 'server.mjs'] });
    const created = await client.create(input);
    expect(created).toMatchObject({ agentRuntimeName: input.agentRuntimeName, status: 'CREATING' });
    expect(created.agentRuntimeVersion).toBeUndefined();

    const runtime = await untilSettled(client, created.agentRuntimeId!);
    expect(runtime).toMatchObject({ status: 'READY', agentRuntimeVersion: '1', cpu: 1, memory: 512 });
    expect(runtime.codeConfiguration).toMatchObject({
      language: 'nodejs20',
      command: ['node', 'server.mjs'],
    });
    expect(runtime.codeConfiguration).not.toHaveProperty('zipFile');
  });

  test('what the client fills in is what runs: 2 vCPU, 4096 MiB, port 9000, a public network', async () => {
    const agentRuntimeName = uniqueName('defaults');
    const codeConfiguration = await codeFromFile(fixture('chat-node'), { language: 'nodejs20' });
    const created = await client.create({ agentRuntimeName, codeConfiguration });
    const runtime = await untilSettled(client, created.agentRuntimeId!);
    expect(runtime).toMatchObject({
      status: 'READY',
      artifactType: 'Code',
      cpu: 2,
      memory: 4096,
      port: 9000,
      networkConfiguration: { networkMode: 'PUBLIC' },
    });
  });

  test('a Python agent is found by its main.py and answers', async (context) => {
    pythonOrSkip(context);
    const runtime = await deploy(client, {
      folder: fixture('chat-python'),
      language: 'python3.10',
      environmentVariables: { GREETING: 'ssss' },
    });
    expect(await say(runtime)).toBe('ssss: there');
  });
});

describe('update and listVersions', () => {
  test('an update that runs differently becomes version 2; version 1 can still be read as it was', async () => {
    const runtime = await chat({ environmentVariables: { GREETING: 'one' } });
    const sent = await client.update(runtime.agentRuntimeId, { environmentVariables: { GREETING: 'two' } });
    expect(sent.status).toBe('UPDATING');
    const updated = await untilSettled(client, runtime.agentRuntimeId);
    expect(updated).toMatchObject({ status: 'READY', agentRuntimeVersion: '2' });
    expect(await say(runtime)).toBe('two: there ');

    const versions = await client.listVersions(runtime.agentRuntimeId);
    expect(versions.map((version) => version.agentRuntimeVersion)).toEqual(['2', '1']);
    expect(versions).toMatchObject({ total: 2, pageNumber: 1 });
    const first = await client.get(runtime.agentRuntimeId, { agentRuntimeVersion: '1' });
    expect(first).toMatchObject({ agentRuntimeVersion: '1', environmentVariables: { GREETING: 'one' } });
  });

  test('an update with a new package runs the new package', async () => {
    const runtime = await deploy(client, { folder: example('hello-http'), command: ['node', 'server.mjs'] });
    const codeConfiguration = await codeFromFile(fixture('chat-node'), { language: 'nodejs20' });
    await client.update(runtime.agentRuntimeId, { codeConfiguration });
    ready(await untilSettled(client, runtime.agentRuntimeId));
    expect(await say(runtime)).toBe('hello: there ');
  });

  test('an update that changes nothing that runs makes no version and starts nothing anew', async () => {
    const runtime = await chat();
    const before = await server.instances(runtime.agentRuntimeId);
    await client.update(runtime.agentRuntimeId, { description: 'the same, better described' });
    const updated = await untilSettled(client, runtime.agentRuntimeId);
    expect(updated).toMatchObject({ agentRuntimeVersion: '1', description: 'the same, better described' });
    const after = await server.instances(runtime.agentRuntimeId);
    expect(after.map(({ pid }) => pid)).toEqual(before.map(({ pid }) => pid));
  });

  test('a failed update leaves traffic where it was, and the next good one is version 2', async () => {
    const runtime = await chat({ environmentVariables: { GREETING: 'one' } });
    const id = runtime.agentRuntimeId;
    const good = await codeFromFile(fixture('chat-node'), { language: 'nodejs20' });
    await client.update(id, { codeConfiguration: { ...good, command: ['node', 'not-there.mjs'] } });
    expect(await untilSettled(client, id)).toMatchObject({
      status: 'UPDATE_FAILED',
      agentRuntimeVersion: '1',
    });
    expect(await say(runtime)).toBe('one: there ');
    await client.update(id, { codeConfiguration: good, environmentVariables: { GREETING: 'two' } });
    expect(await untilSettled(client, id)).toMatchObject({ status: 'READY', agentRuntimeVersion: '2' });
    expect(await say(runtime)).toBe('two: there ');
  });
});

describe('list', () => {
  test('filters by name, status, tags and workspace, and pages newest first', async () => {
    const mark = uniqueName('listed');
    const input = await createInput({ folder: fixture('chat-node') });
    const ids: string[] = [];
    const made = await fetch(`${server.url}/2025-09-10/workspaces`, {
      method: 'POST',
      headers: { authorization: `Bearer ${server.apiKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ name: mark }),
    });
    const { workspaceId } = ((await made.json()) as { data: { workspaceId: string } }).data;
    for (const [index, systemTags] of [['red'], ['red', 'round'], []].entries()) {
      const created = await client.create({
        ...input,
        agentRuntimeName: `${mark}-${index}`,
        systemTags,
        ...(index === 0 && { workspaceId }),
      });
      ids.push(created.agentRuntimeId!);
    }
    for (const id of ids) ready(await untilSettled(client, id));

    const names = async (query: Parameters<AgentRuntimeClient['list']>[0]) =>
      (await client.list(query)).map(({ agentRuntimeName }) => agentRuntimeName?.slice(mark.length + 1));
    expect(await names({ agentRuntimeName: mark })).toEqual(['2', '1', '0']);
    expect(await names({ agentRuntimeName: mark.toUpperCase(), pageSize: 2, pageNumber: 2 })).toEqual(['0']);
    expect(await names({ agentRuntimeName: mark, searchMode: 'exact' })).toEqual([]);
    expect(await names({ agentRuntimeName: `${mark}-1`, searchMode: 'exact' })).toEqual(['1']);
    expect(await names({ agentRuntimeName: mark, systemTags: 'red' })).toEqual(['1', '0']);
    expect(await names({ agentRuntimeName: mark, systemTags: 'red,round' })).toEqual(['1']);
    expect(await names({ agentRuntimeName: mark, workspaceId })).toEqual(['0']);
    expect(await names({ agentRuntimeName: mark, status: 'READY' })).toHaveLength(3);
    expect(await names({ agentRuntimeName: mark, status: 'CREATE_FAILED,DELETING' })).toEqual([]);
    expect(await client.list({ agentRuntimeName: mark, pageSize: 2 })).toMatchObject({
      total: 3,
      pageNumber: 1,
      pageSize: 2,
    });
  });
});

describe('endpoints', () => {
  /** A runtime whose version 1 says `one` and whose version 2 says `two`. */
  async function twoVersions(): Promise<Runtime> {
    const runtime = await chat({ environmentVariables: { GREETING: 'one' } });
    await client.update(runtime.agentRuntimeId, { environmentVariables: { GREETING: 'two' } });
    return ready(await untilSettled(client, runtime.agentRuntimeId));
  }

  test('weights split the calls, a target takes them all, and a deleted endpoint is gone', async () => {
    const runtime = await twoVersions();
    const id = runtime.agentRuntimeId;
    const created = await client.createEndpoint(id, {
      agentRuntimeEndpointName: 'canary',
      targetVersion: '1',
      routingConfiguration: { versionWeights: [{ version: '2', weight: 0.4 }] },
    });
    expect(created).toMatchObject({ agentRuntimeEndpointName: 'canary', targetVersion: '1' });
    const endpointId = created.agentRuntimeEndpointId!;
    const endpoint = await untilEndpointReady(client, id, endpointId);
    expect(endpoint.endpointPublicUrl).toBe(server.invocationUrl(runtime.agentRuntimeName, 'canary'));
    expect(endpoint.routingConfiguration).toEqual({ versionWeights: [{ version: '2', weight: 0.4 }] });

    const split = { one: 0, two: 0 };
    for (let i = 0; i < 60; i++) split[(await say(runtime, 'canary'))!.slice(0, 3) as 'one' | 'two']++;
    // A fair coin of 0.4 falls outside of this less than once in a hundred million runs.
    expect(split.two).toBeGreaterThan(3);
    expect(split.one).toBeGreaterThan(10);

    await client.updateEndpoint(id, endpointId, {
      targetVersion: '1',
      routingConfiguration: { versionWeights: [] },
    });
    await untilEndpointReady(client, id, endpointId);
    for (let i = 0; i < 10; i++) expect(await say(runtime, 'canary')).toBe('one: there ');
    expect((await client.listEndpoints(id)).map((it) => it.agentRuntimeEndpointName)).toEqual(['canary']);
    expect(await client.listEndpoints(id, { endpointName: 'nobody' })).toHaveLength(0);

    await client.deleteEndpoint(id, endpointId);
    await untilGone('the endpoint', () => client.getEndpoint(id, endpointId));
    expect(await client.listEndpoints(id)).toHaveLength(0);
    await expect(say(runtime, 'canary')).rejects.toThrow(ResourceNotExistError);
  });

  test('without an endpoint of that name, Default and default follow the newest version', async () => {
    const runtime = await twoVersions();
    expect(await say(runtime)).toBe('two: there ');
    expect(await say(runtime, 'default')).toBe('two: there ');
    await expect(say(runtime, 'DEFAULT')).rejects.toThrow(ResourceNotExistError);
  });
});

describe('invokeOpenai', () => {
  test('gives a whole completion, with the runtime as the model', async () => {
    const runtime = await chat();
    const answer = await client.invokeOpenai(runtime.agentRuntimeName, 'Default', {
      messages: [{ role: 'user', content: 'there' }],
      words: 2,
    });
    expect(answer.model).toBe(runtime.agentRuntimeName);
    expect(answer.choices[0]).toMatchObject({
      message: { role: 'assistant', content: 'hello: there hello: there ' },
      finish_reason: 'stop',
    });
  });

  test('gives a stream whose pieces come as the agent writes them', async () => {
    const runtime = await chat();
    const stream = await client.invokeOpenai(runtime.agentRuntimeName, undefined, {
      messages: [{ role: 'user', content: 'there' }],
      words: 5,
      delay_ms: 100,
      stream: true,
    });
    const arrivals: number[] = [];
    let text = '';
    for await (const chunk of stream) {
      arrivals.push(performance.now());
      text += chunk.choices[0]?.delta.content ?? '';
    }
    expect(text).toBe('hello: there '.repeat(5));
    // Held back until the end they would arrive within a few milliseconds of each other.
    expect(arrivals.at(-1)! - arrivals[0]!).toBeGreaterThan(200);
  });

  test('an error of the agent is told as the agent’s, with its status', async () => {
    const runtime = await chat();
    const error = await client
      .invokeOpenai(runtime.agentRuntimeName, undefined, { messages: [{ role: 'user', content: 'fail' }] })
      .catch((thrown: unknown) => thrown as HTTPError);
    expect(error).toBeInstanceOf(ServerError);
    expect(error).toMatchObject({ statusCode: 503, origin: 'agent', errorCode: 'model_away' });
  });
});

describe('delete', () => {
  test('shows DELETING, may be repeated, takes the endpoints along, and ends in a 404', async () => {
    const runtime = await chat();
    const id = runtime.agentRuntimeId;
    await client.createEndpoint(id, { agentRuntimeEndpointName: 'extra' });
    expect(await client.delete(id)).toMatchObject({ agentRuntimeId: id, status: 'DELETING' });
    const again = await client.delete(id).catch((error: unknown) => error);
    if (again instanceof Error) expect(again).toBeInstanceOf(ResourceNotExistError);
    const shown = await client.get(id).catch((error: unknown) => error);
    if (shown instanceof Error) expect(shown).toBeInstanceOf(ResourceNotExistError);
    else expect(shown).toMatchObject({ status: 'DELETING' });

    await untilGone('the runtime', () => client.get(id));
    await expect(client.listEndpoints(id)).rejects.toThrow(ResourceNotExistError);
    await expect(say(runtime)).rejects.toThrow(ResourceNotExistError);
    expect(await client.list({ agentRuntimeName: runtime.agentRuntimeName })).toHaveLength(0);
    expect(await server.instances(id)).toEqual([]);
  });

  test('the name is free again once it is gone', async () => {
    const agentRuntimeName = uniqueName('reborn');
    const first = await chat({ agentRuntimeName });
    await client.delete(first.agentRuntimeId);
    await untilGone('the runtime', () => client.get(first.agentRuntimeId));
    const second = await chat({ agentRuntimeName, environmentVariables: { GREETING: 'again' } });
    expect(second.agentRuntimeId).not.toBe(first.agentRuntimeId);
    expect(await say(second)).toBe('again: there ');
  });
});

describe('errors', () => {
  test('a name that is taken is a ResourceAlreadyExistError', async () => {
    const runtime = await chat();
    const input = await createInput({
      folder: fixture('chat-node'),
      agentRuntimeName: runtime.agentRuntimeName,
    });
    const error = await client.create(input).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ResourceAlreadyExistError);
    expect(error).toMatchObject({ statusCode: 409, message: expect.stringContaining('already exists') });
    const endpoint = { agentRuntimeEndpointName: 'twice' };
    await client.createEndpoint(runtime.agentRuntimeId, endpoint);
    await expect(client.createEndpoint(runtime.agentRuntimeId, endpoint)).rejects.toThrow(
      ResourceAlreadyExistError,
    );
  });

  test('every operation on a runtime that is not there is a ResourceNotExistError', async () => {
    const absent = crypto.randomUUID();
    const calls = {
      get: () => client.get(absent),
      update: () => client.update(absent, { description: 'x' }),
      delete: () => client.delete(absent),
      listVersions: () => client.listVersions(absent),
      createEndpoint: () => client.createEndpoint(absent, { agentRuntimeEndpointName: 'x' }),
      getEndpoint: () => client.getEndpoint(absent, crypto.randomUUID()),
      updateEndpoint: () => client.updateEndpoint(absent, crypto.randomUUID(), { targetVersion: '1' }),
      deleteEndpoint: () => client.deleteEndpoint(absent, crypto.randomUUID()),
      listEndpoints: () => client.listEndpoints(absent),
      invokeOpenai: () => client.invokeOpenai(uniqueName('nobody'), undefined, { messages: [] }),
    };
    for (const [name, call] of Object.entries(calls)) {
      const error = await (call() as Promise<unknown>).catch((thrown: unknown) => thrown);
      expect(error, name).toBeInstanceOf(ResourceNotExistError);
      expect(error, name).toMatchObject({ message: expect.stringContaining('does not exist') });
    }
  });

  test('what cannot be sent is a ValueError, and what is refused an HTTPError that names the field', async () => {
    await expect(client.get('')).rejects.toThrow(ValueError);
    await expect(codeFromFile('/nowhere/at/all', { language: 'nodejs20' })).rejects.toThrow(ValueError);
    const input = await createInput({ folder: fixture('chat-node') });
    const error = await client.create({ ...input, cpu: 99 }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ClientError);
    expect(error).toBeInstanceOf(HTTPError);
    expect(error).toMatchObject({
      statusCode: 400,
      errorCode: 'ERR_VALIDATION_FAILED',
      message: expect.stringContaining('cpu'),
      requestId: expect.any(String),
    });
  });

  test('an endpoint of a runtime that was never ready is refused, saying so', async () => {
    const { agentRuntimeId: id } = await client.create(
      await createInput({
        folder: fixture('misbehaving'),
        environmentVariables: { MISBEHAVE: 'exit' },
        command: ['node', 'agent.mjs'],
      }),
    );
    await untilSettled(client, id!);
    const error = await client
      .createEndpoint(id!, { agentRuntimeEndpointName: 'early' })
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      statusCode: 400,
      message: expect.stringContaining('runtime must be in READY status'),
    });
  });
});
