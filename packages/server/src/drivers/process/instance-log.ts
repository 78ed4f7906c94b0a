import { execFile } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  existsSync,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { basename } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import type { SecretBox } from '../../auth/secret-box.ts';
import { mask } from '../../observe/secrets.ts';

/**
 * The file an agent's output goes to. The agent holds it open for append and knows nothing of the server, so it is
 * bounded from outside: the blocks at its head are given back while its end keeps growing. Offsets stay what they were.
 *
 * Beside `x.log`: `x.log.start`, the offset of the first line still there; `x.log.secrets`, what to mask in it, for
 * a server started later, sealed (the log itself is as the agent wrote it); `x.log.about`, whose it is;
 * `x.log.times`, when what was written. Where blocks cannot be given back: `x.log.1`, older lines, and `x.log.base`,
 * how many bytes had been written before those in `x.log`.
 */
export interface InstanceLog {
  path: string;
  secrets: string[];
}

const LINE_LIMIT = 500;
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
  const start = readNumber(`${log.path}.start`);
  const current = readRange(log.path, start, limit);
  const older = current.isCut ? undefined : readRange(`${log.path}.1`, 0, limit - current.bytes.length);
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
 */
export async function boundLog(path: string, limitBytes: number, freeHead = punchHole): Promise<void> {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size - readNumber(`${path}.start`) <= 2 * limitBytes) return;
  // First the new start, then the hole: a reader never sees the zeros.
  const start = lineStart(path, size - limitBytes, size);
  writeNumber(`${path}.start`, start);
  if (await freeHead(path, start)) return;
  writeNumber(`${path}.start`, 0);
  copyFileSync(path, `${path}.1.new`);
  const before = statSync(path).size + readNumber(`${path}.base`);
  truncateSync(path, 0);
  renameSync(`${path}.1.new`, `${path}.1`);
  writeNumber(`${path}.base`, before);
}

/** What of a log is there, by positions that mean the same for ever: how many bytes had been written before. */
export interface LogExtent {
  start: number;
  end: number;
  /** Of the last write, ms since 1970; 0 for a log without a file. */
  writtenMs: number;
}

export function logExtent(path: string): LogExtent {
  const base = readNumber(`${path}.base`);
  const older = base === 0 ? 0 : (statSync(`${path}.1`, { throwIfNoEntry: false })?.size ?? 0);
  const current = statSync(path, { throwIfNoEntry: false });
  const end = base + (current?.size ?? 0);
  const start = base > 0 ? base - older : readNumber(`${path}.start`);
  return { start: Math.min(start, end), end, writtenMs: current?.mtimeMs ?? 0 };
}

/** At most `limit` bytes from a position on; fewer at an end. What was freed is passed over: `from` says. */
export function readLogBytes(path: string, position: number, limit: number): { from: number; bytes: Buffer } {
  // All in one go: nothing is freed in between.
  const { start, end } = logExtent(path);
  const base = readNumber(`${path}.base`);
  const from = Math.min(Math.max(position, start), end);
  const [file, offset, there] =
    from < base ? [`${path}.1`, from - start, base - from] : [path, from - base, end - from];
  const bytes = Buffer.alloc(Math.min(limit, there));
  if (bytes.length === 0) return { from, bytes };
  const opened = openSync(file, 'r');
  try {
    return { from, bytes: bytes.subarray(0, readSync(opened, bytes, 0, bytes.length, offset)) };
  } finally {
    closeSync(opened);
  }
}

function writeNumber(path: string, value: number): void {
  writeFileSync(`${path}.new`, String(value), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** The first line that begins at or after an offset; the offset itself when the line is endless. */
function lineStart(path: string, offset: number, size: number): number {
  const file = openSync(path, 'r');
  try {
    const piece = Buffer.alloc(Math.min(64 * 1024, size - offset));
    const count = readSync(file, piece, 0, piece.length, offset);
    const end = piece.subarray(0, count).indexOf(0x0a);
    return end < 0 ? offset : offset + end + 1;
  } finally {
    closeSync(file);
  }
}

function readNumber(path: string): number {
  try {
    return Number(readFileSync(path, 'latin1')) || 0;
  } catch {
    return 0;
  }
}

/** Node has no fallocate of its own; util-linux's program does it in a millisecond, every few seconds at most. */
const FALLOCATE = ['/usr/bin/fallocate', '/bin/fallocate'].find((path) => existsSync(path));

function punchHole(path: string, length: number): Promise<boolean> {
  if (FALLOCATE === undefined) return Promise.resolve(false);
  const args = ['--punch-hole', '--keep-size', '--offset', '0', '--length', String(length), path];
  return new Promise((resolve) => {
    execFile(FALLOCATE, args, { env: {} }, (error) => resolve(error === null));
  });
}
