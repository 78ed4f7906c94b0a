/**
 * Every error the platform answers with: one table, from which the server takes status and shape, and clients their
 * classes. `code` and status follow the contract (errors); a code that clients look for in the text (authentication)
 * stands in the message as well, because some of them drop the field.
 */

export interface ErrorKind {
  readonly status: number;
  /** Whose fault it is: the caller can mend a `caller` error, an operator a `platform` one, the agent's author an `agent` one. */
  readonly fault: 'caller' | 'platform' | 'agent';
  /** Whether the very same request may succeed later. */
  readonly retryable: boolean;
  /** What the message looks like. */
  readonly message: string;
}

export const errorTable = {
  ERR_VALIDATION_FAILED: {
    status: 400,
    fault: 'caller',
    retryable: false,
    message: 'every offending field with the value seen, joined by "; "',
  },
  ERR_BAD_REQUEST: {
    status: 400,
    fault: 'caller',
    retryable: false,
    message: 'what could not be read and why',
  },
  ERR_RUNTIME_NOT_READY: {
    status: 400,
    fault: 'caller',
    retryable: true,
    message: 'runtime must be in READY status, with the status it is in',
  },
  // Not 409: to clients of the contract every 409 says that something already exists.
  ERR_WORKSPACE_IN_USE: {
    status: 400,
    fault: 'caller',
    retryable: false,
    message: 'which runtimes the workspace still holds, or that it is the default one',
  },
  AccessDenied: {
    status: 401,
    fault: 'caller',
    retryable: false,
    message: 'AccessDenied: what is missing or cannot be read, and which credential to send',
  },
  'InvalidAccessKeyId.NotFound': {
    status: 401,
    fault: 'caller',
    retryable: false,
    message: 'InvalidAccessKeyId.NotFound: which kind of key is not known here, or not any more',
  },
  SignatureDoesNotMatch: {
    status: 401,
    fault: 'caller',
    retryable: false,
    message: 'SignatureDoesNotMatch: what of the signed request is not as it was signed, or not signed',
  },
  Forbidden: {
    status: 403,
    fault: 'caller',
    retryable: false,
    message: 'Forbidden: what is not allowed from here',
  },
  NoPermission: {
    status: 403,
    fault: 'caller',
    retryable: false,
    message: 'NoPermission: the role that the operation needs and the one that the key has',
  },
  ERR_NOT_FOUND: {
    status: 404,
    fault: 'caller',
    retryable: false,
    message: '… does not exist',
  },
  ERR_METHOD_NOT_ALLOWED: {
    status: 405,
    fault: 'caller',
    retryable: false,
    message: 'the method seen and the ones allowed on this path',
  },
  ERR_ALREADY_EXISTS: {
    status: 409,
    fault: 'caller',
    retryable: false,
    message: '… already exists',
  },
  ERR_IDEMPOTENCY_CONFLICT: {
    status: 409,
    fault: 'caller',
    retryable: false,
    message: 'Idempotency-Key was used with another body',
  },
  ERR_PAYLOAD_TOO_LARGE: {
    status: 413,
    fault: 'caller',
    retryable: false,
    message: 'the limit and the size seen',
  },
  ERR_UNSUPPORTED_MEDIA_TYPE: {
    status: 415,
    fault: 'caller',
    retryable: false,
    message: 'the content type seen and the one needed',
  },
  ERR_TOO_MANY_REQUESTS: {
    status: 429,
    fault: 'platform',
    retryable: true,
    message: 'which queue is full and when to come again',
  },
  ERR_INTERNAL_SERVER_ERROR: {
    status: 500,
    fault: 'platform',
    retryable: true,
    message: 'an internal fault and the request id under which it is logged',
  },
  ERR_AGENT_UNREACHABLE: {
    status: 502,
    fault: 'agent',
    retryable: true,
    message: 'how the agent broke off before it answered',
  },
  ERR_UNAVAILABLE: {
    status: 503,
    fault: 'platform',
    retryable: true,
    message: 'what is not available now and why',
  },
  ERR_VERSION_FAILED: {
    status: 503,
    fault: 'agent',
    retryable: true,
    message: "why the version could not be started, in the agent's own words",
  },
  ERR_AGENT_TIMEOUT: {
    status: 504,
    fault: 'agent',
    retryable: true,
    message: 'what the agent did not do in how many seconds',
  },
  ERR_INSUFFICIENT_STORAGE: {
    status: 507,
    fault: 'platform',
    retryable: true,
    message: 'how much space is left and how much is kept in reserve',
  },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof errorTable;

/** An error with a place in the table: thrown anywhere on the server, rendered once at the edge. */
export class RunsteadError extends Error {
  override readonly name = 'RunsteadError';
  readonly code: ErrorCode;
  /** Seconds after which trying again makes sense; becomes `Retry-After`. */
  readonly retryAfterSeconds: number | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; retryAfterSeconds?: number } = {},
  ) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }

  get status(): number {
    return errorTable[this.code].status;
  }
}
