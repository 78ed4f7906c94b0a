import type { ChatCompletionChunk, ChatCompletionStream } from './chat-completion.ts';
import { AgentRunError, IncompleteStreamError, StreamError } from './errors.ts';
import { describe, invalidAnswer, isObject, parseObject, requestIdOf } from './transport/answer.ts';
import type { CallClock } from './transport/call-clock.ts';
import type { CallSettings } from './transport/call-settings.ts';
import { connectionError, discard } from './transport/exchange.ts';
import { redact } from './transport/redact.ts';
import { type SseEvent, SseParser } from './transport/sse.ts';

/**
 * Takes over an answer of status 200 and its clock.
 * @throws InvalidResponseError where the answer is no event stream
 */
export function openChatStream(
  response: Response,
  url: URL,
  clock: CallClock,
  settings: CallSettings,
): ChatCompletionStream {
  const type = response.headers.get('content-type');
  if (response.body === null || (type !== null && !/^text\/event-stream\b/i.test(type))) {
    const error = invalidAnswer(response, url, 'no event stream');
    discard(response);
    throw error;
  }
  // Until reading begins only the caller's signal can end it: nothing is late before somebody waits for it.
  clock.limit(Number.POSITIVE_INFINITY, '');
  return new ChatStream(response.body.getReader(), requestIdOf(response), url, clock, settings);
}

class ChatStream implements ChatCompletionStream {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #requestId: string | undefined;
  readonly #url: URL;
  readonly #clock: CallClock;
  readonly #settings: CallSettings;
  #begun = false;
  #cancelled = false;
  #over = false;

  constructor(
    reader: ReadableStreamDefaultReader<Uint8Array>,
    requestId: string | undefined,
    url: URL,
    clock: CallClock,
    settings: CallSettings,
  ) {
    this.#reader = reader;
    this.#requestId = requestId;
    this.#url = url;
    this.#clock = clock;
    this.#settings = settings;
  }

  [Symbol.asyncIterator](): AsyncIterator<ChatCompletionChunk, undefined> {
    if (this.#begun) throw new StreamError('a stream can be read only once');
    this.#begun = true;
    const chunks = this.#read();
    return {
      next: () => chunks.next() as Promise<IteratorResult<ChatCompletionChunk, undefined>>,
      // A generator would first wait for the chunk under way, which may be long in coming.
      return: async () => {
        this.cancel();
        await chunks.return(undefined).catch(() => {});
        return { done: true, value: undefined };
      },
    };
  }

  cancel(): void {
    this.#cancelled = true;
    this.#finish();
  }

  async *#read(): AsyncGenerator<ChatCompletionChunk, undefined> {
    const parser = new SseParser();
    let finished = false;
    try {
      for (;;) {
        const bytes = await this.#nextBytes();
        for (const event of bytes === undefined ? parser.end() : parser.push(bytes)) {
          if (event.data.trim() === '[DONE]') return undefined;
          const chunk = this.#chunkOf(event, bytes === undefined);
          if (chunk === undefined) continue;
          finished ||= hasFinishReason(chunk);
          yield chunk;
        }
        if (bytes !== undefined) continue;
        // Some agents leave out the end mark; then the last chunk's own word has to do.
        if (finished) return undefined;
        throw this.#incomplete();
      }
    } catch (error) {
      if (this.#cancelled) return undefined;
      if (error instanceof RangeError) throw this.#error(error.message);
      throw error;
    } finally {
      this.#finish();
    }
  }

  /** `undefined` at the end. Every piece has the whole `readTimeout`. */
  async #nextBytes(): Promise<Uint8Array | undefined> {
    const milliseconds = this.#settings.readTimeoutMs;
    this.#clock.limit(milliseconds, `further part of the stream from ${this.#url.origin}`);
    try {
      const { done, value } = await this.#clock.race(this.#reader.read());
      return done ? undefined : value;
    } catch (error) {
      throw connectionError(error, this.#url, this.#clock);
    } finally {
      // While the caller works on a chunk no time runs.
      this.#clock.limit(Number.POSITIVE_INFINITY, '');
    }
  }

  #chunkOf(event: SseEvent, last: boolean): ChatCompletionChunk | undefined {
    const value = parseObject(event.data);
    const failed = event.event === 'error' || (value !== undefined && !!value.error && !value.choices);
    if (failed) {
      const said = value === undefined ? undefined : describe(value);
      const message = said?.message ?? (event.data || 'the agent reported an error');
      throw this.#error(message, said?.errorCode);
    }
    // Named events are extensions of a server (pings, progress): only what looks like a chunk is one.
    if (event.event !== undefined && event.event !== 'message' && !Array.isArray(value?.choices)) {
      return undefined;
    }
    if (value !== undefined) return value as unknown as ChatCompletionChunk;
    throw last
      ? this.#incomplete()
      : this.#error(`the stream from ${this.#url.origin} holds a chunk that is no JSON`);
  }

  #error(message: string, errorCode?: string): StreamError {
    const text = redact(message, this.#settings.secrets);
    return new StreamError(text, { errorCode, requestId: this.#requestId });
  }

  #incomplete(): IncompleteStreamError {
    return new IncompleteStreamError(
      `the stream from ${this.#url.origin} ended before the answer was complete`,
      {
        requestId: this.#requestId,
      },
    );
  }

  /** Closes the connection, on which the server ends its work; after the end nothing is left to close. */
  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.#clock.stop(new AgentRunError('the stream was closed'));
    this.#reader.cancel().catch(() => {});
  }
}

function hasFinishReason(chunk: ChatCompletionChunk): boolean {
  return (
    Array.isArray(chunk.choices) &&
    chunk.choices.some((choice) => isObject(choice) && choice.finish_reason != null)
  );
}
