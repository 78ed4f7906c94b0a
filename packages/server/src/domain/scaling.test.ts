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
    expect(decideScale(input(given))).toEqual({ action: 'none' });
  });

  it('lets the longest idle go first, down to the minimum', () => {
    const instances = [ready('a', 0, 400_000), ready('b', 0, 900_000), ready('c', 0, 500_000)];
    expect(decideScale(input({ instances, minInstances: 1 }))).toMatchObject({
      action: 'drain',
      instanceIds: ['b', 'c'],
    });
  });
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
