import { type LogLevel, reachesLevel } from '../domain/log-line.ts';
import type { KeptLog } from '../drivers/driver.ts';
import type { LogLine } from './log-lines.ts';

/** Which lines are wanted; all of what is given has to hold. */
export interface LogFilter {
  /** Of the line's time, ms since 1970, both included. */
  sinceMs?: number | undefined;
  untilMs?: number | undefined;
  /** At least as grave. */
  level?: LogLevel | undefined;
  /** Stands somewhere in the line as it is shown. */
  text?: string | undefined;
  /** The instance's id, or how it begins. */
  instance?: string | undefined;
  /** The number of the version that the instance is of. */
  version?: number | undefined;
}

/** A line's own time may be later than its writing by so much: clocks differ. */
const SLACK_MS = 60_000;

export function wantsLog(
  { instance, version }: LogFilter,
  log: KeptLog,
  versionOf: (revision: number | undefined) => number | undefined,
): boolean {
  if (instance !== undefined && !log.instanceId.startsWith(instance)) return false;
  return version === undefined || versionOf(log.revision) === version;
}

export function wantsLine({ sinceMs, untilMs, level, text }: LogFilter, line: LogLine): boolean {
  if (sinceMs !== undefined && line.timeMs < sinceMs) return false;
  if (untilMs !== undefined && line.timeMs > untilMs) return false;
  if (level !== undefined && !reachesLevel(line.level, level)) return false;
  return text === undefined || line.text.includes(text);
}

/** No line before this position is of the time that is wanted. */
export function firstWanted({ sinceMs }: LogFilter, log: KeptLog): number {
  return sinceMs === undefined ? log.start : Math.max(log.start, log.positionAt(sinceMs - SLACK_MS));
}
