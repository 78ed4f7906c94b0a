import type { Ticked } from './coarse-clock.ts';
import { whoTook } from './connect.ts';
import { ConnectionPool } from './connection-pool.ts';
import type { Instance } from './instances.ts';

/** Kept connections to instances, one pool each: a port may be another instance's next. */
export class AgentPools implements Ticked {
  readonly #pools = new Map<string, ConnectionPool>();
  /** Pools whose instances have left, until their last calls have ended. */
  readonly #leaving = new Set<ConnectionPool>();
  readonly #silenceMs: number;

  /** @param silenceMs how long an agent may say nothing in the middle of a call */
  constructor(silenceMs: number) {
    this.#silenceMs = silenceMs;
  }

  of(instance: Readonly<Instance>): ConnectionPool {
    let pool = this.#pools.get(instance.id);
    if (!pool) {
      const { host, port } = instance;
      pool = new ConnectionPool({ host, port }, this.#silenceMs, () => whoTook(instance));
      if (instance.state === 'gone') this.#leave(pool);
      else this.#pools.set(instance.id, pool);
    }
    return pool;
  }

  /** Closes an instance's idle connections; those in use close when their calls end. */
  retire(instanceId: string): void {
    const pool = this.#pools.get(instanceId);
    if (!pool) return;
    this.#pools.delete(instanceId);
    this.#leave(pool);
  }

  tick(nowMs: number): void {
    for (const pool of this.#pools.values()) pool.tick(nowMs);
    for (const pool of this.#leaving) {
      if (pool.isEmpty) this.#leaving.delete(pool);
      else pool.tick(nowMs);
    }
  }

  close(): void {
    for (const pool of this.#pools.values()) pool.close();
    this.#pools.clear();
  }

  #leave(pool: ConnectionPool): void {
    pool.close();
    this.#leaving.add(pool);
  }
}
