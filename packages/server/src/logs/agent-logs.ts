import { RunsteadError } from '@runstead/contract';
import { type LogCursor, NOTHING_READ } from '../domain/log-cursor.ts';
import type { Driver, KeptLog } from '../drivers/driver.ts';
import { beginWithNewest } from './begin-with-newest.ts';
import { type LogFilter, wantsLog } from './log-filter.ts';
import type { LogLine } from './log-lines.ts';
import { LogReader } from './log-reader.ts';
import { LogWatches } from './log-watches.ts';

export interface AgentLogsOptions {
  driver: Driver;
  /** The number of the version that came of a runtime's revision; undefined: none did, or it is not known any more. */
  versionsOf(runtimeId: string): Promise<ReadonlyMap<number, number>>;
  /** ms since 1970. */
  now(): number;
}

/** Where reading begins. */
export type LogStart =
  /** Where somebody had come to. */
  | { at: 'cursor'; cursor: LogCursor }
  /** With the oldest line that is wanted. */
  | { at: 'oldest' }
  /** With so many of the newest. */
  | { at: 'newest'; count: number };

export interface LogPage {
  lines: ShownLine[];
  /** Bytes that were freed before they were read, by instance. */
  lost: { instanceId: string; bytes: number }[];
  cursor: LogCursor;
  /** There is more behind it. */
  hasMore: boolean;
  /** False: older lines may match, too, but so much was not looked through. */
  isComplete: boolean;
}

export type ShownLine = LogLine & { version: number | undefined };

export type FollowEvent =
  | { kind: 'line'; line: ShownLine; cursor: () => LogCursor }
  | { kind: 'lost'; instanceId: string; bytes: number; cursor: () => LogCursor }
  /** All there is has been given out, or it is time to look up. */
  | { kind: 'pause'; cursor: () => LogCursor }
  | { kind: 'end'; reason: string };

/** Each holds a connection, and up to some 100 KiB of a log. */
const FOLLOWERS_MAX = 500;
/** One request looks through no more than this. */
const PAGE_BUDGET_BYTES = 64 * 1024 * 1024;
/** Without news, followers hear this often that all is well. */
const PAUSE_MS = 10_000;
/** What was written before a moment is seen so much later at most. */
const LATE_MS = 1000;
/** At most every so often it is asked what became of revisions that are no version yet. */
const ASK_AGAIN_MS = 1000;

export type AgentLogs = ReturnType<typeof createAgentLogs>;

/** What agents have written, of all instances of a runtime, in pages and as it comes. */
export function createAgentLogs({ driver, versionsOf, now }: AgentLogsOptions) {
  const logsOf = (runtimeId: string): readonly KeptLog[] => driver.logsOf?.(runtimeId) ?? [];
  const watches = new LogWatches(logsOf, now);
  const open = new Set<AbortController>();
  let isClosing = false;

  /** Knows of which version logs are, and asks again when there are others. */
  const createVersions = (runtimeId: string) => {
    let known: ReadonlyMap<number, number> = new Map();
    let askedAt = Number.NEGATIVE_INFINITY;
    return {
      of: (revision: number | undefined) => (revision === undefined ? undefined : known.get(revision)),
      async learn(logs: readonly KeptLog[]): Promise<void> {
        const isAllKnown = logs.every(({ revision }) => revision === undefined || known.has(revision));
        if (isAllKnown || now() - askedAt < ASK_AGAIN_MS) return;
        askedAt = now();
        known = await versionsOf(runtimeId);
      },
    };
  };

  /**
   * Aborted by a signal, or when all that is followed ends. A signal of its own for each: what lasts as long as the
   * server would remember all who ever asked.
   */
  const untilClosing = (signal: AbortSignal): { signal: AbortSignal; isClosing(): boolean; end(): void } => {
    const own = new AbortController();
    const abort = () => own.abort();
    signal.addEventListener('abort', abort);
    open.add(own);
    if (signal.aborted || isClosing) abort();
    return {
      signal: own.signal,
      isClosing: () => isClosing,
      end: () => {
        signal.removeEventListener('abort', abort);
        open.delete(own);
      },
    };
  };

  const begin = async (runtimeId: string, logs: readonly KeptLog[], filter: LogFilter, start: LogStart) => {
    const versions = createVersions(runtimeId);
    await versions.learn(logs);
    const wanted = logs.filter((log) => wantsLog(filter, log, versions.of));
    const reader = new LogReader(start.at === 'cursor' ? start.cursor : NOTHING_READ);
    const isComplete =
      start.at !== 'newest' ||
      (await beginWithNewest(wanted, start.count, filter, reader, {
        nowMs: now(),
        budgetBytes: PAGE_BUDGET_BYTES,
      }));
    const shown = (line: LogLine): ShownLine => ({ ...line, version: versions.of(line.log.revision) });
    return { versions, wanted, reader, isComplete, shown };
  };

  return {
    /** @throws RunsteadError when nobody else can follow at present */
    requireRoom(): void {
      if (isClosing)
        throw new RunsteadError('ERR_UNAVAILABLE', 'The server is stopping', { retryAfterSeconds: 1 });
      if (watches.size.followers >= FOLLOWERS_MAX) {
        throw new RunsteadError(
          'ERR_TOO_MANY_REQUESTS',
          `${FOLLOWERS_MAX} clients follow logs already, and there is no room for another; come again later, or ask for pages`,
          { retryAfterSeconds: 10 },
        );
      }
    },

    untilClosing,

    /** How many follow, and the logs of how many runtimes are looked at for them. */
    following: () => watches.size,

    /** @param limit at most so many lines */
    async page(runtimeId: string, filter: LogFilter, start: LogStart, limit: number): Promise<LogPage> {
      const { wanted, reader, isComplete, shown } = await begin(runtimeId, logsOf(runtimeId), filter, start);
      const lines: ShownLine[] = [];
      const lost: LogPage['lost'] = [];
      let { cursor } = reader;
      for await (const { line, lostBytes, log } of reader.readOn(wanted, filter, now())) {
        const isFull = (line && lines.length === limit) || reader.bytesRead > PAGE_BUDGET_BYTES;
        if (isFull) return { lines, lost, cursor, hasMore: true, isComplete };
        if (lostBytes !== undefined) lost.push({ instanceId: log.instanceId, bytes: lostBytes });
        if (line) lines.push(shown(line));
        ({ cursor } = reader);
      }
      return { lines, lost, cursor: reader.cursor, hasMore: false, isComplete };
    },

    /**
     * All that is there and all that comes, until the signal, `filter.untilMs`, or the end of the server. Reads no
     * faster than it is asked: what waits, waits in the files.
     */
    async *follow(
      runtimeId: string,
      filter: LogFilter,
      start: LogStart,
      signal: AbortSignal,
    ): AsyncGenerator<FollowEvent> {
      const ending = untilClosing(signal);
      const over = ending.signal;
      const watching = watches.watch(runtimeId);
      try {
        const { versions, reader, shown } = await begin(runtimeId, watching.logs(), filter, start);
        const cursor = () => reader.cursor;
        for (;;) {
          const isLast = filter.untilMs !== undefined && now() > filter.untilMs + LATE_MS;
          const logs = watching.logs();
          await versions.learn(logs);
          const wanted = logs.filter((log) => wantsLog(filter, log, versions.of));
          for await (const item of reader.readOn(wanted, filter, now())) {
            if (over.aborted) break;
            const { line, lostBytes, log } = item;
            if (lostBytes !== undefined)
              yield { kind: 'lost', instanceId: log.instanceId, bytes: lostBytes, cursor };
            if (line) yield { kind: 'line', line: shown(line), cursor };
            else yield { kind: 'pause', cursor };
          }
          if (isClosing) yield { kind: 'end', reason: 'The server is stopping' };
          else if (isLast) yield { kind: 'end', reason: 'The time asked for is over' };
          if (over.aborted || isLast) return;
          yield { kind: 'pause', cursor };
          await watching.changed(PAUSE_MS, over);
        }
      } finally {
        watching.end();
        ending.end();
      }
    },

    /** Ends all that follow, with a word to them. */
    close(): void {
      isClosing = true;
      for (const own of open) own.abort();
    },
  };
}
