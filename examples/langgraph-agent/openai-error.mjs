export class BadRequest extends Error {
  constructor(message, param = null) {
    super(message);
    this.param = param;
  }
}

export class ModelError extends Error {
  constructor(cause) {
    // The first line says it all; libraries add advice for the developer below it.
    super(`The model failed: ${cause.message.split('\n')[0]}`, { cause });
    this.rateLimited = cause.status === 429;
  }
}

/** How an error looks to the caller: `{ status, body }`, the body in the shape every OpenAI client reads. */
export function describeError(error) {
  const { status, type, code } = classify(error);
  return { status, body: { error: { message: error.message, type, param: error.param ?? null, code } } };
}

function classify(error) {
  if (error instanceof BadRequest) return { status: 400, type: 'invalid_request_error', code: null };
  if (!(error instanceof ModelError)) return { status: 500, type: 'server_error', code: 'agent_error' };
  // What the model refuses is not the caller's doing, but a caller who knows of the limit can try later.
  if (error.rateLimited) return { status: 429, type: 'rate_limit_error', code: 'model_rate_limit' };
  return { status: 502, type: 'server_error', code: 'model_error' };
}
