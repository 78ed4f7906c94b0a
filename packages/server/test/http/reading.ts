import { ChunkedReader } from '../../src/http/chunked-reader.ts';
import { CHUNKED, UNTIL_CLOSE } from '../../src/http/fields.ts';
import { HeadScan } from '../../src/http/head-scan.ts';
import { Malformed } from '../../src/http/malformed.ts';
import { type RequestHead, readRequestHead } from '../../src/http/request-head.ts';
import { type ResponseHead, readResponseHead } from '../../src/http/response-head.ts';

/** All that the readers made of what came over one connection. */
export interface Reading<Head> {
  messages: { head: Head; body: string }[];
  fault: Malformed | undefined;
  /** Whether a message has begun and not ended. */
  isUnfinished: boolean;
  /** Where what was not read begins. */
  end: number;
}

type ReadHead<Head> = (
  bytes: Buffer,
  from: number,
  to: number,
  scan: HeadScan | undefined,
) => Head | Malformed | undefined;

/** What a connection does with the readers, and nothing else: takes pieces, and gives messages. */
export class Connection<Head extends { length: number; end: number; keepAlive: boolean }> {
  readonly #readHead: ReadHead<Head>;
  readonly #scan: HeadScan | undefined;
  readonly #bytes: Buffer;
  readonly #read: Reading<Head> = { messages: [], fault: undefined, isUnfinished: false, end: 0 };
  #to = 0;
  #from = 0;
  #isClosed = false;
  #head: Head | undefined;
  #chunks: ChunkedReader | undefined;
  #body = '';

  /** @param size of all that will come */
  constructor(size: number, readHead: ReadHead<Head>, withScan: boolean) {
    // What has not come yet is poison to whoever looks at it.
    this.#bytes = Buffer.alloc(size, 0x0d);
    this.#readHead = readHead;
    this.#scan = withScan ? new HeadScan() : undefined;
  }

  push(piece: Buffer): void {
    piece.copy(this.#bytes, this.#to);
    this.#to += piece.length;
    while (this.#readOne());
  }

  finish(): Reading<Head> {
    if (this.#head?.length === UNTIL_CLOSE) {
      this.#body = this.#bytes.toString('latin1', this.#from, this.#to);
      this.#from = this.#to;
      this.#close();
    }
    const isInside = this.#head !== undefined || (!this.#isClosed && this.#from < this.#to);
    this.#read.isUnfinished = isInside && this.#read.fault === undefined;
    this.#read.end = this.#from;
    return this.#read;
  }

  /** @returns whether there may be more to read */
  #readOne(): boolean {
    if (this.#isClosed || this.#read.fault !== undefined) return false;
    if (this.#head === undefined) {
      const head = this.#readHead(this.#bytes, this.#from, this.#to, this.#scan);
      if (head === undefined) return false;
      if (head instanceof Malformed) {
        this.#read.fault = head;
        return false;
      }
      this.#head = head;
      this.#from = head.end;
      this.#chunks = head.length === CHUNKED ? new ChunkedReader() : undefined;
      this.#body = '';
    }
    const { length } = this.#head;
    if (length === UNTIL_CLOSE) return false;
    if (this.#chunks !== undefined) {
      const chunks = this.#chunks;
      if (this.#from === this.#to) return false;
      this.#from = chunks.read(this.#bytes, this.#from, this.#to);
      for (let run = 0; run < chunks.runs.length; run += 2) {
        this.#body += this.#bytes.toString('latin1', chunks.runs[run], chunks.runs[run + 1]);
      }
      this.#read.fault = chunks.fault;
      if (!chunks.done) return false;
    } else {
      if (this.#to - this.#from < length) return false;
      this.#body = this.#bytes.toString('latin1', this.#from, this.#from + length);
      this.#from += length;
    }
    this.#close();
    return true;
  }

  #close(): void {
    const head = this.#head!;
    this.#read.messages.push({ head, body: this.#body });
    this.#isClosed = !head.keepAlive;
    this.#head = undefined;
  }
}

export function readRequests(pieces: readonly Buffer[], withScan = true): Reading<RequestHead> {
  return readAll(pieces, readRequestHead, withScan);
}

/** @param methods of the requests that are answered, in order; the last one stands for all that follow */
export function readAnswers(
  pieces: readonly Buffer[],
  methods: string | readonly string[],
  withScan = true,
): Reading<ResponseHead> {
  const left = typeof methods === 'string' ? [methods] : [...methods];
  return readAll(
    pieces,
    (bytes, from, to, scan) => {
      const head = readResponseHead(bytes, from, to, left[0] ?? 'GET', scan);
      if (head !== undefined && !(head instanceof Malformed) && head.status >= 200 && left.length > 1)
        left.shift();
      return head;
    },
    withScan,
  );
}

function readAll<Head extends { length: number; end: number; keepAlive: boolean }>(
  pieces: readonly Buffer[],
  readHead: ReadHead<Head>,
  withScan: boolean,
): Reading<Head> {
  const size = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const connection = new Connection(size, readHead, withScan);
  for (const piece of pieces) connection.push(piece);
  return connection.finish();
}

/** All of a reading that must not depend on how the bytes came. Reasons may quote what had come. */
export function summary({ messages, fault, isUnfinished, end }: Reading<RequestHead | ResponseHead>): string {
  let text = `${fault?.status} ${isUnfinished} ${fault ? '' : end}`;
  for (const { head, body } of messages) {
    const { section } = head;
    const line = 'method' in head ? `${head.method} ${head.target}` : `${head.status} ${head.reason}`;
    text += `\n${line} ${head.minor} ${head.length} ${head.keepAlive} ${head.end}\n${section.fields.join('\n')}`;
    text += `\n${section.names.length} ${section.hosts} ${section.host} ${section.contentLength} ${section.isChunked}`;
    text += `\n${section.connection.join()} ${section.isConnectionOdd} ${section.expect} ${section.upgrade}\n${body}`;
  }
  return text;
}

/** Every way to cut bytes in two; of long ones those near the ends, and some between. */
export function* cutInTwo(bytes: Buffer): Generator<Buffer[]> {
  const near = bytes.length > 1500 ? 120 : bytes.length;
  for (let at = 1; at < bytes.length; at += at < near || at > bytes.length - near ? 1 : 997) {
    yield [bytes.subarray(0, at), bytes.subarray(at)];
  }
}

export function cutToBytes(bytes: Buffer): Buffer[] {
  return Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));
}
