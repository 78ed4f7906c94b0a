import { fieldName } from './field-names.ts';
import { excerpt, Malformed } from './malformed.ts';

/** The most a head may take, and the most fields in it. */
export const HEAD_BYTES = 64 * 1024;
export const HEAD_FIELDS = 200;

/** What no part of a head may hold: control characters, and CR or LF that are not the two together. */
export const FORBIDDEN = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f]|\r[^\n]|[^\r]\n/;

/** The length of a body of which nothing is known but that it is chunked. */
export const CHUNKED = -1;
/** The length of an answer's body that goes on until its connection is closed. */
export const UNTIL_CLOSE = -2;

/** What a head's fields say of the message itself, and all of them for who passes them on. */
export class FieldSection {
  /** Names and values by turns, in the order and spelling of the wire; white space around values is gone. */
  readonly fields: string[] = [];
  /** The names alone, in lower case: `names[i]` belongs to `fields[2 * i]`. */
  readonly names: string[] = [];
  /** The value of Host; undefined: there is none. */
  host: string | undefined = undefined;
  /** What Connection lists, in lower case. */
  connection: readonly string[] = NONE;
  /** Undefined: not stated. */
  contentLength: number | undefined = undefined;
  isChunked = false;
  expect: string | undefined = undefined;
  upgrade: string | undefined = undefined;
}

const NONE: readonly string[] = [];

/**
 * Reads the lines of a head behind its first one (RFC 9112 section 5). What could be read in two ways is refused.
 * @param text begins at the first field, and has been checked for `FORBIDDEN`
 * @param end where the last line's CRLF ends
 */
export function readFields(text: string, from: number, end: number): FieldSection | Malformed {
  const section = new FieldSection();
  const { fields, names } = section;
  let at = from;
  while (at < end) {
    const lineEnd = text.indexOf('\r\n', at);
    const colon = text.indexOf(':', at);
    if (colon === -1 || colon > lineEnd) {
      return new Malformed(400, `A line of the head has no colon: ${excerpt(text.slice(at, lineEnd))}`);
    }
    const spelled = text.slice(at, colon);
    const name = fieldName(spelled);
    if (name === undefined) return badName(text, at, spelled);
    let valueFrom = colon + 1;
    let valueTo = lineEnd;
    while (valueFrom < valueTo && isSpace(text.charCodeAt(valueFrom))) valueFrom++;
    while (valueTo > valueFrom && isSpace(text.charCodeAt(valueTo - 1))) valueTo--;
    const value = text.slice(valueFrom, valueTo);
    if (names.length === HEAD_FIELDS) {
      return new Malformed(431, `A head may have at most ${HEAD_FIELDS} fields`);
    }
    fields.push(spelled, value);
    names.push(name);
    const fault = note(section, name, value);
    if (fault !== undefined) return fault;
    at = lineEnd + 2;
  }
  if (section.isChunked && section.contentLength !== undefined) {
    return new Malformed(400, 'Content-Length and Transfer-Encoding may not come together');
  }
  return section;
}

/** Takes note of a field that says something of the message itself. */
function note(section: FieldSection, name: string, value: string): Malformed | undefined {
  switch (name) {
    case 'host':
      if (section.host !== undefined) return new Malformed(400, 'Host was sent more than once');
      section.host = value;
      return undefined;
    case 'content-length':
      if (section.contentLength !== undefined) {
        return new Malformed(400, 'Content-Length was sent more than once');
      }
      // 15 digits stay below 2^53, and are more than any body.
      if (!/^[0-9]{1,15}$/.test(value)) {
        return new Malformed(400, `Content-Length must be a number of bytes; got ${excerpt(value)}`);
      }
      section.contentLength = Number(value);
      return undefined;
    case 'transfer-encoding':
      if (section.isChunked) return new Malformed(400, 'Transfer-Encoding was sent more than once');
      if (value.toLowerCase() !== 'chunked') {
        return new Malformed(501, `Transfer-Encoding must be chunked; got ${excerpt(value)}`);
      }
      section.isChunked = true;
      return undefined;
    case 'connection': {
      const options = value.toLowerCase().split(',');
      section.connection = section.connection.concat(options.map((option) => option.trim()));
      return undefined;
    }
    case 'expect':
      section.expect = value;
      return undefined;
    case 'upgrade':
      section.upgrade = section.upgrade === undefined ? value : `${section.upgrade}, ${value}`;
      return undefined;
    default:
      return undefined;
  }
}

function badName(text: string, at: number, spelled: string): Malformed {
  const first = text.charCodeAt(at);
  if (isSpace(first))
    return new Malformed(400, 'A line of the head begins with white space (folded fields are not taken)');
  if (spelled === '') return new Malformed(400, 'A field of the head has no name');
  return new Malformed(
    400,
    `The name of a field may hold only letters, digits and !#$%&'*+-.^_\`|~; got ${excerpt(spelled)}`,
  );
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
