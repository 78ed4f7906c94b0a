import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { AgentRuntimeClient } from '@runstead/client';
import { onTestFinished } from 'vitest';
import { childrenOf, commandOf, dataMark, isAlive, processesWith, variableOf } from './processes.ts';
import { sandboxOffIfMissing } from './requirements.ts';
import { waitFor } from './wait-for.ts';

const require = createRequire(import.meta.url);
export const RUNSTEAD = join(dirname(require.resolve('runstead/package.json')), 'bin', 'runstead.js');

export interface ServerOptions {
  /** Settings, as `RUNSTEAD_*` variables. */
  env?: Record<string, string>;
  /** More words after `runstead serve`. */
  args?: string[];
  /** Default: one that does not exist yet, in a temporary folder that goes with the server. */
  data?: string;
  /** Default: a free one. */
  port?: number;
  /** Of the shell that starts it, in octal. */
  umask?: string;
  /** How many files, sockets among them, each of its processes may have open. */
  openFiles?: number;
}

export interface Ending {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** One entry of `/runstead/v1/instances`. */
export interface InstanceInfo {
  instanceId: string;
  agentRuntimeId: string;
  agentRuntimeVersion?: string;
  state: string;
  pid: number;
  port: number;
  memoryBytes?: number;
  cpuSeconds?: number;
}

/** One entry of a runtime's history. */
export interface RuntimeEvent {
  kind: string;
  phase: string;
  outcome: string;
  instanceId?: string;
  exitCode?: number;
  reason?: string;
  revision: number;
  output?: string[];
}

/** How long a server may take to come up or to go, on a machine that is busy with other suites. */
const START_WITHIN_MS = 30_000;
const STOP_WITHIN_MS = 40_000;

/** `runstead serve` as its users start it. What it leaves behind fails the test: see `dispose`. */
export class Server {
  readonly data: string;
  readonly #options: ServerOptions;
  readonly #temporary: string | undefined;
  #child!: ChildProcess;
  #ended!: Promise<Ending>;
  #stdout = '';
  #stderr = '';
  #url = '';
  #apiKey = '';

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#temporary = options.data === undefined ? mkdtempSync(join(tmpdir(), 'runstead-e2e-')) : undefined;
    this.data = options.data ?? join(this.#temporary!, 'data');
  }

  get url(): string {
    return this.#url;
  }
  get port(): number {
    return Number(new URL(this.#url).port);
  }
  get apiKey(): string {
    return this.#apiKey;
  }
  get stdout(): string {
    return this.#stdout;
  }
  get stderr(): string {
    return this.#stderr;
  }
  /** The control process: the one that was started. */
  get pid(): number {
    return this.#child.pid!;
  }
  /** How the control process ended, once it has. */
  get ended(): Promise<Ending> {
    return this.#ended;
  }

  /** The gateway process as it is now, or is on its way; undefined while there is none. */
  gatewayPid(): number | undefined {
    return childrenOf(this.pid).find((pid) => commandOf(pid).includes('gateway')) ?? this.#keptGateway();
  }

  /** One that outlived the control process which started it. */
  #keptGateway(): number | undefined {
    const file = join(this.data, 'run', 'gateway.json');
    if (!existsSync(file)) return undefined;
    const { pid } = JSON.parse(readFileSync(file, 'utf8')) as { pid: number };
    return isAlive(pid) && commandOf(pid).includes('gateway') ? pid : undefined;
  }

  client(): AgentRuntimeClient {
    return new AgentRuntimeClient({
      controlEndpoint: this.#url,
      dataEndpoint: this.#url,
      // A test sees each answer as it is.
      maxRetries: 0,
      apiKey: this.#apiKey,
      timeout: 60_000,
    });
  }

  /** Where calls to a runtime go, without a slash at the end. */
  invocationUrl(runtimeName: string, endpointName = 'Default'): string {
    return `${this.#url}/agent-runtimes/${runtimeName}/endpoints/${endpointName}/invocations`;
  }

  instances(agentRuntimeId: string): Promise<InstanceInfo[]> {
    return this.#items(`/runstead/v1/instances?agentRuntimeId=${agentRuntimeId}`);
  }

  /** Newest first. */
  events(agentRuntimeId: string): Promise<RuntimeEvent[]> {
    return this.#items(`/runstead/v1/runtimes/${agentRuntimeId}/events`);
  }

  /** Starts it, again on the same data and port after it has ended. */
  async start({ env = {}, args = [] }: Pick<ServerOptions, 'env' | 'args'> = {}): Promise<void> {
    const port = this.#url === '' ? (this.#options.port ?? 0) : this.port;
    const words = [RUNSTEAD, 'serve', '--port', String(port), ...(this.#options.args ?? []), ...args];
    const { umask, openFiles } = this.#options;
    const first = [
      ...(umask === undefined ? [] : [`umask ${umask}`]),
      ...(openFiles === undefined ? [] : [`ulimit -n ${openFiles}`]),
    ];
    const [program, ...rest] =
      first.length === 0
        ? [process.execPath, ...words]
        : ['/bin/sh', '-c', `${first.join('; ')}; exec "$@"`, 'sh', process.execPath, ...words];
    this.#stderr = '';
    const child = spawn(program!, rest, {
      env: {
        ...ownEnvironment(),
        ...sandboxOffIfMissing(),
        RUNSTEAD_DATA: this.data,
        ...this.#options.env,
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    child.stdout.on('data', (piece) => {
      this.#stdout += piece;
    });
    child.stderr.on('data', (piece) => {
      this.#stderr += piece;
    });
    let hasEnded = false;
    this.#ended = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        hasEnded = true;
        resolve({ code, signal });
      });
    });
    await waitFor(
      'the server to say where it listens',
      () => {
        if (hasEnded) throw new Error(`the server ended before it listened: ${this.#stderr}`);
        return /listens on \S+/.test(this.#stderr);
      },
      { withinMs: START_WITHIN_MS },
    );
    this.#url = /listens on (\S+)/.exec(this.#stderr)![1]!;
    const key = JSON.parse(readFileSync(join(this.data, 'local-key.json'), 'utf8')) as { apiKey: string };
    this.#apiKey = key.apiKey;
  }

  /** Asks it to end and waits for that. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Ending> {
    this.#child.kill(signal);
    return this.#endedInTime();
  }

  /** Kills the control process; gateway and agents go on without it. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#endedInTime();
  }

  /** Everything that still runs for this data folder: both server processes, wrappers, agents. */
  processes(): number[] {
    return [...new Set([...processesWith('RUNSTEAD_DATA', this.data), ...this.#marked()])];
  }

  /** Wrappers, agents and what they started; neither what waits to become one, nor what is around those that did. */
  agentProcesses(): number[] {
    const isWaiting = (pid: number) => /^(pool|parent)-/.test(variableOf(pid, 'RUNSTEAD_INSTANCE_ID') ?? '');
    return this.#marked().filter((pid) => !isWaiting(pid));
  }

  #marked(): number[] {
    return processesWith('RUNSTEAD_DATA_MARK', dataMark(this.data));
  }

  /**
   * Ends it as a user would and takes its folder away.
   * @throws when a process of it is left, which is then killed
   */
  async dispose(): Promise<void> {
    try {
      if (this.#child !== undefined && isAlive(this.pid)) await this.stop();
      else this.#endGateway();
      await this.nothingIsLeft();
    } finally {
      for (const pid of this.processes()) killIfThere(pid);
      if (this.#temporary !== undefined) {
        removeAll(this.#temporary);
      }
    }
  }

  /** It would wait a while for a control process that does not come. */
  #endGateway(): void {
    const pid = this.#keptGateway();
    if (pid !== undefined) killIfThere(pid);
  }

  /** @throws when something still runs for the data folder after a while */
  async nothingIsLeft(): Promise<void> {
    try {
      await waitFor('the last process to be gone', () => this.processes().length === 0);
    } catch {
      const left = this.processes().map((pid) => `${pid} (${commandOf(pid)})`);
      if (left.length > 0) {
        throw new Error(`the server left processes behind: ${left.join(', ')}; it said: ${this.#stderr}`);
      }
    }
  }

  async #endedInTime(): Promise<Ending> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        this.#child.kill('SIGKILL');
        reject(new Error(`the server did not end within ${STOP_WITHIN_MS} ms: ${this.#stderr}`));
      }, STOP_WITHIN_MS);
    });
    try {
      return await Promise.race([this.#ended, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #items<T>(path: string): Promise<T[]> {
    const response = await fetch(`${this.#url}${path}`, {
      headers: { authorization: `Bearer ${this.#apiKey}` },
    });
    if (!response.ok) throw new Error(`GET ${path}: HTTP ${response.status} ${await response.text()}`);
    return ((await response.json()) as { data: { items: T[] } }).data.items;
  }
}

/**
 * Settings under which an agent names itself by the number this machine knows its process by, so that a test can tell
 * by it who answers. In the sandbox every agent is number 2.
 */
export const AGENTS_KNOW_THEIR_PIDS = { RUNSTEAD_SANDBOX: 'off' };

/** A server for several tests; whoever starts it disposes of it (`afterAll`). */
export async function startServer(options: ServerOptions = {}): Promise<Server> {
  const server = new Server(options);
  try {
    await server.start();
    return server;
  } catch (error) {
    await server.dispose().catch(() => {});
    throw error;
  }
}

/** A server for the test that calls this, gone without a trace at its end. */
export async function startServerForTest(options: ServerOptions = {}): Promise<Server> {
  const server = await startServer(options);
  onTestFinished(() => server.dispose());
  return server;
}

/** The environment of a user's shell: no settings of ours, nothing of the test runner's. */
export function ownEnvironment(): NodeJS.ProcessEnv {
  const env = { ...process.env };
  for (const name of Object.keys(env)) {
    if (/^(RUNSTEAD_|AGENTRUN_|VITEST|NODE_OPTIONS$|NODE_ENV$)/.test(name)) delete env[name];
  }
  return env;
}

/** Installs are read-only, which only root may overlook. */
function removeAll(folder: string): void {
  spawnSync('chmod', ['-R', 'u+w', folder], { stdio: 'ignore' });
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone meanwhile.
  }
}
