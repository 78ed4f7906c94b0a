import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type AgentRuntime,
  fillPath,
  invocationPath,
  type OperationName,
  operationPaths,
} from '@runstead/contract';
import yazl from 'yazl';
import { composeControl } from '../../src/compose.ts';
import { type ConfigInput, loadConfig } from '../../src/config.ts';
import type { Images } from '../../src/drivers/images.ts';
import { createFeedPair } from '../../src/feed/port.ts';
import { startGateway } from '../../src/gateway/start-gateway.ts';
import { createLog } from '../../src/observe/log.ts';
import { FakeDriver } from '../fake-driver.ts';
import { waitFor } from '../wait-for.ts';

export interface TestServer {
  dataDir: string;
  driver: FakeDriver;
  /** Of the gateway. */
  url(): string;
  call(operation: OperationName, ids?: Record<string, string>, body?: unknown): Promise<Answer>;
  /** A call to an agent. */
  invoke(
    name: string,
    path?: string,
    options?: { endpoint?: string; signal?: AbortSignal; headers?: Record<string, string> },
  ): Promise<Response>;
  create(name: string, more?: object): Promise<string>;
  /** As `create`, with nothing of a package. */
  send(name: string, codeConfiguration: object): Promise<Answer>;
  /** Waits until the runtime is decided. */
  decided(id: string): Promise<AgentRuntime>;
  /** Asks the API for anything below it. */
  api(path: string, method?: string, body?: unknown): Promise<Answer>;
  /** The gateway is lost and another takes its place. */
  replaceGateway(): Promise<void>;
  /** Ends the server and starts it again; instances run on unless they are to end. */
  restart(options?: { instancesEnd?: boolean; settings?: ConfigInput }): Promise<void>;
}

export interface Answer {
  status: number;
  code: string;
  message?: string;
  // The tests read fields of many models.
  // biome-ignore lint/suspicious/noExplicitAny: checked by what is asserted of it
  data: any;
}

/** A whole server in this process: real store, real gateway, real sockets, and instances of the fake driver. */
export async function withServer(
  settings: ConfigInput,
  test: (server: TestServer) => Promise<void>,
  parts: { images?: Images } = {},
): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), 'runstead-reconcile-'));
  const driver = new FakeDriver();
  const configOf = (more: ConfigInput) =>
    loadConfig({ dataDir, host: '127.0.0.1', port: 0, logLevel: 'silent', ...settings, ...more }, {});
  let config = configOf({});
  const log = createLog('silent', 'control');
  const zip = await zipOf({ 'index.js': '// the fake driver starts nothing' });
  let url = '';
  let control: Awaited<ReturnType<typeof composeControl>>;
  let gateway: Awaited<ReturnType<typeof startGateway>>;

  const startControl = async () => {
    control = await composeControl({ config, driver, log, publicUrl: () => url, ...parts });
    await control.api.listen({ path: join(dataDir, 'run', 'control.sock') });
  };
  const connectGateway = async () => {
    const feed = createFeedPair();
    gateway = await startGateway({
      feed: feed.gateway,
      settings: config,
      controlSocket: join(dataDir, 'run', 'control.sock'),
      log,
    });
    url = `http://127.0.0.1:${gateway.port}`;
    await control.attach(feed.control);
  };

  const request = async (method: string, path: string, body?: unknown): Promise<Answer> => {
    const response = await fetch(url + path, {
      method,
      headers: {
        authorization: `Bearer ${control.apiKey}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    return { status: response.status, ...((await response.json()) as Omit<Answer, 'status'>) };
  };
  const server: TestServer = {
    dataDir,
    driver,
    url: () => url,
    api: (path, method = 'GET', body) => request(method, path, body),
    call: (operation, ids = {}, body) => {
      const { method, path } = operationPaths[operation];
      return request(method, fillPath(path, ids as never), body);
    },
    invoke: (name, path = '/', { endpoint = 'Default', ...options } = {}) =>
      fetch(`${url}${invocationPath(name, endpoint)}${path}`, options),
    async create(name, more = {}) {
      const { status, data, message } = await server.call(
        'CreateAgentRuntime',
        {},
        {
          agentRuntimeName: name,
          artifactType: 'Code',
          codeConfiguration: { zipFile: zip.toString('base64'), language: 'nodejs20' },
          cpu: 1,
          memory: 512,
          port: 9000,
          ...more,
        },
      );
      if (status !== 200) throw new Error(message);
      return data.agentRuntimeId;
    },
    send: (agentRuntimeName, codeConfiguration) =>
      server.call(
        'CreateAgentRuntime',
        {},
        { agentRuntimeName, artifactType: 'Code', codeConfiguration, cpu: 1, memory: 512, port: 9000 },
      ),
    decided: (agentRuntimeId) =>
      waitFor(`runtime ${agentRuntimeId} to be decided`, async () => {
        const { data } = await server.call('GetAgentRuntime', { agentRuntimeId });
        return data && !/ING$/.test(data.status) && data;
      }),
    async replaceGateway() {
      await gateway.close();
      await connectGateway();
    },
    async restart({ instancesEnd = false, settings: changed = {} } = {}) {
      await gateway.close();
      if (!instancesEnd) driver.leaveBehind();
      await control.close({ stopInstances: instancesEnd });
      config = configOf(changed);
      await startControl();
      await connectGateway();
    },
  };

  try {
    await startControl();
    await connectGateway();
    await test(server);
  } finally {
    await gateway!.close();
    await control!.close({ stopInstances: true });
    await driver.endAll();
    await rm(dataDir, { recursive: true, force: true });
  }
}

export async function zipOf(files: Record<string, string>): Promise<Buffer> {
  const zip = new yazl.ZipFile();
  for (const [name, text] of Object.entries(files)) zip.addBuffer(Buffer.from(text), name);
  zip.end();
  const pieces: Buffer[] = [];
  for await (const piece of zip.outputStream) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}
