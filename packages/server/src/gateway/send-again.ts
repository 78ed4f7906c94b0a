import type { Outcome } from './relay.ts';
import type { RequestBody } from './request-body.ts';
import { fieldValues, type RequestHead } from './request-head.ts';

/** When a request that got no answer may be sent again (docs/request-path.md). */

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

/** Whether a request may be answered twice: by its method, or because its sender says that it counts once. */
export function isReplayable({ method, fields }: RequestHead, body: RequestBody): boolean {
  if (body.kind !== 'whole') return false;
  if (method === 'GET' || method === 'HEAD') return true;
  return fieldValues(fields, 'idempotency-key').some((key) => key !== '');
}

/** Whether a connection broke because whoever was to answer is gone; an answer that cannot be read is its answer. */
export function isDeath({ code }: NodeJS.ErrnoException): boolean {
  return code === 'ECONNRESET' || code === 'EPIPE';
}
