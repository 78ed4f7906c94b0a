import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type {
  Driver,
  InstanceExit,
  PortHolder,
  ResourceUse,
  RunningInstance,
  StartOptions,
} from '../src/drivers/driver.ts';
import { StartFailure } from '../src/drivers/driver.ts';
import type { InstanceSpec } from '../src/drivers/instance-spec.ts';

/** What a started instance does; a test decides by the spec, default: becomes ready and answers. */
export interface FakeBehaviour {
  /** Resolves when the instance may become ready. */
  until?: Promise<void>;
  /** It never becomes ready: why. */
  failure?: { kind: StartFailure['kind']; message: string; lastLines?: string[] };
  /** Later health checks. */
  healthy?: boolean;
  /** It says that it works on something, whether or not it has calls. */
  busy?: boolean;
  /** What it takes, for `usageOf`. */
  memoryMiB?: number;
}

interface FakeInstance {
  spec: InstanceSpec;
  running: RunningInstance;
  server: Server;
  onExit: ((exit: InstanceExit) => void) | undefined;
  healthy: boolean;
  busy: boolean;
  memoryMiB: number | undefined;
}

/**
 * Instances that are HTTP servers of the test's own process, with the awkward parts of real ones: starts that take
 * their time and can be aborted, ends nobody asked for, leftovers of an earlier server.
 */
export class FakeDriver implements Driver {
  readonly name = 'fake';
  readonly marks = {};
  readonly instances = new Map<string, FakeInstance>();
  /** Every start asked for, in order. */
  readonly starts: InstanceSpec[] = [];
  readonly stops: string[] = [];
  readonly forgotten: string[] = [];
  /** The most that were starting at once. */
  peakStarting = 0;
  #starting = 0;
  #leftovers: RunningInstance[] = [];
  behave: (spec: InstanceSpec) => FakeBehaviour = () => ({});
  /** Answers calls; default: JSON with revision and environment. `/hang` never ends. */
  answer: (spec: InstanceSpec, url: string) => string | undefined = (spec, url) =>
    url.startsWith('/hang') ? undefined : JSON.stringify({ revision: spec.revision, env: spec.environment });

  async start(spec: InstanceSpec, { signal, onExit }: StartOptions): Promise<RunningInstance> {
    const known = this.instances.get(spec.instanceId);
    if (known) return known.running;
    this.starts.push(spec);
    this.#starting++;
    this.peakStarting = Math.max(this.peakStarting, this.#starting);
    try {
      signal.throwIfAborted();
      const { until, failure, healthy = true, busy = false, memoryMiB } = this.behave(spec);
      if (until !== undefined) await Promise.race([until, aborted(signal)]);
      if (failure) throw new StartFailure('start', failure.kind, failure.message, failure.lastLines);
      const server = await this.#listen(spec);
      const running: RunningInstance = {
        instanceId: spec.instanceId,
        runtimeId: spec.runtimeId,
        revision: spec.revision,
        host: '127.0.0.1',
        port: (server.address() as AddressInfo).port,
        startedAt: new Date().toISOString(),
      };
      this.instances.set(spec.instanceId, { spec, running, server, onExit, healthy, busy, memoryMiB });
      return running;
    } finally {
      this.#starting--;
    }
  }

  async stop(instanceId: string): Promise<void> {
    this.stops.push(instanceId);
    await this.#end(instanceId);
  }

  /** The instance ends by itself. */
  async crash(instanceId: string, exit: Omit<InstanceExit, 'instanceId'>): Promise<void> {
    const instance = this.instances.get(instanceId);
    await this.#end(instanceId);
    const hear = instance?.onExit ?? instance?.running.onExit;
    hear?.({ instanceId, ...exit });
  }

  /** From now on these are what an earlier server left. */
  leaveBehind(): void {
    this.#leftovers = [...this.instances.values()].map(({ running }) => ({ ...running }));
    for (const instance of this.instances.values()) instance.onExit = undefined;
  }

  async adopt(): Promise<RunningInstance[]> {
    for (const leftover of this.#leftovers) this.instances.get(leftover.instanceId)!.running = leftover;
    return this.#leftovers.splice(0);
  }

  list(): RunningInstance[] {
    return [...this.instances.values()].map(({ running }) => running);
  }

  async identify(): Promise<PortHolder> {
    return { holder: 'instance' };
  }

  async probe(instanceId: string) {
    const { healthy = false, busy = false } = this.instances.get(instanceId) ?? {};
    return {
      ok: healthy,
      detail: healthy ? 'HTTP 200' : 'HTTP 503',
      ...(healthy && busy && { busy: true as const }),
    };
  }

  async usageOf(instanceIds: readonly string[]): Promise<Map<string, ResourceUse>> {
    return new Map(
      instanceIds.flatMap((id) => {
        const { memoryMiB } = this.instances.get(id) ?? {};
        return memoryMiB === undefined ? [] : [[id, { memoryBytes: memoryMiB * 2 ** 20 }] as const];
      }),
    );
  }

  async logTail(): Promise<string[]> {
    return [];
  }

  async forgetRuntime(runtimeId: string): Promise<void> {
    this.forgotten.push(runtimeId);
  }

  async close(): Promise<void> {}

  /** Ends all instances at the end of a test. */
  async endAll(): Promise<void> {
    await Promise.all([...this.instances.keys()].map((id) => this.#end(id)));
  }

  async #listen(spec: InstanceSpec): Promise<Server> {
    const server = createServer((request, response) => {
      const body = this.answer(spec, request.url ?? '');
      if (body !== undefined) return void response.end(body);
      response.write('begun');
      this.hanging.push(response);
    });
    server.on('connection', (socket) => {
      this.#connections.add(socket);
      socket.once('close', () => this.#connections.delete(socket));
    });
    // Upgraded connections say which revision they are with, and then only what they are told.
    server.on('upgrade', (_request, socket: Socket) => {
      socket.on('error', () => {});
      socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n');
      socket.write(`revision ${spec.revision}\n`);
      socket.on('data', (chunk) => socket.write(chunk));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  readonly #connections = new Set<Socket>();

  /** Answers that were begun and not ended. */
  readonly hanging: { end(text: string): unknown }[] = [];

  async #end(instanceId: string): Promise<void> {
    const instance = this.instances.get(instanceId);
    if (!instance) return;
    this.instances.delete(instanceId);
    instance.server.closeAllConnections();
    // Upgraded ones are no longer the server's to close.
    for (const socket of this.#connections) if (socket.localPort === instance.running.port) socket.destroy();
    await new Promise((resolve) => instance.server.close(resolve));
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}
