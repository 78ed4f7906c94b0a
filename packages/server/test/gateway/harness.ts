import { createHash, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import {
  type Agent,
  createServer,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type RequestListener,
  type Server,
  request as sendRequest,
} from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { afterEach, expect } from 'vitest';
import { PRIVATE_NETWORKS } from '../../src/domain/private-access.ts';
import type {
  InstanceRoute,
  KeyRoute,
  RuntimeRoute,
  SessionRoute,
  UpMessage,
} from '../../src/feed/messages.ts';
import { type ControlEnd, createFeedPair, type GatewayEnd } from '../../src/feed/port.ts';
import type { GatewaySettings } from '../../src/gateway/settings.ts';
import { type GatewayOptions, type RunningGateway, startGateway } from '../../src/gateway/start-gateway.ts';
import type { Log } from '../../src/observe/log.ts';

/** What a test opened, closed last first when it ends. */
const opened: (() => unknown)[] = [];

export function closeAtEnd(close: () => unknown): void {
  opened.push(close);
}

afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
  expect(faults.splice(0), 'internal faults of the gateway').toEqual([]);
});

/** Whatever the gateway logs as an error: an answer may look right although something went wrong behind it. */
const faults: string[] = [];

export function faultLog(): Log {
  return pino({ level: 'error' }, { write: (line) => faults.push(line) });
}

/** Waits for a condition, looking every few milliseconds. */
export async function until<T>(condition: () => T, what: string, withinMs = 8000): Promise<NonNullable<T>> {
  const endMs = performance.now() + withinMs;
  for (;;) {
    const value = condition();
    if (value) return value as NonNullable<T>;
    if (performance.now() > endMs) throw new Error(`Never came: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** A gateway's settings where a test says nothing of them. */
export const SETTINGS: GatewaySettings = {
  host: '127.0.0.1',
  port: 0,
  publicUrl: undefined,
  allowHosts: [],
  allowOrigins: [],
  anonymousCalls: true,
  queueLength: 100,
  queueBytes: 16 * 1024 * 1024,
  queueBytesTotal: 64 * 1024 * 1024,
  queueTimeoutMs: 10_000,
  rateLimitRuntime: undefined,
  rateLimitKey: undefined,
  tlsNames: [],
  domains: [],
  privateHosts: undefined,
  privateNetworks: PRIVATE_NETWORKS,
  trustProxy: [],
  traceSampled: true,
  agentHosts: [],
  accessLog: 'off',
  accessLogShare: 1,
  accessLogFile: undefined,
  bodyLimitBytes: 128 * 1024 * 1024,
  gatewayWaitMs: 60_000,
};

export interface TestGateway {
  running: RunningGateway;
  port: number;
  control: ControlEnd;
  /** All that came up the feed so far. */
  said: UpMessage[];
  of<T extends UpMessage['type']>(type: T): Extract<UpMessage, { type: T }>[];
  /** Another control process in place of the one there was: `control` and `said` are its own from then on. */
  nextControl(): void;
  /** Sends a snapshot and waits until it is in force. */
  snapshot(runtimes: RuntimeRoute[], keys?: KeyRoute[], sessions?: SessionsKnown): Promise<void>;
  /** Sends one runtime's routes and waits until they are in force. */
  routes(runtime: RuntimeRoute | { runtimeId: string; gone: true }): Promise<void>;
}

export interface TestGatewayOptions {
  settings?: Partial<GatewaySettings>;
  controlSocket?: string;
  random?: () => number;
  tlsTimes?: GatewayOptions['tlsTimes'];
  times?: GatewayOptions['times'];
  mostConnections?: number;
  runtimes?: RuntimeRoute[];
  keys?: KeyRoute[];
  known?: SessionsKnown;
}

/** Of an earlier gateway. */
export interface SessionsKnown {
  sessions?: SessionRoute[];
  sessionSecret?: string;
}

export async function startTestGateway(options: TestGatewayOptions = {}): Promise<TestGateway> {
  let said: UpMessage[] = [];
  let come: (feed: GatewayEnd) => void = () => {};
  const connect = () => {
    const { control, gateway } = createFeedPair();
    said = [];
    const own = said;
    control.onMessage((message) => own.push(message));
    return { control, gateway };
  };
  const first = connect();
  const running = await startGateway({
    feed: first.gateway,
    nextFeeds: (take) => {
      come = take;
    },
    controlSocket: options.controlSocket ?? join(tmpdir(), `nobody-${randomUUID()}.sock`),
    log: faultLog(),
    ...(options.random ? { random: options.random } : {}),
    ...(options.tlsTimes ? { tlsTimes: options.tlsTimes } : {}),
    ...(options.times ? { times: options.times } : {}),
    ...(options.mostConnections ? { mostConnections: options.mostConnections } : {}),
    settings: { ...SETTINGS, ...options.settings },
  });
  closeAtEnd(() => running.close());
  let sequence = 0;
  const inForce = (wanted: number) =>
    until(
      () => said.some((message) => message.type === 'installed' && message.sequence === wanted),
      `installed ${wanted}`,
    );
  const test: TestGateway = {
    running,
    port: running.port,
    control: first.control,
    get said() {
      return said;
    },
    nextControl: () => {
      const next = connect();
      test.control = next.control;
      come(next.gateway);
    },
    of: (type) => said.filter((message) => message.type === type) as never,
    snapshot: async (runtimes, keys = [], known = {}) => {
      sequence++;
      test.control.send({ type: 'snapshot', sequence, runtimes, keys, ...known });
      await inForce(sequence);
    },
    routes: async (runtime) => {
      sequence++;
      const gone = 'gone' in runtime;
      test.control.send({
        type: 'routes',
        sequence,
        runtimeId: runtime.runtimeId,
        runtime: gone ? null : runtime,
      });
      await inForce(sequence);
    },
  };
  await test.snapshot(options.runtimes ?? [], options.keys, options.known);
  return test;
}

export interface TestAgent {
  port: number;
  server: Server;
  /** Connections accepted so far. */
  accepted: Socket[];
  close(): Promise<void>;
}

/** A real HTTP server that plays an agent (or, on a path, the control process). */
export async function startAgent(
  handle: RequestListener,
  options: { at?: string; setUp?: (server: Server) => void } = {},
): Promise<TestAgent> {
  const server = createServer({ keepAliveTimeout: 60_000 }, handle);
  const accepted: Socket[] = [];
  server.on('connection', (socket) => accepted.push(socket));
  options.setUp?.(server);
  await new Promise<void>((resolve) => {
    if (options.at) server.listen(options.at, resolve);
    else server.listen(0, '127.0.0.1', resolve);
  });
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
      for (const socket of accepted) socket.destroy();
    });
  closeAtEnd(close);
  return { port: options.at ? 0 : (server.address() as AddressInfo).port, server, accepted, close };
}

/** A control process on a unix socket; the path is what `startTestGateway` wants. */
export async function startControl(handle: RequestListener): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'gateway-test-'));
  closeAtEnd(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, 'control.sock');
  await startAgent(handle, { at: path });
  return path;
}

export interface VersionShape {
  version?: number;
  slots?: number;
  instances?: (TestAgent | InstanceRoute)[];
  failure?: string;
  isolated?: true;
  atCap?: true;
  sessionIdleSeconds?: number;
}

/** A runtime `echo` with an endpoint `Default`, by default all on version 1. */
export function runtime(
  shape: Partial<RuntimeRoute> & { serves?: VersionShape[]; shares?: Record<number, number> } = {},
): RuntimeRoute {
  const { serves = [{}], shares, ...rest } = shape;
  const versions = serves.map(({ version = 1, slots = 1, instances = [], failure, ...more }) => ({
    ...more,
    version,
    slotsPerInstance: slots,
    instances: instances.map((instance) => ('id' in instance ? instance : instanceOf(instance))),
    ...(failure === undefined ? {} : { failure }),
  }));
  const weights = shares ?? (versions[0] ? { [versions[0].version]: 1 } : {});
  return {
    runtimeId: 'runtime-1',
    name: 'echo',
    state: 'serving',
    endpoints: [
      {
        name: 'Default',
        weights: Object.entries(weights).map(([version, share]) => ({ version: Number(version), share })),
        disablePublicNetworkAccess: false,
      },
    ],
    versions,
    ...rest,
  };
}

export function instanceOf(agent: { port: number }, state: InstanceRoute['state'] = 'ready'): InstanceRoute {
  return { id: `instance-${agent.port}`, host: '127.0.0.1', port: agent.port, state };
}

export function keyRoute(key: string): KeyRoute {
  return {
    kind: 'platform',
    id: 'key-1',
    sha256: createHash('sha256').update(key).digest('hex'),
    accessKeyId: 'testak',
    accessKeySecret: 'testsk',
    role: 'invoke',
    workspaces: 'all',
  };
}

export const INVOKE = '/agent-runtimes/echo/endpoints/Default/invocations';

export interface Reply {
  status: number;
  headers: IncomingMessage['headers'];
  rawHeaders: string[];
  body: string;
  // biome-ignore lint/suspicious/noExplicitAny: any JSON value, looked at by matchers only
  json(): any;
}

export interface CallOptions {
  method?: string;
  headers?: OutgoingHttpHeaders;
  body?: string | Buffer;
  agent?: Agent;
}

/** One whole call on a connection of its own. Rejects if the answer breaks off. */
export function call(port: number, path: string, options: CallOptions = {}): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const request = sendRequest({
      host: '127.0.0.1',
      port,
      path,
      method: options.method ?? (options.body === undefined ? 'GET' : 'POST'),
      headers: options.headers,
      agent: options.agent ?? false,
    });
    request.on('error', reject);
    request.on('response', (answer) => {
      readAll(answer).then(
        (body) =>
          resolve({
            status: answer.statusCode ?? 0,
            headers: answer.headers,
            rawHeaders: answer.rawHeaders,
            body,
            json: () => JSON.parse(body),
          }),
        reject,
      );
    });
    request.end(options.body);
  });
}

export async function readAll(stream: AsyncIterable<Buffer | string>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString();
}

/** A call under way: the request to write to, and its answer's head when it comes. */
export function openCall(port: number, path: string, options: CallOptions = {}) {
  const request = sendRequest({
    host: '127.0.0.1',
    port,
    path,
    method: options.method ?? 'POST',
    headers: options.headers,
    agent: false,
  });
  request.on('error', () => {});
  const answer = new Promise<IncomingMessage>((resolve, reject) => {
    request.on('response', resolve);
    request.on('error', reject);
  });
  answer.catch(() => {});
  closeAtEnd(() => request.destroy());
  return { request, answer };
}

/** A bare connection, for what no client library would send. */
export async function rawConnection(port: number) {
  const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
  closeAtEnd(() => socket.destroy());
  const state = { text: '', ended: false, closed: false };
  socket.on('data', (chunk) => {
    state.text += chunk.toString('latin1');
  });
  socket.on('end', () => {
    state.ended = true;
  });
  socket.on('close', () => {
    state.closed = true;
  });
  socket.on('error', () => {});
  await new Promise<void>((resolve) => socket.once('connect', resolve));
  return { socket, state };
}
