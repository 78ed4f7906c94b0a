import type OpenAI from 'openai';
import type { Delta, Message, ToolCall } from './chat-completion.ts';
import { addTo } from './chat-completion.ts';
import { ModelError } from './errors.ts';
import type { Model } from './model.ts';
import { runTool, toolDefinitions } from './tools.ts';

/** A model that asks for tools without end would otherwise cost without end. */
const MAX_STEPS = 10;

export interface Question {
  model: Model;
  systemPrompt: string;
  messages: Message[];
  /** Fires when the client hangs up; the run then ends, and with it the call to the model. */
  signal: AbortSignal;
}

/**
 * The agent: asks the model, runs the tools it asks for, and asks again until it answers without a tool. Yields the
 * answer while it is made.
 *
 * The tool calls among the deltas are for show: they have been run here. That is why an answer finishes with `stop`;
 * `tool_calls` would ask the client to run them.
 */
export async function* answer({
  model,
  systemPrompt,
  messages,
  signal,
}: Question): AsyncGenerator<Delta, void> {
  const conversation: OpenAI.ChatCompletionMessageParam[] = [
    { role: 'system', content: systemPrompt },
    ...messages,
  ];
  let shownCalls = 0;
  for (let step = 0; step < MAX_STEPS; step++) {
    let content = '';
    const calls: ToolCall[] = [];
    for await (const delta of deltasOf(model, conversation, signal)) {
      if (delta.content) {
        content += delta.content;
        yield { content: delta.content };
      }
      for (const piece of delta.tool_calls ?? []) {
        addTo(calls, piece);
        // Every message of the model counts its calls from 0; the client sees one message.
        yield { tool_calls: [{ ...piece, index: shownCalls + piece.index }] };
      }
    }
    if (calls.length === 0) return;
    shownCalls += calls.length;
    conversation.push({ role: 'assistant', content: content || null, tool_calls: calls });
    for (const { id, function: called } of calls) {
      conversation.push({ role: 'tool', tool_call_id: id, content: runTool(called.name, called.arguments) });
    }
  }
  throw new ModelError(new Error(`it asked for tools ${MAX_STEPS} times in a row`));
}

async function* deltasOf(
  { client, name }: Model,
  messages: OpenAI.ChatCompletionMessageParam[],
  signal: AbortSignal,
): AsyncGenerator<Delta, void> {
  try {
    const chunks = await client.chat.completions.create(
      { model: name, messages, tools: toolDefinitions, stream: true },
      { signal },
    );
    for await (const { choices } of chunks) {
      if (choices[0]) yield choices[0].delta;
    }
  } catch (error) {
    throw new ModelError(error as Error);
  }
}
