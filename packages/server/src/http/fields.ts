import {
  CONNECTION,
  CONTENT_LENGTH,
  DISGUISED,
  EXPECT,
  type FieldName,
  fieldNameAt,
  HOST,
  PLAIN,
  TRANSFER_ENCODING,
  UPGRADE,
} from './field-names.ts';
import { MARKS } from './head-scan.ts';
import { excerpt, Malformed } from './malformed.ts';
import { HTAB, isSpace, SP } from './octets.ts';

/** The length of a body of which nothing is known but that it is chunked. */
export const CHUNKED = -1;
/** The length of an answer's body that goes on until its connection is closed. */
export const UNTIL_CLOSE = -2;

const NONE: readonly string[] = [];

/** What a head's fields say of the message itself, and all of them for who passes them on. */
export class FieldSection {
  /** The head that they stand in. */
  readonly text: string;
  /** The names, in their order. */
  readonly names: FieldName[];
  /** For each field where its name begins and ends in the text, and its value. */
  readonly marks: number[];
  /** The value of the first Host; undefined: there is none. */
  host: string | undefined = undefined;
  /** How many Host fields there are. */
  hosts = 0;
  /** What Connection lists, in lower case. */
  connection: readonly string[] = NONE;
  /** Whether Connection is no list of tokens that everybody reads. */
  isConnectionOdd = false;
  /** Undefined: not stated. */
  contentLength: number | undefined = undefined;
  isChunked = false;
  /** All Expect fields, joined by commas. */
  expect: string | undefined = undefined;
  /** All Upgrade fields, joined by commas. */
  upgrade: string | undefined = undefined;
  #fields: string[] | undefined = undefined;

  /** @param count of fields: lists that grow would take twice their room, and an open stream keeps them */
  constructor(text: string, count: number) {
    this.text = text;
    this.names = new Array(count);
    this.marks = new Array(4 * count);
  }

  /**
   * Names and values by turns, in the order and spelling of the wire; white space around values is gone. Made when it is
   * asked for: most messages are passed on without.
   */
  get fields(): readonly string[] {
    this.#fields ??= this.#takeApart();
    return this.#fields;
  }

  /** @param name in lower case */
  has(name: string): boolean {
    return this.#indexOf(name, 0) !== -1;
  }

  /** The value of the first field of a name. @param name in lower case */
  value(name: string): string | undefined {
    const at = this.#indexOf(name, 0);
    return at === -1 ? undefined : this.valueAt(at);
  }

  /** The fields of a name alone, as `fields`. @param name in lower case */
  only(name: string): string[] {
    const fields: string[] = [];
    for (let at = this.#indexOf(name, 0); at !== -1; at = this.#indexOf(name, at + 1)) {
      fields.push(this.names[at]!.spelled, this.valueAt(at));
    }
    return fields;
  }

  /** The value of a field, without the white space around it. */
  valueAt(field: number): string {
    return this.text.slice(this.marks[4 * field + 2], this.marks[4 * field + 3]);
  }

  /** Where the line of a field begins in the text, and that behind the last one. */
  lineBegin(field: number): number {
    return field < this.names.length ? this.marks[4 * field]! : this.text.length - 2;
  }

  /** Whether a line reads `Name: value` to its CRLF, with no other white space. */
  isPlain(field: number): boolean {
    const { marks, text } = this;
    const nameEnd = marks[4 * field + 1]!;
    return (
      marks[4 * field + 2] === nameEnd + 2 &&
      text.charCodeAt(nameEnd + 1) === SP &&
      marks[4 * field + 3]! + 2 === this.lineBegin(field + 1)
    );
  }

  /** @param from a field; -1: there is none from there on */
  #indexOf(name: string, from: number): number {
    const { names } = this;
    for (let at = from; at < names.length; at++) if (names[at]!.lower === name) return at;
    return -1;
  }

  #takeApart(): string[] {
    const fields: string[] = [];
    for (let at = 0; at < this.names.length; at++) fields.push(this.names[at]!.spelled, this.valueAt(at));
    return fields;
  }
}

/** Each field of a message is looked up among what Connection lists; of longer lists no more is read. */
const LISTED = 64;

/** 15 digits stay below 2^53, and are more than any body. */
const LENGTH = /^[0-9]{1,15}$/;

/**
 * Takes the fields of a head that was just scanned in one go. Framing that could be read in two ways is refused
 * (RFC 9112 section 6).
 * @param text the head
 * @param count of fields
 * @param beforeFirst of heads of its kind, which begin with the same names
 */
export function takeFields(text: string, count: number, beforeFirst: FieldName): FieldSection | Malformed {
  const section = new FieldSection(text, count);
  const { names, marks } = section;
  let name = beforeFirst;
  for (let mark = 0; mark < 4 * count; mark += 4) {
    name = fieldNameAt(text, MARKS[mark]!, MARKS[mark + 1]!, name);
    names[mark >> 2] = name;
    const { role } = name;
    marks[mark] = MARKS[mark]!;
    marks[mark + 1] = MARKS[mark + 1]!;
    marks[mark + 2] = MARKS[mark + 2]!;
    marks[mark + 3] = MARKS[mark + 3]!;
    if (role !== PLAIN) {
      const value = text.slice(MARKS[mark + 2], MARKS[mark + 3]);
      const fault =
        note(section, role, value) ??
        (hasTabBehind(text, MARKS[mark + 3]!) ? noteTab(section, role, name.spelled) : undefined);
      if (fault !== undefined) return fault;
    }
  }
  if (section.isChunked && section.contentLength !== undefined) {
    return new Malformed(400, 'Content-Length and Transfer-Encoding may not come together');
  }
  return section;
}

/** Takes note of a field that says something of the message itself. */
function note(section: FieldSection, role: number, value: string): Malformed | undefined {
  switch (role) {
    case HOST:
      if (section.hosts++ === 0) section.host = value;
      return undefined;
    case CONTENT_LENGTH:
      if (section.contentLength !== undefined) {
        return new Malformed(400, 'Content-Length was sent more than once');
      }
      if (!LENGTH.test(value)) {
        return new Malformed(
          400,
          `Content-Length must be one number of bytes, of at most 15 digits; got ${excerpt(value)}`,
        );
      }
      section.contentLength = Number(value);
      return undefined;
    case TRANSFER_ENCODING:
      if (section.isChunked) return new Malformed(400, 'Transfer-Encoding was sent more than once');
      if (value !== 'chunked' && value.toLowerCase() !== 'chunked') return codingFault(value);
      section.isChunked = true;
      return undefined;
    case CONNECTION:
      return noteConnection(section, value);
    case EXPECT:
      section.expect = section.expect === undefined ? value : `${section.expect}, ${value}`;
      return undefined;
    case UPGRADE:
      section.upgrade = section.upgrade === undefined ? value : `${section.upgrade}, ${value}`;
      return undefined;
    case DISGUISED:
      return new Malformed(
        400,
        'Content_Length and Transfer_Encoding are read as Content-Length and Transfer-Encoding by some servers',
      );
    default:
      return undefined;
  }
}

/** White space may follow every value, but some readers know none of these when a tab follows it. */
function noteTab(section: FieldSection, role: number, spelled: string): Malformed | undefined {
  if (role === CONNECTION) section.isConnectionOdd = true;
  return role === CONTENT_LENGTH || role === TRANSFER_ENCODING
    ? new Malformed(400, `${spelled} is followed by a tab`)
    : undefined;
}

function hasTabBehind(text: string, valueEnd: number): boolean {
  let at = valueEnd;
  while (text.charCodeAt(at) === SP) at++;
  return text.charCodeAt(at) === HTAB;
}

/** A coding that is not known here is one thing (RFC 9112 section 6.1), a list that means nothing another. */
function codingFault(value: string): Malformed {
  const codings = listed(value.toLowerCase());
  const isReadable =
    codings.every((coding) => TOKEN.test(coding)) && codings.indexOf('chunked') === codings.length - 1;
  return isReadable
    ? new Malformed(501, `The one Transfer-Encoding known here is chunked; got ${excerpt(value)}`)
    : new Malformed(400, `Transfer-Encoding must be chunked; got ${excerpt(value)}`);
}

/** The elements of a list, at most one too many, without the white space around them. Not by `trim`, which takes more than that. */
function listed(value: string): string[] {
  return value.split(',', LISTED + 1).map((element) => {
    let begin = 0;
    let end = element.length;
    while (begin < end && isSpace(element.charCodeAt(begin))) begin++;
    while (end > begin && isSpace(element.charCodeAt(end - 1))) end--;
    return element.slice(begin, end);
  });
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** The same strings as long as it is one of these, which is nearly always. */
const CONNECTIONS = new Map<string, readonly string[]>(
  ['keep-alive', 'close', 'upgrade'].map((option) => [option, [option]]),
);

function noteConnection(section: FieldSection, value: string): Malformed | undefined {
  const lower = value.toLowerCase();
  let options = CONNECTIONS.get(lower);
  if (options === undefined) {
    const all = listed(lower);
    if (all.length > LISTED) return tooManyNames();
    // Empty elements are to be passed over (RFC 9110 section 5.6.1.2).
    options = all.filter((option) => option !== '');
    if (value.includes('\t') || !options.every((option) => TOKEN.test(option)))
      section.isConnectionOdd = true;
  }
  section.connection = section.connection === NONE ? options : section.connection.concat(options);
  return section.connection.length > LISTED ? tooManyNames() : undefined;
}

function tooManyNames(): Malformed {
  return new Malformed(400, `Connection lists more than ${LISTED} names`);
}
