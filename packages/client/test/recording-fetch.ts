/** A fetch that sends nothing: keeps what it was asked for and answers as told. */
export interface RecordedCall {
  method: string;
  url: string;
  headers: Record<string, string>;
  body: unknown;
}

export function recordingFetch(answer: () => Response) {
  const calls: RecordedCall[] = [];
  const doFetch = (async (url: string, init: RequestInit = {}) => {
    const body =
      typeof init.body === 'string' ? init.body : new TextDecoder().decode(init.body as Uint8Array);
    calls.push({
      method: init.method ?? 'GET',
      url,
      headers: Object.fromEntries(new Headers(init.headers)),
      body: body === '' ? undefined : JSON.parse(body),
    });
    return answer();
  }) as typeof fetch;
  return { fetch: doFetch, calls };
}

export function success(data: unknown): Response {
  return Response.json({ code: 'SUCCESS', requestId: 'q1', data });
}
