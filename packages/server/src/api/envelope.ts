import { type ErrorEnvelope, RunsteadError, type SuccessEnvelope } from '@runstead/contract';

/** Bodies of answers (contract: envelopes). */

export function success<T>(requestId: string, data: T): SuccessEnvelope<T> {
  return { code: 'SUCCESS', requestId, data };
}

export function failure(requestId: string, error: RunsteadError): ErrorEnvelope {
  return { code: error.code, message: error.message, requestId };
}

/** What a caller is told of any error: its own words if it is one of ours, else only where it is logged. */
export function asRunsteadError(error: unknown, requestId: string): RunsteadError {
  if (error instanceof RunsteadError) return error;
  return new RunsteadError(
    'ERR_INTERNAL_SERVER_ERROR',
    `An internal fault; the server's log has it under request id ${requestId}`,
    { cause: error },
  );
}
