import type { ErrorCode } from '@runstead/contract';
import { ChunkedReader } from '../http/chunked-reader.ts';
import { CHUNKED, UNTIL_CLOSE } from '../http/fields.ts';
import { HeadScan } from '../http/head-scan.ts';
import { Malformed } from '../http/malformed.ts';
import { type ResponseHead, readResponseHead } from '../http/response-head.ts';
import type { BulkPace } from './bulk-pace.ts';
import type { CallRecord } from './call-record.ts';
import type { CoarseClock } from './coarse-clock.ts';
import type { Connection, ConnectionPool, ConnectionUser } from './connection-pool.ts';
import type { Answerer, Exchange } from './exchange.ts';
import type { BodySink } from './incoming-body.ts';
import { TEXT_BYTES } from './outbox.ts';
import type { RequestBody } from './request-body.ts';
import { isEventStream, StreamTail } from './stream-end.ts';

export interface RelayOptions {
  exchange: Exchange;
  /** Of the server that is to answer. */
  pool: ConnectionPool;
  /** Whether the request may ride a kept connection, which the server may have closed meanwhile. */
  mayReuse: boolean;
  /** The request's head as the server gets it, to its last byte. */
  head: string;
  method: string;
  body: RequestBody;
  /** How long a piece of a streamed body has to wait; default: none does. */
  pace?: BulkPace;
  clock: CoarseClock;
  record: CallRecord;
  /** When the call began, on the monotonic clock. */
  startedMs: number;
  /** Whether the server may answer 101; what is left is then the caller's. */
  mayUpgrade?: boolean;
  user: RelayUser;
}

/** Whoever has a request answered. */
export interface RelayUser {
  /** The lines of the answer for the client, without those that frame it, except for Content-Length. */
  answerLines(answer: ResponseHead): string;
  /** What an event stream is told at its end when it is cut off; undefined: nothing can be told. */
  lastWords?(answer: ResponseHead, reason: string, code: ErrorCode): Buffer | undefined;
  /** Called once, when the server is done with the request; the client may still be reading what is left. */
  relayed(outcome: Outcome): void;
}

/** How one attempt to have a request answered ended. */
export type Outcome =
  /** The answer's head went to the client. `whole`: so did all the rest; otherwise the client was cut off. */
  | { kind: 'answered'; status: number; whole: boolean }
  /** 101: both connections are the caller's, and so are the bytes behind the head. */
  | { kind: 'upgraded'; answer: ResponseHead; connection: Connection; first: Buffer }
  | { kind: 'client-gone' }
  /** The connection was never made: nothing was sent, nor taken from a streamed body. */
  | { kind: 'not-connected'; error: NodeJS.ErrnoException }
  /** Broken off after something may have been sent and before anything reached the client. */
  | { kind: 'broken'; error: NodeJS.ErrnoException; reused: boolean; afterMs: number }
  /** A streamed body went past its limit before the answer began. */
  | { kind: 'too-large' }
  /** We were told to end it before the answer had begun. */
  | { kind: 'stopped'; reason: string };

/** Has one request answered by one server, streaming both ways with backpressure. Does not throw. */
export function relay(options: RelayOptions): void {
  new Relay(options).start();
}

/** Before the answer itself. Progress is told now and then, not without end. */
const MOST_INFORMED = 1000;

/** Never pushed to. */
const NOTHING_WAITS: Buffer[] = [];

class Relay implements ConnectionUser, BodySink, Answerer {
  /** When the server was heard last, or had nothing to say. */
  heardMs: number;
  readonly #options: RelayOptions;
  /** When the request went out, by the clock that is a quarter of a second fine. */
  #sentMs = 0;
  #connection: Connection | undefined = undefined;
  #isReused = false;
  #isSettled = false;
  #answer: ResponseHead | undefined = undefined;
  /** What came of a head that is not whole yet. */
  #headPart: Buffer | undefined = undefined;
  #scan: HeadScan | undefined = undefined;
  /** Bytes of the answer's body that are still to come, when their number is known. */
  #left = 0;
  #chunked: ChunkedReader | undefined = undefined;
  #isRequestSent = false;
  /** Why its instance is about to be stopped. */
  #cutBecause: string | undefined = undefined;
  /** Of event streams: where in a line or event what was sent has ended. */
  #tail: StreamTail | undefined = undefined;
  /** Answers before the answer (1xx). */
  #informed = 0;
  /** Pieces of the request's body that have not been passed on yet. */
  #waiting: Buffer[] = NOTHING_WAITS;
  #hasBodyEnded = false;
  #isFeeding = false;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.heardMs = options.clock.nowMs;
  }

  start(): void {
    const { exchange, pool, mayReuse } = this.#options;
    if (exchange.hangUp.aborted) {
      this.#settle({ kind: 'client-gone' });
      return;
    }
    const kept = mayReuse ? pool.take() : undefined;
    if (kept) {
      this.#send(kept, true);
      return;
    }
    pool.connect(exchange.hangUp, (error, connection) => {
      if (exchange.hangUp.aborted) this.#settle({ kind: 'client-gone' });
      else if (error) this.#settle({ kind: 'not-connected', error });
      else {
        this.#send(connection, false);
        return;
      }
      connection.socket.destroy();
    });
  }

  #send(connection: Connection, isReused: boolean): void {
    const { exchange, head, body, record } = this.#options;
    this.#connection = connection;
    this.#isReused = isReused;
    connection.user = this;
    exchange.answerer = this;
    this.#sentMs = this.#options.clock.nowMs;
    record.connectMs = isReused ? 0 : performance.now() - this.#options.startedMs;
    const { socket } = connection;
    // It is sent once; kept, it would stay for as long as the answer streams.
    this.#options.head = '';
    if (body.kind === 'whole') {
      this.#isRequestSent = true;
      const { bytes } = body;
      if (head.length + bytes.length <= TEXT_BYTES) {
        connection.write(bytes.length === 0 ? head : head + bytes.toString('latin1'));
      } else {
        socket.cork();
        socket.write(head, 'latin1');
        socket.write(bytes);
        socket.uncork();
      }
      return;
    }
    connection.write(head);
    this.#isFeeding = true;
    body.source.takeBy(this);
  }

  // The request's body

  /**
   * A piece waits until everything that had arrived was read. A server that refuses early and closes makes the next
   * write fail, and a failed write ends the connection with the refusal unread; so that is looked for first.
   */
  take(bytes: Buffer): boolean {
    const { body } = this.#options;
    if (body.kind !== 'stream' || !this.#isFeeding) return true;
    const { source, limitBytes } = body;
    if (source.received > limitBytes) {
      this.#tooLarge();
      return true;
    }
    if (this.#waiting.length === 0) {
      this.#waiting = [bytes];
      this.#schedule(bytes);
    } else this.#waiting.push(bytes);
    return false;
  }

  #schedule(bytes: Buffer): void {
    const { body, pace } = this.#options;
    const received = body.kind === 'stream' ? body.source.received : 0;
    const delayMs = pace?.delayMs(bytes.length, received) ?? 0;
    if (delayMs > 0) setTimeout(() => this.#passOn(bytes), delayMs);
    else setImmediate(() => this.#passOn(bytes));
  }

  end(): void {
    this.#hasBodyEnded = true;
    if (this.#waiting.length === 0) this.#endRequest();
  }

  /** The client is gone, or sent what cannot be read: what is told of it elsewhere. The server must not take it for whole. */
  broken(): void {
    this.#isFeeding = false;
    this.onGone();
  }

  #passOn(bytes: Buffer): void {
    if (!this.#isFeeding) return;
    const { body } = this.#options;
    const connection = this.#connection!;
    const { socket } = connection;
    connection.sendNow();
    let taken: boolean;
    if (body.kind === 'stream' && body.source.length === CHUNKED) {
      socket.cork();
      socket.write(`${bytes.length.toString(16)}\r\n`, 'latin1');
      socket.write(bytes);
      taken = socket.write('\r\n', 'latin1');
      socket.uncork();
    } else {
      taken = socket.write(bytes);
    }
    this.heardMs = this.#options.clock.nowMs;
    this.#waiting.shift();
    const next = this.#waiting[0];
    if (next) this.#schedule(next);
    else if (this.#hasBodyEnded) this.#endRequest();
    else if (taken && body.kind === 'stream') body.source.resume();
  }

  #endRequest(): void {
    const { body } = this.#options;
    this.#isFeeding = false;
    this.#isRequestSent = true;
    if (body.kind === 'stream' && body.source.length === CHUNKED) {
      this.#connection?.write('0\r\n\r\n');
    }
  }

  #stopFeeding(): void {
    const { body } = this.#options;
    if (!this.#isFeeding) return;
    this.#isFeeding = false;
    if (body.kind === 'stream') body.source.letGo();
  }

  #tooLarge(): void {
    const { exchange } = this.#options;
    this.#stopFeeding();
    // Once the answer has begun there is no way to say it, only to cut off.
    if (exchange.begun) exchange.cutOff();
    this.#settle({ kind: 'too-large' });
    this.#connection?.socket.destroy();
  }

  // The answer

  onBytes(bytes: Buffer, size: number): boolean {
    const { exchange, clock } = this.#options;
    this.heardMs = clock.nowMs;
    let source = bytes;
    let end = size;
    let at = 0;
    if (this.#headPart) {
      source = Buffer.concat([this.#headPart, bytes.subarray(0, size)]);
      end = source.length;
      this.#headPart = undefined;
    }
    while (!this.#answer) {
      const head = readResponseHead(source, at, end, this.#options.method, this.#scan);
      if (head === undefined) {
        this.#scan ??= new HeadScan();
        this.#headPart = Buffer.from(source.subarray(at, end));
        return true;
      }
      if (head instanceof Malformed) {
        this.#breakOff(answerError(head.reason));
        return false;
      }
      at = head.end;
      if (head.status >= 200) this.#begin(head);
      else if (head.status !== 101) {
        if (++this.#informed > MOST_INFORMED) {
          this.#breakOff(answerError('it said over and over that an answer would come'));
          return false;
        }
        this.#inform(head);
      } else return this.#switch(head, Buffer.from(source.subarray(at, end)));
      if (at === end && !this.#answer) return true;
    }
    at = this.#readBody(source, at, end);
    if (this.#isSettled) return false;
    if (this.#isWhole(this.#answer)) {
      this.#finish(at === end);
      return true;
    }
    exchange.flush();
    return exchange.isTaking;
  }

  onEnd(): void {
    const answer = this.#answer;
    if (!answer) this.#breakOff(connectionClosed());
    else if (answer.length === UNTIL_CLOSE) this.#finish(false);
    else this.#breakOff(connectionClosed());
  }

  onDrain(): void {
    const { body } = this.#options;
    this.heardMs = this.#options.clock.nowMs;
    if (this.#isFeeding && this.#waiting.length === 0 && body.kind === 'stream') body.source.resume();
  }

  onClientSlow(): void {
    this.#connection?.socket.pause();
  }

  onClientDrain(): void {
    this.heardMs = this.#options.clock.nowMs;
    this.#connection?.resume();
  }

  onClose(error: NodeJS.ErrnoException | undefined): void {
    this.#breakOff(error ?? connectionClosed());
  }

  /** While the client does not read, it is not the server that is silent. */
  tick(nowMs: number, silenceMs: number): void {
    if (nowMs - this.heardMs <= silenceMs || !this.#options.exchange.isTaking) return;
    this.#breakOff(
      Object.assign(new Error(`it said nothing for ${silenceMs / 1000} s`), { code: 'ETIMEDOUT' }),
    );
  }

  #begin(head: ResponseHead): void {
    const { exchange, record, body } = this.#options;
    this.#answer = head;
    record.firstByteMs = performance.now() - this.#options.startedMs;
    if (head.length === CHUNKED) this.#chunked = new ChunkedReader();
    else this.#left = head.length;
    exchange.begin(head.status, head.reason, this.#options.user.answerLines(head), head.length);
    if (head.length < 0 && isEventStream(head.section.value('content-type'))) this.#tail = new StreamTail();
    // An early refusal: what is still to come is not wanted, and sending it on could only break the answer off.
    if (head.status >= 400 && body.kind === 'stream' && !this.#isRequestSent) {
      this.#stopFeeding();
      body.source.drop();
    }
  }

  #inform({ status, section }: ResponseHead): void {
    const { exchange } = this.#options;
    if (status === 100) exchange.inform(100);
    if (status === 102) exchange.inform(102);
    if (status !== 103) return;
    const links = section.only('link');
    if (links.length > 0) exchange.inform(103, links);
  }

  #switch(answer: ResponseHead, first: Buffer): boolean {
    if (!this.#options.mayUpgrade) {
      this.#breakOff(answerError('it switched protocols unasked'));
      return false;
    }
    const connection = this.#connection!;
    this.#settle({ kind: 'upgraded', answer, connection, first });
    // Nothing more is read before somebody has taken the connection.
    return false;
  }

  #readBody(source: Buffer, from: number, end: number): number {
    const { exchange } = this.#options;
    const reader = this.#chunked;
    if (reader) {
      const at = reader.read(source, from, end);
      const { runs } = reader;
      for (let run = 0; run < runs.length; run += 2) this.#passBack(source, runs[run]!, runs[run + 1]!);
      if (reader.fault) this.#breakOff(answerError(reader.fault.reason));
      return at;
    }
    if (this.#left === UNTIL_CLOSE) {
      this.#passBack(source, from, end);
      return end;
    }
    const to = Math.min(end, from + this.#left);
    exchange.write(source, from, to);
    this.#left -= to - from;
    return to;
  }

  #passBack(source: Buffer, from: number, to: number): void {
    this.#options.exchange.write(source, from, to);
    this.#tail?.passed(source.subarray(Math.max(from, to - 8), to));
  }

  #isWhole(answer: ResponseHead): boolean {
    return answer.length === CHUNKED
      ? this.#chunked!.done
      : answer.length !== UNTIL_CLOSE && this.#left === 0;
  }

  /** @param inStep nothing came behind the answer */
  #finish(inStep: boolean): void {
    const { exchange, pool, clock, user } = this.#options;
    const answer = this.#answer!;
    const connection = this.#connection!;
    this.#stopFeeding();
    this.#detach();
    if (inStep && answer.keepAlive && this.#isRequestSent) pool.give(connection, clock.nowMs);
    else connection.socket.destroy();
    exchange.end();
    user.relayed({ kind: 'answered', status: answer.status, whole: true });
  }

  /** The connection ended, or has to, before the answer was whole. */
  #breakOff(error: NodeJS.ErrnoException): void {
    if (this.#isSettled) return;
    const answer = this.#answer;
    this.#stopFeeding();
    const cutBecause = this.#cutBecause;
    if (answer) {
      if (cutBecause !== undefined) this.#cutOff(answer, cutBecause, 'ERR_UNAVAILABLE');
      else this.#cutOff(answer, 'The agent broke off before its answer was whole', 'ERR_AGENT_UNREACHABLE');
      this.#settle({ kind: 'answered', status: answer.status, whole: false });
    } else if (cutBecause !== undefined) {
      this.#settle({ kind: 'stopped', reason: cutBecause });
    } else {
      const afterMs = this.#options.clock.nowMs - this.#sentMs;
      this.#settle({ kind: 'broken', error, reused: this.#isReused, afterMs });
    }
    this.#connection?.socket.destroy();
  }

  /** Who has no answer yet may still get one until the instance is stopped; what has begun is ended now. */
  cut(reason: string): void {
    if (this.#isSettled) return;
    this.#cutBecause = reason;
    const answer = this.#answer;
    if (!answer) return;
    this.#stopFeeding();
    this.#cutOff(answer, reason, 'ERR_UNAVAILABLE');
    this.#settle({ kind: 'answered', status: answer.status, whole: false });
    this.#connection?.socket.destroy();
  }

  /** Ends an answer that has begun; an event stream is told why, on a line of its own. */
  #cutOff(answer: ResponseHead, reason: string, code: ErrorCode): void {
    const { exchange, user } = this.#options;
    const words = this.#tail && user.lastWords?.(answer, reason, code);
    exchange.cutOff(words && Buffer.concat([Buffer.from(this.#tail!.gap), words]));
  }

  onGone(): void {
    if (this.#isSettled) return;
    this.#isFeeding = false;
    this.#settle({ kind: 'client-gone' });
    this.#connection?.socket.destroy();
  }

  /** Tells how it ended, once whoever calls this is done as well. */
  #settle(outcome: Outcome): void {
    if (this.#isSettled) return;
    this.#detach();
    queueMicrotask(() => this.#options.user.relayed(outcome));
  }

  #detach(): void {
    this.#isSettled = true;
    const { exchange } = this.#options;
    if (exchange.answerer === this) exchange.answerer = undefined;
  }
}

function connectionClosed(): NodeJS.ErrnoException {
  return Object.assign(new Error('the connection was closed'), { code: 'ECONNRESET' });
}

function answerError(reason: string): NodeJS.ErrnoException {
  return Object.assign(new Error(reason), { code: 'ERR_ANSWER_MALFORMED' });
}
