/** Clocks on the wall of a place and moments in time, by the time zones that the platform knows. Pure. */

/** A date and a time of day as a clock on the wall shows them, without saying where. */
export interface WallTime {
  year: number;
  /** 1–12. */
  month: number;
  /** 1–31. */
  day: number;
  hour: number;
  minute: number;
  second: number;
}

const SECOND = 1000;
const DAY = 24 * 3_600_000;

const formats = new Map<string, Intl.DateTimeFormat>();

/** Whether it is the name of a time zone, such as `Europe/Berlin` or `UTC`; offsets such as `+08:00` are none. */
export function isTimeZone(name: string): boolean {
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    formatOf(name);
    return true;
  } catch {
    return false; // RangeError: the platform knows no such zone.
  }
}

/** What the clocks of a place show at a moment. @param ms since 1970 */
export function wallTimeAt(ms: number, timeZone: string): WallTime {
  const parts: Record<string, number> = {};
  for (const { type, value } of formatOf(timeZone).formatToParts(ms)) parts[type] = Number(value);
  const { year, month, day, hour, minute, second } = parts as unknown as WallTime;
  return { year, month, day, hour, minute, second };
}

/**
 * The moment at which the clocks of a place show a time. One that they skip, as clocks are put forward, comes at the moment
 * they are; one that they show twice comes the first time.
 * @returns ms since 1970
 */
export function momentOf(wall: WallTime, timeZone: string): number {
  const asUtc = Date.UTC(wall.year, wall.month - 1, wall.day, wall.hour, wall.minute, wall.second);
  // No zone changes twice within two days.
  const before = offsetAt(asUtc - DAY, timeZone);
  const after = offsetAt(asUtc + DAY, timeZone);
  const found = [asUtc - before, asUtc - after].filter((ms) => ms + offsetAt(ms, timeZone) === asUtc);
  if (found.length > 0) return Math.min(...found);
  let [low, high] = [asUtc - after, asUtc - before];
  while (high - low > SECOND) {
    const middle = low + Math.floor((high - low) / 2 / SECOND) * SECOND;
    if (offsetAt(middle, timeZone) === after) high = middle;
    else low = middle;
  }
  return high;
}

function offsetAt(ms: number, timeZone: string): number {
  const { year, month, day, hour, minute, second } = wallTimeAt(ms, timeZone);
  return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(ms / SECOND) * SECOND;
}

/** @throws RangeError for a name that is no time zone */
function formatOf(timeZone: string): Intl.DateTimeFormat {
  let format = formats.get(timeZone);
  if (!format) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone,
      calendar: 'gregory',
      numberingSystem: 'latn',
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
    formats.set(timeZone, format);
  }
  return format;
}
