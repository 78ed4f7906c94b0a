import { describe, expect, it } from 'vitest';
import type { PagePlace } from '../store/store.ts';
import { createWalks, type WalkedList } from './walks.ts';

const LIST: WalkedList = { caller: 'c', operation: 'List', filter: { name: 'a' }, pageSize: 2 };
/** The higher, the further in front. */
const place = (second: number, id = 'x'): PagePlace => ({
  createdAt: new Date(second * 1000).toISOString(),
  id,
});

function open() {
  let nowMs = 0;
  const walks = createWalks(() => nowMs);
  return {
    ended: (pageNumber: number, end: PagePlace, list = LIST) => walks.ended(list, pageNumber, end),
    startOf: (pageNumber: number, list = LIST) => walks.startOf(list, pageNumber),
    pass: (seconds: number) => {
      nowMs += seconds * 1000;
    },
  };
}

describe('a page', () => {
  it('begins where the one before it ended, however often it is asked for', () => {
    const { ended, startOf } = open();
    ended(1, place(9));
    for (let times = 0; times < 3; times++) expect(startOf(2)).toEqual(place(9));
    ended(2, place(7));
    expect(startOf(3)).toEqual(place(7));
    expect(startOf(2)).toEqual(place(9));
  });

  it('begins at the top when it is the first, and is counted when nothing is known of the one before', () => {
    const { ended, startOf } = open();
    expect(startOf(1)).toBeUndefined();
    expect(startOf(2)).toBeUndefined();
    ended(1, place(9));
    expect(startOf(1)).toBeUndefined();
    expect(startOf(3)).toBeUndefined();
  });

  it('is one of its list: of another caller, operation, filter or size nothing follows', () => {
    const { ended, startOf } = open();
    ended(1, place(9));
    for (const other of [{ caller: 'd' }, { operation: 'Other' }, { filter: {} }, { pageSize: 3 }]) {
      expect(startOf(2, { ...LIST, ...other })).toBeUndefined();
    }
    expect(startOf(2, { ...LIST, filter: { other: undefined, name: 'a' } })).toEqual(place(9));
  });

  it('begins where the newest walk wants it, once the one before has gone on', () => {
    const { ended, startOf } = open();
    ended(1, place(9));
    expect(startOf(2)).toEqual(place(9));
    // Things in front were deleted: the first page of the next walk reaches further.
    ended(1, place(5));
    expect(startOf(2)).toEqual(place(5));
  });

  it('begins furthest in front while walks wait side by side, so that none of them misses anything', () => {
    for (const [first, second] of [
      [place(9), place(5)],
      [place(5), place(9)],
      [place(7, 'a'), place(7, 'b')],
      [place(7, 'b'), place(7, 'a')],
    ] as const) {
      const { ended, startOf } = open();
      ended(1, first);
      ended(1, second);
      const front = [first, second].sort((a, b) =>
        a.createdAt === b.createdAt ? a.id.localeCompare(b.id) : b.createdAt.localeCompare(a.createdAt),
      )[0];
      expect([startOf(2), startOf(2)]).toEqual([front, front]);
    }
  });

  it('does not wait long for a walk that another has followed', () => {
    const { ended, startOf, pass } = open();
    ended(1, place(9));
    pass(11);
    ended(1, place(5));
    expect(startOf(2)).toEqual(place(5));
  });

  it('is remembered for minutes, and not for ever', () => {
    const { ended, startOf, pass } = open();
    ended(1, place(9));
    pass(299);
    expect(startOf(2)).toEqual(place(9));
    pass(2);
    expect(startOf(2)).toBeUndefined();
  });
});

describe('what is remembered', () => {
  it('is bounded: the pages that were not touched for longest go', () => {
    const { ended, startOf } = open();
    ended(1, place(1));
    ended(2, place(2));
    for (let page = 3; page <= 10_000; page++) {
      ended(page, place(3));
      if (page % 1000 === 0) expect(startOf(2)).toEqual(place(1));
    }
    ended(10_001, place(3));
    expect(startOf(2)).toEqual(place(1));
    expect(startOf(3)).toBeUndefined();
    expect(startOf(10_002)).toEqual(place(3));
  });

  it('is bounded for one page too: of hundreds of callers at one page the newest count', () => {
    const { ended, startOf } = open();
    for (let second = 1000; second > 0; second--) ended(1, place(second));
    expect(startOf(2)).toEqual(place(16));
  });
});
