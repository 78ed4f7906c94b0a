import type { ClientConnection } from './client-connection.ts';
import type { Ticked } from './coarse-clock.ts';

/** Who has asked nothing for this long may be asked to come again; before that, a request may be on its way. */
const WAITING_MS = 1000;

/** The clients' connections. */
export class Connections implements Ticked {
  readonly #open = new Set<ClientConnection>();
  readonly #whenEmpty: (() => void)[] = [];
  #stopping = false;
  /** When there was none to be closed: with the same time there is none either. */
  #noRoomAtMs: number | undefined = undefined;

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

  /** Closes the one that has waited longest for its next request. @returns false when none has for a while */
  makeRoom(nowMs: number): boolean {
    if (nowMs === this.#noRoomAtMs) return false;
    let longest: ClientConnection | undefined;
    for (const connection of this.#open) {
      if (connection.waitsSinceMs === undefined) continue;
      if (longest === undefined || connection.waitsSinceMs < longest.waitsSinceMs!) longest = connection;
    }
    if (longest?.waitsSinceMs === undefined || nowMs - longest.waitsSinceMs < WAITING_MS) {
      this.#noRoomAtMs = nowMs;
      return false;
    }
    longest.destroy();
    return true;
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
