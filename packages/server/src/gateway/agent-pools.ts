import { Agent, type ClientRequestArgs, type RequestOptions } from 'node:http';
import type { Duplex } from 'node:stream';
import { connectTo, type Dial } from './connect.ts';
import type { Instance } from './instances.ts';

/** Servers of agents commonly close idle connections after 5 s; well before that a kept one is still good. */
const IDLE_SOCKET_MS = 2000;
/** Kept per instance: as many as calls it may take at the same time. */
const MAX_IDLE_SOCKETS = 200;

/** Options for an agent that keeps connections; Node drops an idle one when its `timeout` passes. */
export const KEEP_ALIVE = {
  keepAlive: true,
  maxFreeSockets: MAX_IDLE_SOCKETS,
  timeout: IDLE_SOCKET_MS,
  // The most recently used connection is the least likely to have been closed.
  scheduling: 'lifo',
} as const;

class InstanceAgent extends Agent {
  declare keepAlive: boolean;
  readonly #connect: ReturnType<typeof connectTo>;

  constructor(instance: Readonly<Instance>) {
    super(KEEP_ALIVE);
    this.#connect = connectTo(instance);
  }

  override createConnection(
    options: ClientRequestArgs,
    callback?: (error: Error | null, socket: Duplex) => void,
  ): undefined {
    return this.#connect(options as Dial, callback!);
  }
}

/** Kept connections to instances, one pool each: a port may be another instance's next. */
export class AgentPools {
  readonly #pools = new Map<string, InstanceAgent>();
  /** For requests to the control process that must not meet a connection which was closed meanwhile. */
  readonly unpooled: Agent = new Agent({ keepAlive: false });

  /** For a request that may use a kept connection, and leave one. */
  kept(instance: Readonly<Instance>): Pick<RequestOptions, 'agent' | 'createConnection'> {
    if (instance.state === 'gone') return this.own(instance);
    let pool = this.#pools.get(instance.id);
    if (!pool) {
      pool = new InstanceAgent(instance);
      this.#pools.set(instance.id, pool);
    }
    return { agent: pool };
  }

  /** For a request that gets a connection of its own: it must not meet one which was closed meanwhile. */
  own(instance: Readonly<Instance>): Pick<RequestOptions, 'agent' | 'createConnection'> {
    return { createConnection: connectTo(instance) as NonNullable<RequestOptions['createConnection']> };
  }

  /** Closes an instance's idle connections; those in use close when their calls end. */
  retire(instanceId: string): void {
    const pool = this.#pools.get(instanceId);
    if (!pool) return;
    this.#pools.delete(instanceId);
    // Read by Node at the end of each call: the connection is then closed instead of kept.
    pool.keepAlive = false;
    for (const idle of Object.values(pool.freeSockets)) {
      for (const socket of idle ?? []) socket.destroy();
    }
  }

  close(): void {
    for (const pool of this.#pools.values()) pool.destroy();
    this.#pools.clear();
    this.unpooled.destroy();
  }
}
