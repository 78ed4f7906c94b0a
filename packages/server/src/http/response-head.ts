import { CHUNKED, type FieldSection, FORBIDDEN, HEAD_BYTES, readFields, UNTIL_CLOSE } from './fields.ts';
import { excerpt, Malformed } from './malformed.ts';

/** The head of an answer. */
export interface ResponseHead {
  /** 100–599. */
  status: number;
  reason: string;
  /** Of HTTP/1.x. */
  minor: 0 | 1;
  section: FieldSection;
  /** Bytes of the body, `CHUNKED` or `UNTIL_CLOSE`. */
  length: number;
  /** Whether the server takes further requests on this connection. */
  keepAlive: boolean;
  /** Where the head ends in what was read. */
  end: number;
}

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-5][0-9][0-9])(?: (.*))?$/;

/**
 * Reads the head of an answer (RFC 9112 sections 4 and 6.3).
 * @param method of the request that is answered
 * @returns undefined: more has to come
 */
export function readResponseHead(
  bytes: Buffer,
  from: number,
  to: number,
  method: string,
): ResponseHead | Malformed | undefined {
  const text = bytes.toString('latin1', from, Math.min(to, from + HEAD_BYTES + 1));
  const end = text.indexOf('\r\n\r\n');
  if (end === -1) return unfinished(text);
  const headEnd = end + 4;
  if (headEnd > HEAD_BYTES) return tooLong();
  const lineEnd = text.indexOf('\r\n');
  const head = text.slice(0, headEnd);
  if (FORBIDDEN.test(head)) return new Malformed(502, 'its head holds control characters, or CR or LF alone');

  const line = STATUS_LINE.exec(head.slice(0, lineEnd));
  if (!line) return new Malformed(502, `it begins with ${excerpt(head.slice(0, lineEnd))}`);
  const minor = line[1] === '1' ? 1 : 0;
  const status = Number(line[2]);
  const section = readFields(head, lineEnd + 2, end + 2);
  if (section instanceof Malformed) return section;
  if (section.isChunked && minor === 0) return new Malformed(502, 'HTTP/1.0 has no Transfer-Encoding');
  const { connection } = section;
  return {
    status,
    reason: line[3] ?? '',
    minor,
    section,
    length: lengthOf(section, status, method),
    keepAlive: !connection.includes('close') && (minor === 1 || connection.includes('keep-alive')),
    end: from + headEnd,
  };
}

function lengthOf(section: FieldSection, status: number, method: string): number {
  if (method === 'HEAD' || status < 200 || status === 204 || status === 304) return 0;
  if (section.isChunked) return CHUNKED;
  return section.contentLength ?? UNTIL_CLOSE;
}

function unfinished(text: string): Malformed | undefined {
  if (text.length > HEAD_BYTES) return tooLong();
  const begin = 'HTTP/1.';
  if (!text.startsWith(begin.slice(0, text.length)) && !begin.startsWith(text.slice(0, begin.length))) {
    return new Malformed(502, `it begins with ${excerpt(text)}`);
  }
  const seen = text.endsWith('\r') ? text.slice(0, -1) : text;
  if (FORBIDDEN.test(seen)) return new Malformed(502, 'its head holds control characters, or CR or LF alone');
  return undefined;
}

function tooLong(): Malformed {
  return new Malformed(502, `its head has more than ${HEAD_BYTES} bytes`);
}
