import type { ErrorCode } from '@runstead/contract';
import { errorTable } from '@runstead/contract';

/** What of an answer under way decides how its end is told. */
export interface BrokenStream {
  /** The answer's field; undefined if it has none. */
  contentType: string | undefined;
  /** The answer's field: what is added to a compressed body would only break it. */
  contentEncoding?: string | undefined;
  /** Of the request, as the agent got it; with or without its query. */
  path: string;
  /** A sentence for the client. */
  reason: string;
  code: ErrorCode;
  requestId: string;
}

/**
 * The last event of a stream of server-sent events that ends before its time, in the shape of the protocol where the
 * path tells it: OpenAI chat completions, AG-UI, else an error as the gateway answers it. The chunked framing must end
 * abnormally all the same, since the answer is not whole.
 * @returns undefined when the answer is no such stream. To be sent after `StreamTail.gap`
 * @example streamEndEvent({ contentType: 'text/event-stream', path: '/ag-ui/agent', … })
 * // event: error
 * // data: {"type":"RUN_ERROR","message":"…","code":"ERR_UNAVAILABLE"}
 */
export function streamEndEvent(stream: BrokenStream): Buffer | undefined {
  if (!isEventStream(stream.contentType) || isEncoded(stream.contentEncoding)) return undefined;
  const message = `${stream.reason} (request ${stream.requestId})`;
  const data = isAgUi(stream.path)
    ? { type: 'RUN_ERROR', message, code: stream.code }
    : { error: { message, type: errorType(stream.code), code: stream.code, param: null } };
  // JSON has no line ends of its own, which would end the field.
  return Buffer.from(`event: error\ndata: ${JSON.stringify(data)}\n\n`);
}

export function isEventStream(contentType: string | undefined): boolean {
  return /^\s*text\/event-stream\s*(?:;|$)/i.test(contentType ?? '');
}

function isEncoded(contentEncoding: string | undefined): boolean {
  return !/^\s*(?:identity)?\s*$/i.test(contentEncoding ?? '');
}

/** Where agents serve AG-UI (contract: server library; `/agui/v1/run` is what its documentation says). */
function isAgUi(path: string): boolean {
  return /^\/(?:ag-ui|agui)(?:\/|$)/.test(path.split('?', 1)[0]!);
}

function errorType(code: ErrorCode): string {
  return errorTable[code].fault === 'agent' ? 'agent_error' : 'platform_error';
}

const LF = 0x0a;
const CR = 0x0d;
/** A line end has at most two bytes, and two of them end an event. */
const ENOUGH = 4;

/**
 * Follows what was sent of an event stream, by the last bytes of each piece, so that a further event can begin on a
 * line of its own and is not taken for a part of the one before.
 */
export class StreamTail {
  /** `line`: inside a line; `event`: behind a line, inside an event; `between`: no event is open. */
  #at: 'line' | 'event' | 'between' = 'between';
  #endsInCR = false;

  passed(piece: Uint8Array): void {
    let from = 0;
    if (piece.length > ENOUGH) {
      from = piece.length - ENOUGH;
      this.#at = 'line';
      this.#endsInCR = false;
    }
    for (let index = from; index < piece.length; index++) this.#byte(piece[index]!);
  }

  /** What must be sent before a further event: whatever was begun is ended. */
  get gap(): '' | '\n' | '\n\n' {
    if (this.#at === 'between') return '';
    // Behind a carriage return the first line feed only completes that line end.
    return this.#at === 'event' && !this.#endsInCR ? '\n' : '\n\n';
  }

  #byte(byte: number): void {
    // The second half of a line end that has been counted.
    const isRest = byte === LF && this.#endsInCR;
    this.#endsInCR = byte === CR;
    if (isRest) return;
    if (byte !== LF && byte !== CR) this.#at = 'line';
    else this.#at = this.#at === 'line' ? 'event' : 'between';
  }
}
