import { connect, type Socket } from 'node:net';

export interface RawResponse {
  status: number;
  headers: Record<string, string>;
  body: string;
}

/** One TCP connection on which a test says exactly what it wants, and reads the answers in their order. */
export class RawConnection {
  readonly #socket: Socket;
  #received = Buffer.alloc(0);
  #closed = false;
  #wake = () => {};

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (piece) => {
      this.#received = Buffer.concat([this.#received, piece]);
      this.#wake();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#closed = true;
      this.#wake();
    });
  }

  static open(port: number, host = '127.0.0.1'): Promise<RawConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host });
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new RawConnection(socket));
      });
    });
  }

  send(text: string): void {
    this.#socket.write(text);
  }

  close(): void {
    this.#socket.destroy();
  }

  /** The next answer, whole. */
  async read(): Promise<RawResponse> {
    const head = (await this.#until(Buffer.from('\r\n\r\n'))).toString('latin1');
    const [statusLine, ...lines] = head.trimEnd().split('\r\n');
    const headers = Object.fromEntries(
      lines.map((line) => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      }),
    );
    const status = Number(statusLine!.split(' ')[1]);
    const body =
      headers['transfer-encoding'] === 'chunked' ? await this.#chunks() : await this.#sized(headers);
    return { status, headers, body: body.toString('utf8') };
  }

  async #sized(headers: Record<string, string>): Promise<Buffer> {
    return this.#take(Number(headers['content-length'] ?? 0));
  }

  async #chunks(): Promise<Buffer> {
    const pieces: Buffer[] = [];
    for (;;) {
      const size = Number.parseInt((await this.#until(Buffer.from('\r\n'))).toString('latin1'), 16);
      const piece = await this.#take(size + 2);
      if (size === 0) return Buffer.concat(pieces);
      pieces.push(piece.subarray(0, size));
    }
  }

  async #until(end: Buffer): Promise<Buffer> {
    await this.#arrived(() => this.#received.includes(end));
    return this.#take(this.#received.indexOf(end) + end.length);
  }

  async #take(length: number): Promise<Buffer> {
    await this.#arrived(() => this.#received.length >= length);
    const piece = this.#received.subarray(0, length);
    this.#received = this.#received.subarray(length);
    return piece;
  }

  async #arrived(isThere: () => boolean): Promise<void> {
    while (!isThere()) {
      if (this.#closed) throw new Error(`the connection ended after: ${this.#received.toString('latin1')}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

/** Whether nobody listens there. */
export function isRefused(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host });
    socket.once('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'));
  });
}
