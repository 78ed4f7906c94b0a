import { noFieldName } from './field-names.ts';
import { CHUNKED, type FieldSection, takeFields } from './fields.ts';
import { HeadScan, scanFields, scanWhole } from './head-scan.ts';
import { excerpt, Malformed } from './malformed.ts';
import { LINE_SEEN, scanRequestLine } from './request-line.ts';

/** The head of a request, read in the one way in which everybody reads it. */
export interface RequestHead {
  method: string;
  /**
   * In origin form (`/path?query`) or `*`, byte for byte. What came in absolute form has lost scheme and host, which
   * are those of Host.
   */
  target: string;
  /** Of HTTP/1.x. */
  minor: 0 | 1;
  section: FieldSection;
  /** Bytes of the body, or `CHUNKED`. */
  length: number;
  /** Whether the client will send further requests on this connection. */
  keepAlive: boolean;
  /** Where the head ends in what was read. */
  end: number;
}

/** Without what URIs would allow in a host besides names: `,` joins two, and `%` and `;` are read in two ways. */
const HOST = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::[0-9]{0,5})?$/;
const ABSOLUTE = /^https?:\/\/([^/?]*)(.*)$/i;

/**
 * Reads the head of a request (RFC 9112). What can be read in two ways is refused, at the first byte that is wrong
 * where that is in a line, and when all has come where it is in what lines mean together.
 * @param from where the request begins
 * @param to where what has arrived ends
 * @param scan of a head that was not whole before: keeps each byte from being looked at with every try. The bytes may
 * have been moved since, but must begin with the same
 * @returns undefined: more has to come
 */
export function readRequestHead(
  bytes: Buffer,
  from: number,
  to: number,
  scan?: HeadScan,
): RequestHead | Malformed | undefined {
  const seen = scanWhole(scanHead, bytes, from, to, scan);
  return seen instanceof HeadScan ? takeHead(seen, bytes, from) : seen;
}

function scanHead(scan: HeadScan, bytes: Buffer, from: number, to: number): Malformed | undefined {
  if (scan.stage !== LINE_SEEN) {
    const fault = scanRequestLine(scan, bytes, from, to);
    if (fault !== undefined || scan.stage !== LINE_SEEN) return fault;
  }
  return scanFields(scan, bytes, from, to);
}

const BEFORE_FIRST = noFieldName();

function takeHead(scan: HeadScan, bytes: Buffer, from: number): RequestHead | Malformed {
  const text = bytes.toString('latin1', from, from + scan.end);
  const { lineBegin, partBegin, partEnd } = scan;
  const method = text.slice(lineBegin, partBegin - 1);
  const minor = text.charCodeAt(partEnd + 8) === 0x31 ? 1 : 0;
  const section = takeFields(text, scan.fields, BEFORE_FIRST);
  if (section instanceof Malformed) return section;
  const fault = check(section, minor);
  if (fault !== undefined) return fault;
  const target = targetOf(method, text.slice(partBegin, partEnd), section.host);
  if (target instanceof Malformed) return target;
  const { connection } = section;
  return {
    method,
    target,
    minor,
    section,
    length: section.isChunked ? CHUNKED : (section.contentLength ?? 0),
    keepAlive:
      connection.length === 0
        ? minor === 1
        : !connection.includes('close') && (minor === 1 || connection.includes('keep-alive')),
    end: from + scan.end,
  };
}

function targetOf(method: string, written: string, host: string | undefined): string | Malformed {
  if (written.charCodeAt(0) === 0x2f) return written;
  if (written === '*') {
    return method === 'OPTIONS' ? '*' : new Malformed(400, 'Only OPTIONS may have the target "*"');
  }
  const absolute = ABSOLUTE.exec(written);
  if (!absolute) return new Malformed(400, 'The target of a request must begin with "/" or "http://"');
  const [, authority = '', rest = ''] = absolute;
  if (host === undefined || authority.toLowerCase() !== host.toLowerCase()) {
    const named = authority.slice(authority.lastIndexOf('@') + 1);
    return new Malformed(400, `The target names another host than Host; got ${excerpt(named)}`);
  }
  // RFC 9112 section 3.2.4: nothing behind the host stands for "*".
  if (rest === '' && method === 'OPTIONS') return '*';
  return rest.startsWith('/') ? rest : `/${rest}`;
}

/** What fields mean together with the version. */
function check(section: FieldSection, minor: 0 | 1): Malformed | undefined {
  const { host } = section;
  if (section.hosts > 1) return new Malformed(400, 'Host was sent more than once');
  if (host === undefined) {
    if (minor === 1) return new Malformed(400, 'A request needs exactly one Host field; got none');
  } else if (!HOST.test(host)) {
    return new Malformed(
      400,
      `Host must be a name or an address, with a port or without; got ${excerpt(host.slice(host.lastIndexOf('@') + 1))}`,
    );
  }
  if (section.isConnectionOdd) return new Malformed(400, 'Connection must be a list of names, without tabs');
  if (minor === 0) {
    if (section.isChunked) return new Malformed(400, 'HTTP/1.0 has no Transfer-Encoding');
    // RFC 9110 sections 7.8 and 10.1.1: neither means anything in HTTP/1.0.
    section.expect = undefined;
    section.upgrade = undefined;
  } else if (section.expect !== undefined && section.expect.toLowerCase() !== '100-continue') {
    return new Malformed(417, `Only "100-continue" may be expected; got ${excerpt(section.expect)}`);
  }
  return undefined;
}
