/** Beyond this many changes a name is another one; of short names at most a third. */
const CHANGES_MAX = 2;
const SHOWN_MAX = 3;

/**
 * Names that somebody may have meant who wrote one that does not exist: nearest first, at most three. Letter case counts
 * for nothing, a letter that is missing, added, wrong or swapped with the next for one change each.
 */
export function nearNames(name: string, known: Iterable<string>): string[] {
  const wanted = name.toLowerCase();
  const limit = Math.min(CHANGES_MAX, Math.ceil(wanted.length / 3));
  const near: { name: string; changes: number }[] = [];
  for (const candidate of known) {
    if (candidate === name || Math.abs(candidate.length - name.length) > limit) continue;
    const changes = changesBetween(wanted, candidate.toLowerCase(), limit);
    if (changes <= limit) near.push({ name: candidate, changes });
  }
  near.sort((a, b) => a.changes - b.changes || (a.name < b.name ? -1 : 1));
  return near.slice(0, SHOWN_MAX).map((found) => found.name);
}

/**
 * How many letters have to be changed, added, removed or swapped to make one of the other; anything above the limit, if
 * they are more. Only what lies within the limit of the diagonal is worked out, since this may be asked for each of ten
 * thousand names.
 */
function changesBetween(one: string, other: string, limit: number): number {
  const shorter = Math.min(one.length, other.length);
  let start = 0;
  while (start < shorter && one[start] === other[start]) start++;
  let end = 0;
  while (end < shorter - start && one.at(-1 - end) === other.at(-1 - end)) end++;
  return changesIn(one.slice(start, one.length - end), other.slice(start, other.length - end), limit);
}

/** As `changesBetween`, of what is left without the same start and end. */
function changesIn(one: string, other: string, limit: number): number {
  const beyond = limit + 1;
  let before: number[] = [];
  let last = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (let row = 1; row <= one.length; row++) {
    const now = new Array<number>(other.length + 1).fill(beyond);
    now[0] = row;
    let least = row;
    const end = Math.min(other.length, row + limit);
    for (let at = Math.max(1, row - limit); at <= end; at++) {
      const isSame = one[row - 1] === other[at - 1];
      let changes = Math.min(last[at]! + 1, now[at - 1]! + 1, last[at - 1]! + (isSame ? 0 : 1));
      const isSwapped = row > 1 && at > 1 && one[row - 1] === other[at - 2] && one[row - 2] === other[at - 1];
      if (isSwapped) changes = Math.min(changes, before[at - 2]! + 1);
      now[at] = changes;
      least = Math.min(least, changes);
    }
    if (least > limit) return beyond;
    before = last;
    last = now;
  }
  return last[other.length]!;
}
