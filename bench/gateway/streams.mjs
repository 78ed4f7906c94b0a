import { connect } from 'node:net';

/** How many are opened at the same time. */
const AT_ONCE = 50;
const OPENS_WITHIN_MS = 10_000;

/** Open event streams to a port of this machine, each on a connection of its own. */
export class Streams {
  /** Bytes that came, heads included. */
  bytes = 0;
  #sockets = new Set();
  #closing = false;
  #lost = 0;

  get open() {
    return this.#sockets.size;
  }

  /** Opens streams until there are so many; each has had its head by then. @throws Error when one is refused */
  async openUpTo(count, port, path) {
    while (this.#sockets.size < count) {
      const more = Math.min(AT_ONCE, count - this.#sockets.size);
      await Promise.all(Array.from({ length: more }, () => this.#openOne(port, path)));
    }
  }

  /** @throws Error when one has ended by itself */
  check() {
    if (this.#lost > 0) throw new Error(`${this.#lost} streams ended by themselves`);
  }

  close() {
    this.#closing = true;
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  #openOne(port, path) {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true });
      const timer = setTimeout(() => {
        reject(new Error(`a stream had no answer in ${OPENS_WITHIN_MS} ms`));
        socket.destroy();
      }, OPENS_WITHIN_MS);
      let head = '';
      const onHead = (bytes) => {
        head += bytes.toString('latin1');
        if (!head.includes('\r\n\r\n')) return;
        clearTimeout(timer);
        socket.removeListener('data', onHead);
        if (!/^HTTP\/1\.1 200 /.test(head)) return reject(new Error(`a stream was answered: ${head}`));
        this.#sockets.add(socket);
        socket.on('data', (more) => {
          this.bytes += more.length;
        });
        resolve();
      };
      socket.on('data', onHead);
      socket.once('error', reject);
      socket.once('close', () => {
        if (this.#sockets.delete(socket) && !this.#closing) this.#lost++;
      });
      socket.write(`GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: text/event-stream\r\n\r\n`);
    });
  }
}
