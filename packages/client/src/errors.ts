/**
 * What the client throws (contract: errors).
 *
 *     AgentRunError
 *     ├─ ValueError                      an argument or a setting cannot be used; nothing was sent
 *     ├─ HTTPError                       the server answered
 *     │  ├─ ClientError                  4xx
 *     │  │  ├─ ResourceNotExistError     404
 *     │  │  ├─ ResourceAlreadyExistError 409, and 400 or 500 whose message says "already exists"
 *     │  │  └─ DeleteResourceError       a delete that does not come to its end
 *     │  ├─ ServerError                  5xx
 *     │  └─ InvalidResponseError         an answer that is not the API's: a redirect, HTML, broken JSON
 *     ├─ ResourceFailedError             what was waited for became a *_FAILED
 *     ├─ ConnectionError                 no answer, or one that broke off
 *     │  └─ TimeoutError
 *     ├─ AbortError                      the caller's signal
 *     └─ StreamError                     an error event inside a stream
 *        └─ IncompleteStreamError        a stream without its end
 *
 * `instanceof` also holds for errors made by another copy of this package: every class marks its instances by a symbol
 * from the global registry. Messages never contain credentials.
 */

const mark = (name: string) => Symbol.for(`@runstead/client:${name}`);

/** Makes `instanceof` ask for the mark. A subclass of the caller's own has no mark and is tested by its prototype. */
function brand(errorClass: { readonly prototype: object }, name: string): void {
  Object.defineProperty(errorClass.prototype, mark(name), { value: true });
  // As text, not as the class's own name: minifiers change that.
  Object.defineProperty(errorClass.prototype, 'name', { value: name, writable: true, configurable: true });
  Object.defineProperty(errorClass, Symbol.hasInstance, {
    value(this: unknown, value: unknown): boolean {
      if (this !== errorClass) return Function.prototype[Symbol.hasInstance].call(this, value);
      return typeof value === 'object' && value !== null && mark(name) in value;
    },
  });
}

export class AgentRunError extends Error {}

/** An argument or a setting cannot be used; thrown before anything is sent. */
export class ValueError extends AgentRunError {}

export interface HTTPErrorOptions {
  /** The platform's id of the request, under which it is logged. */
  requestId?: string | undefined;
  /** The `code` of the answer, such as `ERR_VALIDATION_FAILED`. */
  errorCode?: string | undefined;
  /** Who failed, where the server says so (`x-runstead-error-origin`): the platform or the agent behind it. */
  origin?: string | undefined;
  /** Milliseconds after which the server says trying again makes sense (`Retry-After`). */
  retryAfterMs?: number | undefined;
  cause?: unknown;
}

/** The server answered, and not with success. The message is the server's own where it sent one. */
export class HTTPError extends AgentRunError {
  readonly statusCode: number;
  readonly requestId: string | undefined;
  readonly errorCode: string | undefined;
  readonly origin: string | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(statusCode: number, message: string, options: HTTPErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.statusCode = statusCode;
    this.requestId = options.requestId;
    this.errorCode = options.errorCode;
    this.origin = options.origin;
    this.retryAfterMs = options.retryAfterMs;
  }
}

export class ClientError extends HTTPError {}

export class ServerError extends HTTPError {}

/** An answer that does not come from an AgentRun-compatible API: a redirect, a page, JSON cut off. */
export class InvalidResponseError extends HTTPError {}

/** What a call was about; stands in the text of the errors below. */
export interface ResourceReference {
  type: 'AgentRuntime' | 'AgentRuntimeEndpoint' | 'Workspace';
  /** An id or a name; endpoints: `<runtime>/<endpoint>`. */
  id: string;
}

export class ResourceNotExistError extends ClientError {
  readonly resourceType: string | undefined;
  readonly resourceId: string | undefined;

  constructor(message: string, resource?: ResourceReference, options?: HTTPErrorOptions) {
    super(404, message, options);
    this.resourceType = resource?.type;
    this.resourceId = resource?.id;
  }
}

export class ResourceAlreadyExistError extends ClientError {
  readonly resourceType: string | undefined;
  readonly resourceId: string | undefined;

  constructor(statusCode: number, message: string, resource?: ResourceReference, options?: HTTPErrorOptions) {
    super(statusCode, message, options);
    this.resourceType = resource?.type;
    this.resourceId = resource?.id;
  }
}

/** How a resource stood when it was last seen. */
export interface SeenResource {
  status: string | undefined;
  statusReason: string | undefined;
}

/**
 * The delete was accepted, but the resource is not on its way out: `DELETE_FAILED`, or in use again. `statusCode` is 409
 * for the conflict that this is; no answer had it.
 */
export class DeleteResourceError extends ClientError {
  readonly resourceType: string;
  readonly resourceId: string;
  readonly status: string | undefined;
  readonly statusReason: string | undefined;

  constructor(resource: ResourceReference, seen: SeenResource, options?: HTTPErrorOptions) {
    super(409, `${resource.type} '${resource.id}' is not being deleted: ${describeSeen(seen)}`, options);
    this.resourceType = resource.type;
    this.resourceId = resource.id;
    this.status = seen.status;
    this.statusReason = seen.statusReason;
  }
}

/** What was waited for ended in a `*_FAILED`; the message has the platform's reason. */
export class ResourceFailedError extends AgentRunError {
  readonly resourceType: string;
  readonly resourceId: string;
  readonly status: string | undefined;
  readonly statusReason: string | undefined;
  /** As it was last seen. Not enumerable: printing the error must not print the environment of an agent. */
  declare readonly resource: object;

  constructor(reference: ResourceReference, resource: SeenResource & object) {
    super(`${reference.type} '${reference.id}' failed: ${describeSeen(resource)}`);
    this.resourceType = reference.type;
    this.resourceId = reference.id;
    this.status = resource.status;
    this.statusReason = resource.statusReason;
    Object.defineProperty(this, 'resource', { value: resource });
  }
}

/** `CREATE_FAILED: npm ci ended with 1`, as it stands in messages. */
export function describeSeen({ status, statusReason }: SeenResource): string {
  return [status || 'no status', statusReason].filter(Boolean).join(': ');
}

export interface ConnectionErrorOptions {
  cause?: unknown;
  /** Default `true`. */
  mayHaveArrived?: boolean | undefined;
}

/** No answer: refused, not found, cut off. */
export class ConnectionError extends AgentRunError {
  /** `false` where no connection was made: then the server has not seen the request. Else that is not known. */
  readonly mayHaveArrived: boolean;

  constructor(message: string, options: ConnectionErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.mayHaveArrived = options.mayHaveArrived ?? true;
  }
}

export class TimeoutError extends ConnectionError {
  readonly timeoutMs: number;

  constructor(message: string, timeoutMs: number) {
    super(message);
    this.timeoutMs = timeoutMs;
  }
}

/** The caller's `AbortSignal` ended the call; `cause` is the signal's reason. */
export class AbortError extends AgentRunError {}

export interface StreamErrorOptions {
  requestId?: string | undefined;
  errorCode?: string | undefined;
  cause?: unknown;
}

/** A stream that began with status 200 reported an error, or sent something unreadable. */
export class StreamError extends AgentRunError {
  readonly requestId: string | undefined;
  readonly errorCode: string | undefined;

  constructor(message: string, options: StreamErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.requestId = options.requestId;
    this.errorCode = options.errorCode;
  }
}

/** A stream ended without its end mark: what was read is not the whole answer. */
export class IncompleteStreamError extends StreamError {}

brand(AgentRunError, 'AgentRunError');
brand(ValueError, 'ValueError');
brand(HTTPError, 'HTTPError');
brand(ClientError, 'ClientError');
brand(ServerError, 'ServerError');
brand(InvalidResponseError, 'InvalidResponseError');
brand(ResourceNotExistError, 'ResourceNotExistError');
brand(ResourceAlreadyExistError, 'ResourceAlreadyExistError');
brand(DeleteResourceError, 'DeleteResourceError');
brand(ResourceFailedError, 'ResourceFailedError');
brand(ConnectionError, 'ConnectionError');
brand(TimeoutError, 'TimeoutError');
brand(AbortError, 'AbortError');
brand(StreamError, 'StreamError');
brand(IncompleteStreamError, 'IncompleteStreamError');

/** An answer other than 2xx, read into its parts. */
export interface FailedAnswer {
  statusCode: number;
  /** The server's message; already free of credentials. */
  message: string;
  requestId?: string | undefined;
  errorCode?: string | undefined;
  origin?: string | undefined;
  retryAfterMs?: number | undefined;
  /** Whether the body had the shape of an API error. A proxy's own page has not, and says nothing about resources. */
  fromApi: boolean;
  /** What the call was about, where it was about one thing. */
  resource?: ResourceReference | undefined;
}

/** Status and message → class. The one place that decides. */
export function httpErrorFrom(answer: FailedAnswer): HTTPError {
  const { statusCode, message, resource, fromApi } = answer;
  const { requestId, errorCode, origin, retryAfterMs } = answer;
  const options = { requestId, errorCode, origin, retryAfterMs };
  const saysExists = message.includes('already exists');
  if (fromApi && statusCode === 404) {
    const text = resource === undefined ? message : `${resource.type} '${resource.id}' does not exist`;
    return new ResourceNotExistError(text, resource, options);
  }
  if (fromApi && (statusCode === 409 || ((statusCode === 400 || statusCode === 500) && saysExists))) {
    // A 409 may mean something else too (a key used again with another body): then the server's words stay.
    const text =
      saysExists && resource !== undefined ? `${resource.type} '${resource.id}' already exists` : message;
    return new ResourceAlreadyExistError(statusCode, text, resource, options);
  }
  if (statusCode >= 400 && statusCode < 500) return new ClientError(statusCode, message, options);
  if (statusCode >= 500) return new ServerError(statusCode, message, options);
  return new InvalidResponseError(statusCode, message, options);
}
