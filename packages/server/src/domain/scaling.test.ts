import { describe, expect, it } from 'vitest';
import {
  decideScale,
  grantStarts,
  limitReached,
  pickToMakeRoom,
  type ScaleInput,
  type ScaleInstance,
  startBackoffMs,
} from './scaling.ts';

const ready = (id: string, inFlight = 0, idleMs: number | undefined = 0): ScaleInstance => ({
  id,
  state: 'ready',
  inFlight,
  idleMs,
});
const starting = (id: string): ScaleInstance => ({ id, state: 'starting', inFlight: 0, idleMs: undefined });
const input = (given: Partial<ScaleInput>): ScaleInput => ({
  instances: [],
  queued: 0,
  inFlight: 0,
  slotsPerInstance: 1,
  minInstances: 0,
  maxInstances: 10,
  idleStopMs: 300_000,
  ...given,
});

describe('decideScale', () => {
  const starts: [string, Partial<ScaleInput>, number][] = [
    ['one for the first call', { queued: 1 }, 1],
    ['as many as the waiting calls need', { queued: 7, slotsPerInstance: 2 }, 4],
    ['fewer by what is starting already', { queued: 7, slotsPerInstance: 2, instances: [starting('a')] }, 3],
    ['no more than the limit', { queued: 50, inFlight: 1, maxInstances: 10, instances: [ready('a', 1)] }, 9],
    [
      'what the free and the coming slots leave over',
      { queued: 7, inFlight: 1, slotsPerInstance: 2, instances: [ready('a', 1), starting('b')] },
      2,
    ],
    ['the minimum without a call', { minInstances: 2 }, 2],
    ['the larger of minimum and demand', { minInstances: 2, queued: 5 }, 5],
  ];
  it.each(starts)('starts %s', (_name, given, count) => {
    expect(decideScale(input(given))).toMatchObject({ action: 'start', count });
  });

  const nothing: [string, Partial<ScaleInput>][] = [
    ['nothing runs and nothing waits', {}],
    ['what is starting covers the queue', { queued: 2, instances: [starting('a'), starting('b')] }],
    ['what has come up since covers the queue', { queued: 1, instances: [ready('a')] }],
    ['the limit is reached', { queued: 9, inFlight: 1, maxInstances: 1, instances: [ready('a', 1)] }],
    ['an instance is busy, however long', { instances: [ready('a', 1, 900_000)] }],
    ['a session is bound to it, however long', { instances: [{ ...ready('a', 0, 900_000), sessions: 1 }] }],
    ['idle time is not known', { instances: [{ ...ready('a'), idleMs: undefined }] }],
    ['the idle one is the minimum', { minInstances: 1, instances: [ready('a', 0, 900_000)] }],
    ['calls wait although one is idle', { queued: 1, maxInstances: 1, instances: [ready('a', 0, 900_000)] }],
    ['it already drains', { instances: [{ ...ready('a', 0, 900_000), state: 'draining' }] }],
  ];
  it.each(nothing)('does nothing when %s', (_name, given) => {
    expect(decideScale(input(given))).toMatchObject({ action: 'none' });
  });

  it('lets the longest idle go first, down to the minimum', () => {
    const instances = [ready('a', 0, 400_000), ready('b', 0, 900_000), ready('c', 0, 500_000)];
    expect(decideScale(input({ instances, minInstances: 1 }))).toMatchObject({
      action: 'drain',
      instanceIds: ['b', 'c'],
    });
  });
});

describe('what is needed', () => {
  it.each<[string, Partial<ScaleInput>, number, string]>([
    ['without calls', {}, 0, 'nobody calls'],
    [
      'with calls that wait and calls that are answered',
      { queued: 3, inFlight: 4, slotsPerInstance: 2 },
      4,
      '7 calls and sessions, 2 for an instance',
    ],
    ['with a minimum', { minInstances: 2, inFlight: 1 }, 2, 'at least 2 are asked for'],
    ['with a minimum and its cause', { minInstances: 2, minCause: "policy 'day'" }, 2, "policy 'day'"],
    ['with more calls than the limit', { queued: 50 }, 10, '50 calls and sessions, 1 for an instance'],
  ])('%s is told with its cause', (_name, given, target, cause) => {
    expect(decideScale(input(given))).toMatchObject({ target, cause });
  });
});

describe('an instance that is not well', () => {
  const sick = (id: string, inFlight = 0, idleMs: number | undefined = 0): ScaleInstance => ({
    ...ready(id, inFlight, idleMs),
    sick: 'health check failed',
  });

  it('is not replaced before another is there for its calls', () => {
    const start = decideScale(input({ inFlight: 1, instances: [sick('a', 1)] }));
    expect(start).toMatchObject({
      action: 'start',
      count: 1,
      reason: expect.stringMatching(/health check failed/),
    });
    const instances = [sick('a', 1), starting('b')];
    expect(decideScale(input({ inFlight: 1, instances }))).toMatchObject({ action: 'none' });
    expect(decideScale(input({ inFlight: 1, instances: [sick('a', 1), ready('b')] }))).toMatchObject({
      action: 'replace',
      instanceIds: ['a'],
    });
  });

  it('is replaced by none when nobody has called for a minute, or where there are enough', () => {
    expect(decideScale(input({ instances: [sick('a', 0, 60_000)] }))).toMatchObject({ action: 'replace' });
    const enough = [sick('a', 0, 60_000), ready('b', 1)];
    expect(decideScale(input({ inFlight: 1, instances: enough }))).toMatchObject({
      action: 'replace',
      instanceIds: ['a'],
    });
  });

  it('goes first when there is no room for another beside it', () => {
    const given = { inFlight: 1, instances: [sick('a', 1)], maxInstances: 1 };
    expect(decideScale(input(given))).toMatchObject({ action: 'replace', instanceIds: ['a'] });
  });

  it('counts for the minimum as if it were not there', () => {
    const given = { minInstances: 2, instances: [sick('a', 0, 99_000), ready('b')] };
    expect(decideScale(input(given))).toMatchObject({ action: 'start', count: 1 });
  });
});

describe('a start that nobody waits for any more', () => {
  const waiting = (id: string): ScaleInstance => ({ ...starting(id), start: { state: 'waiting' } });
  const running = (id: string, surplusMs: number): ScaleInstance => ({
    ...starting(id),
    start: { state: 'running', surplusMs },
  });

  it.each<[string, ScaleInstance[], Partial<ScaleInput>, string[]]>([
    ['is called off while it waits for its turn', [waiting('a')], {}, ['a']],
    ['is called off under way after a second', [running('a', 1000)], {}, ['a']],
    ['the newest first', [waiting('a'), waiting('b'), waiting('c')], { queued: 1 }, ['b', 'c']],
    ['beside those that are ready', [ready('x', 1), waiting('a')], { inFlight: 1 }, ['a']],
  ])('%s', (_name, instances, given, instanceIds) => {
    expect(decideScale(input({ instances, ...given }))).toMatchObject({ action: 'callOff', instanceIds });
  });

  it.each<[string, ScaleInstance[], Partial<ScaleInput>]>([
    ['calls come in waves', [running('a', 999)], {}],
    ['somebody waits for it', [waiting('a')], { queued: 1 }],
    ['a minimum asks for it', [waiting('a')], { minInstances: 1 }],
    ['it is for nobody in particular', [starting('a')], {}],
    ['it is to replace another', [{ ...ready('x', 1), sick: 'sick' }, waiting('a')], { inFlight: 1 }],
  ])('goes on when %s', (_name, instances, given) => {
    expect(decideScale(input({ instances, ...given }))).toMatchObject({ action: 'none' });
  });
});

it('an instance that may be busy without a call is not let go', () => {
  const instances = [{ ...ready('a', 0, 400_000), mayBeBusy: true }, ready('b', 0, 300_000)];
  expect(decideScale(input({ instances }))).toMatchObject({ action: 'drain', instanceIds: ['b'] });
});

describe('startBackoffMs', () => {
  it('doubles from a second up to half a minute', () => {
    expect([1, 2, 3, 5, 6, 60].map(startBackoffMs)).toEqual([1000, 2000, 4000, 16_000, 30_000, 30_000]);
  });
});

describe('what little room is left', () => {
  it.each<[string, [wanted: number, has: number, room: number, others: number[]], granted: number]>([
    ['enough for all', [4, 0, 10, []], 4],
    ['as much as there is', [4, 0, 3, []], 3],
    ['none', [4, 0, 0, []], 0],
    ['less than none, as after a change of the limit', [4, 0, -2, []], 0],
    ['the first of two others comes before the second of this one', [4, 0, 3, [0, 0]], 1],
    ['the first of this one comes before the second of others', [4, 0, 1, [1, 5]], 1],
    ['those with as many do not come before', [1, 3, 1, [3, 4]], 1],
    ['a flood leaves what the small need', [10, 8, 3, [0, 1, 2]], 0],
    ['and takes the rest', [10, 8, 5, [0, 1, 2]], 2],
  ])('%s', (_, [wanted, has, room, others], granted) => {
    expect(grantStarts(wanted, has, room, others)).toBe(granted);
  });

  it.each<[string, [id: string, idleMs: number | undefined][], string | undefined]>([
    ['nobody', [], undefined],
    [
      'the longest idle',
      [
        ['a', 2000],
        ['b', 3000],
        ['c', 1500],
      ],
      'b',
    ],
    ['none that has just answered', [['a', 999]], undefined],
    ['one at the least time', [['a', 1000]], 'a'],
    ['none that is busy, or of which nothing is known', [['a', undefined]], undefined],
  ])('is made by letting go %s', (_, instances, expected) => {
    expect(
      pickToMakeRoom(
        instances.map(([id, idleMs]) => ({ id, idleMs })),
        1000,
      ),
    ).toBe(expected);
  });

  it('is told with the limit that keeps it', () => {
    const limits = { maxInstancesPerRuntime: 2, maxInstances: 3 };
    expect(limitReached({ ...limits, ofRuntime: 1, inAll: 2 })).toBeUndefined();
    expect(limitReached({ ...limits, ofRuntime: 2, inAll: 3 })).toBe(
      'the limit of 2 instances of a runtime is reached',
    );
    expect(limitReached({ ...limits, ofRuntime: 1, inAll: 3 })).toBe(
      'the limit of 3 instances in all is reached',
    );
  });
});
