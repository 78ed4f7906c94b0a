import type { Ticked } from './coarse-clock.ts';
import { whoTook } from './connect.ts';
import { ConnectionPool } from './connection-pool.ts';
import type { Instance } from './instances.ts';

/** Kept connections to instances, one pool each: a port may be another instance's next. */
export class AgentPools implements Ticked {
  readonly #pools = new Map<string, ConnectionPool>();

  of(instance: Readonly<Instance>): ConnectionPool {
    let pool = this.#pools.get(instance.id);
    if (!pool) {
      const { host, port } = instance;
      pool = new ConnectionPool({ host, port }, () => whoTook(instance));
      if (instance.state === 'gone') pool.close();
      else this.#pools.set(instance.id, pool);
    }
    return pool;
  }

  /** Closes an instance's idle connections; those in use close when their calls end. */
  retire(instanceId: string): void {
    this.#pools.get(instanceId)?.close();
    this.#pools.delete(instanceId);
  }

  tick(nowMs: number): void {
    for (const pool of this.#pools.values()) pool.tick(nowMs);
  }

  close(): void {
    for (const pool of this.#pools.values()) pool.close();
    this.#pools.clear();
  }
}
