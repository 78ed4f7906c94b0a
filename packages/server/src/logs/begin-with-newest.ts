import type { LogPlace } from '../domain/log-cursor.ts';
import type { KeptLog } from '../drivers/driver.ts';
import { firstWanted, type LogFilter, wantsLine } from './log-filter.ts';
import { type LogLine, lineStartBefore, linesFrom } from './log-lines.ts';
import type { LogReader } from './log-reader.ts';

const FIRST_BLOCK_BYTES = 64 * 1024;
const LAST_BLOCK_BYTES = 1024 * 1024;

/**
 * Lets a reader begin with the newest lines that are wanted, so many of them.
 * @param budgetBytes so much is looked through at most
 * @returns false when that did not suffice: there may be older ones
 */
export async function beginWithNewest(
  logs: readonly KeptLog[],
  count: number,
  filter: LogFilter,
  reader: LogReader,
  options: { nowMs: number; budgetBytes: number },
): Promise<boolean> {
  const { nowMs, budgetBytes } = options;
  let left = budgetBytes;
  let newest: LogLine[] = [];
  const ends: { log: KeptLog; end: LogPlace }[] = [];
  // Those written last come first: most others need not be opened then.
  for (const log of [...logs].sort((a, b) => b.writtenMs - a.writtenMs)) {
    const oldest = newest.length >= count ? newest[0] : undefined;
    if (log.isOver && (left <= 0 || (oldest && log.writtenMs <= oldest.writtenMs))) {
      ends.push({ log, end: { position: log.end, isSkipping: false, level: undefined } });
      continue;
    }
    const earliest = firstWanted(filter, log);
    let place: LogPlace | undefined;
    let found: LogLine[] = [];
    let block = FIRST_BLOCK_BYTES;
    for (
      let to = log.end;
      place === undefined || to > earliest;
      block = Math.min(2 * block, LAST_BLOCK_BYTES)
    ) {
      const isNeeded = found.length < count && left > 0 && !(oldest && log.timeAt(to) <= oldest.writtenMs);
      if (place !== undefined && !isNeeded) break;
      const from = await lineStartBefore(log, Math.max(log.start, to - block));
      const lines: LogLine[] = [];
      place ??= from;
      const isLast = to === log.end;
      for await (const { line, next } of linesFrom({ ...log, end: to }, from, isLast ? nowMs : 0)) {
        if (isLast) place = next;
        if (line && wantsLine(filter, line)) lines.push(line);
        if (lines.length >= 2 * count) lines.splice(0, lines.length - count);
      }
      left -= to - from.position;
      found = [...lines, ...found].slice(-count);
      if (from.position >= to) break;
      to = from.position;
    }
    ends.push({ log, end: place! });
    newest = merge(newest, found).slice(-count);
  }
  for (const { log, end } of ends) {
    const first = newest.find((line) => line.log.instanceId === log.instanceId);
    reader.skipTo(log, first?.at ?? end);
  }
  return left > 0 || newest.length >= count;
}

/** Both in order; lines of one instance stay in theirs. */
function merge(one: LogLine[], other: LogLine[]): LogLine[] {
  const merged: LogLine[] = [];
  let at = 0;
  for (const line of one) {
    while (at < other.length && comesFirst(other[at]!, line)) merged.push(other[at++]!);
    merged.push(line);
  }
  return [...merged, ...other.slice(at)];
}

function comesFirst(a: LogLine, b: LogLine): boolean {
  if (a.writtenMs !== b.writtenMs) return a.writtenMs < b.writtenMs;
  if (a.log.openedAt !== b.log.openedAt) return a.log.openedAt < b.log.openedAt;
  return a.log.instanceId < b.log.instanceId;
}
