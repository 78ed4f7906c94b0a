import { momentOf, type WallTime, wallTimeAt } from './time-zone.ts';

/** When an expression such as `cron(0 8 * * ? *)` fires. Pure: time is an argument. */

/** Which days of a month, given the month's length and the weekday of its first day (0 is Sunday). */
type Days = (day: number, length: number, first: number) => boolean;

export interface Cron {
  /** In ascending order, as all lists here. */
  minutes: readonly number[];
  hours: readonly number[];
  months: readonly number[];
  years: readonly number[];
  days: Days;
}

const FIRST_YEAR = 1970;
const LAST_YEAR = 2199;
/** A fifth Monday of February comes every 28 years, and every 40 where a century is no leap year. */
const RAREST_YEARS = 40;
const MONTHS = ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'];
const WEEKDAYS = ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'];

/**
 * Reads `cron(minutes hours day-of-month month day-of-week year)`. One of the two days is `?`, and says nothing. Numbers,
 * names (`JAN`, `MON`), `*`, lists `1,15`, ranges `9-17`, steps `0/15`; days of the month also `L` (the last), `15W`
 * (the weekday nearest to the 15th) and `LW`; days of the week are 1 (Sunday) to 7, also `6L` (the last Friday) and `6#2`
 * (the second).
 * @returns what is wrong with it, in words, if it cannot be read
 */
export function parseCron(expression: string): Cron | { fault: string } {
  const inner = /^cron\((.*)\)$/.exec(expression.trim())?.[1];
  if (inner === undefined) return { fault: 'must be cron(…), such as cron(0 8 * * ? *)' };
  const fields = inner.trim().split(/\s+/);
  if (fields.length !== 6)
    return {
      fault: `must have 6 fields (minutes, hours, day of month, month, day of week, year), such as cron(0 8 * * ? *); it has ${inner.trim() === '' ? 0 : fields.length}`,
    };
  const [minutes, hours, dayOfMonth, month, dayOfWeek, year] = fields.map((field) => field.toUpperCase());
  if ((dayOfMonth === '?') === (dayOfWeek === '?'))
    return {
      fault:
        'must have "?" either as day of month (3rd field) or as day of week (5th): its fields are minutes, hours, day of month, month, day of week, year, so that every day at 22:00 is cron(0 22 * * ? *); seconds are not part of it',
    };
  try {
    const cron: Cron = {
      minutes: numbers('minutes', minutes!, 0, 59),
      hours: numbers('hours', hours!, 0, 23),
      months: numbers('month', month!, 1, 12, MONTHS, 1),
      years: numbers('year', year!, FIRST_YEAR, LAST_YEAR),
      days: dayOfMonth === '?' ? weekdays(dayOfWeek!) : monthDays(dayOfMonth!),
    };
    return everFires(cron) ? cron : { fault: 'names a day that never comes' };
  } catch (error) {
    if (error instanceof Unreadable) return { fault: error.message };
    throw error;
  }
}

/** The last moment up to `ms`, and not before `notBefore`, at which it fires. @returns ms since 1970 */
export function lastFiring(cron: Cron, timeZone: string, ms: number, notBefore: number): number | undefined {
  for (const date of datesDown(cron, wallTimeAt(ms, timeZone))) {
    const firing = firingsOf(cron, date, timeZone);
    const count = firstIndex(firing.count, (index) => firing.at(index) > ms);
    if (count === 0) continue;
    const last = firing.at(count - 1);
    return last >= notBefore ? last : undefined;
  }
  return undefined;
}

/** The first moment after `ms` at which it fires. @returns ms since 1970 */
export function nextFiring(cron: Cron, timeZone: string, ms: number): number | undefined {
  for (const date of datesUp(cron, wallTimeAt(ms, timeZone))) {
    const firing = firingsOf(cron, date, timeZone);
    const index = firstIndex(firing.count, (at) => firing.at(at) > ms);
    if (index < firing.count) return firing.at(index);
  }
  return undefined;
}

/** The firings of one day, in order: a later time on the wall never comes before an earlier one. */
function firingsOf({ hours, minutes }: Cron, date: CalendarDay, timeZone: string) {
  const at = (index: number) => {
    const hour = hours[Math.floor(index / minutes.length)]!;
    return momentOf({ ...date, hour, minute: minutes[index % minutes.length]!, second: 0 }, timeZone);
  };
  return { count: hours.length * minutes.length, at };
}

/** The first of `count` indexes for which it is so, if it is so from one index on; else `count`. */
function firstIndex(count: number, isSo: (index: number) => boolean): number {
  let [low, high] = [0, count];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isSo(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

interface CalendarDay {
  year: number;
  month: number;
  day: number;
}

function* datesDown({ years, months, days }: Cron, from: WallTime): Generator<CalendarDay> {
  for (const year of down(years)) {
    if (year > from.year) continue;
    if (year < from.year - RAREST_YEARS) return;
    for (const month of down(months)) {
      if (year === from.year && month > from.month) continue;
      const [length, first] = monthOf(year, month);
      const isFirst = year === from.year && month === from.month;
      for (let day = isFirst ? from.day : length; day > 0; day--)
        if (days(day, length, first)) yield { year, month, day };
    }
  }
}

function* datesUp({ years, months, days }: Cron, from: WallTime): Generator<CalendarDay> {
  for (const year of years) {
    if (year < from.year) continue;
    // A year that was asked for by name may be far away.
    for (const month of months) {
      if (year === from.year && month < from.month) continue;
      const [length, first] = monthOf(year, month);
      const isFirst = year === from.year && month === from.month;
      for (let day = isFirst ? from.day : 1; day <= length; day++)
        if (days(day, length, first)) yield { year, month, day };
    }
  }
}

function* down<T>(list: readonly T[]): Generator<T> {
  for (let index = list.length - 1; index >= 0; index--) yield list[index]!;
}

/** Length of a month, and the weekday of its first day. */
function monthOf(year: number, month: number): [length: number, first: number] {
  return [
    new Date(Date.UTC(year, month, 0)).getUTCDate(),
    new Date(Date.UTC(year, month - 1, 1)).getUTCDay(),
  ];
}

function everFires(cron: Cron): boolean {
  const from = { year: FIRST_YEAR, month: 1, day: 1, hour: 0, minute: 0, second: 0 };
  return !datesUp(cron, from).next().done;
}

class Unreadable extends Error {}

/**
 * Reads one field.
 * @param names stand for numbers, the first of them for `firstName`
 * @throws Unreadable
 */
function numbers(
  what: string,
  text: string,
  min: number,
  max: number,
  names: readonly string[] = [],
  firstName = 0,
): number[] {
  const fault = (part: string) => {
    const named = names.length > 0 ? ` or ${names[0]}-${names.at(-1)}` : '';
    return new Unreadable(
      `${what} must be from ${min} to ${max}${named}, with "*", ",", "-" and "/" (got "${part}")`,
    );
  };
  const one = (word: string, part: string): number => {
    const name = names.indexOf(word);
    const number = name >= 0 ? name + firstName : /^\d{1,4}$/.test(word) ? Number(word) : Number.NaN;
    if (!(number >= min && number <= max)) throw fault(part);
    return number;
  };
  const found = new Set<number>();
  for (const part of text.split(',')) {
    const [range = '', step, ...more] = part.split('/');
    const [from = '', to, ...rest] = range.split('-');
    const by = step === undefined ? 1 : /^[1-9]\d{0,3}$/.test(step) ? Number(step) : Number.NaN;
    if (more.length > 0 || rest.length > 0 || Number.isNaN(by)) throw fault(part);
    const first = range === '*' ? min : one(from, part);
    const last = range === '*' || (to === undefined && step !== undefined) ? max : one(to ?? from, part);
    if (first > last)
      throw new Unreadable(
        `${what} must not run from a later to an earlier one (got "${part}"); write two ranges`,
      );
    for (let number = first; number <= last; number += by) found.add(number);
  }
  return [...found].sort((a, b) => a - b);
}

function monthDays(text: string): Days {
  if (text === 'L') return (day, length) => day === length;
  if (text === 'LW') return (day, length, first) => day === nearestWeekday(length, length, first);
  const near = /^(\d{1,2})W$/.exec(text)?.[1];
  if (near !== undefined) {
    const [wanted] = numbers('day of month', near, 1, 31);
    return (day, length, first) => wanted! <= length && day === nearestWeekday(wanted!, length, first);
  }
  const days = new Set(numbers('day of month', text, 1, 31));
  return (day) => days.has(day);
}

/** Of Monday to Friday, in the same month. */
function nearestWeekday(day: number, length: number, first: number): number {
  const weekday = (first + day - 1) % 7;
  if (weekday === 6) return day > 1 ? day - 1 : day + 2;
  if (weekday === 0) return day < length ? day + 1 : day - 2;
  return day;
}

function weekdays(text: string): Days {
  const special = /^([1-7]|[A-Z]{3})(L|#([1-5]))$/.exec(text);
  if (special) {
    const [weekday] = numbers('day of week', special[1]!, 1, 7, WEEKDAYS, 1);
    const nth = special[3] === undefined ? undefined : Number(special[3]);
    return (day, length, first) =>
      (first + day - 1) % 7 === weekday! - 1 &&
      (nth === undefined ? day + 7 > length : Math.ceil(day / 7) === nth);
  }
  const wanted = new Set(numbers('day of week', text, 1, 7, WEEKDAYS, 1));
  return (day, _length, first) => wanted.has(((first + day - 1) % 7) + 1);
}
