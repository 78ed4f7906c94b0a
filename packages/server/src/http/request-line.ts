import { METHODS } from 'node:http';
import type { HeadScan } from './head-scan.ts';
import { REQUEST_LINE_BYTES } from './limits.ts';
import { excerpt, Malformed } from './malformed.ts';
import { CR, isDigit, LF, nameOf, SP, TARGET_BYTE, TOKEN_BYTE } from './octets.ts';

/** CONNECT asks for a tunnel, which is not to be had here. */
const KNOWN = new Set(METHODS.filter((method) => method !== 'CONNECT'));
/** All beginnings of methods: what is none of them will not become a request. */
const BEGINNINGS = new Set(
  [...KNOWN].flatMap((method) => Array.from(method, (_, at) => method.slice(0, at + 1))),
);

/** What is looked at; `LINE_SEEN`: the line is whole. */
const BEGIN = 0;
const METHOD = 1;
const TARGET = 2;
const VERSION = 3;
export const LINE_SEEN = 4;

const FORM = 'a request begins with "METHOD /target HTTP/1.1" and CRLF';

/**
 * Looks at the first line of a request (RFC 9112 section 3), and refuses it at the first byte that is wrong, so that
 * nobody waits for what comes behind. When the line is whole, `scan.stage` is `LINE_SEEN`: the method, which is known,
 * begins at `scan.lineBegin`, the target at `scan.partBegin`, and the version, which is HTTP/1.0 or HTTP/1.1, stands
 * behind `scan.partEnd`.
 */
export function scanRequestLine(
  scan: HeadScan,
  bytes: Buffer,
  base: number,
  to: number,
): Malformed | undefined {
  const limit = Math.min(to, base + REQUEST_LINE_BYTES);
  const fault = scanParts(scan, bytes, base, limit);
  if (fault === undefined && scan.stage !== LINE_SEEN && limit === base + REQUEST_LINE_BYTES) {
    return new Malformed(414, `The first line of a request may have at most ${REQUEST_LINE_BYTES} bytes`);
  }
  return fault;
}

function scanParts(scan: HeadScan, bytes: Buffer, base: number, limit: number): Malformed | undefined {
  let at = base + scan.at;
  if (scan.stage === BEGIN) {
    if (at === limit) return undefined;
    // RFC 9112 section 2.2: one empty line before a request is passed over.
    if (bytes[at] === CR) {
      if (at + 1 === limit) return undefined;
      if (bytes[at + 1] !== LF) return lineFault(bytes[at]!);
      at += 2;
    }
    scan.lineBegin = at - base;
    scan.at = scan.lineBegin;
    scan.stage = METHOD;
  }
  if (scan.stage === METHOD) {
    const begin = base + scan.lineBegin;
    at = begin;
    while (at < limit && TOKEN_BYTE[bytes[at]!] === 1) at++;
    const method = bytes.toString('latin1', begin, at);
    if (at === limit || bytes[at] !== SP || !KNOWN.has(method)) {
      const fault = methodFault(method, at < limit ? bytes[at] : undefined);
      if (fault !== undefined || at === limit) return fault;
    }
    at++;
    scan.partBegin = at - base;
    scan.at = scan.partBegin;
    scan.stage = TARGET;
  }
  if (scan.stage === TARGET) {
    const begin = base + scan.partBegin;
    if (at < limit && at === begin && !isTargetBegin(bytes[at]!)) {
      return new Malformed(
        400,
        `The target of a request must begin with "/", and got ${nameOf(bytes[at]!)}: ${FORM}`,
      );
    }
    while (at < limit && TARGET_BYTE[bytes[at]!] === 1) at++;
    scan.at = at - base;
    if (at === limit) return undefined;
    if (bytes[at] === CR) return new Malformed(400, `The first line names no version of HTTP: ${FORM}`);
    if (bytes[at] !== SP) {
      return new Malformed(
        400,
        `The target of a request may hold only printable ASCII and no "#"; got ${nameOf(bytes[at]!)} at its byte ${at - begin + 1}`,
      );
    }
    scan.partEnd = at - base;
    scan.at = scan.partEnd + 1;
    scan.stage = VERSION;
  }
  if (scan.stage === VERSION) return scanVersion(scan, bytes, base, limit);
  return undefined;
}

const VERSION_BEGIN = Buffer.from('HTTP/1.');

/** Looks at all of the version again with every try: it is short. */
function scanVersion(scan: HeadScan, bytes: Buffer, base: number, limit: number): Malformed | undefined {
  const begin = base + scan.partEnd + 1;
  for (let index = 0; index < VERSION_BEGIN.length; index++) {
    if (begin + index === limit) return undefined;
    const code = bytes[begin + index]!;
    if (code !== VERSION_BEGIN[index]) {
      return index === 5 && isDigit(code) ? versionFault(`HTTP/${code - 0x30}`) : lineFault(code);
    }
  }
  const minorAt = begin + VERSION_BEGIN.length;
  if (minorAt >= limit) return undefined;
  const minor = bytes[minorAt]!;
  if (minor !== 0x31 && minor !== 0x30) {
    return isDigit(minor) ? versionFault(`HTTP/1.${minor - 0x30}`) : lineFault(minor);
  }
  if (minorAt + 1 >= limit) return undefined;
  if (bytes[minorAt + 1] !== CR) return lineFault(bytes[minorAt + 1]!);
  if (minorAt + 2 >= limit) return undefined;
  if (bytes[minorAt + 2] !== LF) return lineFault(CR);
  scan.at = minorAt + 3 - base;
  scan.fieldBegin = scan.at;
  scan.stage = LINE_SEEN;
  return undefined;
}

/**
 * @param seen what stands where a method should, as far as it is a token
 * @param next the byte behind it; undefined: it has not come
 * @returns undefined: it may become a method
 */
function methodFault(seen: string, next: number | undefined): Malformed | undefined {
  // Decided by the first byte that fits no method, so that it does not depend on how much has come.
  let fits = 0;
  while (fits < seen.length && BEGINNINGS.has(seen.slice(0, fits + 1))) fits++;
  if (fits < seen.length) {
    if (seen.startsWith('PRI')) return versionFault('HTTP/2');
    if (/[a-z]/.test(seen[fits]!)) return new Malformed(400, `${excerpt(seen, 12)} is no method: ${FORM}`);
    return unknownMethod(seen);
  }
  if (next === undefined) return undefined;
  if (next === SP && seen !== '') return KNOWN.has(seen) ? undefined : unknownMethod(seen);
  if (next === 0x16 && seen === '') {
    return new Malformed(400, 'This port speaks plain HTTP, and was sent a TLS handshake; use http://');
  }
  return lineFault(next);
}

function unknownMethod(seen: string): Malformed {
  return new Malformed(501, `The method ${excerpt(seen, 12)} is not known here`);
}

function versionFault(version: string): Malformed {
  return new Malformed(505, `HTTP/1.1 and HTTP/1.0 are spoken here; got ${version}`);
}

function lineFault(code: number): Malformed {
  return new Malformed(400, `The first line of a request has ${nameOf(code)} where it may not: ${FORM}`);
}

/** Of origin form, `*`, or absolute form with a scheme of HTTP. */
function isTargetBegin(code: number): boolean {
  return code === 0x2f || code === 0x2a || code === 0x68 || code === 0x48;
}
