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
    const changes = changesBetween(wanted, candidate.toLowerCase());
    if (changes <= limit) near.push({ name: candidate, changes });
  }
  near.sort((a, b) => a.changes - b.changes || (a.name < b.name ? -1 : 1));
  return near.slice(0, SHOWN_MAX).map((found) => found.name);
}

/** How many letters have to be changed, added, removed or swapped to make one of the other. */
function changesBetween(first: string, second: string): number {
  // What both begin and end with needs no change: of long names that are nearly the same, little is left.
  let begin = 0;
  while (begin < first.length && first[begin] === second[begin]) begin++;
  let end = 0;
  const most = Math.min(first.length, second.length) - begin;
  while (end < most && first.at(-1 - end) === second.at(-1 - end)) end++;
  const one = first.slice(begin, first.length - end);
  const other = second.slice(begin, second.length - end);
  let before: number[] = [];
  let last = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (let row = 1; row <= one.length; row++) {
    const now = [row];
    for (let at = 1; at <= other.length; at++) {
      const isSame = one[row - 1] === other[at - 1];
      let least = Math.min(last[at]! + 1, now[at - 1]! + 1, last[at - 1]! + (isSame ? 0 : 1));
      const isSwapped = row > 1 && at > 1 && one[row - 1] === other[at - 2] && one[row - 2] === other[at - 1];
      if (isSwapped) least = Math.min(least, before[at - 2]! + 1);
      now.push(least);
    }
    before = last;
    last = now;
  }
  return last[other.length]!;
}
