import type { Socket } from 'node:net';

/** At once. A handshake takes milliseconds, so that many unfinished ones are no clients that mean it. */
const MOST = 1024;

/** Connections on which TLS is still being agreed on: they are nobody's calls yet, and must cost little. */
export class Handshakes {
  /** By both ends' addresses, oldest first: the socket that has agreed is another object than the one that came. */
  readonly #open = new Map<string, Socket>();
  readonly #most: number;

  constructor(most = MOST) {
    this.#most = most;
  }

  begin(socket: Socket): void {
    const key = endsOf(socket);
    for (const oldest of this.#open.values()) {
      if (this.#open.size < this.#most) break;
      this.#open.delete(endsOf(oldest));
      oldest.destroy();
    }
    this.#open.set(key, socket);
    socket.once('close', () => {
      if (this.#open.get(key) === socket) this.#open.delete(key);
    });
  }

  done(socket: Socket): void {
    this.#open.delete(endsOf(socket));
  }

  get size(): number {
    return this.#open.size;
  }

  cut(): void {
    for (const socket of this.#open.values()) socket.destroy();
    this.#open.clear();
  }
}

function endsOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}
