import type { Config } from './config/config.ts';

/**
 * The OpenAI chat completion, as far as clients commonly read it. Agents may send more: unknown fields are kept, and
 * can be read as `unknown`. Objects typed by the `openai` package fit where these are taken.
 */

export interface ChatMessage {
  /** `system`, `developer`, `user`, `assistant`, `tool`. */
  role: string;
  content?: string | readonly object[] | null | undefined;
  name?: string | undefined;
  /** Of an assistant's message. */
  tool_calls?: readonly object[] | undefined;
  /** Of a tool's message. */
  tool_call_id?: string | undefined;
}

export interface InvokeOpenaiRequest {
  messages: readonly (ChatMessage | { role: string; [field: string]: unknown })[];
  /** Default `false`. */
  stream?: boolean | undefined;
  /** Default: the runtime's name. */
  model?: string | undefined;
  /** Settings of this call; not sent. */
  config?: Config | undefined;
  /** Ends the call, and a stream at any time; not sent. */
  signal?: AbortSignal | undefined;
  /** Of this call, such as `X-AgentRun-Session-ID`; not sent in the body. */
  headers?: Readonly<Record<string, string | undefined>> | undefined;
  /** Everything else goes to the agent as it is: `tools`, `temperature`, `stream_options` … */
  [parameter: string]: unknown;
}

export interface ChatToolCall {
  id?: string;
  type?: string;
  function?: { name?: string; arguments?: string };
  /** In chunks: which call the piece belongs to. */
  index?: number;
  [field: string]: unknown;
}

/** `stop`, `length`, `tool_calls`, `content_filter`, or an agent's own word. */
export type FinishReason = string;

export interface ChatUsage {
  prompt_tokens?: number;
  completion_tokens?: number;
  total_tokens?: number;
  [field: string]: unknown;
}

export interface ChatCompletion {
  id: string;
  object: string;
  /** Seconds since 1970. */
  created: number;
  model: string;
  choices: {
    index: number;
    message: { role: string; content: string | null; tool_calls?: ChatToolCall[]; [field: string]: unknown };
    finish_reason: FinishReason | null;
    [field: string]: unknown;
  }[];
  usage?: ChatUsage | null;
  [field: string]: unknown;
}

export interface ChatCompletionChunk {
  id: string;
  object: string;
  /** Seconds since 1970. */
  created: number;
  model: string;
  /** Empty in the last chunk if usage was asked for. */
  choices: {
    index: number;
    delta: { role?: string; content?: string | null; tool_calls?: ChatToolCall[]; [field: string]: unknown };
    finish_reason?: FinishReason | null;
    [field: string]: unknown;
  }[];
  usage?: ChatUsage | null;
  [field: string]: unknown;
}

/**
 * The chunks of one answer, to be read once.
 *
 * Reading throws `StreamError` (the agent reported an error), `IncompleteStreamError` (it broke off before its end),
 * `TimeoutError` (silent for `readTimeout`), `AbortError` or `ConnectionError`. Leaving the loop, by `break` or by an
 * error, closes the connection, on which the server ends the agent's work.
 */
export interface ChatCompletionStream extends AsyncIterable<ChatCompletionChunk> {
  /** Ends a stream that is not, or no longer, being read. */
  cancel(): void;
}
