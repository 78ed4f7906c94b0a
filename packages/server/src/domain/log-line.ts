/** What a line that an agent wrote says of itself: how grave it is, and when it was written. */

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface LineFacts {
  level: LogLevel;
  /** ms since 1970; undefined: the line does not say, or nothing that can be true. */
  timeMs: number | undefined;
}

export interface LineContext {
  /** Of the line before: what is indented below an error belongs to it. */
  levelBefore: LogLevel | undefined;
  /** Between these the line was written, ms since 1970. */
  writtenAfterMs: number;
  writtenBeforeMs: number;
  /** When its instance began. */
  startedMs: number;
}

/** Clocks of agents and of the file system differ by a little; programs take the time before they write. */
const SLACK_MS = 60_000;
/** A time without a zone may be meant in another than ours: only a recent one is believed. */
const ZONELESS_MS = 600_000;
/** Levels and times stand at the front of a line. */
const FRONT = 300;

/**
 * By JSON fields (`level`, `severity` … as words or as the numbers of pino and bunyan), else by the usual words at the
 * front of a line (`ERROR`, `[warn]`, `level=debug`, Python's formats), else by the line before if this one is
 * indented, else `info`: stdout and stderr are one file.
 */
export function lineFacts(text: string, context: LineContext): LineFacts {
  const fields = jsonFields(text);
  if (fields) {
    const level = firstOf(fields, LEVEL_FIELDS, levelOf);
    const time = firstOf(fields, TIME_FIELDS, fieldTime);
    return { level: level ?? 'info', timeMs: plausible(time, context) };
  }
  const front = text.slice(0, FRONT);
  const stamp = TIMESTAMP.exec(front);
  const time = stamp ? textTime(stamp) : undefined;
  const level =
    levelInText(front) ?? (isContinuation(text) ? context.levelBefore : undefined) ?? ('info' as const);
  return { level, timeMs: plausible(time, context) };
}

/** Belongs to the line before: the frames of a stack. */
function isContinuation(text: string): boolean {
  return /^[ \t]+\S/.test(text);
}

/** Whether a level is at least as grave as another. */
export function reachesLevel(level: LogLevel, least: LogLevel): boolean {
  return LOG_LEVELS.indexOf(level) >= LOG_LEVELS.indexOf(least);
}

interface SaidTime {
  ms: number;
  hasZone: boolean;
}

function plausible(time: SaidTime | undefined, context: LineContext): number | undefined {
  if (time === undefined || !Number.isFinite(time.ms)) return undefined;
  const { startedMs, writtenAfterMs, writtenBeforeMs } = context;
  const earliest = time.hasZone ? startedMs : Math.max(startedMs, writtenAfterMs - ZONELESS_MS);
  if (time.ms < earliest - SLACK_MS || time.ms > writtenBeforeMs + SLACK_MS) return undefined;
  return Math.floor(time.ms);
}

// JSON

const LEVEL_FIELDS = ['level', 'severity', 'lvl', 'levelname', 'log.level', 'loglevel', 'severityText'];
const TIME_FIELDS = ['time', 'timestamp', '@timestamp', 'ts', 'asctime'];

function jsonFields(text: string): Record<string, unknown> | undefined {
  if (!text.startsWith('{') || !text.trimEnd().endsWith('}')) return undefined;
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

function firstOf<T>(
  fields: Record<string, unknown>,
  names: readonly string[],
  read: (value: unknown) => T | undefined,
): T | undefined {
  for (const name of names) {
    const value = Object.hasOwn(fields, name) ? read(fields[name]) : undefined;
    if (value !== undefined) return value;
  }
  return undefined;
}

function levelOf(value: unknown): LogLevel | undefined {
  if (typeof value === 'string')
    return /^\d+$/.test(value) ? levelOf(Number(value)) : LEVEL_WORDS.get(value.toLowerCase());
  if (typeof value !== 'number' || !(value > 0)) return undefined;
  // pino and bunyan: 10 trace, 20 debug, 30 info, 40 warn, 50 error, 60 fatal.
  return LOG_LEVELS[Math.min(5, Math.max(0, Math.floor(value / 10) - 1))];
}

/** ISO 8601, or a number since 1970 in seconds, ms, µs or ns. */
function fieldTime(value: unknown): SaidTime | undefined {
  if (typeof value === 'number') return { ms: sinceEpoch(value), hasZone: true };
  if (typeof value !== 'string') return undefined;
  if (/^\d{9,19}(\.\d+)?$/.test(value)) return { ms: sinceEpoch(Number(value)), hasZone: true };
  const stamp = TIMESTAMP.exec(value);
  return stamp ? textTime(stamp) : undefined;
}

function sinceEpoch(value: number): number {
  if (value < 1e11) return value * 1000;
  if (value < 1e14) return value;
  return value < 1e17 ? value / 1000 : value / 1e6;
}

// Text

/** At the front, also in brackets: `2026-11-25T14:52:22.123Z`, `[2026-11-25 14:52:22,123]`, `2026/11/25 14:52:22`. */
const TIMESTAMP =
  /^[[(]?(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?\s?(Z|UTC|[+-]\d\d:?\d\d)?/;

function textTime(stamp: RegExpExecArray): SaidTime | undefined {
  const [, year, month, day, hour, minute, second = '00', fraction = '', zone] = stamp;
  const ms = fraction.padEnd(3, '0').slice(0, 3);
  const local = `${year}-${month}-${day}T${hour}:${minute}:${second}.${ms}`;
  const offset = zone === 'UTC' || zone === 'Z' ? 'Z' : zone?.replace(/^(.\d\d):?(\d\d)$/, '$1:$2');
  const parsed = Date.parse(`${local}${offset ?? ''}`);
  return Number.isNaN(parsed) ? undefined : { ms: parsed, hasZone: zone !== undefined };
}

const LEVEL_WORDS = new Map<string, LogLevel>([
  ['trace', 'trace'],
  ['trc', 'trace'],
  ['verbose', 'trace'],
  ['silly', 'trace'],
  ['debug', 'debug'],
  ['dbg', 'debug'],
  ['info', 'info'],
  ['inf', 'info'],
  ['information', 'info'],
  ['notice', 'info'],
  ['log', 'info'],
  ['warn', 'warn'],
  ['wrn', 'warn'],
  ['warning', 'warn'],
  ['err', 'error'],
  ['error', 'error'],
  ['severe', 'error'],
  ['crit', 'fatal'],
  ['critical', 'fatal'],
  ['alert', 'fatal'],
  ['emerg', 'fatal'],
  ['emergency', 'fatal'],
  ['fatal', 'fatal'],
  ['panic', 'fatal'],
]);

const WORD = [...LEVEL_WORDS.keys()].sort((a, b) => b.length - a.length).join('|');
/** `[warn]`, `(ERROR)`, `<info>`, whatever stands in front, near the beginning. */
const BRACKETED = new RegExp(`^(?:.{0,60}?)[[(<](${WORD})[\\])>]`, 'i');
/** `ERROR …`; small letters need a colon: a sentence may begin with `error`. */
const LEADING_UPPER = new RegExp(`^(${WORD.toUpperCase()})(?=[\\s:|!,-]|$)`);
/** `level=warn`, `lvl="error"`. */
const LOGFMT = new RegExp(`(?:^|\\s)(?:level|lvl|severity)=["']?(${WORD})\\b`, 'i');
/** Python's formats: `… - name - WARNING - text`, `… WARNING name: text`, `… | ERROR | …`. */
const AMONG = new RegExp(`(?:^|[\\s|-])(${WORD.toUpperCase()})(?=\\s*[|:-]|\\s)`);
/** What interpreters print of what nobody caught. */
const THROWN =
  /^(?:Traceback \(most recent call last\):|Uncaught |(?:[\w.$]+\.)?\w*(?:Error|Exception)(?: \[\w+\])?(?::|$)|npm ERR!|Segmentation fault|panic: )/;

function levelInText(front: string): LogLevel | undefined {
  if (THROWN.test(front)) return front.startsWith('panic: ') ? 'fatal' : 'error';
  const stamp = TIMESTAMP.exec(front);
  const rest = stamp ? front.slice(stamp[0].length).replace(/^[\])]?[\s|-]*/, '') : front;
  const leading = LEADING_UPPER.exec(rest)?.[1] ?? /^(\w+):/.exec(rest)?.[1];
  const level = leading === undefined ? undefined : LEVEL_WORDS.get(leading.toLowerCase());
  if (level) return level;
  for (const pattern of stamp ? [BRACKETED, LOGFMT, AMONG] : [BRACKETED, LOGFMT]) {
    const word = pattern.exec(front)?.[1];
    if (word !== undefined) return LEVEL_WORDS.get(word.toLowerCase());
  }
  return undefined;
}
