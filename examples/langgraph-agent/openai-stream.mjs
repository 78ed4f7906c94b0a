import { randomUUID } from 'node:crypto';
import { describeError } from './openai-error.mjs';

/**
 * Runs the graph and yields its answer as OpenAI deltas while it is made.
 *
 * The tool calls among them are for show: the graph has run them itself. That is why an answer finishes with
 * `stop`; `tool_calls` would ask the client to run them.
 */
export async function* answerDeltas(graph, messages, signal) {
  const callPositions = new Map();
  try {
    const stream = await graph.stream({ messages }, { streamMode: 'messages', signal });
    for await (const [message] of stream) {
      if (message.type !== 'ai') continue; // the result of a tool
      if (message.text) yield { content: message.text };
      for (const chunk of message.tool_call_chunks ?? []) {
        yield* toolCallDeltas(message.id, chunk, callPositions);
      }
    }
  } catch (error) {
    if (!signal.aborted) console.error(error); // a client that hangs up is no failure
    throw error;
  }
}

// Every message of the model counts its calls from 0; the client sees one message, so they are counted anew.
function* toolCallDeltas(messageId, { index, id, name, args }, callPositions) {
  const key = `${messageId}/${index}`;
  const isNew = !callPositions.has(key);
  if (isNew) callPositions.set(key, callPositions.size);
  const position = callPositions.get(key);
  if (isNew) {
    yield { tool_calls: [{ index: position, id, type: 'function', function: { name, arguments: '' } }] };
  }
  if (args) yield { tool_calls: [{ index: position, function: { arguments: args } }] };
}

/**
 * The answer as server-sent events. Waits for the first delta, so that an error before it is thrown, and can
 * still become the status of the response; a later one becomes the last event, without `[DONE]`.
 */
export async function toEventStream(model, deltas) {
  const first = await deltas.next();
  return ReadableStream.from(events(model, first, deltas));
}

async function* events(model, first, deltas) {
  const head = completionHead('chat.completion.chunk', model);
  const encoder = new TextEncoder();
  const event = (data) => encoder.encode(`data: ${JSON.stringify(data)}\n\n`);
  const chunk = (delta, finishReason = null) =>
    event({ ...head, choices: [{ index: 0, delta, finish_reason: finishReason }] });
  try {
    yield chunk({ role: 'assistant', content: '' });
    if (!first.done) yield chunk(first.value);
    for await (const delta of deltas) yield chunk(delta);
    yield chunk({}, 'stop');
    yield encoder.encode('data: [DONE]\n\n');
  } catch (error) {
    yield event(describeError(error).body);
  }
}

/** The answer in one piece: the same message a client puts together from the stream. */
export async function toCompletion(model, deltas) {
  const message = { role: 'assistant', content: '' };
  for await (const { content, tool_calls: calls = [] } of deltas) {
    message.content += content ?? '';
    for (const { index, ...call } of calls) {
      message.tool_calls ??= [];
      if (call.id) message.tool_calls[index] = call;
      else message.tool_calls[index].function.arguments += call.function.arguments;
    }
  }
  return {
    ...completionHead('chat.completion', model),
    choices: [{ index: 0, message, finish_reason: 'stop' }],
  };
}

const completionHead = (object, model) => ({
  id: `chatcmpl-${randomUUID()}`,
  object,
  created: Math.floor(Date.now() / 1000),
  model,
});
