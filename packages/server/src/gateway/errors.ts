import { STATUS_CODES } from 'node:http';
import {
  type DataPlaneError,
  type ErrorCode,
  type ErrorEnvelope,
  errorTable,
  RunsteadError,
} from '@runstead/contract';
import type { Malformed } from '../http/malformed.ts';
import type { Log } from '../observe/log.ts';
import { newRequestId } from '../observe/request-id.ts';
import type { ClientConnection } from './client-connection.ts';
import { type Exchange, ownFields } from './exchange.ts';
import { lines, platformFields } from './headers.ts';
import { isDataPlane } from './resolve.ts';

export interface ErrorContext {
  requestId: string;
  /** Decides the shape: `isDataPlane` of the target. */
  dataPlane: boolean;
  /** Known once the host and origin were checked. */
  crossOrigin: string | undefined;
  /** Further fields, as names and values by turns. */
  extras?: readonly string[];
  log: Log;
}

/**
 * Tells the client of an error; once an answer has begun, only cutting it off can.
 * @returns what was told
 */
export function answerError(exchange: Exchange, thrown: unknown, context: ErrorContext): RunsteadError {
  const error = asRunsteadError(thrown, context);
  if (exchange.begun) {
    exchange.cutOff();
    return error;
  }
  const { requestId, dataPlane, crossOrigin, extras = [] } = context;
  const body = JSON.stringify(dataPlane ? dataPlaneError(error) : errorEnvelope(error, requestId));
  exchange.answer(
    error.status,
    [
      ...(error.retryAfterSeconds === undefined ? [] : ['retry-after', String(error.retryAfterSeconds)]),
      ...platformFields({ requestId, status: error.status, origin: 'platform', crossOrigin, extras }),
    ],
    body,
  );
  return error;
}

function asRunsteadError(thrown: unknown, { requestId, log }: ErrorContext): RunsteadError {
  if (thrown instanceof RunsteadError) return thrown;
  log.error({ err: thrown, requestId }, 'internal fault');
  return new RunsteadError(
    'ERR_INTERNAL_SERVER_ERROR',
    `An internal fault of the gateway; it is logged under request id ${requestId}`,
  );
}

/** The shape OpenAI clients read. */
export function dataPlaneError(error: RunsteadError): DataPlaneError {
  return { error: { message: error.message, type: errorType(error.code), code: error.code, param: null } };
}

/** The shape of the control plane (contract: envelopes). */
export function errorEnvelope(error: RunsteadError, requestId: string): ErrorEnvelope {
  return { code: error.code, message: error.message, requestId };
}

const TYPE_BY_STATUS: Record<number, string> = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  429: 'rate_limit_error',
};

function errorType(code: ErrorCode): string {
  const { status, fault } = errorTable[code];
  if (status >= 500) return fault === 'agent' ? 'agent_error' : 'platform_error';
  return TYPE_BY_STATUS[status] ?? 'invalid_request_error';
}

/** Answers bytes that are no request, and closes. @param target as far as it could be read */
export function answerMalformed(
  connection: ClientConnection,
  { status, reason }: Malformed,
  target: string,
): void {
  const requestId = newRequestId();
  const error = new RunsteadError('ERR_BAD_REQUEST', reason);
  const body = JSON.stringify(isDataPlane(target) ? dataPlaneError(error) : errorEnvelope(error, requestId));
  const fields = [
    ...ownFields(body),
    'connection',
    'close',
    ...platformFields({ requestId, status, origin: 'platform', crossOrigin: undefined }),
  ];
  connection.endWith(
    Buffer.from(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines(fields)}\r\n${body}`),
  );
}
