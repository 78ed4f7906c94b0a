import { Readable } from 'node:stream';
import type { Call } from './call.ts';

/** Server-sent events as an answer (HTML standard, section 9.2). */

export interface ServerEvent {
  /** Sent back in `Last-Event-ID` by who lost the connection. */
  id?: string;
  /** Default: `message`. */
  event?: string;
  /** Without it, nothing but the id is told, and that all is well. */
  data?: unknown;
}

const EVENT_STREAM = 'text/event-stream; charset=utf-8';
/** Events are sent together up to this size, if there are so many. */
const PIECE_CHARS = 16 * 1024;
/** How long clients wait before they connect again. */
const RETRY_MS = 1000;

export function wantsEventStream({ request }: Call): boolean {
  return /(?:^|,)\s*text\/event-stream\s*(?:;|,|$)/i.test(request.headers.accept ?? '');
}

/**
 * Answers with events as they come. They are asked for no faster than the client reads; when it is gone, the signal tells,
 * and `events` is ended.
 * @param events ends the answer by ending; `undefined` sends what has been held back
 */
export function eventStream(
  call: Call,
  events: (signal: AbortSignal) => AsyncIterable<ServerEvent | undefined>,
): Readable {
  call.setHeader('content-type', EVENT_STREAM);
  call.setHeader('cache-control', 'no-store');
  // Proxies in front that gather answers would hold events back.
  call.setHeader('x-accel-buffering', 'no');
  if (call.request.method === 'HEAD') return Readable.from([]);
  return Readable.from(toItsEnd(call, pieces(events(call.hangUp()))), {
    objectMode: false,
    highWaterMark: PIECE_CHARS,
  });
}

/** The answer has begun: what goes wrong now can only be told in an event. */
async function* toItsEnd({ deps, requestId }: Call, pieces: AsyncIterable<string>): AsyncGenerator<string> {
  try {
    yield* pieces;
  } catch (error) {
    deps.log.error({ requestId, err: error }, 'events could not be gone on with');
    const reason = `An internal fault; the server's log has it under request id ${requestId}`;
    yield written({ event: 'end', data: { reason } });
  }
}

async function* pieces(events: AsyncIterable<ServerEvent | undefined>): AsyncGenerator<string> {
  let piece = `retry: ${RETRY_MS}\n\n`;
  for await (const event of events) {
    if (event) piece += written(event);
    if (piece !== '' && (!event || piece.length >= PIECE_CHARS)) {
      yield piece;
      piece = '';
    }
  }
  if (piece !== '') yield piece;
}

function written({ id, event, data }: ServerEvent): string {
  const fields = [
    ...(id === undefined ? [] : [`id: ${id}`]),
    ...(event === undefined ? [] : [`event: ${event}`]),
    // JSON has no line ends of its own, which would end the field.
    data === undefined ? ':' : `data: ${JSON.stringify(data)}`,
  ];
  return `${fields.join('\n')}\n\n`;
}
