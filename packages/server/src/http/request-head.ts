import { METHODS } from 'node:http';
import { CHUNKED, type FieldSection, FORBIDDEN, HEAD_BYTES, readFields } from './fields.ts';
import { excerpt, Malformed } from './malformed.ts';

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

/** CONNECT asks for a tunnel, and PRI is how HTTP/2 begins. */
const KNOWN_METHODS = new Set(METHODS.filter((method) => method !== 'CONNECT'));
const TARGET = /^[!"$-~]+$/;
const HOST = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]+)(?::[0-9]{0,5})?$/;
const ABSOLUTE = /^https?:\/\/([^/?]*)(.*)$/i;

/**
 * Reads the head of a request (RFC 9112).
 * @param from where the request begins
 * @param to where what has arrived ends
 * @returns undefined: more has to come
 */
export function readRequestHead(
  bytes: Buffer,
  from: number,
  to: number,
): RequestHead | Malformed | undefined {
  // RFC 9112 section 2.2: one empty line before a request is passed over.
  let begin = from;
  if (bytes[begin] === 0x0d && (begin + 1 === to || bytes[begin + 1] === 0x0a)) begin += 2;
  if (begin >= to) return undefined;
  const text = bytes.toString('latin1', begin, Math.min(to, begin + HEAD_BYTES + 1));
  const end = text.indexOf('\r\n\r\n');
  if (end === -1) return unfinished(text);
  const headEnd = end + 4;
  if (headEnd > HEAD_BYTES) return tooLong();
  const lineEnd = text.indexOf('\r\n');
  const head = text.slice(0, headEnd);
  if (FORBIDDEN.test(head)) return forbidden(head);

  const line = head.slice(0, lineEnd);
  const methodEnd = line.indexOf(' ');
  const targetEnd = line.indexOf(' ', methodEnd + 1);
  if (methodEnd <= 0 || targetEnd <= methodEnd + 1) {
    return new Malformed(400, `A request begins with "METHOD /target HTTP/1.1"; got ${excerpt(line)}`);
  }
  const minor = minorOf(line.slice(targetEnd + 1));
  if (minor instanceof Malformed) return minor;
  const method = line.slice(0, methodEnd);
  if (!KNOWN_METHODS.has(method)) {
    return new Malformed(501, `The method ${excerpt(method)} is not known here`);
  }
  const section = readFields(head, lineEnd + 2, end + 2);
  if (section instanceof Malformed) return section;

  const target = targetOf(method, line.slice(methodEnd + 1, targetEnd), section.host);
  if (target instanceof Malformed) return target;
  const fault = check(section, minor);
  if (fault !== undefined) return fault;
  return {
    method,
    target,
    minor,
    section,
    length: section.isChunked ? CHUNKED : (section.contentLength ?? 0),
    keepAlive:
      minor === 1
        ? !section.connection.includes('close')
        : section.connection.includes('keep-alive') && !section.connection.includes('close'),
    end: begin + headEnd,
  };
}

function minorOf(version: string): 0 | 1 | Malformed {
  if (version === 'HTTP/1.1') return 1;
  if (version === 'HTTP/1.0') return 0;
  if (/^HTTP\/[0-9]\.[0-9]$/.test(version)) {
    return new Malformed(505, `HTTP/1.1 and HTTP/1.0 are spoken here; got ${version}`);
  }
  return new Malformed(400, `The first line of a request ends with "HTTP/1.1"; got ${excerpt(version)}`);
}

function targetOf(method: string, written: string, host: string | undefined): string | Malformed {
  if (!TARGET.test(written)) {
    return new Malformed(
      400,
      `The target of a request may hold only printable ASCII and no "#"; got ${excerpt(written)}`,
    );
  }
  if (written.startsWith('/')) return written;
  if (written === '*') {
    return method === 'OPTIONS' ? '*' : new Malformed(400, 'Only OPTIONS may have the target "*"');
  }
  const absolute = ABSOLUTE.exec(written);
  if (!absolute) {
    return new Malformed(400, `The target of a request must start with "/"; got ${excerpt(written)}`);
  }
  const [, authority = '', rest = ''] = absolute;
  if (host === undefined || authority.toLowerCase() !== host.toLowerCase()) {
    return new Malformed(400, `The target names another host than Host; got ${excerpt(authority)}`);
  }
  return rest.startsWith('/') ? rest : `/${rest}`;
}

/** What fields mean together with the version. */
function check(section: FieldSection, minor: 0 | 1): Malformed | undefined {
  const { host, isChunked, expect } = section;
  if (host === undefined) {
    if (minor === 1) return new Malformed(400, 'A request needs exactly one Host field; got none');
  } else if (!HOST.test(host)) {
    return new Malformed(400, `Host is not readable; got ${excerpt(host)}`);
  }
  if (isChunked && minor === 0) {
    return new Malformed(400, 'HTTP/1.0 has no Transfer-Encoding');
  }
  if (expect !== undefined && expect.toLowerCase() !== '100-continue') {
    return new Malformed(417, `Only "100-continue" may be expected; got ${excerpt(expect)}`);
  }
  return undefined;
}

/** What has arrived of a head can already be wrong, and waiting for its end would be waiting for ever. */
function unfinished(text: string): Malformed | undefined {
  if (text.length > HEAD_BYTES) return tooLong();
  // A CR at the very end may be half of a CRLF.
  const seen = text.endsWith('\r') ? text.slice(0, -1) : text;
  if (FORBIDDEN.test(seen) || seen.startsWith('\n')) return forbidden(text);
  return undefined;
}

function tooLong(): Malformed {
  return new Malformed(431, `The head of a request may have at most ${HEAD_BYTES} bytes`);
}

function forbidden(text: string): Malformed {
  const first = text.charCodeAt(0);
  if (first === 0x16)
    return new Malformed(400, 'This port speaks plain HTTP, and was sent a TLS handshake; use http://');
  if (/\r(?!\n)|(?<!\r)\n/.test(text)) {
    return new Malformed(400, 'Lines of a head end with CRLF; got CR or LF alone');
  }
  return new Malformed(400, 'A head may hold no control characters');
}
