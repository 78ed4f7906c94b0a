import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { CHUNKED, UNTIL_CLOSE } from '../http/fields.ts';
import type { RequestHead as WireHead } from '../http/request-head.ts';
import type { ConnectionMemory } from './connection-memory.ts';
import { dateNow } from './date-now.ts';
import { HangUp } from './hang-up.ts';
import { lines } from './headers.ts';
import { type BodySource, IncomingBody } from './incoming-body.ts';
import { TEXT_BYTES } from './outbox.ts';
import { type Ends, expectsContinue, type RequestHead, SentHead } from './request-head.ts';

/**
 * Bodies up to this size are held until the call is let in: they can be sent a second time, and a client that trickles
 * its request holds no slot meanwhile. Larger ones, and those of unknown length, are streamed once.
 */
export const KEPT_BODY_BYTES = 64 * 1024;

/** What an exchange needs of its connection. */
export interface ExchangeConnection extends BodySource {
  readonly socket: Socket;
  readonly ends: Ends;
  readonly memory: ConnectionMemory;
  /** No further request will be read. */
  readonly isStopping: boolean;
  /** Hands the connection over: from now on it carries no requests. @returns what has been sent ahead */
  takeOver(user: RawUser): Buffer | undefined;
  /** The answer has gone out, or never will. */
  answered(exchange: Exchange, keepAlive: boolean): void;
  /** Writes at the end of this turn of the event loop. @param text in Latin-1 */
  write(text: string): void;
  /** Writes at once, behind what is to be written. */
  writeBytes(bytes: Buffer): void;
  sendNow(): void;
}

/** Who takes the connection over after an upgrade. */
export interface RawUser {
  onBytes(bytes: Buffer): void;
  onEnd(): void;
  onDrain(): void;
  onClose(): void;
}

/** Whoever is having a request answered. */
export interface Answerer {
  /** The client does not read as fast as it is sent to. */
  onClientSlow(): void;
  /** It has read what was sent. */
  onClientDrain(): void;
  /** The client is gone. */
  onGone(): void;
  /** The exchange has to end now, although it is open. @param reason one sentence for the client */
  cut(reason: string): void;
}

/** One request on a client's connection, and the answer to it. */
export class Exchange {
  readonly wire: WireHead;
  readonly head: RequestHead;
  readonly body: IncomingBody;
  readonly memory: ConnectionMemory;
  readonly hangUp = new HangUp();
  /** Whoever is having it answered. */
  answerer: Answerer | undefined = undefined;
  /** Called when all of the body has come. */
  afterBody: (() => void) | undefined = undefined;
  /** Bytes of the answer's body. */
  sent = 0;
  readonly #connection: ExchangeConnection;
  #keepAlive: boolean;
  /** Not written yet. */
  #text = '';
  /** The answer's head has gone out, or is about to. */
  #begun = false;
  #isOver = false;
  /** How the answer's body is framed: bytes that are still to come, or `CHUNKED` or `UNTIL_CLOSE`. */
  #left = 0;
  #isHead: boolean;
  #isTaking = true;
  #isContinued = false;

  constructor(connection: ExchangeConnection, wire: WireHead) {
    this.#connection = connection;
    this.wire = wire;
    this.memory = connection.memory;
    this.head = new SentHead(wire, connection.ends);
    this.body = new IncomingBody(wire.length, connection, KEPT_BODY_BYTES);
    this.#keepAlive = wire.keepAlive;
    this.#isHead = wire.method === 'HEAD';
  }

  get begun(): boolean {
    return this.#begun;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Whether what was sent last has been taken; if not, the answerer hears when it is. */
  get isTaking(): boolean {
    return this.#isTaking;
  }

  /** Whether the client waits for "100 Continue" before it sends its body, and has not been told. */
  get isBodyWithheld(): boolean {
    return (
      expectsContinue(this.wire) && !this.#isContinued && this.body.received === 0 && !this.body.isComplete
    );
  }

  /** After this answer the connection ends. */
  closeAfter(): void {
    this.#keepAlive = false;
  }

  /** An answer of ours that goes before the real one (RFC 9110 section 15.2): `100` or `103`. HTTP/1.0 knows none. */
  inform(status: number, fields: readonly string[] = []): void {
    if (this.#begun || this.#isOver || this.wire.minor === 0) return;
    if (status === 100) this.#isContinued = true;
    this.#connection.write(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines(fields)}\r\n`);
  }

  /**
   * Begins the answer; it goes out with the first of its body, or by `flush`.
   * @param fields lines, without those that frame the message, except for Content-Length
   * @param length of the body in bytes, `CHUNKED`, or `UNTIL_CLOSE`; the two are the same to the client
   */
  begin(status: number, reason: string, fields: string, length: number): void {
    this.#begun = true;
    const { minor } = this.wire;
    let text = `HTTP/1.1 ${status} ${reason}\r\n${fields}`;
    if (this.#isHead) this.#left = 0;
    else if (length >= 0) this.#left = length;
    else if (minor === 1) {
      this.#left = CHUNKED;
      text += 'transfer-encoding: chunked\r\n';
    } else {
      this.#left = UNTIL_CLOSE;
      this.#keepAlive = false;
    }
    // Whether the body will follow after all, only the client knows.
    if (this.#connection.isStopping || this.isBodyWithheld) this.#keepAlive = false;
    if (!this.#keepAlive) text += 'connection: close\r\n';
    else if (minor === 0) text += 'connection: keep-alive\r\n';
    this.#text = `${text}\r\n`;
  }

  /** Sends bytes of the body. They may be overwritten as soon as this returns. */
  write(source: Buffer, from: number, to: number): void {
    const size = to - from;
    if (size === 0 || this.#isHead || this.#isOver) return;
    this.sent += size;
    const isChunked = this.#left === CHUNKED;
    if (isChunked) this.#text += `${size.toString(16)}\r\n`;
    else if (this.#left > 0) this.#left -= size;
    if (this.#text.length + size <= TEXT_BYTES) {
      this.#text += source.toString('latin1', from, to);
    } else {
      this.flush();
      const copy = Buffer.allocUnsafeSlow(size);
      source.copy(copy, 0, from, to);
      this.#connection.writeBytes(copy);
    }
    if (isChunked) this.#text += '\r\n';
  }

  /** Writes what has been gathered, at the end of this turn. */
  flush(): void {
    if (this.#text === '') return;
    const text = this.#text;
    this.#text = '';
    this.#connection.write(text);
  }

  /** Ends the answer: all of the body has been written. */
  end(): void {
    if (this.#isOver) return;
    if (this.#left === CHUNKED) this.#text += '0\r\n\r\n';
    this.flush();
    this.#finish();
    this.#connection.answered(this, this.#keepAlive);
  }

  /** A whole answer of ours at once. @param fields without Date and Content-Length @param json default: no content */
  answer(status: number, fields: readonly string[], json?: string): void {
    if (this.#begun || this.#isOver) return;
    const bytes = Buffer.from(json ?? '');
    this.begin(status, STATUS_CODES[status] ?? '', lines([...ownFields(json), ...fields]), bytes.length);
    this.write(bytes, 0, bytes.length);
    this.end();
  }

  /**
   * Ends an answer so that nobody takes it for a whole one: a chunked or counted body stays short of its end. An
   * HTTP/1.0 client has only the connection's end to go by, so that one must be a reset.
   * @param last written first, where the framing lets it be told from the whole
   */
  cutOff(last?: Buffer): void {
    if (this.#isOver) return;
    const isTold = last !== undefined && this.#left === CHUNKED;
    if (isTold) this.write(last, 0, last.length);
    this.flush();
    this.#finish();
    this.#connection.sendNow();
    const { socket } = this.#connection;
    if (this.#left === UNTIL_CLOSE) socket.resetAndDestroy();
    else if (isTold) socket.destroySoon();
    else socket.destroy();
  }

  /** Hands the connection over (an upgrade); its head is written first. @returns what the client sent ahead */
  takeOver(head: string, user: RawUser): Buffer | undefined {
    this.#begun = true;
    this.#isOver = true;
    this.#connection.write(head);
    return this.#connection.takeOver(user);
  }

  /** For whoever took the connection over. */
  get socket() {
    return this.#connection.socket;
  }

  /** The client does not read as fast as it is sent to. */
  clientIsSlow(): void {
    if (!this.#isTaking) return;
    this.#isTaking = false;
    this.answerer?.onClientSlow();
  }

  /** It has read what was sent. */
  drained(): void {
    this.#isTaking = true;
    this.answerer?.onClientDrain();
  }

  /** It has to end now, although it is open. @param reason one sentence for the client */
  cut(reason: string): void {
    this.answerer?.cut(reason);
  }

  /** All of the body has come. */
  bodyCame(): void {
    const then = this.afterBody;
    this.afterBody = undefined;
    then?.();
  }

  /** Somebody else answers on the connection, or nobody does. */
  abandon(): void {
    if (this.#isOver) return;
    const { answerer } = this;
    this.#finish();
    answerer?.onGone();
    this.hangUp.abort();
  }

  /** The client is gone. */
  clientClosed(): void {
    if (this.#isOver) {
      this.hangUp.abort();
      return;
    }
    this.body.stop();
    const { answerer } = this;
    this.#finish();
    answerer?.onGone();
    this.hangUp.abort();
  }

  #finish(): void {
    this.#isOver = true;
    this.answerer = undefined;
  }
}

/** What every answer of ours begins with. @param json its content */
export function ownFields(json: string | undefined): string[] {
  const fields = ['date', dateNow()];
  if (json === undefined) return fields;
  return [
    ...fields,
    'content-type',
    'application/json; charset=utf-8',
    'content-length',
    String(Buffer.byteLength(json)),
  ];
}
