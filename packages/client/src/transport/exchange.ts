import { AgentRunError, ConnectionError, InvalidResponseError, TimeoutError } from '../errors.ts';
import type { CallClock } from './call-clock.ts';
import type { CallSettings } from './call-settings.ts';
import { withoutSilenceLimits } from './node-fetch-limits.ts';

export interface WireRequest {
  method: string;
  url: URL;
  headers: Record<string, string>;
  body?: string | Uint8Array<ArrayBuffer>;
}

/**
 * One request, until the answer begins. A `fetch` of the caller's stands in for the global one. Redirects are not
 * followed: they would carry credentials to wherever the answer says.
 * @throws ConnectionError, TimeoutError, AbortError, InvalidResponseError (a redirect)
 */
export async function exchange(
  request: WireRequest,
  { fetch: ownFetch, log }: Pick<CallSettings, 'fetch' | 'log'>,
  clock: CallClock,
): Promise<Response> {
  if (clock.reason !== undefined) throw clock.reason;
  const init: RequestInit = {
    method: request.method,
    headers: request.headers,
    ...(request.body !== undefined && { body: request.body }),
    redirect: 'manual',
    signal: clock.signal,
  };
  log.request(request.method, request.url, request.headers, request.body);
  const beganMs = performance.now();
  let response: Response;
  try {
    // `async`, so that a fetch which throws at once is no different.
    const answer = async () =>
      ownFetch
        ? ownFetch(request.url.href, init)
        : fetch(request.url.href, { ...init, ...withoutSilenceLimits() });
    response = await clock.race(answer());
  } catch (error) {
    throw connectionError(error, request.url, clock);
  }
  log.response(request.method, request.url, response, performance.now() - beganMs);
  if (response.type === 'opaqueredirect' || (response.status >= 300 && response.status < 400)) {
    const error = redirectError(response, request.url);
    discard(response);
    throw error;
  }
  return response;
}

/**
 * The whole body as text.
 * @throws ConnectionError, TimeoutError, AbortError; InvalidResponseError beyond `maxBytes`
 */
export async function readText(
  response: Response,
  url: URL,
  clock: CallClock,
  maxBytes: number,
): Promise<string> {
  const reader = response.body?.getReader();
  if (reader === undefined) return '';
  const decoder = new TextDecoder();
  let text = '';
  let bytes = 0;
  try {
    for (;;) {
      const { done, value } = await clock.race(reader.read());
      if (done) return text + decoder.decode();
      bytes += value.length;
      if (bytes > maxBytes) {
        const message = `the answer from ${url.origin} is longer than ${maxBytes} bytes`;
        throw new InvalidResponseError(response.status, message);
      }
      text += decoder.decode(value, { stream: true });
    }
  } catch (error) {
    // Nobody waits for it, and a stream that already failed rejects here once more.
    reader.cancel().catch(() => {});
    throw error instanceof InvalidResponseError ? error : connectionError(error, url, clock);
  }
}

/**
 * The answer for somebody who reads its body themselves. No time runs any more; the caller's signals stay linked until
 * the body is at its end, and no longer.
 */
export function handOver(response: Response, url: URL, clock: CallClock): Response {
  clock.limit(Number.POSITIVE_INFINITY, '');
  const reader = response.body?.getReader();
  if (reader === undefined) {
    clock.close();
    return response;
  }
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await clock.race(reader.read());
        if (!done) return controller.enqueue(value);
        clock.close();
        controller.close();
      } catch (error) {
        clock.close();
        reader.cancel().catch(() => {});
        controller.error(connectionError(error, url, clock));
      }
    },
    async cancel(reason) {
      clock.close();
      await reader.cancel(reason);
    },
  });
  const { status, statusText, headers } = response;
  return new Response(body, { status, statusText, headers });
}

/** Lets go of a body nobody reads, so that its connection is free. */
export function discard(response: Response): void {
  response.body?.cancel().catch(() => {});
}

const UNKNOWN_AUTHORITY =
  'its certificate is from an authority not known here (NODE_EXTRA_CA_CERTS adds one)';

/** Of the handshake, before which nothing is sent. */
const certificateFaults: Readonly<Record<string, string>> = {
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNKNOWN_AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNKNOWN_AUTHORITY,
  SELF_SIGNED_CERT_IN_CHAIN: UNKNOWN_AUTHORITY,
  DEPTH_ZERO_SELF_SIGNED_CERT: UNKNOWN_AUTHORITY,
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
  CERT_HAS_EXPIRED: 'its certificate has expired',
};

const causes: Readonly<Record<string, string>> = {
  ...certificateFaults,
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'the connection was reset',
  EPIPE: 'the connection was closed',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'the host name could not be looked up',
  ETIMEDOUT: 'the connection attempt timed out',
  UND_ERR_SOCKET: 'the connection was closed before the answer was complete',
  UND_ERR_CONNECT_TIMEOUT: 'the connection attempt timed out',
};

/** Faults from before there was a connection. ETIMEDOUT is not one: an open connection ends with it as well. */
const NEVER_CONNECTED: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
  ...Object.keys(certificateFaults),
]);

/** What fetch threw → one of our classes. Only the origin of the URL is shown. */
export function connectionError(error: unknown, url: URL, clock: CallClock): AgentRunError {
  if (clock.reason !== undefined) return clock.reason;
  if (error instanceof AgentRunError) return error;
  const code = causeCode(error);
  // Limits of an undici that somebody passed as `fetch`.
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') {
    return new TimeoutError(
      `no answer from ${url.origin} within the 300000 ms that Node's fetch allows`,
      300_000,
    );
  }
  const text =
    code === undefined ? (error as Error | undefined)?.message : (causes[code] ?? 'the call failed');
  const reason = code === undefined ? (text ?? 'the call failed') : `${text} (${code})`;
  const mayHaveArrived = !(code !== undefined && NEVER_CONNECTED.has(code));
  return new ConnectionError(`no answer from ${url.origin}: ${reason}`, { cause: error, mayHaveArrived });
}

/** Fetch wraps the socket's error, and that of several addresses tried in turn once more. */
function causeCode(error: unknown): string | undefined {
  let current = error as { code?: unknown; cause?: unknown; errors?: unknown[] } | undefined;
  for (let depth = 0; depth < 4 && current != null; depth++) {
    if (typeof current.code === 'string') return current.code;
    current = (current.cause ?? current.errors?.[0]) as typeof current;
  }
  return undefined;
}

function redirectError(response: Response, url: URL): InvalidResponseError {
  const location = response.headers.get('location');
  let target = '';
  if (location !== null) {
    try {
      target = ` to ${new URL(location, url).origin}`;
    } catch {
      // A target that is no URL is not worth showing.
    }
  }
  return new InvalidResponseError(
    response.status,
    `${url.origin} answered with a redirect${target}, which is not followed: is the endpoint right?`,
  );
}
