import { type LogCursor, type LogPlace, placeIn, START_OF_LOG } from '../domain/log-cursor.ts';
import type { KeptLog } from '../drivers/driver.ts';
import { firstWanted, type LogFilter, wantsLine } from './log-filter.ts';
import { type LogLine, type LogStep, lineStartBefore, linesFrom } from './log-lines.ts';

/** What a reader is given: a line, word of what was freed before it could be read, or a moment to look up. */
export interface LogItem {
  line?: LogLine | undefined;
  lostBytes?: number | undefined;
  log: KeptLog;
}

/** After so many bytes without a line that is wanted, whoever reads is given a moment. */
const MOMENT_BYTES = 256 * 1024;

interface Reading {
  log: KeptLog;
  place: LogPlace;
  /** Nobody has begun to read it. */
  isFresh: boolean;
  /** Read to its end, and nothing will come. */
  isDone: boolean;
}

interface Source {
  reading: Reading;
  steps: AsyncGenerator<LogStep> | undefined;
  head: LogStep | undefined;
  /** Nothing that is still to come of it was written earlier, ms since 1970. */
  key: number;
}

/**
 * Reads the logs of a runtime as one, in the order in which lines were written; lines of one instance stay in theirs.
 * It goes on where a cursor says, and knows at any moment the cursor of what it has given out.
 */
export class LogReader {
  readonly #begin: LogCursor;
  readonly #readings = new Map<string, Reading>();
  #readUpTo: number;
  /** Looked through, wanted or not. */
  bytesRead = 0;

  constructor(begin: LogCursor) {
    this.#begin = begin;
    this.#readUpTo = begin.readUpTo;
  }

  /** Where somebody goes on who has all that was given out. */
  get cursor(): LogCursor {
    const open = [...this.#readings.values()].filter(
      ({ isDone, log }) => !isDone && log.openedAt <= this.#readUpTo,
    );
    return {
      readUpTo: this.#readUpTo,
      places: new Map(open.map(({ log, place }) => [log.instanceId, place])),
    };
  }

  /** Gives out what of these logs has not been given out. To be called again when there is more. */
  async *readOn(logs: readonly KeptLog[], filter: LogFilter, nowMs: number): AsyncGenerator<LogItem> {
    const sources = logs.flatMap((log) => this.#sourceOf(log) ?? []);
    let lastGivenAt = this.bytesRead;
    this.#forgetAllBut(logs);
    for (;;) {
      const source = earliest(sources);
      if (!source) return;
      const { reading } = source;
      if (!source.steps) {
        await this.#skipEarly(reading, filter);
        source.steps = linesFrom(reading.log, reading.place, nowMs);
        await advance(source, sources);
        if (!source.head) this.#finish(reading);
        continue;
      }
      const { line, lostBytes, next } = source.head!;
      this.bytesRead += Math.max(0, next.position - reading.place.position);
      this.#touch(reading, next);
      const wanted = line && wantsLine(filter, line) ? line : undefined;
      if (wanted || lostBytes !== undefined || this.bytesRead - lastGivenAt >= MOMENT_BYTES) {
        lastGivenAt = this.bytesRead;
        yield { line: wanted, lostBytes, log: reading.log };
      }
      await advance(source, sources);
      if (!source.head) this.#finish(reading);
    }
  }

  /** What is before a place of a log is not wanted. */
  skipTo(log: KeptLog, place: LogPlace): void {
    const reading = { log, place, isFresh: false, isDone: log.isOver && place.position >= log.end };
    this.#readings.set(log.instanceId, reading);
    this.#touch(reading, place);
  }

  #sourceOf(log: KeptLog): Source | undefined {
    const known = this.#readings.get(log.instanceId);
    const place = known?.place ?? placeIn(this.#begin, log);
    if (!place || known?.isDone) return undefined;
    const reading = known ?? { log, place, isFresh: place === START_OF_LOG, isDone: false };
    reading.log = log;
    this.#readings.set(log.instanceId, reading);
    return { reading, steps: undefined, head: undefined, key: log.timeAt(place.position + 1) };
  }

  /** Logs are removed, the oldest first; what is not there is as good as read. */
  #forgetAllBut(logs: readonly KeptLog[]): void {
    const there = new Set(logs.map(({ instanceId }) => instanceId));
    for (const id of this.#readings.keys()) if (!there.has(id)) this.#readings.delete(id);
  }

  async #skipEarly(reading: Reading, filter: LogFilter): Promise<void> {
    if (!reading.isFresh) return;
    reading.isFresh = false;
    const first = firstWanted(filter, reading.log);
    // What was freed before anybody asked is not missed.
    if (first > 0) reading.place = await lineStartBefore(reading.log, first);
  }

  #touch(reading: Reading, place: LogPlace): void {
    reading.place = place;
    this.#readUpTo = Math.max(this.#readUpTo, reading.log.openedAt);
  }

  #finish(reading: Reading): void {
    if (!reading.log.isOver) return;
    reading.isDone = true;
    this.#touch(reading, reading.place);
  }
}

/** By time; of what was written at the same time, first what began first. */
function earliest(sources: readonly Source[]): Source | undefined {
  let first: Source | undefined;
  for (const source of sources) {
    if (!first || source.key < first.key || (source.key === first.key && isBefore(source, first)))
      first = source;
  }
  return first;
}

function isBefore({ reading: { log: one } }: Source, { reading: { log: other } }: Source): boolean {
  return one.openedAt === other.openedAt ? one.instanceId < other.instanceId : one.openedAt < other.openedAt;
}

async function advance(source: Source, sources: Source[]): Promise<void> {
  const { value, done } = await source.steps!.next();
  if (done) {
    source.head = undefined;
    sources.splice(sources.indexOf(source), 1);
    return;
  }
  source.head = value;
  source.key = Math.max(source.key, value.line?.writtenMs ?? 0);
}
