// Errors as an OpenAI client reads them.

export class BadRequest extends Error {
  readonly param: string | null;
  constructor(message: string, param: string | null = null) {
    super(message);
    this.param = param;
  }
}

export class NotFound extends Error {}

export class ModelError extends Error {
  readonly rateLimited: boolean;
  constructor(cause: Error & { status?: unknown }) {
    super(`The model failed: ${cause.message}`, { cause });
    this.rateLimited = cause.status === 429;
  }
}

/** How an error looks to the caller; what is not the caller's doing goes to the log. */
export function describeError(error: unknown): { status: number; body: object } {
  const { status, type, code } = classify(error);
  if (status >= 500) console.error(error);
  const { message, param = null } = error as Error & { param?: string | null };
  return { status, body: { error: { message, type, param, code } } };
}

function classify(error: unknown): { status: number; type: string; code: string | null } {
  if (error instanceof BadRequest) return { status: 400, type: 'invalid_request_error', code: null };
  if (error instanceof NotFound) return { status: 404, type: 'invalid_request_error', code: 'not_found' };
  if (!(error instanceof ModelError)) return { status: 500, type: 'server_error', code: 'agent_error' };
  // What the model refuses is not the caller's doing, but a caller who knows of the limit can try later.
  if (error.rateLimited) return { status: 429, type: 'rate_limit_error', code: 'model_rate_limit' };
  return { status: 502, type: 'server_error', code: 'model_error' };
}
