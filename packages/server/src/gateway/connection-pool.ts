import { connect, isIPv6, type NetConnectOpts, type Socket } from 'node:net';
import type { HangUpSignal } from './hang-up.ts';
import { type Sender, sendSoon } from './outbox.ts';
import { own, type SocketOwner } from './socket-owner.ts';

/** Servers of agents commonly close idle connections after 5 s; well before that a kept one is still good. */
const IDLE_MS = 2000;
/** As many as calls an instance may take at the same time. */
const MOST_IDLE = 200;
const CONNECT_MS = 10_000;

/**
 * Where every connection's bytes are read to, all the same one: what is in it is passed on or copied before the next
 * read, so that a connection that waits costs no buffer.
 */
const SHARED = Buffer.allocUnsafeSlow(64 * 1024);

/** Whoever has a request on a connection. */
export interface ConnectionUser {
  /**
   * @param bytes the first `size` of them; good only until this returns
   * @returns false: no more, until `resume`
   */
  onBytes(bytes: Buffer, size: number): boolean;
  /** The other end sends no more. */
  onEnd(): void;
  /** What was written has been taken. */
  onDrain(): void;
  onClose(error: NodeJS.ErrnoException | undefined): void;
  /** Looked at now and then. @param silenceMs how long the other end may say nothing */
  tick?(nowMs: number, silenceMs: number): void;
}

/** Whoever made a connection, and is told what becomes of it. */
interface Keeper {
  /** Something came, or its other end was closed, while nobody had a request on it. */
  onIdleEvent(connection: Connection): void;
  onClose(connection: Connection): void;
}

/** A connection to a server, used for one request after the other. */
export class Connection implements Sender, SocketOwner {
  readonly socket: Socket;
  /** Undefined while it lies idle. */
  user: ConnectionUser | undefined = undefined;
  /** It has carried a request before. */
  isUsed = false;
  idleSinceMs = 0;
  readonly #keeper: Keeper;
  #error: NodeJS.ErrnoException | undefined = undefined;
  /** To be written in this turn. */
  #text = '';

  constructor(address: NetConnectOpts, keeper: Keeper) {
    this.#keeper = keeper;
    this.socket = connect({
      ...address,
      noDelay: true,
      // An agent may end its side before it has read all of ours.
      allowHalfOpen: true,
      onread: { buffer: SHARED, callback: (size) => this.#onRead(size) },
    });
    own(this.socket, this);
  }

  onSocketEnd(): void {
    if (this.user) this.user.onEnd();
    else this.#keeper.onIdleEvent(this);
  }

  onSocketDrain(): void {
    this.user?.onDrain();
  }

  onSocketError(error: NodeJS.ErrnoException): void {
    this.#error = error;
  }

  onSocketClose(): void {
    if (this.user) this.user.onClose(this.#error);
    else this.#keeper.onIdleEvent(this);
    this.#keeper.onClose(this);
  }

  resume(): void {
    this.socket.resume();
  }

  /** Writes at the end of this turn of the event loop. @param text in Latin-1 */
  write(text: string): void {
    if (this.#text === '') sendSoon(this);
    this.#text += text;
  }

  sendNow(): void {
    if (this.#text === '') return;
    const text = this.#text;
    this.#text = '';
    if (!this.socket.destroyed) this.socket.write(text, 'latin1');
  }

  #onRead(size: number): boolean {
    if (this.user) return this.user.onBytes(SHARED, size);
    // Nothing was asked: whatever it is would be taken for the next request's answer.
    this.#keeper.onIdleEvent(this);
    return false;
  }
}

/** Connections to one server that are kept for its next request. */
export class ConnectionPool {
  /** What Host says to the server; of no meaning on a unix socket. */
  readonly authority: string;
  readonly #address: NetConnectOpts;
  readonly #prove: () => Error | undefined;
  readonly #idle: Connection[] = [];
  /** All of them, idle or in use. */
  readonly #open = new Set<Connection>();
  readonly #silenceMs: number;
  readonly #keeper: Keeper = {
    onIdleEvent: (connection) => this.#drop(connection),
    onClose: (connection) => this.#open.delete(connection),
  };
  #isClosed = false;

  /**
   * @param silenceMs how long the server may say nothing while it is to answer
   * @param prove looks, when a connection has been made, who took it; an error leaves it unused
   */
  constructor(address: NetConnectOpts, silenceMs: number, prove: () => Error | undefined = () => undefined) {
    this.authority = authorityOf(address);
    this.#address = address;
    this.#silenceMs = silenceMs;
    this.#prove = prove;
  }

  /** Whether no connection is left, idle or in use. */
  get isEmpty(): boolean {
    return this.#open.size === 0;
  }

  /** The most recently used one, which is the least likely to have been closed. */
  take(): Connection | undefined {
    return this.#idle.pop();
  }

  /**
   * Makes a connection. Calls back once: with the connection, or with why there is none.
   * @param unwanted aborted when nobody waits for it any more
   */
  connect(
    unwanted: HangUpSignal,
    callback: (error: NodeJS.ErrnoException | undefined, connection: Connection) => void,
  ): void {
    const connection = new Connection(this.#address, this.#keeper);
    const { socket } = connection;
    this.#open.add(connection);
    let settled = false;
    const settle = (error?: Error) => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      unwanted.removeEventListener('abort', onUnwanted);
      connection.user = undefined;
      if (error) socket.destroy();
      callback(error, connection);
    };
    const timer = setTimeout(
      () => settle(connectError('ETIMEDOUT', `nobody took the connection within ${CONNECT_MS / 1000} s`)),
      CONNECT_MS,
    );
    const onUnwanted = () => settle(new Error('the connection is not wanted any more'));
    connection.user = {
      // Before anything was asked; nobody who serves does that.
      onBytes: () => {
        settle(connectError('EPROTO', 'it was answered before anything was asked'));
        return false;
      },
      onEnd: () => settle(connectError('ECONNRESET', 'the connection was closed at once')),
      onDrain: () => {},
      onClose: (error) => settle(error ?? connectError('ECONNRESET', 'the connection was closed at once')),
    };
    socket.once('connect', () => {
      if (!socket.destroyed) settle(this.#prove());
    });
    if (unwanted.aborted) onUnwanted();
    else unwanted.addEventListener('abort', onUnwanted);
  }

  /** Keeps a connection whose request has been answered to the last byte. */
  give(connection: Connection, nowMs: number): void {
    connection.user = undefined;
    if (this.#isClosed || this.#idle.length >= MOST_IDLE || connection.socket.destroyed) {
      connection.socket.destroy();
      return;
    }
    connection.isUsed = true;
    connection.idleSinceMs = nowMs;
    // One that was held back while its reader was slow would never be heard of again.
    connection.socket.resume();
    this.#idle.push(connection);
  }

  /** Closes what lies idle; what is in use is closed when it is given back. */
  close(): void {
    this.#isClosed = true;
    this.closeIdle();
  }

  /** Closes what lies idle: it leads to a server that is gone, and the next request must not meet it. */
  closeIdle(): void {
    for (const { socket } of this.#idle.splice(0)) socket.destroy();
  }

  tick(nowMs: number): void {
    // Oldest first: taken and given at the other end.
    while (this.#idle.length > 0 && nowMs - this.#idle[0]!.idleSinceMs > IDLE_MS) {
      this.#idle.shift()!.socket.destroy();
    }
    for (const { user } of this.#open) user?.tick?.(nowMs, this.#silenceMs);
  }

  #drop(connection: Connection): void {
    const at = this.#idle.indexOf(connection);
    if (at !== -1) this.#idle.splice(at, 1);
    connection.socket.destroy();
  }
}

function connectError(code: string, message: string): NodeJS.ErrnoException {
  return Object.assign(new Error(message), { code, syscall: 'connect' });
}

function authorityOf(address: NetConnectOpts): string {
  if (!('port' in address)) return '';
  const { host = 'localhost', port } = address;
  return `${isIPv6(host) ? `[${host}]` : host}:${port}`;
}
