import { setImmediate as turn } from 'node:timers/promises';
import { stripVTControlCharacters } from 'node:util';
import type { LogPlace } from '../domain/log-cursor.ts';
import { type LogLevel, lineFacts } from '../domain/log-line.ts';
import type { KeptLog } from '../drivers/driver.ts';
import { mask } from '../observe/secrets.ts';

/** One line that an agent wrote, fit to be shown: secrets masked, colours removed. */
export interface LogLine {
  log: KeptLog;
  /** Where it begins. */
  at: LogPlace;
  text: string;
  level: LogLevel;
  /** What the line says, else when it had certainly been written; ms since 1970. */
  timeMs: number;
  /** The time is the line's own word. */
  saysTime: boolean;
  /** When it had certainly been written, ms since 1970: what lines of several instances are ordered by. */
  writtenMs: number;
  /** It was too long: the rest is not shown. */
  isCut: boolean;
  /** It has no end yet; what follows comes as a line of its own. */
  isOpen: boolean;
}

/** A step in reading a log. */
export interface LogStep {
  /** Where to go on behind it. */
  next: LogPlace;
  line?: LogLine;
  /** So many bytes that were to be read are not there any more. */
  lostBytes?: number;
}

/** Of a longer line this much is shown. Docker's logs, too, are cut here. */
export const LINE_BYTES = 16 * 1024;
const CHUNK_BYTES = 64 * 1024;
/** A last line without its end is shown when nothing was added for so long. */
export const QUIET_MS = 2000;

const LF = 0x0a;

/**
 * Reads a log from a place to its end. A last line without its end is left for later, unless the log is over or its
 * writer has been quiet. Between chunks others have their turn.
 * @param nowMs ms since 1970
 */
export async function* linesFrom(
  log: KeptLog,
  { position: begin, isSkipping: skips, level: levelBegin }: LogPlace,
  nowMs: number,
): AsyncGenerator<LogStep> {
  const margin = Math.max(0, ...log.secrets.map((secret) => Buffer.byteLength(secret)));
  let isSkipping = skips;
  let level = levelBegin;
  /** Bytes from `lineStart` on that are no whole line yet. */
  let pending: Buffer = Buffer.alloc(0);
  let lineStart = begin;
  let isInLine = await isInsideLine(log, begin);
  const place = (position: number): LogPlace => ({ position, isSkipping, level });
  const show = (from: number, to: number, end: number, how: { isCut: boolean; isOpen: boolean }): LogLine => {
    const at = { position: lineStart + from, isSkipping: false, level };
    const line = lineOf(log, pending.subarray(from, to), { at, end, ...how });
    level = line.level;
    return line;
  };

  while (lineStart + pending.length < log.end) {
    const position = lineStart + pending.length;
    const { from, bytes } = await log.read(position, Math.min(CHUNK_BYTES, log.end - position));
    if (from > position) {
      isSkipping = false;
      isInLine = false;
      level = undefined;
      yield { next: place(from), lostBytes: from - lineStart };
      pending = Buffer.alloc(0);
      lineStart = from;
    }
    if (bytes.length === 0) return;
    pending = pending.length === 0 ? bytes : Buffer.concat([pending, bytes]);
    let at = 0;
    for (;;) {
      const newline = pending.indexOf(LF, at);
      const end = newline < 0 ? pending.length : newline;
      if (isSkipping) {
        at = newline < 0 ? end : newline + 1;
        isSkipping = newline < 0;
        yield { next: place(lineStart + at) };
        if (newline < 0) break;
        continue;
      }
      if (end - at > LINE_BYTES + margin) {
        const line = show(at, at + LINE_BYTES + margin, lineStart + at + LINE_BYTES, {
          isCut: true,
          isOpen: false,
        });
        at += LINE_BYTES;
        isSkipping = true;
        isInLine = false;
        yield { next: place(lineStart + at), line };
        continue;
      }
      if (newline < 0) break;
      // Of a line that was shown before its end, nothing may be left but that.
      const isRest = isInLine && newline === at;
      isInLine = false;
      const line = isRest
        ? undefined
        : show(at, newline, lineStart + newline + 1, { isCut: false, isOpen: false });
      at = newline + 1;
      yield { next: place(lineStart + at), ...(line && { line }) };
    }
    lineStart += at;
    pending = pending.subarray(at);
    await turn();
  }
  const isQuiet = log.isOver || nowMs - log.writtenMs >= QUIET_MS;
  if (pending.length === 0 || isSkipping || !isQuiet) return;
  // The beginning of what may become a secret, or a character, waits for the rest.
  const shown = log.isOver ? pending.length : shownOf(pending, log.secrets);
  if (shown === 0) return;
  const line = show(0, shown, lineStart + shown, { isCut: false, isOpen: !log.isOver });
  yield { next: place(lineStart + shown), line };
}

/** The place where a line begins from which all that is behind `position` can be read; not before `start`. */
export async function lineStartBefore(log: KeptLog, position: number): Promise<LogPlace> {
  for (let to = position; to > log.start; ) {
    const wanted = Math.max(log.start, to - CHUNK_BYTES);
    const { from, bytes } = await log.read(wanted, to - wanted);
    if (from > wanted || bytes.length === 0) break;
    const found = beginOfLine(bytes);
    if (found !== undefined) return { position: from + found, isSkipping: false, level: undefined };
    to = wanted;
    await turn();
  }
  return { position: log.start, isSkipping: false, level: undefined };
}

/** Behind the last line end that no indented line follows, so that such a line is read with the one it belongs to. */
function beginOfLine(bytes: Buffer): number | undefined {
  let last: number | undefined;
  for (let at = bytes.length; at > 0; ) {
    const newline = bytes.lastIndexOf(LF, at - 1);
    if (newline < 0) break;
    last ??= newline + 1;
    const next = bytes[newline + 1];
    if (next !== 0x20 && next !== 0x09 && next !== undefined) return newline + 1;
    at = newline;
  }
  return last;
}

async function isInsideLine(log: KeptLog, position: number): Promise<boolean> {
  if (position <= log.start) return false;
  const { from, bytes } = await log.read(position - 1, 1);
  return from === position - 1 && bytes[0] !== LF;
}

function lineOf(
  log: KeptLog,
  bytes: Buffer,
  { at, end, isCut, isOpen }: { at: LogPlace; end: number; isCut: boolean; isOpen: boolean },
): LogLine {
  // Not fatal: what is not UTF-8 becomes U+FFFD.
  const whole = bytes.toString();
  const text = clean(isCut ? cutText(whole, bytes, log.secrets) : whole, log.secrets);
  const writtenMs = log.timeAt(end);
  const { level, timeMs } = lineFacts(text, {
    levelBefore: at.level,
    writtenAfterMs: Math.min(log.timeAt(at.position), writtenMs),
    writtenBeforeMs: writtenMs,
    startedMs: log.openedAt,
  });
  return {
    log,
    at,
    text: isCut ? `${text}…` : text,
    level,
    timeMs: timeMs ?? writtenMs,
    saysTime: timeMs !== undefined,
    writtenMs,
    isCut,
    isOpen,
  };
}

function clean(text: string, secrets: readonly string[]): string {
  // A progress bar rewrites its line; NUL is what a hole reads as.
  const whole = text.replace(/\r+$/, '');
  const shown = whole.slice(whole.lastIndexOf('\r') + 1).replaceAll('\0', '');
  return mask(stripVTControlCharacters(shown), secrets);
}

/** The first `LINE_BYTES` of a text, less if that would leave the beginning of a secret. */
function cutText(text: string, bytes: Buffer, secrets: readonly string[]): string {
  let end = bytes.toString('utf8', 0, wholeCharacters(bytes, LINE_BYTES)).length;
  for (const secret of secrets) {
    // The bytes behind the limit are as many as the longest secret has.
    const first = text.lastIndexOf(secret, end - 1);
    if (first >= 0 && first + secret.length > end) end = first;
  }
  return text.slice(0, end);
}

/** How much of a line without its end can be shown. */
function shownOf(bytes: Buffer, secrets: readonly string[]): number {
  let end = wholeCharacters(bytes, bytes.length);
  for (const secret of secrets.map((text) => Buffer.from(text))) {
    for (let length = Math.min(secret.length - 1, end); length > 0; length--) {
      if (bytes.subarray(end - length, end).equals(secret.subarray(0, length))) {
        end -= length;
        break;
      }
    }
  }
  return end;
}

/** At most `limit`, without the beginning of a character of several bytes. */
function wholeCharacters(bytes: Buffer, limit: number): number {
  for (let back = 1; back <= Math.min(3, limit); back++) {
    const byte = bytes[limit - back]!;
    if ((byte & 0xc0) === 0x80) continue;
    const needs = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return needs > back ? limit - back : limit;
  }
  return limit;
}
