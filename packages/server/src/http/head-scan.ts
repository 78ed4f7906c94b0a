import { HEAD_BYTES, HEAD_FIELDS } from './limits.ts';
import { Malformed } from './malformed.ts';
import { COLON, CR, isSpace, LF, nameOf, TEXT_BYTE, TOKEN_BYTE } from './octets.ts';

/**
 * How far a head has been looked at. Whoever reads a head that arrives in pieces keeps one for it and gives it with
 * every try: each byte is then looked at once (twice at most), however small the pieces are. It is made ready for the
 * next head when one has been read or refused.
 *
 * All places are counted from where the head begins, so that what has arrived may be moved in between.
 */
export class HeadScan {
  /** What needs no second look. */
  at = 0;
  /** How far the first line has been understood; what it means is known to who reads that line. */
  stage = 0;
  /** Where the first line begins (behind an empty one), where its second part does, and where that ends. */
  lineBegin = 0;
  partBegin = 0;
  partEnd = 0;
  /** Where the field that is looked at begins. */
  fieldBegin = 0;
  inValue = false;
  /** Whole fields so far. */
  fields = 0;
  /** Where the head ends; 0: it has not yet. */
  end = 0;

  begin(): this {
    this.at = 0;
    this.stage = 0;
    this.lineBegin = 0;
    this.partBegin = 0;
    this.partEnd = 0;
    this.fieldBegin = 0;
    this.inValue = false;
    this.fields = 0;
    this.end = 0;
    return this;
  }

  takeOver(other: HeadScan): void {
    this.at = other.at;
    this.stage = other.stage;
    this.lineBegin = other.lineBegin;
    this.partBegin = other.partBegin;
    this.partEnd = other.partEnd;
    this.fieldBegin = other.fieldBegin;
    this.inValue = other.inValue;
    this.fields = other.fields;
    this.end = other.end;
  }
}

/** For heads that arrive whole, which is nearly all. Reading does not wait, so that one does for everybody. */
const WHOLE = new HeadScan();

/**
 * For each field of the head scanned last: where its name begins and ends, and its value. Only of use after
 * a scan that went through the head in one go, and before the next.
 */
export const MARKS = new Int32Array(4 * HEAD_FIELDS);

/** Looks at a head from where it was left. */
type ScanHead = (scan: HeadScan, bytes: Buffer, from: number, to: number) => Malformed | undefined;

/**
 * Looks for a whole head, going on where the last try ended.
 * @param scan of a head that was not whole before; made ready for the next one when this is found or refused
 * @returns what was found, with the places of its fields in `MARKS`; undefined: more has to come
 */
export function scanWhole(
  scanHead: ScanHead,
  bytes: Buffer,
  from: number,
  to: number,
  scan: HeadScan | undefined,
): HeadScan | Malformed | undefined {
  let seen = scan === undefined || scan.at === 0 ? WHOLE.begin() : scan;
  let fault = scanHead(seen, bytes, from, to);
  if (fault === undefined && seen.end === 0) {
    if (scan !== undefined && seen === WHOLE) scan.takeOver(WHOLE);
    return undefined;
  }
  if (fault === undefined && seen !== WHOLE) {
    // What was found in several tries is gone through once more in one, for the places of its fields.
    seen = WHOLE.begin();
    fault = scanHead(seen, bytes, from, to);
  }
  scan?.begin();
  return fault ?? seen;
}

/**
 * Looks at the lines of a head behind its first one (RFC 9112 section 5): sets `scan.end` when it finds the end.
 */
export function scanFields(scan: HeadScan, bytes: Buffer, base: number, to: number): Malformed | undefined {
  const limit = Math.min(to, base + HEAD_BYTES);
  let at = base + scan.at;
  let { fieldBegin, inValue, fields } = scan;
  while (at < limit) {
    if (!inValue) {
      while (at < limit && TOKEN_BYTE[bytes[at]!] === 1) at++;
      if (at === limit) break;
      const isEmpty = at === base + fieldBegin;
      if (isEmpty && bytes[at] === CR) {
        if (at + 1 === limit) break;
        if (bytes[at + 1] !== LF) return lineFault(fields, bytes, at);
        scan.fields = fields;
        scan.end = at + 2 - base;
        return undefined;
      }
      if (isEmpty || bytes[at] !== COLON) return nameFault(fields, bytes, at, isEmpty);
      if (fields === HEAD_FIELDS) return new Malformed(431, `A head may have at most ${HEAD_FIELDS} fields`);
      MARKS[4 * fields] = fieldBegin;
      MARKS[4 * fields + 1] = at - base;
      at++;
      inValue = true;
    }
    while (at < limit && TEXT_BYTE[bytes[at]!] === 1) at++;
    if (at === limit || (at + 1 === limit && bytes[at] === CR)) break;
    if (bytes[at] !== CR || bytes[at + 1] !== LF) return lineFault(fields, bytes, at);
    markValue(fields++, bytes, base, at);
    at += 2;
    fieldBegin = at - base;
    inValue = false;
  }
  if (limit === base + HEAD_BYTES) return new Malformed(431, `A head may have at most ${HEAD_BYTES} bytes`);
  scan.at = at - base;
  scan.fieldBegin = fieldBegin;
  scan.inValue = inValue;
  scan.fields = fields;
  return undefined;
}

/** White space around a value does not belong to it (RFC 9110 section 5.5). */
function markValue(field: number, bytes: Buffer, base: number, lineEnd: number): void {
  let begin = base + MARKS[4 * field + 1]! + 1;
  let end = lineEnd;
  while (begin < end && isSpace(bytes[begin])) begin++;
  while (end > begin && isSpace(bytes[end - 1])) end--;
  MARKS[4 * field + 2] = begin - base;
  MARKS[4 * field + 3] = end - base;
}

/** Fields are named by their number: what stands where a name should could be part of a secret. */
function nameFault(fields: number, bytes: Buffer, at: number, isEmpty: boolean): Malformed {
  const code = bytes[at]!;
  const which = `Field ${fields + 1} of the head`;
  if (code === CR) return new Malformed(400, `${which} has no colon`);
  if (code === LF) return lineFault(fields, bytes, at);
  if (isEmpty && isSpace(code)) {
    return new Malformed(400, `${which} begins with white space; folded lines are not taken`);
  }
  if (isEmpty && code === COLON) return new Malformed(400, `${which} has no name`);
  if (isSpace(code)) return new Malformed(400, `${which} has ${nameOf(code)} between its name and the colon`);
  return new Malformed(
    400,
    `${which} has ${nameOf(code)} in its name; it may hold only letters, digits and !#$%&'*+-.^_\`|~`,
  );
}

function lineFault(fields: number, bytes: Buffer, at: number): Malformed {
  const code = bytes[at]!;
  const which = `Field ${fields + 1} of the head`;
  return code === CR || code === LF
    ? new Malformed(400, `${which} has ${nameOf(code)}; lines end with CRLF`)
    : new Malformed(400, `${which} has ${nameOf(code)} in its value; control characters are not taken`);
}
