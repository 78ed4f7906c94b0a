import { type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import {
  type DataPlaneError,
  type ErrorCode,
  type ErrorEnvelope,
  errorTable,
  RunsteadError,
} from '@runstead/contract';
import type { Log } from '../observe/log.ts';
import { newRequestId } from '../observe/request-id.ts';
import { platformFields } from './headers.ts';

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

/** Tells the client of an error; once an answer has begun, only cutting it off can. */
export function answerError(response: ServerResponse, thrown: unknown, context: ErrorContext): void {
  const error = asRunsteadError(thrown, context);
  if (response.headersSent) {
    if (!response.writableEnded) response.destroy();
    return;
  }
  const { requestId, dataPlane, crossOrigin, extras = [] } = context;
  const body = Buffer.from(
    JSON.stringify(dataPlane ? dataPlaneError(error) : errorEnvelope(error, requestId)),
  );
  response.writeHead(error.status, [
    'content-type',
    'application/json; charset=utf-8',
    'content-length',
    String(body.length),
    ...(error.retryAfterSeconds === undefined ? [] : ['retry-after', String(error.retryAfterSeconds)]),
    ...platformFields({ requestId, status: error.status, origin: 'platform', crossOrigin, extras }),
  ]);
  response.end(body);
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

const STATUS_BY_PARSER_CODE: Record<string, [status: number, message: string]> = {
  HPE_HEADER_OVERFLOW: [431, 'The fields of the request are too long'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'The fields of the request did not arrive in time'],
};

/**
 * Answers bytes that are not HTTP and closes. There is no request, hence no path and no `ServerResponse`.
 * @param open calls open on the connection: writing now would put these bytes into the middle of their answers
 */
export function answerMalformed(error: NodeJS.ErrnoException, socket: Socket, open: number): void {
  if (open > 0 || !socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const [status, message] = STATUS_BY_PARSER_CODE[error.code ?? ''] ?? [
    400,
    `The request is not valid HTTP (${error.code ?? error.message})`,
  ];
  const requestId = newRequestId();
  const body = JSON.stringify(errorEnvelope(new RunsteadError('ERR_BAD_REQUEST', message), requestId));
  const fields = [
    'content-type',
    'application/json; charset=utf-8',
    'content-length',
    String(Buffer.byteLength(body)),
    'connection',
    'close',
    ...platformFields({ requestId, status, origin: 'platform', crossOrigin: undefined }),
  ];
  let head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n`;
  for (let at = 0; at < fields.length; at += 2) head += `${fields[at]}: ${fields[at + 1]}\r\n`;
  socket.end(`${head}\r\n${body}`, () => socket.destroy());
}
