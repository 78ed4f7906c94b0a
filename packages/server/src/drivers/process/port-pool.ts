import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

export interface PortRange {
  from: number;
  /** Included. */
  to: number;
}

/** Below the range Linux and macOS take ports of outgoing connections from (32768 and 49152 on). */
export const DEFAULT_PORT_RANGE: PortRange = { from: 20_000, to: 32_000 };

/**
 * Hands out ports. Each belongs to one instance at a time, and rests after that one's end: a connection that somebody
 * still holds to the old instance must not reach a new one.
 */
export class PortPool {
  readonly #range: PortRange;
  readonly #restMs: number;
  readonly #now: () => number;
  readonly #held = new Set<number>();
  /** Port → when it may be given out again. */
  readonly #resting = new Map<number, number>();
  #next: number;

  /** @param now monotonic, in ms */
  constructor(range: PortRange, restMs: number, now: () => number = () => performance.now()) {
    this.#range = range;
    this.#restMs = restMs;
    this.#now = now;
    // Not always the first one: another server on this machine may be looking too.
    this.#next = randomInt(range.from, range.to + 1);
  }

  /** @throws Error when all are taken. */
  async take(): Promise<number> {
    const size = this.#range.to - this.#range.from + 1;
    for (let tried = 0; tried < size; tried++) {
      const port = this.#next;
      this.#next = port >= this.#range.to ? this.#range.from : port + 1;
      if (this.#held.has(port) || (this.#resting.get(port) ?? 0) > this.#now()) continue;
      // Held before the first await: nobody else gets it while it is being tried.
      this.#held.add(port);
      this.#resting.delete(port);
      if (await isFree(port)) return port;
      this.#held.delete(port);
    }
    throw new Error(`no port is free between ${this.#range.from} and ${this.#range.to}`);
  }

  /** Notes a port that an adopted instance already has. */
  hold(port: number): void {
    this.#held.add(port);
    this.#resting.delete(port);
  }

  /** Puts a port to rest. */
  release(port: number): void {
    if (this.#held.delete(port)) this.#resting.set(port, this.#now() + this.#restMs);
  }

  isHeld(port: number): boolean {
    return this.#held.has(port);
  }
}

/** Whether a process could listen on this port of both loopback addresses. */
async function isFree(port: number): Promise<boolean> {
  const results = await Promise.all([tryListen(port, '127.0.0.1'), tryListen(port, '::1')]);
  return results.every((it) => it);
}

function tryListen(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    // A machine without IPv6 has no ::1, which nobody else can hold then.
    server.once('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code === 'EADDRNOTAVAIL' || error.code === 'EAFNOSUPPORT' || error.code === 'EINVAL'),
    );
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
