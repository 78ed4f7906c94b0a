import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import {
  type AgentRuntime,
  type AgentRuntimeEndpoint,
  fillPath,
  type OperationName,
  operationPaths,
  operations,
  type ResourceStatus,
} from '@runstead/contract';
import type { FastifyInstance } from 'fastify';
import pino from 'pino';
import { expect } from 'vitest';
import { ZipFile } from 'yazl';
import { createApi } from '../../src/api/app.ts';
import type { ApiDeps } from '../../src/api/deps.ts';
import { createWalks } from '../../src/api/walks.ts';
import { type DataFolders, openDataFolders } from '../../src/artifacts/folders.ts';
import { createPackageIntake } from '../../src/artifacts/intake.ts';
import { createPackageThread } from '../../src/artifacts/package-thread.ts';
import { hashKey, KeyRing } from '../../src/auth/key-ring.ts';
import type { Key } from '../../src/auth/keys.ts';
import { Nonces } from '../../src/auth/nonces.ts';
import type { RuntimeSpec } from '../../src/domain/runtime.ts';
import type { Driver } from '../../src/drivers/driver.ts';
import { createAgentLogs } from '../../src/logs/agent-logs.ts';
import { METRICS_TYPE } from '../../src/observe/metrics-text.ts';
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import type { EndpointSpec, RuntimeRecord, Store } from '../../src/store/store.ts';
import { testBox } from '../secret-box.ts';

export const API_KEY = 'rsk_of-the-tests';
/** Of all workspaces, in both its forms. */
export const TEST_KEY: Key = {
  kind: 'platform',
  id: 'tests',
  sha256: hashKey(API_KEY),
  accessKeyId: 'testak',
  accessKeySecret: 'testsk',
  role: 'admin',
  workspaces: 'all',
};
export const IDENTITY = { accountId: '0000000000000000', region: 'cn-hangzhou' };
export const PUBLIC_URL = 'http://agents.test:7700';
export const ABSENT = '01234567-89ab-4cde-8f01-23456789abcd';
/** Milliseconds and a zone: some clients read no other form. */
export const TIMESTAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/** An answer, taken apart; `data` for a success, `code` and `message` for an error. */
export interface Answer<T = Record<string, unknown>> {
  status: number;
  headers: Record<string, string | undefined>;
  text: string;
  code: string;
  message: string;
  requestId: string;
  data: T;
}

export interface Page<T> {
  items: T[];
  total: number;
  pageNumber: number;
  pageSize: number;
}

export interface Ask {
  /** Of the runtime or workspace that the path names first. */
  id?: string;
  endpointId?: string;
  query?: Record<string, string>;
  body?: unknown;
  headers?: Record<string, string | undefined>;
}

/** The API on a real store and real intake; nothing behind it acts on what is written. */
export interface TestApi {
  app: FastifyInstance;
  store: Store;
  folders: DataFolders;
  /** What the parts behind the API were told, in order. */
  told: { runtimes: string[]; endpoints: string[]; settled: (string | undefined)[] };
  /** Every line that was logged. */
  logged: Record<string, unknown>[];
  /** Calls an operation by its name in the contract. */
  call<T = Record<string, unknown>>(operation: OperationName, ask?: Ask): Promise<Answer<T>>;
  /** Sends any request, with the key unless `headers` say otherwise. */
  send<T = Record<string, unknown>>(request: {
    method: string;
    url: string;
    headers?: Record<string, string | undefined>;
    body?: string;
  }): Promise<Answer<T>>;
  /** Where the API listens, from the first time it is asked for. */
  socket(): Promise<string>;
  /** Files that lie where bodies and packages come in. */
  incoming(): Promise<string[]>;
  close(): Promise<void>;
}

export async function openTestApi(
  options: { deps?: Partial<ApiDeps>; store?: (real: Store) => Store } = {},
): Promise<TestApi> {
  const folder = await mkdtemp(join(tmpdir(), 'runstead-api-'));
  const folders = openDataFolders(folder);
  const real = openSqliteStore(folders.database, testBox);
  const store = options.store?.(real) ?? real;
  const thread = createPackageThread();
  const told: TestApi['told'] = { runtimes: [], endpoints: [], settled: [] };
  const logged: Record<string, unknown>[] = [];
  const ring = new KeyRing();
  const readKeys = async () => ring.replace([TEST_KEY, ...(await real.keys())]);
  await readKeys();
  const app = createApi({
    store,
    walks: createWalks(() => performance.now()),
    intake: createPackageIntake(folders, thread),
    folders,
    identity: IDENTITY,
    log: pino({ level: 'trace' }, { write: (line: string) => void logged.push(JSON.parse(line)) }),
    bodyLimitBytes: 16 * 1024 * 1024,
    freeSpaceReserveBytes: 0,
    maxInstancesPerRuntime: 10,
    redactLists: false,
    authentication: { keys: ring, nonces: await Nonces.open(real, Date.now()), now: Date.now },
    givenKeys: ['tests'],
    keysChanged: readKeys,
    publicUrl: () => PUBLIC_URL,
    runtimeChanged: (id) => told.runtimes.push(id),
    endpointsChanged: (id) => told.endpoints.push(id),
    routesSettled: async (id) => void told.settled.push(id),
    progress: () => undefined,
    scalingStatus: () => ({ currentInstances: 0, minInstances: 0, targetInstances: 0 }),
    instances: () => [],
    containment: () => ({
      sandbox: { kind: 'off', reason: 'it was switched off' },
      limits: undefined,
    }),
    namedKeyWarning: () => undefined,
    usageOf: async () => new Map(),
    logs: createAgentLogs({ driver: {} as Driver, versionsOf: async () => new Map(), now: Date.now }),
    metrics: async () => 'runstead_gateway_up 1\n',
    sessions: { openCallsOf: () => 0, end: async () => {} },
    ...options.deps,
  });
  let listening: Promise<string> | undefined;

  const send: TestApi['send'] = async <T>({
    method,
    url,
    headers = {},
    body,
  }: Parameters<TestApi['send']>[0]) => {
    const response = await app.inject({
      method: method as 'GET',
      url,
      headers: present({ authorization: `Bearer ${API_KEY}`, ...headers }),
      ...(body !== undefined && { payload: body }),
    });
    return toAnswer<T>(
      response.statusCode,
      response.headers as Answer['headers'],
      response.body,
      method === 'HEAD',
    );
  };

  return {
    app,
    store: real,
    folders,
    told,
    logged,
    send,

    async call<T>(
      operation: OperationName,
      { id = '', endpointId = '', query, body, headers }: Ask = {},
    ): Promise<Answer<T>> {
      const { method, path } = operationPaths[operation];
      const filled = fillPath(path, {
        agentRuntimeId: id,
        workspaceId: id,
        agentRuntimeEndpointId: endpointId,
      });
      const answer = await send<T>({
        method,
        url: query ? `${filled}?${new URLSearchParams(query)}` : filled,
        headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
        ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
      // What is answered is what the model says, without a field more.
      if (answer.status === 200) expect(answer.data).toEqual(operations[operation].data.parse(answer.data));
      return answer;
    },

    socket() {
      const path = join(folder, 'api.sock');
      listening ??= app.listen({ path }).then(() => path);
      return listening;
    },

    incoming: () => readdir(folders.incoming),

    async close() {
      await app.close();
      await thread.close();
      await real.close();
      await rm(folder, { recursive: true });
    },
  };
}

/** Takes an answer apart, checking what holds for every one of them. */
function toAnswer<T>(
  status: number,
  headers: Answer['headers'],
  text: string,
  withoutBody: boolean,
): Answer<T> {
  const requestId = headers['x-acs-request-id'];
  expect(requestId).toMatch(/\S/);
  const bare = { status, headers, text, code: '', message: '', requestId: requestId!, data: undefined as T };
  // The one answer that is for no client of ours; its errors are as all others.
  if (status === 200 && headers['content-type'] === METRICS_TYPE) return bare;
  expect(headers['content-type']).toBe('application/json; charset=utf-8');
  if (withoutBody) {
    expect(text).toBe('');
    return bare;
  }
  const body = JSON.parse(text) as { code: string; message?: string; requestId: string; data: T };
  expect(body.requestId).toBe(requestId);
  if (status === 200) expect(body).toEqual({ code: 'SUCCESS', requestId, data: body.data });
  else expect(body).toEqual({ code: body.code, message: expect.any(String), requestId });
  return { status, headers, text, message: '', ...body };
}

function present(headers: Record<string, string | undefined>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).flatMap(([k, v]) => (v === undefined ? [] : [[k, v]])));
}

/** Sends bytes over the socket as they are and reads until the API closes the connection. */
export async function exchangeBytes(socketPath: string, ...pieces: string[]): Promise<string> {
  const socket = connect(socketPath);
  const all = buffer(socket);
  for (const piece of pieces) socket.write(piece);
  return (await all).toString('utf8');
}

/** Sends bytes and reads one answer, whether or not the API waits for more of the request. */
export async function sendBytes(socketPath: string, ...pieces: string[]): Promise<Answer> {
  const socket = connect(socketPath);
  for (const piece of pieces) socket.write(piece);
  let text = '';
  for await (const chunk of socket) {
    text += String(chunk);
    const [head, body] = text.split(/\r\n\r\n(.*)/s);
    const length = /content-length: (\d+)/i.exec(head!)?.[1];
    if (length !== undefined && body !== undefined && Buffer.byteLength(body) >= Number(length)) break;
  }
  const [head = '', body = ''] = text.split(/\r\n\r\n(.*)/s);
  const [line = '', ...fields] = head.split('\r\n');
  const headers = Object.fromEntries(
    fields.map((field) => [
      field.split(':', 1)[0]!.toLowerCase(),
      field.slice(field.indexOf(':') + 1).trim(),
    ]),
  );
  return toAnswer(Number(line.split(' ')[1]), headers, body, false);
}

/** The head of a request for `sendBytes`, with the key. */
export function head(method: string, path: string, fields: Record<string, string | number>): string {
  const all = {
    host: 'api',
    authorization: `Bearer ${API_KEY}`,
    'content-type': 'application/json',
    ...fields,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`);
  return `${[`${method} ${path} HTTP/1.1`, ...lines].join('\r\n')}\r\n\r\n`;
}

/** Waits for a condition, looking every few milliseconds. */
export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const endMs = performance.now() + 5000;
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(`Never came: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** A ZIP archive in base64, as `codeConfiguration.zipFile` has it. */
export async function zip(files: Record<string, string> = { 'index.mjs': '' }): Promise<string> {
  const archive = new ZipFile();
  for (const [name, text] of Object.entries(files)) archive.addBuffer(Buffer.from(text), name);
  archive.end();
  return (await buffer(archive.outputStream)).toString('base64');
}

let names = 0;
/** A runtime name that no other test uses. */
export function freshName(): string {
  names += 1;
  return `agent-${names}`;
}

/** The least that a runtime without a package is created with. */
export function containerRuntime(fields: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    agentRuntimeName: freshName(),
    artifactType: 'Container',
    containerConfiguration: { image: 'registry.test/agent:1' },
    cpu: 1,
    memory: 2048,
    port: 9000,
    ...fields,
  };
}

/** The least that a runtime with a package is created with. */
export async function codeRuntime(
  fields: Record<string, unknown> = {},
  code: Record<string, unknown> = {},
): Promise<Record<string, unknown>> {
  return {
    agentRuntimeName: freshName(),
    artifactType: 'Code',
    codeConfiguration: { zipFile: await zip(), ...code },
    cpu: 1,
    memory: 2048,
    port: 9000,
    ...fields,
  };
}

/** Puts a workspace into the store; its id. */
export async function workspaceIn({ store }: Pick<TestApi, 'store'>, name = freshName()): Promise<string> {
  return (await store.createWorkspace({ id: randomUUID(), name, at: new Date().toISOString() })).id;
}

/** Where a runtime can be: its status, and whether a version of it was ever healthy. */
export type Stage = ResourceStatus | 'UPDATING without a version' | 'UPDATE_FAILED without a version';

export const STAGES: readonly Stage[] = [
  'CREATING',
  'CREATE_FAILED',
  'READY',
  'UPDATING',
  'UPDATING without a version',
  'UPDATE_FAILED',
  'UPDATE_FAILED without a version',
  'DELETING',
  'DELETE_FAILED',
];

export const statusOf = (stage: Stage): ResourceStatus => stage.split(' ', 1)[0] as ResourceStatus;

const SPEC: RuntimeSpec = {
  artifactType: 'Container',
  containerConfiguration: { image: 'registry.test/agent:1' },
  cpu: 1,
  memory: 2048,
  port: 9000,
  networkConfiguration: { networkMode: 'PUBLIC' },
  sessionConcurrencyLimitPerInstance: 1,
  sessionIdleTimeoutSeconds: 3600,
};

/** Puts a runtime into the store at a stage, as the parts behind the API would have brought it there. */
export async function runtimeAt(
  { store }: Pick<TestApi, 'store'>,
  stage: Stage,
  {
    versions = 1,
    spec = {},
    workspaceId,
  }: { versions?: number; spec?: Partial<RuntimeSpec>; workspaceId?: string } = {},
): Promise<RuntimeRecord> {
  const at = () => new Date().toISOString();
  const { id } = await store.createRuntime({
    id: randomUUID(),
    name: freshName(),
    workspaceId,
    spec: { ...SPEC, ...spec },
    at: at(),
  });
  const current = async () => (await store.getRuntime(id))!;
  const settle = async (status: ResourceStatus) => {
    const { revision } = await current();
    const outcome =
      status === 'READY'
        ? { status, newVersion: true, at: at() }
        : {
            status: status as 'CREATE_FAILED',
            statusReason: 'start: the agent exited with code 3',
            at: at(),
          };
    expect(await store.settleRuntime(id, revision, outcome)).toBe(true);
  };
  const update = async (change: Partial<RuntimeSpec>) => {
    const { name, revision, spec: before } = await current();
    const changed = { ...before, ...change };
    await store.updateRuntime(id, {
      name,
      spec: changed,
      expectedRevision: revision,
      forceEvict: false,
      at: at(),
    });
  };

  if (stage === 'CREATING') return current();
  if (stage === 'CREATE_FAILED' || stage.endsWith('without a version')) {
    await settle('CREATE_FAILED');
    if (stage === 'CREATE_FAILED') return current();
    await update({ cpu: 2 });
    if (stage.startsWith('UPDATE_FAILED')) await settle('UPDATE_FAILED');
    return current();
  }
  await settle('READY');
  for (let version = 2; version <= versions; version++) {
    await update({ cpu: version });
    await settle('READY');
  }
  if (stage === 'UPDATING' || stage === 'UPDATE_FAILED') {
    await update({ cpu: 15 });
    if (stage === 'UPDATE_FAILED') await settle('UPDATE_FAILED');
  }
  if (stage === 'DELETING' || stage === 'DELETE_FAILED') {
    await store.markRuntimeDeleting(id, at());
    if (stage === 'DELETE_FAILED') await settle('DELETE_FAILED');
  }
  return current();
}

/** Puts an endpoint into the store and settles it. */
export async function endpointAt(
  { store }: Pick<TestApi, 'store'>,
  runtimeId: string,
  name: string,
  spec: EndpointSpec = { targetVersion: 'LATEST' },
): Promise<string> {
  const { id, revision } = await store.createEndpoint({
    id: randomUUID(),
    runtimeId,
    name,
    spec,
    at: new Date().toISOString(),
  });
  await store.settleEndpoint(id, revision, { status: 'READY' });
  return id;
}

export type Runtime = AgentRuntime;
export type Endpoint = AgentRuntimeEndpoint;
