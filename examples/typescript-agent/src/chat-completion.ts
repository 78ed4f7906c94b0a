// The OpenAI chat completion protocol: a request in, an answer in one piece or as chunks out.

import { randomUUID } from 'node:crypto';
import type OpenAI from 'openai';
import { BadRequest } from './errors.ts';

export type Delta = Pick<OpenAI.ChatCompletionChunk.Choice.Delta, 'content' | 'tool_calls'>;
type CallPiece = NonNullable<Delta['tool_calls']>[number];
export type ToolCall = OpenAI.ChatCompletionMessageFunctionToolCall;
export type Message = OpenAI.ChatCompletionSystemMessageParam | OpenAI.ChatCompletionUserMessageParam;

export interface ChatRequest {
  /** As the client calls the agent. */
  model: string | undefined;
  stream: boolean;
  /** What was said, ready for the model. */
  messages: Message[];
}

const ROLES = ['system', 'developer', 'user', 'assistant', 'tool'];

/**
 * All else a client may send (temperature, max_tokens, tools …) is ignored: that is for the agent to decide.
 * @throws BadRequest
 */
export function parseChatRequest(json: string): ChatRequest {
  let body: unknown;
  try {
    body = JSON.parse(json);
  } catch {
    throw new BadRequest('The body is not valid JSON.');
  }
  const { model, stream, messages } = (body ?? {}) as Record<string, unknown>;
  if (!Array.isArray(messages) || messages.length === 0) {
    throw new BadRequest('messages must be a non-empty array.', 'messages');
  }
  for (const [position, message] of messages.entries()) {
    if (!ROLES.includes(message?.role)) {
      throw new BadRequest(`messages.${position}.role must be one of ${ROLES.join(', ')}.`, 'messages');
    }
    const { content } = message;
    if (content != null && typeof content !== 'string' && !Array.isArray(content)) {
      throw new BadRequest(`messages.${position}.content must be a text or a list of parts.`, 'messages');
    }
  }
  return {
    model: typeof model === 'string' ? model : undefined,
    stream: stream === true,
    messages: messages.filter(isSpoken).map(({ role, content }) => ({ role, content })),
  };
}

/**
 * A client sends an earlier answer back with the tool calls it saw in it. It never saw their results, and a model
 * refuses calls without results, so only what was said is kept.
 */
function isSpoken({ role, content }: { role: string; content?: string | unknown[] | null }): boolean {
  return role !== 'tool' && content != null && content.length > 0;
}

/** Adds one `tool_calls` entry of a delta to the calls put together so far. */
export function addTo(calls: ToolCall[], { index, id, function: piece }: CallPiece): void {
  const call = calls[index];
  if (call) call.function.arguments += piece?.arguments ?? '';
  else {
    calls[index] = {
      id: id ?? '',
      type: 'function',
      function: { name: piece?.name ?? '', arguments: piece?.arguments ?? '' },
    };
  }
}

/** The first chunk waits for the first delta, so that an error before it is thrown. */
export async function* toChunks(model: string, deltas: AsyncIterable<Delta>): AsyncGenerator<object, void> {
  const head = headOf('chat.completion.chunk', model);
  const chunk = (delta: object, finishReason: 'stop' | null = null) => ({
    ...head,
    choices: [{ index: 0, delta, finish_reason: finishReason }],
  });
  let isFirst = true;
  for await (const delta of deltas) {
    if (isFirst) yield chunk({ role: 'assistant', content: '' });
    isFirst = false;
    yield chunk(delta);
  }
  yield chunk(isFirst ? { role: 'assistant', content: '' } : {}, 'stop');
}

/** The same message that a client puts together from the chunks. */
export async function toCompletion(model: string, deltas: AsyncIterable<Delta>): Promise<object> {
  let content = '';
  const calls: ToolCall[] = [];
  for await (const delta of deltas) {
    content += delta.content ?? '';
    for (const piece of delta.tool_calls ?? []) addTo(calls, piece);
  }
  const message = { role: 'assistant', content, ...(calls.length > 0 && { tool_calls: calls }) };
  return {
    ...headOf('chat.completion', model),
    choices: [{ index: 0, message, finish_reason: 'stop' }],
  };
}

function headOf(object: string, model: string) {
  return { id: `chatcmpl-${randomUUID()}`, object, created: Math.floor(Date.now() / 1000), model };
}
