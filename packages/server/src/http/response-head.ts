import { noFieldName } from './field-names.ts';
import { CHUNKED, type FieldSection, takeFields, UNTIL_CLOSE } from './fields.ts';
import { HeadScan, scanFields, scanWhole } from './head-scan.ts';
import { HEAD_BYTES } from './limits.ts';
import { excerpt, Malformed } from './malformed.ts';
import { CR, isDigit, LF, nameOf, SP, TEXT_BYTE } from './octets.ts';

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

/**
 * Reads the head of an answer (RFC 9112 sections 4 and 6.3). What can be read in two ways is refused.
 * @param method of the request that is answered
 * @param scan as for `readRequestHead`
 * @returns undefined: more has to come. A refusal's reason completes "the agent's answer is not readable: …".
 */
export function readResponseHead(
  bytes: Buffer,
  from: number,
  to: number,
  method: string,
  scan?: HeadScan,
): ResponseHead | Malformed | undefined {
  const seen = scanWhole(scanHead, bytes, from, to, scan);
  if (seen === undefined) return undefined;
  const head = seen instanceof HeadScan ? takeHead(seen, bytes, from, method) : seen;
  return head instanceof Malformed ? new Malformed(502, head.reason) : head;
}

function scanHead(scan: HeadScan, bytes: Buffer, from: number, to: number): Malformed | undefined {
  if (scan.stage !== LINE_SEEN) {
    const fault = scanStatusLine(scan, bytes, from, Math.min(to, from + HEAD_BYTES));
    if (fault !== undefined) return fault;
    if (scan.stage !== LINE_SEEN) {
      return to - from >= HEAD_BYTES
        ? new Malformed(502, `A head may have at most ${HEAD_BYTES} bytes`)
        : undefined;
    }
  }
  return scanFields(scan, bytes, from, to);
}

const REASON = 1;
const LINE_SEEN = 2;

const BEGIN = Buffer.from('HTTP/1.');
const STATUS_AT = 9;
const REASON_AT = 12;

/** Looks at what stands at fixed places with every try, and at each byte of the reason once. */
function scanStatusLine(scan: HeadScan, bytes: Buffer, base: number, limit: number): Malformed | undefined {
  if (scan.stage !== REASON) {
    for (let index = 0; index < REASON_AT; index++) {
      const at = base + index;
      if (at === limit) return undefined;
      if (!fits(index, bytes[at]!)) {
        return new Malformed(
          502,
          `An answer begins with "HTTP/1.1 200" or alike; got ${excerpt(bytes.toString('latin1', base, Math.min(at + 1, limit)))}`,
        );
      }
    }
    if (base + REASON_AT === limit) return undefined;
    const next = bytes[base + REASON_AT];
    if (next !== SP && next !== CR) {
      return new Malformed(
        502,
        `The status of an answer has three digits, and got ${nameOf(next!)} behind them`,
      );
    }
    scan.partBegin = next === SP ? REASON_AT + 1 : REASON_AT;
    scan.at = scan.partBegin;
    scan.stage = REASON;
  }
  let at = base + scan.at;
  while (at < limit && TEXT_BYTE[bytes[at]!] === 1) at++;
  scan.at = at - base;
  if (at === limit || (at + 1 === limit && bytes[at] === CR)) return undefined;
  if (bytes[at] !== CR || bytes[at + 1] !== LF) {
    return new Malformed(502, `The first line of an answer has ${nameOf(bytes[at]!)} where it may not`);
  }
  scan.partEnd = at - base;
  scan.at = scan.partEnd + 2;
  scan.fieldBegin = scan.at;
  scan.stage = LINE_SEEN;
  return undefined;
}

function fits(index: number, code: number): boolean {
  if (index < BEGIN.length) return code === BEGIN[index];
  if (index === BEGIN.length) return code === 0x30 || code === 0x31;
  if (index < STATUS_AT) return code === SP;
  if (index === STATUS_AT) return code >= 0x31 && code <= 0x35;
  return isDigit(code);
}

const BEFORE_FIRST = noFieldName();

function takeHead(scan: HeadScan, bytes: Buffer, from: number, method: string): ResponseHead | Malformed {
  const text = bytes.toString('latin1', from, from + scan.end);
  const minor = text.charCodeAt(BEGIN.length) === 0x31 ? 1 : 0;
  const status = Number(text.slice(STATUS_AT, REASON_AT));
  const section = takeFields(text, scan.fields, BEFORE_FIRST);
  if (section instanceof Malformed) return section;
  const fault = check(section, minor, status);
  if (fault !== undefined) return fault;
  const length = lengthOf(section, status, method);
  const { connection } = section;
  return {
    status,
    reason: text.slice(scan.partBegin, scan.partEnd),
    minor,
    section,
    length,
    // After 101 the connection speaks something else.
    keepAlive:
      length !== UNTIL_CLOSE &&
      status !== 101 &&
      !section.isConnectionOdd &&
      !connection.includes('close') &&
      (minor === 1 || connection.includes('keep-alive')),
    end: from + scan.end,
  };
}

/** What has no content must not say that it has: who believes the one and who believes the other part here. */
function check(section: FieldSection, minor: 0 | 1, status: number): Malformed | undefined {
  if (section.isChunked && minor === 0) return new Malformed(502, 'HTTP/1.0 has no Transfer-Encoding');
  if (status >= 200 && status !== 204) return undefined;
  if (section.isChunked)
    return new Malformed(502, `An answer with status ${status} has no Transfer-Encoding`);
  if (section.contentLength !== undefined && section.contentLength > 0) {
    return new Malformed(502, `An answer with status ${status} has no content, but a Content-Length`);
  }
  return undefined;
}

function lengthOf(section: FieldSection, status: number, method: string): number {
  if (method === 'HEAD' || status < 200 || status === 204 || status === 304) return 0;
  if (section.isChunked) return CHUNKED;
  return section.contentLength ?? UNTIL_CLOSE;
}
