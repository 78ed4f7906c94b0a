import { type IncomingMessage, type ServerResponse, request as sendRequest } from 'node:http';
import type { BulkPace } from './bulk-pace.ts';
import type { Dial } from './connect.ts';
import { discardRest, type RequestBody } from './request-body.ts';

export interface Exchange {
  request: IncomingMessage;
  response: ServerResponse;
  /** Where to send and what to say: address, agent, method, path, fields. */
  dial: Dial;
  body: RequestBody;
  /** Aborted when the client hangs up. */
  signal: AbortSignal;
  /** How long a piece of a streamed body has to wait; default: none does. */
  pace?: BulkPace;
  /** The fields of the answer for the client. */
  answerFields: (answer: IncomingMessage) => string[];
}

/** How one attempt to have a request answered ended. */
export type Outcome =
  /** The answer's head went to the client. `whole`: so did all the rest; otherwise the client was cut off. */
  | { kind: 'answered'; status: number; whole: boolean }
  | { kind: 'client-gone' }
  /** The connection was never made: nothing was sent, nor taken from a streamed body. */
  | { kind: 'not-connected'; error: NodeJS.ErrnoException }
  /** Broken off after something may have been sent and before anything reached the client. */
  | { kind: 'broken'; error: NodeJS.ErrnoException; reused: boolean; afterMs: number }
  /** A streamed body went past its limit before the answer began. */
  | { kind: 'too-large' };

/**
 * Has one request answered by one server, streaming both ways with backpressure. Resolves when the server is done
 * with it; the client may still be reading what is left. Does not throw.
 */
export function relay(exchange: Exchange): Promise<Outcome> {
  const { request, response, body, signal } = exchange;
  return new Promise((resolve) => {
    const startedMs = performance.now();
    let connected = false;
    let settled = false;
    const dial: Dial = { ...exchange.dial, unwanted: signal };
    const upstream = sendRequest(dial);

    const settle = (outcome: Outcome) => {
      if (settled) return;
      settled = true;
      signal.removeEventListener('abort', onGone);
      resolve(outcome);
    };
    const onGone = () => {
      settle({ kind: 'client-gone' });
      upstream.destroy();
    };
    const onBroken = (error: NodeJS.ErrnoException) => {
      stopFeeding();
      if (!connected) settle({ kind: 'not-connected', error });
      else {
        const afterMs = performance.now() - startedMs;
        settle({ kind: 'broken', error, reused: upstream.reusedSocket, afterMs });
      }
    };
    let stopFeeding = () => {};
    const feed = () => {
      connected = true;
      if (body.kind === 'stream') {
        stopFeeding = pump(body.source, body.limitBytes, upstream, exchange.pace, () => {
          // Once the answer has begun there is no way to say it, only to cut off.
          if (response.headersSent) response.destroy();
          settle({ kind: 'too-large' });
          upstream.destroy();
        });
      }
    };

    if (signal.aborted) {
      onGone();
      upstream.on('error', () => {});
      return;
    }
    signal.addEventListener('abort', onGone);
    upstream.on('error', onBroken);
    const onClosed = () => onBroken(new Error('the connection was closed'));
    upstream.on('close', onClosed);
    upstream.on('socket', (socket) => {
      if (socket.connecting) socket.once('connect', feed);
      else feed();
    });
    upstream.on('continue', () => {
      if (!response.headersSent) response.writeContinue();
    });
    upstream.on('information', ({ statusCode, headers }) => {
      if (response.headersSent) return;
      if (statusCode === 102) response.writeProcessing();
      if (statusCode === 103 && headers.link) response.writeEarlyHints({ link: headers.link });
    });
    upstream.on('response', (answer) => {
      upstream.removeListener('error', onBroken);
      upstream.removeListener('close', onClosed);
      // What becomes of the answer tells the rest; an error in sending what nobody waits for does not matter.
      upstream.on('error', () => {});
      if (settled) {
        upstream.destroy();
        return;
      }
      const status = answer.statusCode ?? 502;
      try {
        response.writeHead(status, answer.statusMessage, exchange.answerFields(answer));
      } catch (error) {
        settle({
          kind: 'broken',
          error: error as Error,
          reused: false,
          afterMs: performance.now() - startedMs,
        });
        upstream.destroy();
        return;
      }
      sendHead(response);

      // An early refusal: what is still to come is not wanted, and sending it on could only break the answer off.
      if (status >= 400 && body.kind === 'stream' && !request.complete) {
        stopFeeding();
        discardRest(request);
      }
      let ended = false;
      answer.on('end', () => {
        ended = true;
        if (body.kind === 'stream' && !upstream.writableEnded) {
          stopFeeding();
          discardRest(request);
          upstream.destroy();
        }
        // A tick later Node has put the connection back, so that the next call finds it.
        process.nextTick(settle, { kind: 'answered', status, whole: true });
      });
      answer.on('error', () => {});
      answer.on('close', () => {
        if (ended) return;
        stopFeeding();
        cutOff(request, response);
        settle({ kind: 'answered', status, whole: false });
      });
      answer.pipe(response);
    });

    if (body.kind === 'whole') upstream.end(body.bytes);
    else upstream.flushHeaders();
  });
}

/**
 * Sends an answer's head before the first byte of its body is there (event streams), but in one packet with it if
 * both have come.
 */
function sendHead(response: ServerResponse): void {
  // The connection, not the answer: in Node 22.23 and 24.21 a corked answer that ends sends its last chunk before the others.
  // One that waits its turn on the connection has none yet.
  const { socket } = response;
  socket?.cork();
  response.flushHeaders();
  if (socket) setImmediate(() => socket.uncork());
}

/**
 * Ends an answer so that nobody takes it for a whole one: a chunked or counted body stays short of its end. An
 * HTTP/1.0 client has only the connection's end to go by, so that one must be a reset.
 */
function cutOff(request: IncomingMessage, response: ServerResponse): void {
  if (request.httpVersion === '1.0') request.socket.resetAndDestroy();
  response.destroy();
}

/**
 * Passes a body on chunk by chunk, never holding more than one that the receiver has not taken.
 *
 * Each chunk waits until everything that had arrived was read. A server that refuses early and closes makes the next
 * write fail, and a failed write makes Node drop the connection with the refusal unread; so that is looked for first.
 * @returns stops it; the source is then paused
 */
function pump(
  source: IncomingMessage,
  limitBytes: number,
  sink: NodeJS.WritableStream,
  pace: BulkPace | undefined,
  onTooLarge: () => void,
): () => void {
  let seen = 0;
  let stopped = false;
  let ended = false;
  /** Between a chunk's coming and its being passed on; the end may come meanwhile, although the source is paused. */
  let holding = false;
  const onData = (chunk: Buffer) => {
    seen += chunk.length;
    if (seen > limitBytes) {
      stop();
      onTooLarge();
      return;
    }
    source.pause();
    holding = true;
    const delayMs = pace?.delayMs(chunk.length, seen) ?? 0;
    const passOn = () => {
      holding = false;
      if (stopped) return;
      const taken = sink.write(chunk);
      if (ended) sink.end();
      else if (taken) source.resume();
    };
    if (delayMs > 0) setTimeout(passOn, delayMs);
    else setImmediate(passOn);
  };
  const onDrain = () => {
    if (!holding) source.resume();
  };
  const onEnd = () => {
    ended = true;
    if (!holding) sink.end();
  };
  const stop = () => {
    if (stopped) return;
    stopped = true;
    source.removeListener('data', onData);
    source.removeListener('end', onEnd);
    sink.removeListener('drain', onDrain);
    source.pause();
  };
  source.on('data', onData);
  source.on('end', onEnd);
  // The client hanging up is seen on its connection; without a listener it would be thrown.
  source.on('error', () => {});
  sink.on('drain', onDrain);
  source.resume();
  return stop;
}

/** Methods that may be repeated whatever became of the first attempt (RFC 9110 section 9.2.2). */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE']);
/**
 * A reset of a connection that had been closed while idle comes back at once. One that comes later is a server that
 * died over the request, and doing the work again would be the caller's decision.
 */
const STALE_WITHIN_MS = 1000;

/**
 * Whether a request met a kept connection that the server had already closed, and so may be sent once more over a
 * new one: the connection had been used before, no byte of an answer came, and the body is still at hand (RFC 9112
 * section 9.3.1).
 */
export function isStaleConnection(outcome: Outcome, method: string, body: RequestBody): boolean {
  if (outcome.kind !== 'broken' || !outcome.reused || body.kind !== 'whole') return false;
  if (outcome.error.code !== 'ECONNRESET' && outcome.error.code !== 'EPIPE') return false;
  return IDEMPOTENT.has(method) || outcome.afterMs < STALE_WITHIN_MS;
}
