import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { deploy, fixture, type Runtime, uniqueName, untilEndpointReady } from './harness/deploy.ts';
import {
  clientsOrSkip,
  copyOfFixture,
  installOfficialClients,
  type OfficialClients,
} from './harness/official-clients.ts';
import { RUNSTEAD, type Server, startServer } from './harness/server.ts';
import { storedZip } from './harness/stored-zip.ts';

/**
 * The official AgentRun clients as pip has them, against a server with TLS, with the variables that `runstead env`
 * prints and nothing else. What they are is pinned in official-clients/requirements.txt.
 */

let clients: OfficialClients | string;
let server: Server;
let variables: Record<string, string>;
/** An agent that is there already; tests only add to it. */
let shared: Runtime;

beforeAll(async () => {
  clients = await installOfficialClients();
  if (typeof clients === 'string') return;
  // Agents that anybody may call would answer to those who cannot sign as well.
  server = await startServer({
    // Whatever engine this machine has: what is to be seen is a server without one.
    env: { RUNSTEAD_TLS_PORT: '0', RUNSTEAD_ANONYMOUS_CALLS: 'no', RUNSTEAD_DOCKER_HOST: 'none' },
  });
  const words = [process.execPath, RUNSTEAD, 'env', '--format', 'json', '--data', server.data];
  variables = JSON.parse((await clients.run(words, {})).stdout) as Record<string, string>;
  shared = await deploy(server.client(), {
    folder: fixture('chat-node'),
    command: ['node', 'server.mjs'],
  });
  const endpoint = await server
    .client()
    .createEndpoint(shared.agentRuntimeId, { agentRuntimeEndpointName: 'Default' });
  await untilEndpointReady(server.client(), shared.agentRuntimeId, endpoint.agentRuntimeEndpointId!);
}, 300_000);

afterAll(async () => {
  if (typeof clients === 'object') clients.dispose();
  await server?.dispose();
});

describe('agentrun-sdk', () => {
  test('deploys a folder, calls it, updates it and deletes it', async (context) => {
    const name = uniqueName('sdk');
    const report = await clientsOrSkip(context, clients).script(
      'sdk_lifecycle',
      [copyOfFixture('chat-node'), name],
      variables,
    );
    expect(report).toEqual({
      created: 'CREATING',
      status: 'READY',
      statusReason: null,
      description: 'made by agentrun-sdk: ä+~ 中',
      cpu: 1,
      memory: 512,
      port: 9000,
      environment: null,
      listed: [name],
      listedAll: [name],
      listedByStatus: true,
      listedOddly: [],
      endpoint: 'READY',
      endpointUrl: `${server.url}/agent-runtimes/${name}/endpoints/Default/invocations`,
      endpointVersion: 'LATEST',
      answer: 'hello: who+are~you 中 ',
      stream: ['hello: again '],
      answerOfObject: 'hello: object ',
      // Broken in the SDK itself: the object reads a field that it does not declare.
      answerOfEndpoint: expect.objectContaining({ type: 'AttributeError' }),
      updating: 'UPDATING',
      updated: 'READY',
      // The SDK sends its own defaults with an update that does not name them.
      updatedCpu: 2,
      updatedMemory: 4096,
      updatedAnswer: 'good day: and now ',
      endpointDescription: 'second',
      endpoints: ['Default'],
      versions: ['1', '2'],
      endpointDeleted: true,
      gone: true,
    });
  });

  test('does the same in async form, several calls at a time', async (context) => {
    const sdk = clientsOrSkip(context, clients);
    const { agentRuntimeId, agentRuntimeName } = shared;
    const report = await sdk.script('sdk_async', [agentRuntimeId, agentRuntimeName], variables);
    expect(report).toMatchObject({
      name: agentRuntimeName,
      listed: [agentRuntimeName],
      listedAll: true,
      answers: [0, 1, 2, 3].map((number) => `hello: question ${number}`),
      stream: ['hello: stream '],
      endpoint: 'READY',
      description: 'changed',
      endpoints: expect.arrayContaining(['Default', 'async']),
      versions: true,
      endpointGone: expect.stringMatching(/^Resource AgentRuntimeEndpoint\(.+\) does not exist\.$/),
      updated: 'READY',
      updatedDescription: 'changed',
    });
  });

  test('raises its own errors for what is absent, there already, invalid or not allowed', async (context) => {
    const sdk = clientsOrSkip(context, clients);
    const { agentRuntimeId, agentRuntimeName } = shared;
    const args = [copyOfFixture('chat-node'), agentRuntimeId, agentRuntimeName];
    const report = await sdk.script('sdk_errors', args, variables);
    const absent = { type: 'ResourceNotExistError' };
    const duplicate = { type: 'ResourceAlreadyExistError' };
    const clientError = (status: number, message: string) => ({
      type: 'ClientError',
      status,
      message: expect.stringContaining(message),
      requestId: expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
    const openaiError = (type: string, status: number, message: string) => ({
      type,
      status,
      message: expect.stringContaining(message),
    });
    expect(report).toMatchObject({
      absent,
      deleteAbsent: absent,
      updateAbsent: absent,
      absentEndpoint: absent,
      versionsOfAbsent: absent,
      unknownWorkspace: { ...absent, message: 'Resource Workspace(no such place) does not exist.' },
      duplicate,
      duplicateEndpoint: duplicate,
      malformedId: clientError(400, 'agentRuntimeId must be a UUID (got "not-an-id")'),
      invalid: clientError(400, 'cpu must be at most 16 (got 99)'),
      invokeAbsent: openaiError('NotFoundError', 404, "Runtime 'no-such-agent' does not exist"),
      invokeAbsentEndpoint: openaiError('NotFoundError', 404, "Endpoint 'none' of runtime"),
      wrongSecret: clientError(401, 'SignatureDoesNotMatch'),
      wrongSecretInvoke: openaiError('AuthenticationError', 401, 'SignatureDoesNotMatch'),
      unknownKey: clientError(401, 'InvalidAccessKeyId.NotFound'),
      unknownKeyInvoke: openaiError('AuthenticationError', 401, 'InvalidAccessKeyId.NotFound'),
      // Any region is good that both sides of the signature name.
      otherRegion: agentRuntimeName,
      otherRegionInvoke: 'hello: hello ',
      temporaryToken: agentRuntimeName,
    });
  });

  test('takes workspaces by their names', async (context) => {
    const sdk = clientsOrSkip(context, clients);
    const name = uniqueName('sdk');
    const report = await sdk.script('sdk_workspaces', [packageFile(), name], variables);
    expect(report).toEqual({
      status: 'READY',
      isInFirst: true,
      first: [name],
      second: [],
      both: [name],
      byId: [name],
      byIds: [name],
      all: [name],
    });
  });
});

test('alibabacloud-agentrun20250910 has answers to its own calls, and its access tokens open agents', async (context) => {
  const name = uniqueName('generated');
  const report = await clientsOrSkip(context, clients).script(
    'low_level',
    [fixture('chat-node'), name],
    variables,
  );
  expect(report).toEqual({
    httpStatus: 200,
    code: 'SUCCESS',
    requestId: true,
    status: 'READY',
    updating: 'UPDATING',
    updated: 'a+b ~c/*',
    total: 1,
    pageSize: 50,
    names: [name],
    oddTotal: 0,
    published: '2',
    snapshot: '2',
    versions: ['1', '2'],
    endpoint: 'READY',
    endpoints: 1,
    withToken: [200, expect.stringMatching(/^(hello|good day): token $/)],
    withTokenAndEmptyBearer: [200, expect.stringMatching(/^(hello|good day): token $/)],
    withEmptyToken: [401, null],
    withWrongToken: [401, null],
    workspaceOfRuntime: true,
    workspace: `${name}-space`,
    duplicateWorkspace: expect.objectContaining({ status: 409 }),
    endpointDeleted: 'SUCCESS',
    deleted: true,
    deletedStatus: 200,
    gone: true,
  });
});

describe('agentrun-cli, in a shell that evaluated the variables', () => {
  const EVALUATED = 'eval "$("$1" "$2" env --data "$3" 2>/dev/null)" && shift 3 && exec ar "$@"';

  async function ar(tools: OfficialClients, ...args: string[]) {
    const words = ['/bin/sh', '-c', EVALUATED, 'sh', process.execPath, RUNSTEAD, server.data, ...args];
    const { code, stdout, stderr } = await tools.run(words, {});
    return { code, out: stdout === '' ? undefined : JSON.parse(stdout), err: stderr };
  }

  test('lists runtimes and shows one', async (context) => {
    const tools = clientsOrSkip(context, clients);
    const { agentRuntimeId: id, agentRuntimeName: name } = shared;
    const shown = expect.objectContaining({ name, id, status: expect.stringMatching(/^(READY|UPDATING)$/) });
    expect(await ar(tools, 'runtime', 'list')).toEqual({
      code: 0,
      out: expect.arrayContaining([shown]),
      err: '',
    });
    expect(await ar(tools, 'runtime', 'get', name)).toEqual({ code: 0, out: shown, err: '' });
    expect(await ar(tools, 'runtime', 'status', name)).toEqual({ code: 0, out: shown, err: '' });
  });

  test('deletes a runtime, endpoints and all', async (context) => {
    const tools = clientsOrSkip(context, clients);
    const { agentRuntimeId, agentRuntimeName } = await deploy(server.client(), {
      folder: fixture('chat-node'),
      command: ['node', 'server.mjs'],
    });
    expect(await ar(tools, 'runtime', 'delete', agentRuntimeName, '--yes')).toMatchObject({
      code: 0,
      out: { action: 'delete', runtime: { id: agentRuntimeId } },
    });
    await expect(server.client().get(agentRuntimeId)).rejects.toThrow(/does not exist/);
  });

  test('ends with its own exit codes', async (context) => {
    const tools = clientsOrSkip(context, clients);
    expect(await ar(tools, 'runtime', 'get', 'none-of-that-name')).toMatchObject({
      code: 1,
      err: expect.stringContaining('"ResourceNotFound"'),
    });
    const impostor = { ...variables, AGENTRUN_ACCESS_KEY_SECRET: 'another' };
    expect(await tools.run(['ar', 'runtime', 'list'], impostor)).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('"AuthenticationFailed"'),
    });
  });

  test('is told that this server runs no container images', async (context) => {
    const tools = clientsOrSkip(context, clients);
    const name = uniqueName('image');
    const folder = mkdtempSync(join(tmpdir(), 'runstead-yaml-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const file = join(folder, 'agentruntime.yaml');
    writeFileSync(file, yamlOf(name));
    expect(await ar(tools, 'runtime', 'apply', '-f', file, '--timeout', '60s')).toMatchObject({
      code: 5,
      err: expect.stringMatching(/"RuntimePollFailed".*CREATE_FAILED: .*no container engine/),
    });
    expect(await ar(tools, 'runtime', 'list', '--created-by-cli')).toMatchObject({
      code: 0,
      out: [{ name, status: 'CREATE_FAILED' }],
    });
    expect(await ar(tools, 'runtime', 'delete', name, '--yes')).toMatchObject({ code: 0 });
  });
});

function yamlOf(name: string): string {
  return `apiVersion: agentrun/v1
kind: AgentRuntime
metadata: {name: ${name}, description: made by ar}
spec:
  container: {image: "registry.example.com/none:1"}
  cpu: 1
  memory: 512
`;
}

/** The agent as an archive. */
function packageFile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'runstead-package-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const names = readdirSync(fixture('chat-node'));
  const files = names.map((name) => [name, readFileSync(join(fixture('chat-node'), name))] as const);
  const file = join(folder, 'agent.zip');
  writeFileSync(file, storedZip(Object.fromEntries(files)));
  return file;
}
