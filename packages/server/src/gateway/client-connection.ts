import type { Socket } from 'node:net';
import { HeadScan } from '../http/head-scan.ts';
import { Malformed } from '../http/malformed.ts';
import { readRequestHead } from '../http/request-head.ts';
import type { CoarseClock } from './coarse-clock.ts';
import { ConnectionMemory } from './connection-memory.ts';
import { Exchange, type ExchangeConnection, type RawUser } from './exchange.ts';
import { type Sender, sendSoon } from './outbox.ts';
import type { Ends } from './request-head.ts';
import { own, type SocketOwner } from './socket-owner.ts';

/** How long clients may take, in ms. */
export interface ClientTimes {
  /** For the whole head of a request, from its first byte on. */
  headMs: number;
  /** Without a byte of a request's body that is waited for, or without taking a byte of the answer. */
  idleMs: number;
  /** Without a request. Longer than the pools of common clients keep a connection, so that it is they who close it. */
  keepAliveMs: number;
  /** For reading away what is left of a body that nobody wants. */
  discardMs: number;
  /** Between our end of a connection and theirs. */
  lingerMs: number;
}

export const CLIENT_TIMES: ClientTimes = {
  headMs: 60_000,
  idleMs: 60_000,
  keepAliveMs: 75_000,
  discardMs: 10_000,
  lingerMs: 2000,
};

/** What may lie ready behind a request that is being answered, before the client is kept waiting. */
const AHEAD_BYTES = 64 * 1024;

/** What becomes of a client's requests. */
export interface Service {
  /** Answers a request. Does not throw. */
  serve(exchange: Exchange): void;
  /** Answers bytes that are no request; the connection then ends. @param target as far as it could be read */
  refuse(connection: ClientConnection, malformed: Malformed, target: string): void;
}

/**
 * What the connection waits for, and so how long it may. `busy`: for us.
 */
type Waits = 'first' | 'head' | 'body' | 'reader' | 'discard' | 'linger' | 'busy';

/**
 * A client's connection: reads one request after the other, strictly, and has each answered before the next is begun
 * (what is sent ahead waits). Bytes that are no request end it.
 */
export class ClientConnection implements ExchangeConnection, Sender, SocketOwner {
  readonly socket: Socket;
  readonly ends: Ends;
  readonly memory = new ConnectionMemory();
  readonly #clock: CoarseClock;
  readonly #times: ClientTimes;
  readonly #service: Service;
  readonly #onClose: (connection: ClientConnection) => void;
  #exchange: Exchange | undefined = undefined;
  #raw: RawUser | undefined = undefined;
  /** Of heads that do not arrive whole; most clients need none. */
  #scan: HeadScan | undefined = undefined;
  /** To be written in this turn. */
  #text = '';
  /** Not read yet: the beginning of a head, or what was sent ahead. */
  #ahead: Buffer | undefined = undefined;
  #afterDrain: (() => void) | undefined = undefined;
  #isReading = false;
  #isPaused = false;
  #isStopping = false;
  #isEnding = false;
  #waits: Waits = 'first';
  #sinceMs: number;

  constructor(
    socket: Socket,
    secure: boolean,
    options: {
      clock: CoarseClock;
      times: ClientTimes;
      service: Service;
      onClose: (connection: ClientConnection) => void;
    },
  ) {
    this.socket = socket;
    this.ends = {
      peer: socket.remoteAddress ?? 'unknown',
      local: socket.localAddress ?? 'unknown',
      secure,
    };
    this.#clock = options.clock;
    this.#times = options.times;
    this.#service = options.service;
    this.#onClose = options.onClose;
    this.#sinceMs = this.#clock.nowMs;
    socket.on('data', (bytes: Buffer) => this.#onData(bytes));
    own(socket, this);
    if (socket.destroyed) this.onSocketClose();
  }

  /** Whether a request is being answered, or the connection has been taken over. */
  get isBusy(): boolean {
    return this.#exchange !== undefined || this.#raw !== undefined;
  }

  /** Since when it has waited for a request; undefined while one is coming, or being answered. In ms, monotonic. */
  get waitsSinceMs(): number | undefined {
    return this.#waits === 'first' && !this.isBusy && !this.socket.destroyed ? this.#sinceMs : undefined;
  }

  /** No request is begun any more; ends at once, or when the one that is open has been answered. */
  stop(): void {
    this.#isStopping = true;
    if (this.isBusy) return;
    if (this.#text === '') this.socket.destroy();
    else this.#end();
  }

  get isStopping(): boolean {
    return this.#isStopping;
  }

  /** Ends it whatever is open; event streams are told why. */
  cut(reason: string): void {
    this.#exchange?.cut(reason);
    this.sendNow();
    this.socket.destroySoon();
    // Who does not read what is still to be sent keeps it only a moment longer.
    this.#waitFor('linger');
  }

  /** Hands the connection over: from now on it carries no requests. @returns what has been sent ahead */
  takeOver(user: RawUser): Buffer | undefined {
    this.sendNow();
    const ahead = this.#ahead;
    this.#ahead = undefined;
    this.#raw = user;
    this.#exchange = undefined;
    this.#waitFor('busy');
    return ahead;
  }

  pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.socket.pause();
    if (this.#waits === 'body') this.#waitFor('busy');
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.socket.resume();
    if (this.#exchange && !this.#exchange.body.isComplete) this.#waitFor('body');
  }

  /** To be called by an exchange whose answer has gone out, or never will. */
  answered(exchange: Exchange, keepAlive: boolean): void {
    if (exchange !== this.#exchange) return;
    if (!exchange.body.isComplete && !exchange.body.fault && !exchange.isBodyWithheld) {
      // Closing at once would make the client's kernel report a reset, and many clients then never look at the answer
      // (RFC 9112 section 9.6). The rest is read away first.
      exchange.body.drop();
      this.#waitFor('discard');
      exchange.afterBody = () => this.#over(exchange, keepAlive);
      return;
    }
    this.#over(exchange, keepAlive && !exchange.body.fault);
  }

  /** Writes at the end of this turn. @param text in Latin-1 */
  write(text: string): void {
    if (this.#text === '') sendSoon(this);
    this.#text += text;
  }

  writeBytes(bytes: Buffer): void {
    this.sendNow();
    if (!this.socket.write(bytes)) this.#readerIsSlow();
  }

  sendNow(): void {
    if (this.#text === '') return;
    const text = this.#text;
    this.#text = '';
    if (!this.socket.destroyed && !this.socket.write(text, 'latin1')) this.#readerIsSlow();
  }

  /** Writes a last answer and closes. */
  endWith(bytes: Buffer): void {
    this.writeBytes(bytes);
    this.#end();
  }

  /** Ends it without waiting for anything. */
  destroy(): void {
    this.socket.destroy();
  }

  tick(nowMs: number): void {
    const forMs = nowMs - this.#sinceMs;
    const { headMs, idleMs, keepAliveMs, discardMs, lingerMs } = this.#times;
    switch (this.#waits) {
      case 'first':
        if (forMs > keepAliveMs) this.socket.destroy();
        return;
      case 'head':
        if (forMs > headMs) {
          this.#refuse(
            new Malformed(408, `The head of the request did not arrive within ${headMs / 1000} s`),
          );
        }
        return;
      case 'body':
        if (forMs <= idleMs) return;
        // Nobody waits for an answer to what was never sent whole.
        if (this.#exchange?.begun) this.socket.destroy();
        else this.#refuse(new Malformed(408, `No more of the request's body arrived for ${idleMs / 1000} s`));
        return;
      case 'reader':
        if (forMs > idleMs) this.socket.destroy();
        return;
      case 'discard':
        if (forMs > discardMs) this.socket.destroy();
        return;
      case 'linger':
        if (forMs > lingerMs) this.socket.destroy();
        return;
      case 'busy':
    }
  }

  #waitFor(what: Waits): void {
    if (this.#waits === 'linger') return;
    this.#waits = what;
    this.#sinceMs = this.#clock.nowMs;
  }

  /** What was written has to wait for the client to read. */
  #readerIsSlow(): void {
    if (this.#waits !== 'first') this.#waitFor('reader');
    this.#exchange?.clientIsSlow();
  }

  #onData(bytes: Buffer): void {
    if (this.#raw) this.#raw.onBytes(bytes);
    else if (!this.#isEnding) this.#read(this.#ahead ? Buffer.concat([this.#ahead, bytes]) : bytes);
  }

  /** @param bytes all that has arrived and was not read yet */
  #read(bytes: Buffer): void {
    this.#ahead = undefined;
    this.#isReading = true;
    let at = 0;
    while (at < bytes.length) {
      const open: Exchange | undefined = this.#exchange;
      if (open && !open.body.isComplete) {
        at = this.#readBody(open, bytes, at);
        if (this.#isEnding || at === bytes.length) break;
        continue;
      }
      if (open) {
        this.#ahead = at === 0 ? bytes : bytes.subarray(at);
        if (this.#ahead.length > AHEAD_BYTES) this.pause();
        break;
      }
      const head = readRequestHead(bytes, at, bytes.length, this.#scan);
      if (head === undefined) {
        this.#scan ??= new HeadScan();
        this.#ahead = at === 0 ? bytes : bytes.subarray(at);
        if (this.#waits !== 'head') this.#waitFor('head');
        break;
      }
      if (head instanceof Malformed) {
        this.#refuse(head, targetIn(bytes, at));
        break;
      }
      at = head.end;
      const exchange = new Exchange(this, head);
      this.#exchange = exchange;
      // What came along with the head is the body's before anybody looks at it.
      if (!exchange.body.isComplete && at < bytes.length) at = this.#readBody(exchange, bytes, at);
      this.#waitFor(exchange.body.isComplete ? 'busy' : 'body');
      if (!this.#isEnding) this.#service.serve(exchange);
      if (this.#raw) {
        // Taken over at once: what is left is not ours any more.
        this.#isReading = false;
        if (at < bytes.length) this.#raw.onBytes(bytes.subarray(at));
        return;
      }
      if (this.#isEnding || this.socket.destroyed) break;
    }
    this.#isReading = false;
  }

  #readBody(exchange: Exchange, bytes: Buffer, from: number): number {
    const { body } = exchange;
    const at = body.feed(bytes, from);
    if (body.fault) {
      if (exchange.begun || exchange.isOver) this.socket.destroy();
      else if (this.#waits === 'discard') this.socket.destroy();
      else this.#refuse(body.fault);
      return bytes.length;
    }
    if (this.#waits === 'body') this.#waitFor(body.isComplete ? 'busy' : 'body');
    if (body.isComplete) exchange.bodyCame();
    return at;
  }

  /** Tells that what came cannot be understood. Where an answer has begun, only the end of the connection can. */
  #refuse(malformed: Malformed, target?: string): void {
    const exchange = this.#exchange;
    this.#isEnding = true;
    if (exchange?.begun) {
      this.socket.destroy();
      return;
    }
    exchange?.abandon();
    this.#service.refuse(this, malformed, target ?? exchange?.head.target ?? '');
  }

  #over(exchange: Exchange, keepAlive: boolean): void {
    if (this.#exchange !== exchange) return;
    if (this.socket.writableNeedDrain && keepAlive && !this.#isStopping) {
      // Whoever sends requests ahead without reading their answers is made to.
      this.#waitFor('reader');
      this.#afterDrain = () => this.#over(exchange, keepAlive);
      return;
    }
    this.#exchange = undefined;
    if (!keepAlive || this.#isStopping) {
      this.#end();
      return;
    }
    this.#waitFor('first');
    if (this.#isPaused) this.resume();
    // Within `#read` its loop goes on by itself.
    if (this.#ahead && !this.#isReading) this.#read(this.#ahead);
  }

  /** Sends what is left and our end, then waits a little for theirs, reading away what still comes. */
  #end(): void {
    this.#isEnding = true;
    this.#ahead = undefined;
    this.#waitFor('linger');
    this.sendNow();
    this.socket.end();
    if (this.#isPaused) this.resume();
    if (this.socket.readableEnded) this.socket.destroySoon();
  }

  /** Whoever closes even one direction before the answer is there does not wait for it. */
  onSocketEnd(): void {
    if (this.#raw) {
      this.#raw.onEnd();
      return;
    }
    const exchange = this.#exchange;
    if (exchange && !exchange.isOver) {
      this.socket.destroy();
      return;
    }
    // What was answered in this turn is still to be written.
    this.sendNow();
    this.socket.destroySoon();
  }

  onSocketDrain(): void {
    if (this.#raw) {
      this.#raw.onDrain();
      return;
    }
    if (this.#waits === 'reader') {
      const { body } = this.#exchange ?? {};
      this.#waitFor(body && !body.isComplete && !this.#isPaused ? 'body' : 'busy');
    }
    this.#exchange?.drained();
    const next = this.#afterDrain;
    this.#afterDrain = undefined;
    next?.();
  }

  onSocketError(): void {
    this.socket.destroy();
  }

  onSocketClose(): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.#ahead = undefined;
    this.#raw?.onClose();
    exchange?.clientClosed();
    this.#onClose(this);
  }
}

/** What a head that cannot be read seems to ask for: it decides in which shape that is told. */
function targetIn(bytes: Buffer, from: number): string {
  const begin = bytes.toString('latin1', from, Math.min(bytes.length, from + 64));
  return /^[A-Z]+ (\/[^ ]*)/.exec(begin)?.[1] ?? '';
}
