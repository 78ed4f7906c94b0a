import type { IncomingMessage } from 'node:http';
import { RunsteadError } from '@runstead/contract';
import { ClientGone } from './admit.ts';
import { fieldValues, type RequestHead } from './request-head.ts';

/**
 * Bodies up to this size are read before the call is let in: they can be sent a second time, and a client that
 * trickles its request holds no slot meanwhile. Larger ones, and those of unknown length, are streamed once.
 */
export const KEPT_BODY_BYTES = 64 * 1024;

export type RequestBody =
  | { kind: 'whole'; bytes: Buffer; framing: readonly string[] }
  | { kind: 'stream'; source: IncomingMessage; limitBytes: number; framing: readonly string[] };

/** Methods whose requests are expected to have a body, so that its absence is stated (RFC 9110 section 8.6). */
const WITH_BODY = new Set(['POST', 'PUT', 'PATCH']);
const NOTHING = Buffer.alloc(0);
/**
 * Said although a streamed body's connection is not used again: a server that is told of a close makes it as soon as
 * it has refused early, and the unread upload then turns it into a reset.
 */
const KEPT = ['connection', 'keep-alive'];

/**
 * Decides how a body is passed on, and reads it if it is small.
 * @param limitBytes Infinity for none
 * @throws RunsteadError ERR_PAYLOAD_TOO_LARGE by the stated length, ERR_BAD_REQUEST; ClientGone
 */
export async function takeBody(
  request: IncomingMessage,
  head: RequestHead,
  limitBytes: number,
): Promise<RequestBody> {
  const codings = fieldValues(head.fields, 'transfer-encoding');
  if (codings.length > 0) {
    // Node undoes `chunked` only; any other coding would be passed on undeclared.
    if (codings.length > 1 || codings[0]!.trim().toLowerCase() !== 'chunked') {
      throw new RunsteadError(
        'ERR_BAD_REQUEST',
        `Transfer-Encoding must be chunked; got "${codings.join(', ')}"`,
      );
    }
    return {
      kind: 'stream',
      source: request,
      limitBytes,
      framing: ['transfer-encoding', 'chunked', ...KEPT],
    };
  }
  const stated = fieldValues(head.fields, 'content-length')[0];
  const length = Number(stated ?? 0);
  if (length > limitBytes) throw tooLarge(limitBytes, `${length} bytes are announced`);
  if (length === 0) {
    const said = stated !== undefined || WITH_BODY.has(head.method);
    return { kind: 'whole', bytes: NOTHING, framing: said ? ['content-length', '0'] : [] };
  }
  const framing = ['content-length', String(length)];
  // Whoever expects "100 Continue" sends nothing before the agent has said it.
  const expects = fieldValues(head.fields, 'expect').length > 0;
  if (length > KEPT_BODY_BYTES || expects) {
    return { kind: 'stream', source: request, limitBytes, framing: [...framing, ...KEPT] };
  }
  return { kind: 'whole', bytes: await readWhole(request), framing };
}

export function tooLarge(limitBytes: number, seen: string): RunsteadError {
  return new RunsteadError(
    'ERR_PAYLOAD_TOO_LARGE',
    `The request body may have at most ${limitBytes} bytes; ${seen}`,
  );
}

function readWhole(request: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.once('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)));
    request.once('error', () => reject(new ClientGone()));
  });
}

/** How long the rest of a body that nobody wants is read. */
const DISCARD_MS = 10_000;

/**
 * Reads away what is left of a body whose request has been answered. Closing at once would make the client's kernel
 * report a reset, and many clients then never look at the answer (RFC 9112 section 9.6).
 */
export function discardRest(request: IncomingMessage): void {
  if (request.complete || request.destroyed) return;
  const timer = setTimeout(() => request.socket.destroy(), DISCARD_MS).unref();
  request.once('close', () => clearTimeout(timer));
  request.on('error', () => {});
  request.resume();
}
