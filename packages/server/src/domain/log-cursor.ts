import { LOG_LEVELS, type LogLevel } from './log-line.ts';

/**
 * How far somebody has read the logs of a runtime's instances. Positions in a log never change their meaning, so that
 * a cursor holds whatever is written, freed and restarted meanwhile.
 */
export interface LogCursor {
  /** Of logs begun no later than this, those that are not among `places` have been read to their end. */
  readUpTo: number;
  /** Of logs that are read in part, by instance. */
  places: ReadonlyMap<string, LogPlace>;
}

export interface LogPlace {
  position: number;
  /** What is left of the line is passed over: it was too long. */
  isSkipping: boolean;
  /** Of the line before, for lines that belong to it. */
  level: LogLevel | undefined;
}

export const START_OF_LOG: LogPlace = { position: 0, isSkipping: false, level: undefined };
export const NOTHING_READ: LogCursor = { readUpTo: 0, places: new Map() };

/** Where to go on in a log; undefined: it has been read to its end. */
export function placeIn(
  { readUpTo, places }: LogCursor,
  log: { instanceId: string; openedAt: number },
): LogPlace | undefined {
  return places.get(log.instanceId) ?? (log.openedAt > readUpTo ? START_OF_LOG : undefined);
}

const FORM = '1';
/** Instance, position, whether the rest of a line is passed over, level. */
const PLACE = /^([A-Za-z0-9_-][A-Za-z0-9._-]*):([0-9a-z]{1,11})(~?),([0-5]?)$/;

/** @param of whose logs they are: a cursor is no good elsewhere */
export function writeLogCursor({ readUpTo, places }: LogCursor, of: string): string {
  const parts = [...places].map(
    ([instanceId, { position, isSkipping, level }]) =>
      `${instanceId}:${position.toString(36)}${isSkipping ? '~' : ''},${level ? LOG_LEVELS.indexOf(level) : ''}`,
  );
  const text = [FORM, of.slice(0, 8), readUpTo.toString(36), ...parts].join('|');
  return Buffer.from(text).toString('base64url');
}

/** @returns undefined for what is no cursor, or one of other logs */
export function readLogCursor(text: string, of: string): LogCursor | undefined {
  const [form, whose, upTo, ...parts] = Buffer.from(text, 'base64url').toString().split('|');
  if (form !== FORM || whose !== of.slice(0, 8) || !/^[0-9a-z]{1,11}$/.test(upTo ?? '')) return undefined;
  const places = new Map<string, LogPlace>();
  for (const part of parts) {
    const [, instanceId, position, skipping, level] = PLACE.exec(part) ?? [];
    if (instanceId === undefined || position === undefined) return undefined;
    places.set(instanceId, {
      position: Number.parseInt(position, 36),
      isSkipping: skipping === '~',
      level: level === undefined || level === '' ? undefined : LOG_LEVELS[Number(level)],
    });
  }
  return { readUpTo: Number.parseInt(upTo!, 36), places };
}
