import { ChunkedReader } from '../http/chunked-reader.ts';
import { CHUNKED } from '../http/fields.ts';
import type { Malformed } from '../http/malformed.ts';

/** Where a body goes while it comes in. */
export interface BodySink {
  /** @returns false: no more until `resume` is called; what was given has been taken all the same */
  take(bytes: Buffer): boolean;
  end(): void;
  /** The client sent what cannot be read, or will send no more: the body stays without its end. */
  broken(): void;
}

/** What the connection has to do for a body. */
export interface BodySource {
  pause(): void;
  resume(): void;
}

/**
 * The body of one request as it comes in. Until somebody takes it, it is held, up to a bound beyond which the client is
 * kept waiting.
 */
export class IncomingBody {
  /** As stated, or `CHUNKED`. */
  readonly length: number;
  /** Bytes of the body that have come in, without their framing. */
  received = 0;
  /** All of it has come in. */
  isComplete: boolean;
  /** Set when it cannot be read further. */
  fault: Malformed | undefined = undefined;
  readonly #source: BodySource;
  readonly #holdBytes: number;
  readonly #chunked: ChunkedReader | undefined;
  #held: Buffer[] = NOTHING_HELD;
  #heldBytes = 0;
  #sink: BodySink | undefined = undefined;
  #isDropped = false;

  /** @param holdBytes how much is held at most before somebody takes it */
  constructor(length: number, source: BodySource, holdBytes: number) {
    this.length = length;
    this.isComplete = length === 0;
    this.#source = source;
    this.#holdBytes = holdBytes;
    this.#chunked = length === CHUNKED ? new ChunkedReader() : undefined;
  }

  /**
   * Reads what arrived.
   * @returns where the body ended, or `bytes.length`; less than that only when the rest belongs to what comes behind
   */
  feed(bytes: Buffer, from: number): number {
    let end = bytes.length;
    if (this.#chunked) {
      const reader = this.#chunked;
      end = reader.read(bytes, from, end);
      for (let run = 0; run < reader.runs.length; run += 2) {
        this.#give(bytes.subarray(reader.runs[run], reader.runs[run + 1]));
      }
      if (reader.fault) this.#break(reader.fault);
      else if (reader.done) this.#complete();
      return end;
    }
    end = Math.min(end, from + this.length - this.received);
    this.#give(from === 0 && end === bytes.length ? bytes : bytes.subarray(from, end));
    if (this.received === this.length) this.#complete();
    return end;
  }

  /** The client will send no more. */
  stop(): void {
    if (this.isComplete || this.fault) return;
    this.#sink?.broken();
    this.#sink = undefined;
  }

  /** Gives what was held and all that follows to `sink`. */
  takeBy(sink: BodySink): void {
    this.#sink = sink;
    const held = this.#held;
    this.#held = NOTHING_HELD;
    this.#heldBytes = 0;
    let goesOn = true;
    for (const bytes of held) goesOn = sink.take(bytes) && goesOn;
    if (this.isComplete) sink.end();
    else if (this.fault) sink.broken();
    else if (goesOn) this.#source.resume();
    else this.#source.pause();
  }

  /** Nobody takes it any more, for now. */
  letGo(): void {
    this.#sink = undefined;
  }

  resume(): void {
    if (!this.isComplete) this.#source.resume();
  }

  /** From here on what comes is read away. */
  drop(): void {
    this.#isDropped = true;
    this.#sink = undefined;
    this.#held = NOTHING_HELD;
    if (!this.isComplete) this.#source.resume();
  }

  /** All of a complete body that nobody has taken, again and again. */
  whole(): Buffer {
    if (this.#held.length > 1) this.#held = [Buffer.concat(this.#held)];
    return this.#held[0] ?? EMPTY;
  }

  #give(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.received += bytes.length;
    if (this.#isDropped) return;
    if (this.#sink) {
      if (!this.#sink.take(bytes)) this.#source.pause();
      return;
    }
    if (this.#held === NOTHING_HELD) this.#held = [];
    this.#held.push(bytes);
    this.#heldBytes += bytes.length;
    if (this.#heldBytes >= this.#holdBytes && !(this.received === this.length)) this.#source.pause();
  }

  #complete(): void {
    this.isComplete = true;
    this.#sink?.end();
    this.#sink = undefined;
  }

  #break(fault: Malformed): void {
    this.fault = fault;
    this.#sink?.broken();
    this.#sink = undefined;
  }
}

const EMPTY = Buffer.alloc(0);
const NOTHING_HELD: Buffer[] = [];
