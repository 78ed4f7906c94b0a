import { z } from 'zod';
import { BadRequest } from './openai-error.mjs';

const message = z.object({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool']),
  content: z.union([z.string(), z.array(z.looseObject({ type: z.string() }))]).nullish(),
});

// All else a client may send (temperature, max_tokens, tools …) is ignored: that is for the agent to decide.
const chatRequest = z.object({
  model: z.string().nullish(),
  stream: z.boolean().nullish(),
  messages: z.array(message).min(1),
});

/**
 * A chat completion request as `{ model, stream, messages }`, the messages ready for the graph.
 * @throws {BadRequest}
 */
export function parseChatRequest(text) {
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    throw new BadRequest('The body is not valid JSON.');
  }
  const { data, error } = chatRequest.safeParse(body);
  if (error) {
    const [{ path, message }] = error.issues;
    throw new BadRequest(`${path.join('.') || 'body'}: ${message}`, path[0]);
  }
  return { ...data, messages: data.messages.filter(isSpoken).map(toGraphMessage) };
}

// A client sends an earlier answer back with the tool calls it saw in it. It never saw their results, and a
// model refuses calls without results, so only what was said is kept.
const isSpoken = ({ role, content }) => role !== 'tool' && content?.length > 0;

const toGraphMessage = ({ role, content }) => ({ role: role === 'developer' ? 'system' : role, content });
