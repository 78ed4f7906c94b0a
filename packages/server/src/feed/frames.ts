/**
 * Messages as bytes: each is JSON in UTF-8 behind its length in bytes, 32 bits, the highest first. JSON, since the two
 * sides may be of different releases and neither has to trust what the other's engine can take apart.
 */

const HEAD_BYTES = 4;
/** For one message. The routes of ten thousand runtimes take about 10 MB. */
export const FRAME_MAX_BYTES = 256 * 1024 * 1024;

/** What came cannot be read as messages; nothing that follows can be, either. */
export class FrameError extends Error {
  override readonly name = 'FrameError';
}

/** @throws FrameError when the message is longer than `maxBytes` */
export function encodeFrame(message: unknown, maxBytes = FRAME_MAX_BYTES): Buffer {
  const text = JSON.stringify(message);
  const length = Buffer.byteLength(text);
  if (length > maxBytes)
    throw new FrameError(`A message of ${length} bytes is longer than the feed takes: ${maxBytes}`);
  const frame = Buffer.allocUnsafe(HEAD_BYTES + length);
  frame.writeUInt32BE(length);
  frame.write(text, HEAD_BYTES);
  return frame;
}

/** Puts messages together again, however their bytes were cut on the way. */
export class FrameReader {
  readonly #maxBytes: number;
  #pieces: Buffer[] = [];
  #held = 0;
  /** Of the message that is on its way; undefined while its head is. */
  #length: number | undefined;

  constructor(maxBytes = FRAME_MAX_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /**
   * @returns the messages that are whole now
   * @throws FrameError; the reader is of no use afterwards
   */
  read(piece: Buffer): unknown[] {
    this.#pieces.push(piece);
    this.#held += piece.length;
    const messages: unknown[] = [];
    for (;;) {
      if (this.#length === undefined) {
        if (this.#held < HEAD_BYTES) return messages;
        this.#length = this.#take(HEAD_BYTES).readUInt32BE();
        if (this.#length > this.#maxBytes)
          throw new FrameError(`A message of ${this.#length} bytes is longer than ${this.#maxBytes}`);
      }
      if (this.#held < this.#length) return messages;
      messages.push(parsed(this.#take(this.#length)));
      this.#length = undefined;
    }
  }

  /** That many bytes are there. */
  #take(length: number): Buffer {
    if (this.#pieces.length > 1 && this.#pieces[0]!.length < length)
      this.#pieces = [Buffer.concat(this.#pieces)];
    const [first = Buffer.alloc(0)] = this.#pieces;
    this.#held -= length;
    if (first.length > length) this.#pieces[0] = first.subarray(length);
    else this.#pieces.shift();
    return first.subarray(0, length);
  }
}

function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw new FrameError('A message is not JSON', { cause: error });
  }
}
