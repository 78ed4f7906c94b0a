import {
  closeSync,
  copyFileSync,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { truncate } from 'node:fs/promises';
import { basename } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import type { SecretBox } from '../../auth/secret-box.ts';
import { mask } from '../../observe/secrets.ts';
import { freeHead } from './free-head.ts';

/**
 * The file an agent's output goes to. The agent holds it open for append and knows nothing of the server, so it is
 * bounded from outside: the blocks at its head are given back while its end keeps growing. Offsets stay what they were.
 *
 * Beside `x.log`: `x.log.start`, the offset of the first line still there; `x.log.secrets`, what to mask in it, for
 * a server started later, sealed (the log itself is as the agent wrote it); `x.log.about`, whose it is;
 * `x.log.times`, when what was written. Where blocks cannot be given back, or not fast enough: `x.log.1`, older lines,
 * and `x.log.base`, how many bytes had been written before those in `x.log`, and, where some were lost in between, up to
 * the end of those in `x.log.1`.
 */
export interface InstanceLog {
  path: string;
  secrets: string[];
}

const LF = 0x0a;
const LINE_LIMIT = 500;
/** How far the beginning of a line is looked for. */
const SCAN_BYTES = 64 * 1024;
/** Kept of what had been written of a log that is cut, at most. */
const CUT_KEEPS_BYTES = 1024 * 1024;
/** How far back a tail is looked for: twenty lines of any reasonable length. */
const TAIL_BYTES = [64 * 1024, 1024 * 1024];

export const LOG_COMPANIONS = [
  '.start',
  '.start.new',
  '.secrets',
  '.secrets.new',
  '.about',
  '.about.new',
  '.times',
  '.times.new',
  '.1',
  '.1.new',
  '.base',
  '.base.new',
];

/** @returns a descriptor for the agent to append to */
export function openLog(log: InstanceLog, box: SecretBox): number {
  if (log.secrets.length > 0) keepSecrets(log.path, JSON.stringify(log.secrets), box);
  return openSync(log.path, 'a', 0o600);
}

/** Whole or not at all: half of it would mask nothing. */
function keepSecrets(logPath: string, secrets: string, box: SecretBox): void {
  const path = `${logPath}.secrets`;
  writeFileSync(`${path}.new`, box.seal(secrets, basename(logPath)), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** Seals what a release before sealing left to mask in a log. */
export function sealLogSecrets(path: string, box: SecretBox): void {
  const text = readFileSync(`${path}.secrets`, 'utf8');
  if (text.startsWith('[')) keepSecrets(path, text, box);
}

/** The log of an instance that an earlier server started. */
export function findLog(path: string, box: SecretBox): InstanceLog {
  let secrets: string[] = [];
  try {
    secrets = JSON.parse(box.open(readFileSync(`${path}.secrets`, 'utf8'), basename(path))) as string[];
  } catch {
    // It had none.
  }
  return { path, secrets };
}

/**
 * The newest lines: secrets masked, colours removed, at most 500 characters each. A last line without its end counts.
 * Reads only the end of the file.
 */
export function readTail(log: InstanceLog, maxLines: number): string[] {
  let lines: string[] = [];
  for (const limit of TAIL_BYTES) {
    const { text, isCut } = readEnd(log, limit);
    lines = linesOf(text, log.secrets, isCut);
    if (!isCut || lines.length >= maxLines) break;
  }
  return lines.slice(-maxLines);
}

function readEnd(log: InstanceLog, limit: number): { text: string; isCut: boolean } {
  const { begin, olderBytes } = piecesOf(log.path);
  const current = readRange(log.path, begin, limit);
  const isAll = current.isCut || olderBytes === 0;
  const older = isAll ? undefined : readRange(`${log.path}.1`, 0, limit - current.bytes.length);
  const bytes = older ? Buffer.concat([older.bytes, current.bytes]) : current.bytes;
  // Not fatal: what is not UTF-8 becomes U+FFFD.
  return { text: new TextDecoder().decode(bytes), isCut: older?.isCut ?? current.isCut };
}

/** The last `limit` bytes of a file, none before `start`. */
function readRange(path: string, start: number, limit: number): { bytes: Buffer; isCut: boolean } {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch {
    return { bytes: Buffer.alloc(0), isCut: false };
  }
  try {
    const { size } = fstatSync(file);
    const from = Math.max(Math.min(start, size), size - limit);
    const bytes = Buffer.alloc(size - from);
    const count = readSync(file, bytes, 0, bytes.length, from);
    return { bytes: bytes.subarray(0, count), isCut: from > start };
  } finally {
    closeSync(file);
  }
}

function linesOf(text: string, secrets: string[], isCut: boolean): string[] {
  let rest = text;
  if (isCut) {
    // The first line is not whole. If it is all there is, a secret in it may have lost its beginning, and is not found.
    const end = rest.indexOf('\n');
    const longest = Math.max(0, ...secrets.map((it) => it.length));
    rest = end >= 0 && end < rest.length - 1 ? rest.slice(end + 1) : mask(rest, secrets).slice(longest);
  }
  const lines = rest.split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines.map((line) => {
    // A progress bar rewrites its line; NUL is what a hole reads as.
    const whole = line.replace(/\r+$/, '');
    const shown = whole.slice(whole.lastIndexOf('\r') + 1).replaceAll('\0', '');
    const masked = mask(stripVTControlCharacters(shown), secrets);
    return masked.length > LINE_LIMIT ? `${masked.slice(0, LINE_LIMIT - 1)}…` : masked;
  });
}

/**
 * Keeps the newest `limitBytes` of a log that has grown beyond twice that.
 * Safe while the agent writes: no byte it writes meanwhile is lost. The exception is a file system that cannot punch
 * holes (macOS, NFS): there, what is written between the copy and the cut, a few microseconds, is lost.
 * @returns where in the file that begins which is kept
 */
export async function boundLog(path: string, limitBytes: number, free = freeHead): Promise<number> {
  const { size, start: before, base, olderEnd, olderBytes } = piecesOf(path);
  const cutBytes = olderEnd < base ? olderBytes : 0;
  if (size - before + cutBytes <= 2 * limitBytes) return before;
  // First the new start, then the hole: a reader never sees the zeros.
  const start = lineStart(path, Math.max(before, size - limitBytes), size);
  writeText(`${path}.start`, String(start));
  if (await free(path, start)) {
    if (olderBytes > 0) rmSync(`${path}.1`, { force: true });
    return start;
  }
  writeText(`${path}.start`, '0');
  copyFileSync(path, `${path}.1.new`);
  const written = statSync(path).size + base;
  truncateSync(path, 0);
  renameSync(`${path}.1.new`, `${path}.1`);
  writeText(`${path}.base`, String(written));
  return 0;
}

/** Of these it is about to be true, as soon as the kernel comes to it, that nothing is in them. */
const beingEmptied = new Set<string>();

/**
 * For a log that is written faster than its head can be given back: of what there is, the newest MiB is kept, or
 * `limitBytes` where that is less, and the file is emptied, which takes the kernel a millisecond and costs no start of a
 * program. What is written meanwhile is lost, and readers are told so.
 * @returns where in the file that begins which is kept
 */
export async function cutLog(path: string, limitBytes: number): Promise<number> {
  const { size, start, base } = piecesOf(path);
  const from = lineStart(path, Math.max(start, size - Math.min(limitBytes, CUT_KEEPS_BYTES)), size);
  const kept = readRange(path, from, size - from).bytes;
  // What follows is lost, so that a last line without its end stays without it.
  const whole = kept.subarray(0, kept.lastIndexOf(LF) + 1 || kept.length);
  writeFileSync(`${path}.1.new`, whole, { mode: 0o600 });
  renameSync(`${path}.1.new`, `${path}.1`);
  writeText(`${path}.base`, `${base + statSync(path).size} ${base + from + whole.length}`);
  writeText(`${path}.start`, '0');
  beingEmptied.add(path);
  try {
    // Not at once: a write of the agent's that takes long has the file for itself, and this process has more to do.
    await truncate(path, 0);
  } finally {
    beingEmptied.delete(path);
  }
  return 0;
}

/** Where what of a log is; all in bytes. */
interface Pieces {
  /** Of the file, and where in it that begins which is kept. */
  size: number;
  start: number;
  /** Where in the file the first line begins. */
  begin: number;
  /** How much had been written before the file's first byte. */
  base: number;
  /** How much had been written up to the end of the older lines, and how long these are. */
  olderEnd: number;
  olderBytes: number;
}

function piecesOf(path: string): Pieces {
  const size = beingEmptied.has(path) ? 0 : sizeOf(path);
  const start = readNumbers(`${path}.start`)[0] ?? 0;
  const [base = 0, olderEnd = base] = readNumbers(`${path}.base`);
  // Lines before those that were freed are no more.
  const olderBytes = base > 0 && start === 0 ? sizeOf(`${path}.1`) : 0;
  // A line that was begun in what is lost is not shown: it could be the end of a secret.
  const isTorn = start === 0 && base > olderEnd && size > 0;
  const begin = isTorn ? lineStart(path, 0, size, Math.min(size, SCAN_BYTES)) : start;
  return { size, start, begin: Math.min(begin, size), base, olderEnd, olderBytes };
}

/**
 * What of a log is there, by positions that mean the same for ever: how many bytes had been written before. Of a flood that
 * is cut, those that came in the moment of the cut were seen by nobody and are not counted.
 */
export interface LogExtent {
  start: number;
  end: number;
  /** Of the last write, ms since 1970; 0 for a log without a file. */
  writtenMs: number;
}

export function logExtent(path: string): LogExtent {
  const { size, begin, base, olderEnd, olderBytes } = piecesOf(path);
  const start = olderBytes > 0 ? olderEnd - olderBytes : base + begin;
  return { start, end: base + size, writtenMs: statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0 };
}

/** At most `limit` bytes from a position on; fewer at an end. What was freed is passed over: `from` says. */
export function readLogBytes(path: string, position: number, limit: number): { from: number; bytes: Buffer } {
  // All in one go: nothing is freed in between.
  const { size, begin, base, olderEnd, olderBytes } = piecesOf(path);
  if (olderBytes > 0 && position < olderEnd) {
    const from = Math.max(position, olderEnd - olderBytes);
    const offset = from - (olderEnd - olderBytes);
    return { from, bytes: readAt(`${path}.1`, offset, Math.min(limit, olderEnd - from)) };
  }
  const from = Math.min(Math.max(position, base + begin), base + size);
  return { from, bytes: readAt(path, from - base, Math.min(limit, base + size - from)) };
}

function readAt(path: string, offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  if (length === 0) return bytes;
  const file = openSync(path, 'r');
  try {
    return bytes.subarray(0, readSync(file, bytes, 0, length, offset));
  } finally {
    closeSync(file);
  }
}

function writeText(path: string, text: string): void {
  writeFileSync(`${path}.new`, text, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** The first line that begins at or after an offset; `otherwise`, the offset itself, when the line is endless. */
function lineStart(path: string, offset: number, size: number, otherwise = offset): number {
  const piece = readAt(path, offset, Math.min(SCAN_BYTES, size - offset));
  const end = piece.indexOf(LF);
  return end < 0 ? otherwise : offset + end + 1;
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

function readNumbers(path: string): number[] {
  try {
    return readFileSync(path, 'latin1')
      .split(' ')
      .map((text) => Number(text) || 0);
  } catch {
    return [];
  }
}
