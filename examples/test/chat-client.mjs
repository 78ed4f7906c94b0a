/** Posts a chat completion and returns the response. */
export function postChat(baseUrl, body) {
  return fetch(`${baseUrl}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}

/** The data of every event of a response that streams. */
export async function readEvents(response) {
  const events = (await response.text()).split('\n\n');
  return events.filter(Boolean).map((event) => event.replace(/^data: /, ''));
}

/** What the events say: the message a client puts together from them, and how it finished. */
export function assemble(events) {
  const message = { content: '', toolCalls: [] };
  for (const event of events.filter((data) => data !== '[DONE]')) {
    for (const { delta, finish_reason: finishReason } of JSON.parse(event).choices) {
      message.content += delta.content ?? '';
      for (const { index, function: piece } of delta.tool_calls ?? []) {
        message.toolCalls[index] ??= { name: piece.name, arguments: '' };
        message.toolCalls[index].arguments += piece.arguments;
      }
      if (finishReason) message.finishReason = finishReason;
    }
  }
  return message;
}
