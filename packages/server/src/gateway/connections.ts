import type { Socket } from 'node:net';

/** A call under way on a client's connection. */
export interface OpenCall {
  /** Aborted when the client hangs up before the call has ended. */
  readonly signal: AbortSignal;
  end(): void;
}

/**
 * The clients' connections and the calls open on each. A connection may carry several at once (pipelining), and only
 * the one whose turn it is to be answered hears from Node's HTTP server that the connection is gone.
 */
export class Connections {
  readonly #calls = new Map<Socket, Set<AbortController>>();
  readonly #whenEmpty: (() => void)[] = [];
  #stopping = false;

  add(socket: Socket): void {
    const calls = new Set<AbortController>();
    this.#calls.set(socket, calls);
    socket.once('close', () => {
      this.#calls.delete(socket);
      for (const call of calls) call.abort();
      calls.clear();
      if (this.#calls.size === 0) for (const done of this.#whenEmpty.splice(0)) done();
    });
  }

  beginCall(socket: Socket): OpenCall {
    const controller = new AbortController();
    const calls = this.#calls.get(socket);
    if (calls) calls.add(controller);
    else controller.abort();
    return {
      signal: controller.signal,
      end: () => {
        if (!calls?.delete(controller)) return;
        if (this.#stopping && calls.size === 0) socket.destroySoon();
      },
    };
  }

  has(socket: Socket): boolean {
    return this.#calls.has(socket);
  }

  openCalls(socket: Socket): number {
    return this.#calls.get(socket)?.size ?? 0;
  }

  /** Once true, every answer is the last one on its connection. */
  get stopping(): boolean {
    return this.#stopping;
  }

  /** Closes connections as they have no call open. */
  stop(): void {
    this.#stopping = true;
    for (const [socket, calls] of this.#calls) {
      if (calls.size === 0) socket.destroy();
    }
  }

  /** Resolves when no connection is left. */
  async empty(): Promise<void> {
    if (this.#calls.size === 0) return;
    await new Promise<void>((resolve) => this.#whenEmpty.push(resolve));
  }

  cut(): void {
    for (const socket of this.#calls.keys()) socket.destroy();
  }
}
