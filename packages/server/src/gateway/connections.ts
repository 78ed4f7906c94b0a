import type { ClientConnection } from './client-connection.ts';
import type { Ticked } from './coarse-clock.ts';

/** The clients' connections. */
export class Connections implements Ticked {
  readonly #open = new Set<ClientConnection>();
  readonly #whenEmpty: (() => void)[] = [];
  #stopping = false;

  get size(): number {
    return this.#open.size;
  }

  /** Once true, every answer is the last one on its connection. */
  get stopping(): boolean {
    return this.#stopping;
  }

  add(connection: ClientConnection): void {
    this.#open.add(connection);
    if (this.#stopping) connection.stop();
  }

  delete(connection: ClientConnection): void {
    this.#open.delete(connection);
    if (this.#open.size === 0) for (const done of this.#whenEmpty.splice(0)) done();
  }

  /** Closes connections as they have no call open. */
  stop(): void {
    this.#stopping = true;
    for (const connection of this.#open) connection.stop();
  }

  /** Resolves when no connection is left. */
  async empty(): Promise<void> {
    if (this.#open.size === 0) return;
    await new Promise<void>((resolve) => this.#whenEmpty.push(resolve));
  }

  /** Ends what is open; event streams are told why. */
  cut(reason: string): void {
    for (const connection of this.#open) connection.cut(reason);
  }

  destroy(): void {
    for (const connection of this.#open) connection.destroy();
  }

  tick(nowMs: number): void {
    for (const connection of this.#open) connection.tick(nowMs);
  }
}
