import { describe, expect, it } from 'vitest';
import { type PreparedTree, treesToEvict } from './eviction.ts';

const tree = (digest: string, usedAtMs: number, ...folders: string[]): PreparedTree => ({
  runtimeId: 'r',
  digest,
  usedAtMs,
  folders: [`code/${digest}`, ...folders],
});
const bytes = new Map(
  ['code/a', 'code/b', 'code/c', 'deps/shared', 'deps/own'].map((folder) => [folder, 10]),
);
const evicted = (trees: PreparedTree[], limitBytes: number, used: string[] = []) =>
  treesToEvict({ trees, bytes, limitBytes, isInUse: ({ digest }) => used.includes(digest) }).map(
    ({ digest }) => digest,
  );

describe('which prepared trees go', () => {
  const three = [tree('b', 2), tree('a', 1), tree('c', 3)];

  it('none within the limit; else those that were not used for longest', () => {
    expect(evicted(three, 30)).toEqual([]);
    expect(evicted(three, 29)).toEqual(['a']);
    expect(evicted(three, 10)).toEqual(['a', 'b']);
    expect(evicted(three, 0)).toEqual(['a', 'b', 'c']);
  });

  it('never one in use, whatever the limit', () => {
    expect(evicted(three, 0, ['a', 'c'])).toEqual(['b']);
  });

  it('a folder that others share is freed with the last of them', () => {
    const sharing = [tree('a', 1, 'deps/shared'), tree('b', 2, 'deps/shared'), tree('c', 3, 'deps/own')];
    expect(evicted(sharing, 40)).toEqual(['a']);
    expect(evicted(sharing, 30)).toEqual(['a', 'b']);
    expect(evicted(sharing, 25, ['b'])).toEqual(['a', 'c']);
  });
});
