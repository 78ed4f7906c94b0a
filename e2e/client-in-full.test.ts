import { execFile, execFileSync } from 'node:child_process';
import { createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { AgentRuntimeClient, ClientError, ConnectionError, ResourceNotExistError } from '@runstead/client';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { createInput, deploy, fixture, type Runtime, uniqueName } from './harness/deploy.ts';
import { ownEnvironment, RUNSTEAD, type Server, startServer } from './harness/server.ts';

/** What the client does beyond the twelve operations, each against the shipped server. */

let server: Server;
let client: AgentRuntimeClient;
let runtime: Runtime;
const messages = [{ role: 'user', content: 'there' }];

beforeAll(async () => {
  server = await startServer({ env: { RUNSTEAD_TLS_PORT: '0' } });
  client = server.client();
  runtime = await deploy(client, { folder: fixture('chat-node'), credentialName: 'visitors' });
});
afterAll(() => server.dispose());

/** Variables as `runstead env` prints them. */
function variables(): Record<string, string> {
  const env = { ...ownEnvironment(), RUNSTEAD_DATA: server.data };
  const printed = execFileSync(process.execPath, [RUNSTEAD, 'env', '--format', 'json'], {
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return JSON.parse(printed) as Record<string, string>;
}

/** In front of the server: lets everything through, but cuts the answer to the first POST. */
async function cuttingProxy() {
  const keys: (string | undefined)[] = [];
  const proxy = createServer((asked, answer) => {
    const { method = '', url = '/', headers } = asked;
    const passedOn = httpRequest(`${server.url}${url}`, { method, headers }, (given) => {
      if (method === 'POST') keys.push(headers['idempotency-key'] as string | undefined);
      if (method === 'POST' && keys.length === 1) {
        // The server has done its work; only the word of it is lost.
        given.resume().on('end', () => asked.socket.destroy());
        return;
      }
      answer.writeHead(given.statusCode ?? 502, given.headers);
      given.pipe(answer);
    });
    passedOn.on('error', () => asked.socket.destroy());
    asked.pipe(passedOn);
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    proxy.closeAllConnections();
    await new Promise((resolve) => proxy.close(resolve));
  });
  return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, keys };
}

describe('an answer that is lost', () => {
  test('makes no second workspace, runtime or endpoint: the create is asked for again under its key', async () => {
    const name = uniqueName('lost');
    const input = await createInput({ folder: fixture('chat-node'), agentRuntimeName: name });
    const creates: ((through: AgentRuntimeClient) => Promise<unknown>)[] = [
      (through) => through.createWorkspace({ name }),
      (through) => through.create(input),
      (through) => through.createEndpoint(runtime.agentRuntimeId, { agentRuntimeEndpointName: name }),
    ];
    for (const create of creates) {
      const { url, keys } = await cuttingProxy();
      await create(new AgentRuntimeClient({ baseUrl: url, apiKey: server.apiKey }));
      expect(keys).toHaveLength(2);
      expect(keys[0]).toBeTruthy();
      expect(keys[1]).toBe(keys[0]);
    }
    expect(await client.listWorkspaces({ name })).toHaveLength(1);
    expect(await client.list({ agentRuntimeName: name })).toHaveLength(1);
    expect(await client.listEndpoints(runtime.agentRuntimeId, { endpointName: name })).toHaveLength(1);
  });

  test('is an error where the create has no key that the server is known to honour', async () => {
    const { url, keys } = await cuttingProxy();
    const { AGENTRUN_ACCESS_KEY_ID: accessKeyId, AGENTRUN_ACCESS_KEY_SECRET: accessKeySecret } = variables();
    const signing = new AgentRuntimeClient({ baseUrl: url, accessKeyId, accessKeySecret });
    await expect(signing.createWorkspace({ name: uniqueName('once') })).rejects.toBeInstanceOf(
      ConnectionError,
    );
    expect(keys).toEqual([undefined]);
  });
});

test('workspaces are made, named in creates and lists, described anew, and deleted once they are empty', async () => {
  const [name, other] = [uniqueName('team'), uniqueName('team')];
  const made = await client.createWorkspace({ name, description: 'first' });
  const workspaceId = made.workspaceId!;
  await client.createWorkspace({ name: other });
  expect(await client.updateWorkspace(workspaceId, { description: 'second' })).toMatchObject({ name });
  expect(await client.getWorkspace(workspaceId)).toMatchObject({ name, description: 'second' });
  expect(await client.listAllWorkspaces({ name })).toHaveLength(1);

  const created = await client.create({
    ...(await createInput({ folder: fixture('chat-node') })),
    workspaceName: name,
  });
  expect(created.workspaceId).toBe(workspaceId);
  const ids = async (names: object) => (await client.list(names)).map((row) => row.agentRuntimeId);
  expect(await ids({ workspaceName: name })).toEqual([created.agentRuntimeId]);
  expect(await ids({ workspaceNames: `${other}, ${name}` })).toEqual([created.agentRuntimeId]);
  expect(await ids({ workspaceName: other })).toEqual([]);
  await expect(client.list({ workspaceName: 'none-such' })).rejects.toThrow(
    "Workspace 'none-such' does not exist",
  );

  await expect(client.deleteWorkspace(workspaceId)).rejects.toMatchObject({
    errorCode: 'ERR_WORKSPACE_IN_USE',
  });
  await created.deleteAndWaitUntilFinished();
  await client.deleteWorkspace(workspaceId);
  await expect(client.getWorkspace(workspaceId)).rejects.toBeInstanceOf(ResourceNotExistError);
});

test('an access token opens the runtime it is for, and nothing else', async () => {
  const { accessToken: token } = await client.getAccessToken({ resourceName: runtime.agentRuntimeName });
  const visitor = (config: object) =>
    new AgentRuntimeClient({ dataEndpoint: server.url, maxRetries: 0, ...config });
  const ask = (by: AgentRuntimeClient, name = runtime.agentRuntimeName) =>
    by.invokeOpenai(name, undefined, { messages });
  expect((await ask(visitor({ token }))).choices[0]?.message.content).toContain('there');

  const refused = await ask(visitor({ token: `${token}x` })).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(ClientError);
  expect((refused as Error).message).not.toContain(token);
  const other = await deploy(client, { folder: fixture('chat-node'), credentialName: 'visitors' });
  await expect(ask(visitor({ token }), other.agentRuntimeName)).rejects.toBeInstanceOf(ClientError);
});

test('publishVersion stamps the newest version', async () => {
  const stamp = { description: 'the first that works', publisher: 'me' };
  const published = await client.publishVersion(runtime.agentRuntimeId, stamp);
  expect(published).toMatchObject({ agentRuntimeVersion: '1' });
  expect((await client.listVersions(runtime.agentRuntimeId))[0]).toMatchObject({
    agentRuntimeVersion: '1',
    description: 'the first that works',
  });
});

describe('over TLS', () => {
  test.each(['promise', 'blocking'])('signed calls reach both planes, in the %s form', async (form) => {
    const { RUNSTEAD_API_KEY, RUNSTEAD_BASE_URL, ...signing } = variables();
    const [entry, wait] = form === 'promise' ? ['@runstead/client', 'await '] : ['@runstead/client/sync', ''];
    const program = `
      import { AgentRuntimeClient } from '${entry}';
      const client = new AgentRuntimeClient();
      const [id, name] = process.argv.slice(1);
      const { agentRuntimeName } = ${wait}client.get(id);
      const { choices } = ${wait}client.invokeOpenai(name, undefined, { messages: ${JSON.stringify(messages)} });
      console.log(JSON.stringify([agentRuntimeName, choices[0].message.content]));
    `;
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--input-type=module', '--eval', program, runtime.agentRuntimeId, runtime.agentRuntimeName],
      { env: { ...ownEnvironment(), ...signing } },
    );
    expect(JSON.parse(stdout)).toEqual([runtime.agentRuntimeName, expect.stringContaining('there')]);
  });

  test('an authority that is not known is told as what it is', async () => {
    const { AGENTRUN_CONTROL_ENDPOINT: baseUrl } = variables();
    const stranger = new AgentRuntimeClient({ baseUrl, apiKey: server.apiKey, maxRetries: 0 });
    await expect(stranger.list()).rejects.toMatchObject({
      name: 'ConnectionError',
      mayHaveArrived: false,
      message: expect.stringMatching(/certificate.*NODE_EXTRA_CA_CERTS/),
    });
  });
});
