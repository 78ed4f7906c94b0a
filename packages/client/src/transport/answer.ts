import { type HTTPError, httpErrorFrom, InvalidResponseError, type ResourceReference } from '../errors.ts';
import type { CallClock } from './call-clock.ts';
import { readText } from './exchange.ts';
import { redact } from './redact.ts';
import { parseRetryAfter } from './retry.ts';

/** More than any answer needs; a server that never ends must not fill the memory. */
const MAX_ANSWER_BYTES = 128 * 1024 * 1024;
const MAX_ERROR_BYTES = 1024 * 1024;
const MAX_EXCERPT_CHARACTERS = 300;

/** Where gateways of the platform put the id of a request (contract: data plane). */
const requestIdHeaders = ['x-acs-request-id', 'x-agentrun-request-id', 'x-fc-request-id'];

export function requestIdOf(response: Response): string | undefined {
  for (const name of requestIdHeaders) {
    const value = response.headers.get(name);
    if (value !== null) return value;
  }
  return undefined;
}

/**
 * The body of a 2xx answer as a JSON object.
 * @throws InvalidResponseError where it is none; ConnectionError, TimeoutError, AbortError
 */
export async function readObject(
  response: Response,
  url: URL,
  clock: CallClock,
): Promise<Record<string, unknown>> {
  const text = await readText(response, url, clock, MAX_ANSWER_BYTES);
  const value = parseObject(text);
  if (value !== undefined) return value;
  throw invalidAnswer(response, url, text === '' ? 'an empty body' : 'no JSON object');
}

export function invalidAnswer(response: Response, url: URL, what: string): InvalidResponseError {
  const type = response.headers.get('content-type');
  return new InvalidResponseError(
    response.status,
    `${url.origin} answered ${response.status} with ${what}${type === null ? '' : ` (${type})`}: is this an ` +
      'AgentRun-compatible API?',
    { requestId: requestIdOf(response) },
  );
}

/**
 * Turns an answer other than 2xx into an error, whatever its body is.
 * @param options.resource what the call was about; only for answers of the platform, not for an agent's own
 * @throws TimeoutError or AbortError while the body is read; a body that breaks off is not worth an error of its own
 */
export async function readError(
  response: Response,
  url: URL,
  clock: CallClock,
  options: { resource?: ResourceReference | undefined; fromAgent?: boolean; secrets: readonly string[] },
): Promise<HTTPError> {
  let text = '';
  try {
    text = await readText(response, url, clock, MAX_ERROR_BYTES);
  } catch (error) {
    if (clock.reason !== undefined) throw error;
  }
  const body = parseObject(text);
  const said = body && describe(body);
  const message = said?.message ?? `${url.origin} answered ${statusText(response)}${excerpt(response, text)}`;
  return httpErrorFrom({
    statusCode: response.status,
    message: redact(message, options.secrets),
    requestId: said?.requestId ?? requestIdOf(response),
    errorCode: said?.errorCode,
    origin: response.headers.get('x-runstead-error-origin') ?? undefined,
    retryAfterMs: parseRetryAfter(response.headers.get('retry-after'), Date.now()),
    fromApi: said?.message !== undefined && options.fromAgent !== true,
    resource: options.resource,
  });
}

/** Some agents report what went wrong under a status of success. */
export function agentError(
  response: Response,
  body: Record<string, unknown>,
  secrets: readonly string[],
): InvalidResponseError | undefined {
  if ('choices' in body || !body.error) return undefined;
  const { message = 'the agent reported an error', errorCode, requestId } = describe(body);
  return new InvalidResponseError(response.status, redact(message, secrets), {
    errorCode,
    requestId: requestId ?? requestIdOf(response),
    origin: 'agent',
  });
}

interface Description {
  message: string | undefined;
  errorCode: string | undefined;
  requestId: string | undefined;
}

/**
 * The bodies seen: `{code, message, requestId}`, the same in PascalCase from gateways, `{error: {message, code, type}}`
 * as OpenAI has it, `{error: "…"}`, and `{detail: "…"}` of Python servers.
 */
export function describe(body: Record<string, unknown>): Description {
  const error = isObject(body.error) ? body.error : undefined;
  return {
    message: firstText(
      body.message,
      body.Message,
      error?.message,
      body.error,
      body.detail,
      // An error without words still has a code to show.
      error?.code,
      body.code,
      body.Code,
    ),
    errorCode: firstText(body.code, body.Code, error?.code, error?.type),
    requestId: firstText(body.requestId, body.RequestId),
  };
}

function firstText(...values: unknown[]): string | undefined {
  return values.find((value) => typeof value === 'string' && value !== '') as string | undefined;
}

function statusText(response: Response): string {
  return response.statusText === '' ? String(response.status) : `${response.status} ${response.statusText}`;
}

/** Plain text is shown, of a page only the title. */
function excerpt(response: Response, text: string): string {
  const type = response.headers.get('content-type') ?? '';
  const words = /html/i.test(type) ? /<title[^>]*>([^<]*)/i.exec(text)?.[1] : text;
  const line = (words ?? '').replace(/\s+/g, ' ').trim();
  if (line === '') return '';
  return `: ${line.length > MAX_EXCERPT_CHARACTERS ? `${line.slice(0, MAX_EXCERPT_CHARACTERS)}…` : line}`;
}

export function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
