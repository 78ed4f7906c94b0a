import { RunsteadError } from '@runstead/contract';
import { CHUNKED } from '../http/fields.ts';
import { ClientGone } from './admit.ts';
import { type Exchange, KEPT_BODY_BYTES } from './exchange.ts';
import type { IncomingBody } from './incoming-body.ts';
import { expectsContinue } from './request-head.ts';

export type RequestBody =
  /** All of it is here, and can be sent a second time. */
  | { kind: 'whole'; bytes: Buffer; framing: readonly string[] }
  /** Sent on as it comes, once. */
  | { kind: 'stream'; source: IncomingBody; limitBytes: number; framing: readonly string[] };

/** Methods whose requests are expected to have a body, so that its absence is stated (RFC 9110 section 8.6). */
const WITH_BODY = new Set(['POST', 'PUT', 'PATCH']);
const NOTHING: RequestBody = { kind: 'whole', bytes: Buffer.alloc(0), framing: [] };
const STATED_NOTHING: RequestBody = { ...NOTHING, framing: ['content-length', '0'] } as RequestBody;

/**
 * Decides how a body is passed on, and waits for it if it is small.
 * @param limitBytes Infinity for none
 * @throws RunsteadError ERR_PAYLOAD_TOO_LARGE by the stated length; ClientGone
 */
export function takeBody(exchange: Exchange, limitBytes: number): RequestBody | Promise<RequestBody> {
  const { body, wire } = exchange;
  const { length } = body;
  if (length > limitBytes) throw tooLarge(limitBytes, `${length} bytes are announced`);
  if (length === 0) {
    const isStated = wire.section.contentLength !== undefined || WITH_BODY.has(wire.method);
    return isStated ? STATED_NOTHING : NOTHING;
  }
  // One that has come already can be sent on with its length, however it came.
  if (body.isComplete && body.received <= Math.min(KEPT_BODY_BYTES, limitBytes)) return wholeOf(body);
  if (length === CHUNKED) {
    return { kind: 'stream', source: body, limitBytes, framing: ['transfer-encoding', 'chunked'] };
  }
  // Whoever expects "100 Continue" sends nothing before the agent has said it.
  if (length > KEPT_BODY_BYTES || expectsContinue(wire)) {
    return { kind: 'stream', source: body, limitBytes, framing: ['content-length', String(length)] };
  }
  return new Promise((resolve, reject) => {
    const onGone = () => reject(new ClientGone());
    exchange.hangUp.addEventListener('abort', onGone);
    exchange.afterBody = () => {
      exchange.hangUp.removeEventListener('abort', onGone);
      resolve(wholeOf(body));
    };
  });
}

function wholeOf(body: IncomingBody): RequestBody {
  return { kind: 'whole', bytes: body.whole(), framing: ['content-length', String(body.received)] };
}

export function tooLarge(limitBytes: number, seen: string): RunsteadError {
  return new RunsteadError(
    'ERR_PAYLOAD_TOO_LARGE',
    `The request body may have at most ${limitBytes} bytes; ${seen}`,
  );
}
