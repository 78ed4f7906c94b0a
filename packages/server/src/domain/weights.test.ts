import { describe, expect, it } from 'vitest';
import { checkTarget, sharesOf, type Target, type VersionsKnown } from './weights.ts';

const versions: VersionsKnown = { head: 3, has: (version) => [1, 2, 3].includes(version) };
const none: VersionsKnown = { head: undefined, has: () => false };
const weighted = (targetVersion: string | undefined, ...weights: [string, number][]): Target => ({
  targetVersion,
  routingConfiguration: { versionWeights: weights.map(([version, weight]) => ({ version, weight })) },
});

describe('checkTarget', () => {
  const good: [string, Target][] = [
    ['a target alone', { targetVersion: '1' }],
    ['LATEST', { targetVersion: 'LATEST' }],
    ['fractions that leave a rest to the target', weighted('1', ['2', 0.2])],
    ['fractions that sum to 1 without a target', weighted(undefined, ['1', 0.1], ['2', 0.2], ['3', 0.7])],
    ['percents', weighted(undefined, ['1', 90], ['2', 10])],
    ['percents with a rest', weighted('LATEST', ['1', 5])],
    ['a single weight of 1, which is all of it', weighted(undefined, ['1', 1])],
  ];
  it.each(good)('accepts %s', (_name, target) => {
    expect(checkTarget(target, versions, { allowZero: false })).toEqual([]);
  });

  const bad: [string, Target, RegExp][] = [
    ['an unknown target', { targetVersion: '9' }, /targetVersion "9" is no version/],
    ['an unknown version', weighted('1', ['7', 0.5]), /versionWeights\[0\]\.version "7" is no version/],
    ['a word for a version', weighted('1', ['two', 0.5]), /"two" is no version/],
    ['a duplicate', weighted('1', ['2', 0.1], ['2', 0.2]), /\[1\]\.version "2" is named twice/],
    ['a duplicate through LATEST', weighted('1', ['3', 0.1], ['LATEST', 0.2]), /named twice/],
    ['a negative weight', weighted('1', ['2', -0.1]), /must be over 0 \(got -0.1\)/],
    ['a weight of 0 on create', weighted('1', ['2', 0]), /must be over 0 \(got 0\)/],
    ['not a number', weighted('1', ['2', Number.NaN]), /got NaN/],
    ['fractions over 1', weighted('1', ['2', 0.6], ['3', 0.6]), /at most 1 \(got 1.2\)/],
    ['percents over 100', weighted('1', ['2', 60], ['3', 60]), /at most 100 \(got 120\)/],
    ['a rest without a target', weighted(undefined, ['2', 0.6]), /targetVersion is required/],
  ];
  it.each(bad)('refuses %s', (_name, target, message) => {
    expect(checkTarget(target, versions, { allowZero: false }).join('; ')).toMatch(message);
  });

  it('allows a weight of 0 on update', () => {
    expect(checkTarget(weighted('1', ['2', 0]), versions, { allowZero: true })).toEqual([]);
  });
});

describe('sharesOf', () => {
  const cases: [string, Target, [number, number][]][] = [
    ['the target', { targetVersion: '1' }, [[1, 1]]],
    ['LATEST as the head', { targetVersion: 'LATEST' }, [[3, 1]]],
    ['LATEST when nothing is named', {}, [[3, 1]]],
    [
      'a canary',
      weighted('1', ['2', 0.2]),
      [
        [2, 0.2],
        [1, 0.8],
      ],
    ],
    [
      'percents',
      weighted(undefined, ['1', 90], ['2', 10]),
      [
        [1, 0.9],
        [2, 0.1],
      ],
    ],
    [
      'target and weight on one version',
      weighted('1', ['1', 0.3], ['2', 0.2]),
      [
        [1, 0.8],
        [2, 0.2],
      ],
    ],
    [
      'a version of weight 0',
      weighted('1', ['2', 0]),
      [
        [2, 0],
        [1, 1],
      ],
    ],
  ];
  it.each(cases)('gives %s', (_name, target, expected) => {
    const shares = sharesOf(target, versions);
    expect(shares.map(({ version }) => version)).toEqual(expected.map(([version]) => version));
    for (const [index, [, share]] of expected.entries()) expect(shares[index]!.share).toBeCloseTo(share, 9);
  });

  it('keeps proportions among the versions that are left', () => {
    const shares = sharesOf(weighted('1', ['2', 0.2], ['9', 0.4]), versions);
    expect(shares.find(({ version }) => version === 1)!.share).toBeCloseTo(2 / 3, 9);
  });

  it('is empty without versions', () => {
    expect(sharesOf({ targetVersion: 'LATEST' }, none)).toEqual([]);
  });
});
