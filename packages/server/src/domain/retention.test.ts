import { describe, expect, it } from 'vitest';
import { listVersions, namedVersions, versionsToRemove, wasRemoved } from './retention.ts';

const upTo = (head: number) => Array.from({ length: head }, (_, i) => i + 1);
const there = { named: new Set<number>(), running: new Set<number>() };

describe('which versions are removed', () => {
  it('all but the newest', () => {
    expect(versionsToRemove({ ...there, versions: upTo(5).reverse(), head: 5, keep: 3 })).toEqual([1, 2]);
    expect(versionsToRemove({ ...there, versions: upTo(3), head: 3, keep: 3 })).toEqual([]);
    expect(versionsToRemove({ ...there, versions: [], head: undefined, keep: 3 })).toEqual([]);
  });

  it('none that an endpoint names or an instance runs; they do not count against the newest', () => {
    const given = { versions: upTo(6), head: 6, keep: 2, named: new Set([2]), running: new Set([4]) };
    expect(versionsToRemove(given)).toEqual([1, 3]);
    // What is held beside the newest takes no place from them.
    expect(versionsToRemove({ ...given, versions: [2, 4, 5, 6] })).toEqual([]);
  });
});

it('an endpoint names its target and its weights, also those of 0', () => {
  const versionWeights = [
    { version: '2', weight: 0 },
    { version: 'LATEST', weight: 0.5 },
  ];
  expect(namedVersions({ targetVersion: '7', routingConfiguration: { versionWeights } })).toEqual([7, 2]);
  expect(namedVersions({ targetVersion: 'LATEST' })).toEqual([]);
  expect(namedVersions({})).toEqual([]);
});

it('a version was removed when a newer one is there and it is not', () => {
  const versions = { head: 3, has: (version: number) => version === 3 };
  expect([0, 1, 2, 3, 4, 1.5, Number.NaN].filter((version) => wasRemoved(version, versions))).toEqual([1, 2]);
});

it('versions are told in runs', () => {
  expect(listVersions([3])).toBe('version 3');
  expect(listVersions([3, 1, 2, 5, 8, 7])).toBe('versions 1 to 3, 5, 7, 8');
});
