import { type ErrorEnvelope, RunsteadError, type SuccessEnvelope } from '@runstead/contract';

/** Bodies of answers (contract: envelopes). */

export function success<T>(requestId: string, data: T): SuccessEnvelope<T> {
  return { code: 'SUCCESS', requestId, data };
}

export function failure(requestId: string, error: RunsteadError): ErrorEnvelope {
  return { code: error.code, message: error.message, requestId };
}

/** What fastify refuses before a handler sees it. */
interface FrameworkError {
  code: string;
  statusCode: number;
  message: string;
}

/** What a caller is told of any error: its own words if it is one of ours, else only where it is logged. */
export function asRunsteadError(error: unknown, requestId: string): RunsteadError {
  if (error instanceof RunsteadError) return error;
  const { code, statusCode, message } = error as Partial<FrameworkError>;
  if (code?.startsWith('FST_') && statusCode !== undefined && statusCode < 500) {
    return new RunsteadError(
      statusCode === 415 ? 'ERR_UNSUPPORTED_MEDIA_TYPE' : 'ERR_BAD_REQUEST',
      message ?? code,
      { cause: error },
    );
  }
  if (isFull(error)) {
    return new RunsteadError(
      'ERR_INSUFFICIENT_STORAGE',
      'No space is left on the disk of the data folder, so nothing could be written, and nothing has changed; make room there',
      { cause: error },
    );
  }
  return new RunsteadError(
    'ERR_INTERNAL_SERVER_ERROR',
    `An internal fault; the server's log has it under request id ${requestId}`,
    { cause: error },
  );
}

/** What the system, or the database, says of a disk without room, however deep it lies. */
function isFull(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    const { code = '' } = at as NodeJS.ErrnoException;
    if (code === 'ENOSPC' || code === 'EDQUOT' || /database or disk is full/.test(at.message)) return true;
  }
  return false;
}
