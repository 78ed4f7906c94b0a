import { describe, expect, it } from 'vitest';
import { claimOf, grantByMemory, memoryReached } from './memory-budget.ts';

const MIB = 2 ** 20;

it.each<[string, Parameters<typeof claimOf>[0], number]>([
  ['what was measured', { measured: 200 * MIB, ofVersion: 50 * MIB, memoryMiB: 512 }, 200],
  ['what another of its version takes', { ofVersion: 50 * MIB, memoryMiB: 4096 }, 50],
  ['not what it may take', { memoryMiB: 4096 }, 128],
  ['what it may take, if that is little', { memoryMiB: 64 }, 64],
  ['no less than 32 MiB', { measured: 5 * MIB, memoryMiB: 512 }, 32],
])('an instance counts for %s', (_name, instance, mib) => {
  expect(claimOf(instance)).toBe(mib * MIB);
});

describe('of the memory that is left', () => {
  it.each<[string, Parameters<typeof grantByMemory>, number]>([
    ['enough for all is given to all', [4, { holds: 0, claim: 10 }, 100, [], false], 4],
    ['as much is given as fits', [4, { holds: 0, claim: 30 }, 100, [], false], 3],
    ['nothing is given when nothing fits', [4, { holds: 0, claim: 101 }, 100, [], false], 0],
    [
      'but the first on an empty machine starts all the same',
      [4, { holds: 0, claim: 101 }, 100, [], true],
      1,
    ],
    ['without a bound, all is given', [9, { holds: 0, claim: 10 }, Number.POSITIVE_INFINITY, [], false], 9],
    [
      'what others need that hold less is left to them',
      [3, { holds: 0, claim: 100 }, 300, [{ holds: 0, claim: 100 }], false],
      2,
    ],
    [
      'those that hold more come after',
      [3, { holds: 0, claim: 100 }, 300, [{ holds: 500, claim: 100 }], false],
      3,
    ],
    [
      'one that holds much leaves even the last to one that holds little',
      [1, { holds: 200, claim: 100 }, 100, [{ holds: 0, claim: 40 }], false],
      0,
    ],
  ])('%s', (_name, given, granted) => {
    expect(grantByMemory(...given)).toBe(granted);
  });
});

it('what does not fit is told in MiB', () => {
  expect(memoryReached(950 * MIB, 1000 * MIB, 64 * MIB)).toBe(
    'the memory for instances is used up (950 MiB of 1000 MiB are taken, and one of this version takes about 64 MiB)',
  );
});
