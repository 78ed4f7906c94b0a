import { invocationPath } from '@runstead/contract/paths';
import type { ChatCompletion, ChatCompletionStream, InvokeOpenaiRequest } from './chat-completion.ts';
import { openChatStream } from './chat-stream.ts';
import type { Config } from './config/config.ts';
import { pathSegment } from './path-segment.ts';
import { agentError, readError, readObject } from './transport/answer.ts';
import { authorizeData } from './transport/authorize.ts';
import { CallClock } from './transport/call-clock.ts';
import { type CallSettings, resolveCall } from './transport/call-settings.ts';
import { exchange, type WireRequest } from './transport/exchange.ts';
import { USER_AGENT } from './transport/user-agent.ts';

const CHAT_COMPLETIONS = '/openai/v1/chat/completions';

/** A chat completion from an agent: settings → request → credential → answer or stream. Sent once, never repeated. */
export async function invokeOpenai(
  agentRuntimeName: string,
  agentRuntimeEndpointName: string,
  request: InvokeOpenaiRequest,
  clientConfig: Config,
): Promise<ChatCompletion | ChatCompletionStream> {
  const { config, signal, headers, ...parameters } = request;
  const runtimeName = pathSegment('agentRuntimeName', agentRuntimeName);
  const endpointName = pathSegment('agentRuntimeEndpointName', agentRuntimeEndpointName);
  const stream = request.stream ?? false;
  const settings = resolveCall('data', clientConfig, config, { headers });
  const url = new URL(settings.target.baseUrl + invocationPath(runtimeName, endpointName) + CHAT_COMPLETIONS);
  const unsigned: WireRequest = {
    method: 'POST',
    url,
    headers: {
      accept: stream ? 'text/event-stream' : 'application/json',
      'content-type': 'application/json',
      'user-agent': USER_AGENT,
      ...settings.headers,
    },
    body: JSON.stringify({ ...parameters, model: parameters.model ?? runtimeName, stream }),
  };

  const clock = new CallClock([settings.signal, signal]);
  clock.limit(
    settings.timeoutMs,
    stream ? `answer from ${url.origin}` : `complete answer from ${url.origin}`,
  );
  let streaming = false;
  try {
    const response = await sendToAgent(unsigned, settings, clock);
    if (stream) {
      const chunks = openChatStream(response, url, clock, settings);
      streaming = true;
      return chunks;
    }
    const completion = await readObject(response, url, clock);
    const error = agentError(response, completion, settings.secrets);
    if (error !== undefined) throw error;
    return completion as unknown as ChatCompletion;
  } finally {
    // A stream keeps its clock and closes it at its own end.
    if (!streaming) clock.close();
  }
}

async function sendToAgent(
  unsigned: WireRequest,
  settings: CallSettings,
  clock: CallClock,
): Promise<Response> {
  const request = await authorizeData(unsigned, settings.target);
  // Once more: the caller's own word stands above the credential's headers too.
  Object.assign(request.headers, settings.headers);
  const response = await exchange(request, settings.fetch, clock);
  if (response.ok) return response;
  // Only the platform's own word counts about what exists: an agent's 404 is about a path of the agent.
  const fromAgent = response.headers.get('x-runstead-error-origin') !== 'platform';
  throw await readError(response, request.url, clock, { fromAgent, secrets: settings.secrets });
}
