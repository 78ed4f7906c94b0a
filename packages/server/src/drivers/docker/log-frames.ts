/** One piece of output as the engine keeps it: a line, or a part of a long one. */
export interface LogFrame {
  /** `<seconds>.<nanoseconds>` since 1970, so that later ones compare greater. Some engines know whole seconds only. */
  stamp: string;
  bytes: Buffer;
}

const HEAD_BYTES = 8;

/** Cuts what the engine sends of a container without a terminal into frames; what is not whole waits for the rest. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);

  /** @throws Error when this is no such stream */
  read(piece: Buffer): LogFrame[] {
    let data = this.#rest.length > 0 ? Buffer.concat([this.#rest, piece]) : piece;
    const frames: LogFrame[] = [];
    while (data.length >= HEAD_BYTES) {
      if (data[0]! > 2) throw new Error('the engine sends a log in a form that is not known');
      const end = HEAD_BYTES + data.readUInt32BE(4);
      if (data.length < end) break;
      frames.push(frameOf(data.subarray(HEAD_BYTES, end)));
      data = data.subarray(end);
    }
    // A copy: what is kept must not keep the whole piece.
    this.#rest = Buffer.from(data);
    return frames;
  }
}

function frameOf(bytes: Buffer): LogFrame {
  const space = bytes.indexOf(0x20);
  const text = bytes.toString('latin1', 0, Math.max(0, space));
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(text);
  if (!match) throw new Error('the engine sends a line of a log without its time');
  const seconds = Date.parse(`${match[1]}${match[3]}`) / 1000;
  return { stamp: `${seconds}.${(match[2] ?? '').padEnd(9, '0')}`, bytes: bytes.subarray(space + 1) };
}

/** How far a log has been written down: of the frames of the newest moment, how many. */
export interface LogCursor {
  stamp: string;
  count: number;
}

export const LOG_BEGIN: LogCursor = { stamp: '', count: 0 };

/** Passes each frame once, however often the engine is asked for its log from the cursor's moment on. */
export class FrameFilter {
  cursor: LogCursor;
  /** Of the cursor's moment, still to be left out. */
  #known: number;

  constructor(cursor: LogCursor) {
    this.cursor = cursor;
    this.#known = cursor.count;
  }

  isNew({ stamp }: LogFrame): boolean {
    if (stamp < this.cursor.stamp) return false;
    if (stamp > this.cursor.stamp) {
      this.cursor = { stamp, count: 1 };
      this.#known = 0;
      return true;
    }
    if (this.#known > 0) {
      this.#known--;
      return false;
    }
    this.cursor = { stamp, count: this.cursor.count + 1 };
    return true;
  }
}
