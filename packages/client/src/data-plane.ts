import { invocationPath } from '@runstead/contract/paths';
import type { Caller } from './caller.ts';
import type { ChatCompletion, ChatCompletionStream, InvokeOpenaiRequest } from './chat-completion.ts';
import type { Config } from './config/config.ts';
import { pathSegment } from './path-segment.ts';
import { agentError, readObject, requestIdOf } from './transport/answer.ts';
import { type Answered, ApiPromise, type Run, type Wanted } from './transport/api-promise.ts';
import { withRetries } from './transport/attempts.ts';
import { CallClock } from './transport/call-clock.ts';
import { resolveCall } from './transport/call-settings.ts';
import { exchange, handOver, type WireRequest } from './transport/exchange.ts';
import { withRequestId } from './transport/send.ts';
import { type AgentCall, agentRefusal, sendToAgent } from './transport/send-to-agent.ts';
import { USER_AGENT } from './transport/user-agent.ts';

const CHAT_COMPLETIONS = '/chat/completions';

/** Where clients of the OpenAI API find an agent. */
export function openaiBaseUrl(baseUrl: string, runtimeName: string, endpointName: string): string {
  return `${baseUrl}${invocationPath(runtimeName, endpointName)}/openai/v1`;
}

/**
 * A chat completion from an agent: settings → request → credential → answer or stream. Made again only where the agent
 * certainly did not see it.
 */
export function invokeOpenai(
  caller: Caller,
  agentRuntimeName: string,
  agentRuntimeEndpointName: string,
  request: InvokeOpenaiRequest,
): ApiPromise<ChatCompletion | ChatCompletionStream> {
  return new ApiPromise(prepareInvocation(caller, agentRuntimeName, agentRuntimeEndpointName, request));
}

export function prepareInvocation(
  caller: Caller,
  agentRuntimeName: string,
  agentRuntimeEndpointName: string,
  request: InvokeOpenaiRequest,
): Run<ChatCompletion | ChatCompletionStream> {
  try {
    const { config, signal, headers, ...parameters } = request;
    const runtimeName = pathSegment('agentRuntimeName', agentRuntimeName);
    const endpointName = pathSegment('agentRuntimeEndpointName', agentRuntimeEndpointName);
    const stream = request.stream ?? false;
    const settings = resolveCall('data', caller.config, config, { headers });
    const url = openaiBaseUrl(settings.target.baseUrl, runtimeName, endpointName) + CHAT_COMPLETIONS;
    const unsigned: WireRequest = {
      method: 'POST',
      url: new URL(url),
      headers: {
        accept: stream ? 'text/event-stream' : 'application/json',
        'content-type': 'application/json',
        'user-agent': USER_AGENT,
        ...settings.headers,
      },
      body: JSON.stringify({ ...parameters, model: parameters.model ?? runtimeName, stream }),
    };
    const call = { caller, config, settings, runtimeName, stream, signal };
    return (wanted) => invoke(call, unsigned, wanted);
  } catch (error) {
    return () => Promise.reject(error);
  }
}

/** Settings of what has to be asked of the control plane before a call. */
export function settingsOf({ config, signal }: InvokeOpenaiRequest): Config | undefined {
  return signal === undefined ? config : { ...config, signal };
}

async function invoke(
  call: AgentCall & { stream: boolean; signal: AbortSignal | undefined },
  unsigned: WireRequest,
  wanted: Wanted,
): Promise<Answered<ChatCompletion | ChatCompletionStream>> {
  const { settings, stream } = call;
  const { url } = unsigned;
  const clock = new CallClock([settings.signal, call.signal]);
  clock.limit(
    settings.timeoutMs,
    stream ? `answer from ${url.origin}` : `complete answer from ${url.origin}`,
  );
  let handedOver = false;
  // Loaded while the agent thinks.
  const reading = stream && wanted === 'data' ? import('./chat-stream.ts') : undefined;
  try {
    const response = await withRetries(
      unsigned,
      settings,
      clock,
      () => 'invocation',
      async () => {
        const answer = await sendToAgent(call, unsigned, clock, (request) =>
          exchange(request, settings, clock),
        );
        if (answer.ok) return answer;
        throw await agentRefusal(answer, url, clock, settings.secrets);
      },
    );
    const requestId = requestIdOf(response);
    // A stream keeps its clock and closes it at its own end; so does a body that was handed over.
    if (wanted === 'response') {
      handedOver = true;
      return { response: handOver(response, url, clock), requestId };
    }
    if (reading !== undefined) {
      const data = (await reading).openChatStream(response, url, clock, settings);
      handedOver = true;
      return { data, response, requestId };
    }
    const completion = await readObject(response, url, clock);
    const error = agentError(response, completion, settings.secrets);
    if (error !== undefined) throw error;
    return { data: withRequestId(completion as unknown as ChatCompletion, requestId), response, requestId };
  } finally {
    if (!handedOver) clock.close();
  }
}
