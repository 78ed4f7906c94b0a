import { describe, expect, it } from 'vitest';
import { lastFiring, nextFiring, parseCron } from './cron.ts';
import { minimumAt, scalingFaults } from './schedule.ts';
import { momentOf, wallTimeAt } from './time-zone.ts';

const at = (text: string) => Date.parse(text);
const iso = (ms: number | undefined) =>
  ms === undefined ? undefined : new Date(ms).toISOString().slice(0, 16);
const cron = (expression: string) => {
  const parsed = parseCron(expression);
  if ('fault' in parsed) throw new Error(parsed.fault);
  return parsed;
};
const last = (expression: string, zone: string, now: string) =>
  iso(lastFiring(cron(expression), zone, at(now), 0));
const next = (expression: string, zone: string, now: string) =>
  iso(nextFiring(cron(expression), zone, at(now)));

describe('cron(…)', () => {
  it.each([
    // Expression, moment, the firing before it or at it, the one after it; all UTC. 2026-11-25 is a Wednesday.
    ['cron(0 8 * * ? *)', '2026-11-25T12:00Z', '2026-11-25T08:00', '2026-11-26T08:00'],
    ['cron(0 8 * * ? *)', '2026-11-25T08:00Z', '2026-11-25T08:00', '2026-11-26T08:00'],
    ['cron(0 8 * * ? *)', '2026-11-25T07:59Z', '2026-11-24T08:00', '2026-11-25T08:00'],
    ['cron(*/15 9-17 ? * MON-FRI *)', '2026-11-28T10:00Z', '2026-11-27T17:45', '2026-11-30T09:00'],
    ['cron(0/20 * * * ? *)', '2026-11-25T10:19Z', '2026-11-25T10:00', '2026-11-25T10:20'],
    ['cron(30 6 1,15 * ? *)', '2026-11-25T10:00Z', '2026-11-15T06:30', '2026-12-01T06:30'],
    ['cron(0 0 ? * 1 *)', '2026-11-25T10:00Z', '2026-11-22T00:00', '2026-11-29T00:00'],
    ['cron(0 0 ? * SUN,7 *)', '2026-11-25T10:00Z', '2026-11-22T00:00', '2026-11-28T00:00'],
    ['cron(0 0 L * ? *)', '2026-11-25T10:00Z', '2026-10-31T00:00', '2026-11-30T00:00'],
    // The 1st of November 2026 is a Sunday, the 15th one too, the 31st of October a Saturday.
    ['cron(0 0 1W 11 ? *)', '2026-11-25T10:00Z', '2026-11-02T00:00', '2027-11-01T00:00'],
    ['cron(0 0 LW 10 ? *)', '2026-11-25T10:00Z', '2026-10-30T00:00', '2027-10-29T00:00'],
    ['cron(0 0 ? * 6L *)', '2026-11-25T10:00Z', '2026-10-30T00:00', '2026-11-27T00:00'],
    ['cron(0 0 ? * WED#2 *)', '2026-11-25T10:00Z', '2026-11-11T00:00', '2026-12-09T00:00'],
    ['cron(0 12 29 2 ? *)', '2026-11-25T10:00Z', '2024-02-29T12:00', '2028-02-29T12:00'],
    ['cron(0 0 ? 2 MON#5 *)', '2026-11-25T10:00Z', undefined, '2044-02-29T00:00'],
    ['cron(0 0 1 JAN ? 2030)', '2026-11-25T10:00Z', undefined, '2030-01-01T00:00'],
    ['cron(0 0 1 1 ? 2020-2022)', '2026-11-25T10:00Z', '2022-01-01T00:00', undefined],
    ['cron(59 23 31 12 ? *)', '2027-01-01T00:00Z', '2026-12-31T23:59', '2027-12-31T23:59'],
  ])('%s at %s has fired at %s and fires at %s', (expression, now, before, after) => {
    expect(next(expression, 'UTC', now)).toBe(after);
    // A fifth Monday of February was last in 2016, before these were asked about; it is found.
    expect(last(expression, 'UTC', now)).toBe(expression.includes('#5') ? '2016-02-29T00:00' : before);
  });

  it.each<[string, RegExp]>([
    ['0 8 * * ? *', /must be cron\(…\)/],
    ['cron()', /6 fields.*it has 0/],
    ['cron(0 8 * * ?)', /6 fields.*it has 5/],
    ['cron(0 0 22 * * *)', /either as day of month.*every day at 22:00 is cron\(0 22 \* \* \? \*\)/],
    ['cron(0 8 ? * ? *)', /either as day of month/],
    ['cron(60 8 * * ? *)', /minutes must be from 0 to 59.*got "60"/],
    ['cron(0 24 * * ? *)', /hours must be from 0 to 23/],
    ['cron(0 8 0 * ? *)', /day of month must be from 1 to 31/],
    ['cron(0 8 * 13 ? *)', /month must be from 1 to 12 or JAN-DEC/],
    ['cron(0 8 ? * 0 *)', /day of week must be from 1 to 7 or SUN-SAT.*got "0"/],
    ['cron(0 8 ? * FRI-MON *)', /from a later to an earlier.*FRI-MON/],
    ['cron(0/0 8 * * ? *)', /minutes.*got "0\/0"/],
    ['cron(0 8 * * ? 1969)', /year must be from 1970 to 2199/],
    ['cron(0 8 31 2 ? *)', /a day that never comes/],
    ['cron(0 8 29 2 ? 2027)', /a day that never comes/],
    ['cron(, 8 * * ? *)', /minutes/],
  ])('%s cannot be read', (expression, fault) => {
    expect(parseCron(expression)).toEqual({ fault: expect.stringMatching(fault) });
  });
});

describe('the clocks of a place', () => {
  it.each([
    ['Asia/Shanghai', 'cron(0 8 * * ? *)', '2026-11-25T12:00Z', '2026-11-25T00:00', '2026-11-26T00:00'],
    [
      'America/Los_Angeles',
      'cron(0 20 * * ? *)',
      '2026-11-25T12:00Z',
      '2026-11-25T04:00',
      '2026-11-26T04:00',
    ],
    ['Pacific/Kiritimati', 'cron(0 0 1 * ? *)', '2026-11-30T11:00Z', '2026-11-30T10:00', '2026-12-31T10:00'],
    // Put forward in the night to 2026-03-29, from 2 to 3 o'clock: 2:30 comes when 3 o'clock does.
    ['Europe/Berlin', 'cron(30 2 * * ? *)', '2026-03-29T12:00Z', '2026-03-29T01:00', '2026-03-30T00:30'],
    ['Europe/Berlin', 'cron(30 2 * * ? *)', '2026-03-28T12:00Z', '2026-03-28T01:30', '2026-03-29T01:00'],
    // Put back in the night to 2026-10-25, from 3 to 2 o'clock: 2:30 counts the first time.
    ['Europe/Berlin', 'cron(30 2 * * ? *)', '2026-10-24T12:00Z', '2026-10-24T00:30', '2026-10-25T00:30'],
    ['Europe/Berlin', 'cron(30 2 * * ? *)', '2026-10-25T01:15Z', '2026-10-25T00:30', '2026-10-26T01:30'],
    ['Europe/Berlin', 'cron(0 8 * * ? *)', '2026-10-25T12:00Z', '2026-10-25T07:00', '2026-10-26T07:00'],
    // By half an hour, and in the other half of the year.
    [
      'Australia/Lord_Howe',
      'cron(15 2 * * ? *)',
      '2026-10-03T20:00Z',
      '2026-10-03T15:30',
      '2026-10-04T15:15',
    ],
    // A day that the place never had: it passed over the 30th of December 2011.
    ['Pacific/Apia', 'cron(0 12 30 12 ? *)', '2011-12-30T18:00Z', '2011-12-30T10:00', '2012-12-29T22:00'],
  ])('in %s, %s at %s has fired at %s and fires at %s', (zone, expression, now, before, after) => {
    expect(last(expression, zone, now)).toBe(before);
    expect(next(expression, zone, now)).toBe(after);
  });

  it('show what they show, and a later time never before an earlier one', () => {
    for (const zone of ['Europe/Berlin', 'Australia/Lord_Howe', 'America/St_Johns', 'UTC']) {
      let before = 0;
      for (let minutes = 0; minutes < 4 * 24 * 60; minutes += 15) {
        const day = zone === 'Australia/Lord_Howe' ? [2026, 10, 2] : [2026, 3, 27];
        const time = new Date(Date.UTC(day[0]!, day[1]! - 1, day[2]!, 0, minutes));
        const wall = {
          year: time.getUTCFullYear(),
          month: time.getUTCMonth() + 1,
          day: time.getUTCDate(),
          hour: time.getUTCHours(),
          minute: time.getUTCMinutes(),
          second: 0,
        };
        const moment = momentOf(wall, zone);
        expect(moment).toBeGreaterThanOrEqual(before);
        before = moment;
        const shown = wallTimeAt(moment, zone);
        const isSkipped = shown.minute !== wall.minute || shown.hour !== wall.hour;
        // What is skipped comes at the moment when it is.
        if (isSkipped) expect(wallTimeAt(moment - 1000, zone)).toMatchObject({ second: 59 });
        else expect(shown).toEqual(wall);
      }
    }
  });
});

describe('what an endpoint asks for', () => {
  const day = { name: 'day', scheduleExpression: 'cron(0 8 * * ? *)', target: 5 };
  const night = { name: 'night', scheduleExpression: 'cron(0 20 * * ? *)', target: 1 };
  const both = { minInstances: 1, scheduledPolicies: [day, night] };

  it('is its minimum without policies, for good', () => {
    expect(minimumAt(undefined, 0)).toEqual({ instances: 0, cause: '', until: undefined, faults: [] });
    expect(minimumAt({ minInstances: 2 }, 0)).toMatchObject({
      instances: 2,
      cause: 'at least 2 are asked for',
    });
  });

  it.each([
    ['2026-11-25T07:59:59.999Z', 1, '2026-11-25T08:00'],
    ['2026-11-25T08:00:00Z', 5, '2026-11-25T20:00'],
    ['2026-11-25T20:00:00Z', 1, '2026-11-26T08:00'],
  ])('at %s is what the policy says that fired last', (now, instances, until) => {
    const minimum = minimumAt(both, at(now));
    expect(minimum.instances).toBe(instances);
    expect(iso(minimum.until)).toBe(until);
  });

  it('is told with its cause', () => {
    expect(minimumAt(both, at('2026-11-25T12:00:00Z')).cause).toBe(
      "policy 'day' asks for 5 since 2026-11-25T08:00:00Z",
    );
  });

  it('is the minimum again when the time of the policy is over, and before its first firing', () => {
    const some = {
      minInstances: 1,
      scheduledPolicies: [
        {
          ...day,
          timeZone: 'Asia/Shanghai',
          startTime: '2026-11-24T12:00:00',
          endTime: '2026-11-26T18:00:00+08:00',
        },
      ],
    };
    const seen = [
      '2026-11-24T03:00Z',
      '2026-11-24T12:00Z',
      '2026-11-25T00:00Z',
      '2026-11-26T09:59Z',
      '2026-11-26T10:00Z',
    ];
    expect(seen.map((now) => minimumAt(some, at(now)).instances)).toEqual([1, 1, 5, 5, 1]);
    expect(seen.map((now) => iso(minimumAt(some, at(now)).until))).toEqual([
      '2026-11-24T04:00',
      '2026-11-25T00:00',
      '2026-11-26T00:00',
      '2026-11-26T10:00',
      undefined,
    ]);
  });

  it('of two that fire at once is what the later in the list says', () => {
    const twice = { scheduledPolicies: [day, { ...day, name: 'other', target: 3 }] };
    expect(minimumAt(twice, at('2026-11-25T09:00Z')).instances).toBe(3);
  });

  it('passes over policies that cannot be read, and says so', () => {
    const broken = {
      minInstances: 1,
      scheduledPolicies: [
        { ...day, timeZone: 'Mars/Olympus' },
        { ...day, target: 2 },
      ],
    };
    expect(minimumAt(broken, at('2026-11-25T09:00Z'))).toMatchObject({
      instances: 2,
      faults: [expect.stringContaining('"Mars/Olympus"')],
    });
  });

  it.each<[object, RegExp]>([
    [{ minInstances: 11 }, /^scalingConfig\.minInstances must be at most 10.*got 11/],
    [
      { scheduledPolicies: [{ ...day, target: 11 }] },
      /scheduledPolicies\[0\]\.target must be at most 10.*got 11/,
    ],
    [
      { minInstances: 6, scheduledPolicies: [day] },
      /\[0\]\.target must be at least minInstances, which is 6 \(got 5\)/,
    ],
    [{ scheduledPolicies: [{ target: 1 }] }, /\[0\]\.scheduleExpression is required/],
    [{ scheduledPolicies: [{ ...day, target: undefined }] }, /\[0\]\.target is required/],
    [{ scheduledPolicies: [day, day] }, /\[1\]\.name "day" is given twice/],
    [{ scheduledPolicies: [{ ...day, name: '' }] }, /\[0\]\.name must not be empty/],
    [
      { scheduledPolicies: [{ ...day, timeZone: '+08:00' }] },
      /\[0\]\.timeZone must be the name.*got "\+08:00"/,
    ],
    [
      { scheduledPolicies: [{ ...day, startTime: 'tomorrow' }] },
      /\[0\]\.startTime must be a time.*got "tomorrow"/,
    ],
    [{ scheduledPolicies: [{ ...day, endTime: '2026-02-31T00:00:00Z' }] }, /\[0\]\.endTime must be a time/],
    [
      { scheduledPolicies: [{ ...day, startTime: '2026-02-01T00:00:00Z', endTime: '2026-02-01T00:00:00Z' }] },
      /\[0\]\.endTime must be after startTime/,
    ],
    [
      { scheduledPolicies: [{ ...day, scheduleExpression: 'rate(5 minutes)' }] },
      /must be cron\(…\).*got "rate\(5 minutes\)"/,
    ],
    [
      { scheduledPolicies: Array.from({ length: 101 }, () => ({ ...day, name: undefined })) },
      /at most 100 policies \(got 101\)/,
    ],
  ])('is refused when it is %j', (config, fault) => {
    expect(scalingFaults(config, 10).join('; ')).toMatch(fault);
  });

  it('is not refused when it is as the contract shows', () => {
    expect(scalingFaults(both, 10)).toEqual([]);
  });
});
