import { createHash } from 'node:crypto';
import { canonicalJson } from '../domain/runtime.ts';
import type { PagePlace } from '../store/store.ts';

/**
 * Remembers, for a while, where pages ended. Callers walk through lists by page numbers; counted anew at every page, a
 * deletion in front moves an item from the page to come to the one that was read, and it is missed. So a page begins
 * where the one before it ended, as long as that is known (docs/decisions/0019).
 */
export interface Walks {
  /** Where a page begins: behind this place; undefined when no page before it is remembered. */
  startOf(list: WalkedList, pageNumber: number): PagePlace | undefined;
  /** A page was full, and ended here. */
  ended(list: WalkedList, pageNumber: number, end: PagePlace): void;
}

/** Whatever decides which items stand on a page, but for its number. */
export interface WalkedList {
  /** Who walks: others do not come in between. */
  caller: string;
  operation: string;
  filter: object;
  pageSize: number;
}

/** How long the newest end of a page is remembered: far more than a caller takes over 100 items. */
const REMEMBERED_MS = 5 * 60_000;
/**
 * How long an older one is that nobody has gone on from. Two walks of one caller cannot be told apart: the one that is
 * behind may yet come. Longer, and whoever looks at a list again and again would see items twice after deletions.
 */
const UNCLAIMED_MS = 10_000;
/** Pages remembered in all; the ones that were not touched for longest go first. */
const PAGES_MAX = 10_000;
/** Ends remembered of one page. */
const ENDS_MAX = 16;

interface End {
  place: PagePlace;
  atMs: number;
  /** Somebody has gone on from here. */
  claimed: boolean;
}

/** @param now a clock that never goes back, in ms */
export function createWalks(now: () => number): Walks {
  /** Oldest end first; keyed by list and number of the page that follows. */
  const pages = new Map<string, End[]>();

  return {
    startOf(list, pageNumber) {
      if (pageNumber === 1) return undefined;
      const key = keyOf(list, pageNumber);
      const ends = pages.get(key);
      const newest = ends?.at(-1);
      if (!ends || !newest || now() - newest.atMs > REMEMBERED_MS) return undefined;
      const waiting = ends
        .filter((end) => !end.claimed && (end === newest || isYoung(end)))
        .sort((a, b) => inOrder(a.place, b.place));
      // One of the walks that wait here goes on, and which one is not known: the ends that are further in front stay for
      // the others.
      const last = waiting.at(-1);
      if (last) last.claimed = true;
      touch(key, ends);
      // Behind the end that is furthest in front, none of them misses anything.
      return [newest.place, ...waiting.map(({ place }) => place)].sort(inOrder)[0];
    },

    ended(list, pageNumber, place) {
      const key = keyOf(list, pageNumber + 1);
      const kept = (pages.get(key) ?? []).filter((end) => !end.claimed && isYoung(end));
      touch(key, [...kept.slice(1 - ENDS_MAX), { place, atMs: now(), claimed: false }]);
      if (pages.size > PAGES_MAX) pages.delete(pages.keys().next().value!);
    },
  };

  function isYoung({ atMs }: End): boolean {
    return now() - atMs <= UNCLAIMED_MS;
  }

  function touch(key: string, ends: End[]): void {
    pages.delete(key);
    pages.set(key, ends);
  }
}

function keyOf({ caller, operation, filter, pageSize }: WalkedList, pageNumber: number): string {
  // Filters are as long as a URL can be.
  const list = createHash('sha256').update(canonicalJson([caller, operation, filter, pageSize]));
  return `${list.digest('base64')} ${pageNumber}`;
}

/** Newest first, ties by id. */
function inOrder(a: PagePlace, b: PagePlace): number {
  if (a.createdAt !== b.createdAt) return a.createdAt > b.createdAt ? -1 : 1;
  return a.id === b.id ? 0 : a.id < b.id ? -1 : 1;
}
