import type { Caller } from './caller.ts';
import type { Config } from './config/config.ts';
import { openaiBaseUrl } from './data-plane.ts';
import { pathSegment } from './path-segment.ts';
import { CallClock } from './transport/call-clock.ts';
import { type CallSettings, resolveCall } from './transport/call-settings.ts';
import type { WireRequest } from './transport/exchange.ts';
import { withoutSilenceLimits } from './transport/node-fetch-limits.ts';
import { sendToAgent } from './transport/send-to-agent.ts';

/** Options for clients of the OpenAI API. */
export interface OpenaiOptions {
  baseURL: string;
  /** Empty where another credential is used, or none: `fetch` sees to it. */
  apiKey: string;
  /** The settings' `headers`. */
  defaultHeaders: Record<string, string>;
  /** Puts the credential on each request, signed anew each time. */
  fetch: typeof fetch;
}

/**
 * What `new OpenAI(…)` and the AI SDK need to call an agent. Settings are resolved now, not at each call.
 * @throws ValueError
 */
export function openaiOptions(
  caller: Caller,
  agentRuntimeName: string,
  agentRuntimeEndpointName: string,
  config: Config | undefined,
): OpenaiOptions {
  const runtimeName = pathSegment('agentRuntimeName', agentRuntimeName);
  const endpointName = pathSegment('agentRuntimeEndpointName', agentRuntimeEndpointName);
  const settings = resolveCall('data', caller.config, config);
  const { credential, baseUrl } = settings.target;
  const apiKey = credential.kind === 'apiKey' ? credential.apiKey : '';
  const call = { caller, config, settings, runtimeName };
  const authorizedFetch = async (
    input: string | URL | Request,
    init: RequestInit = {},
  ): Promise<Response> => {
    const signal = init.signal ?? (input instanceof Request ? input.signal : undefined) ?? undefined;
    const request = await wireRequest(input, init, apiKey);
    // For the token that may have to be fetched; how long the call itself may take is the other client's affair.
    const clock = new CallClock([settings.signal, signal]);
    try {
      return await sendToAgent(call, request, clock, (sent) => fetchAsGiven(sent, init, signal, settings));
    } finally {
      clock.close();
    }
  };
  return {
    baseURL: openaiBaseUrl(baseUrl, runtimeName, endpointName),
    apiKey,
    defaultHeaders: { ...settings.headers },
    fetch: authorizedFetch as typeof fetch,
  };
}

async function wireRequest(
  input: string | URL | Request,
  init: RequestInit,
  apiKey: string,
): Promise<WireRequest> {
  const asked = input instanceof Request ? input : undefined;
  const headers = Object.fromEntries(new Headers(init.headers ?? asked?.headers));
  // The other client's rendering of `apiKey`, which is empty where the credential is another one.
  if (headers.authorization?.trim() === `Bearer ${apiKey}`.trim()) delete headers.authorization;
  const ownBody = asked?.body ? new Uint8Array(await asked.arrayBuffer()) : undefined;
  const body = init.body ?? ownBody;
  return {
    method: init.method ?? asked?.method ?? 'GET',
    url: new URL(asked?.url ?? String(input)),
    headers,
    // Whatever it is, it is only passed on.
    ...(body !== undefined && body !== null && { body: body as string }),
  };
}

function fetchAsGiven(
  { method, url, headers, body }: WireRequest,
  init: RequestInit,
  signal: AbortSignal | undefined,
  settings: CallSettings,
): Promise<Response> {
  const signals = [signal, settings.signal].filter((one) => one !== undefined);
  const given: RequestInit = {
    ...init,
    method,
    headers,
    // Fetch would take the credential, whose headers it does not know, along to wherever a redirect leads.
    redirect: 'manual',
    ...(body !== undefined && { body }),
    // Not every Node 20 can join several.
    ...(signals.length > 0 && { signal: signals.length === 1 ? signals[0]! : AbortSignal.any(signals) }),
  };
  if (settings.fetch !== undefined) return settings.fetch(url.href, given);
  return fetch(url.href, { ...given, ...withoutSilenceLimits() });
}
