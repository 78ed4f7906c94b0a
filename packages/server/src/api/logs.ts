import type { Readable } from 'node:stream';
import { RunsteadError } from '@runstead/contract';
import { z } from 'zod';
import { readLogCursor, writeLogCursor } from '../domain/log-cursor.ts';
import { LOG_LEVELS } from '../domain/log-line.ts';
import { readMoment } from '../domain/moment.ts';
import { defined } from '../domain/runtime.ts';
import type { LogStart, ShownLine } from '../logs/agent-logs.ts';
import type { LogFilter } from '../logs/log-filter.ts';
import type { Call } from './call.ts';
import { eventStream, type ServerEvent, wantsEventStream } from './event-stream.ts';
import { requireRuntime } from './ids.ts';
import { parseQuery, shortened } from './parse.ts';
import { createStandingCheck } from './standing-check.ts';

const LINES_DEFAULT = 100;
const LINES_MAX = 1000;

const lines = z
  .string()
  .regex(/^(?:0|[1-9][0-9]{0,3})$/, `must be an integer from 0 to ${LINES_MAX}`)
  .transform(Number)
  .refine((value) => value <= LINES_MAX, `must be an integer from 0 to ${LINES_MAX}`);
const moment = (now: () => number) =>
  z.string().transform((text, context) => {
    const read = readMoment(text, now());
    if (read !== undefined) return read;
    context.addIssue({
      code: 'custom',
      message: 'must be a duration such as 15m, 2h or 7d, or a time such as 2026-11-25T14:52:22Z',
    });
    return z.NEVER;
  });

const LogsQuery = z.object({
  since: moment(Date.now).optional(),
  until: moment(Date.now).optional(),
  level: z.enum(LOG_LEVELS).optional(),
  version: z
    .string()
    .regex(/^[1-9][0-9]{0,8}$/, 'must be the number of a version')
    .transform(Number)
    .optional(),
  instance: z
    .string()
    .regex(
      /^[A-Za-z0-9_-]{4,64}$/,
      'must be the id of an instance, or at least four characters of its beginning',
    )
    .optional(),
  text: z.string().optional(),
  limit: lines.refine((value) => value > 0, `must be an integer from 1 to ${LINES_MAX}`).optional(),
  tail: lines.optional(),
  cursor: z.string().optional(),
  follow: z.enum(['true', 'false']).optional(),
});

/** One line, as `/runstead/v1/runtimes/{id}/logs` shows it. */
export interface LogLineInfo {
  /** ISO 8601: what the line itself says, else when it was certainly written. */
  time: string;
  /** Whose word the time is. */
  timeFrom: 'line' | 'file';
  level: string;
  instanceId: string;
  /** Absent while the version has no number yet, and when that is not known any more. */
  agentRuntimeVersion?: string | undefined;
  text: string;
  /** It was longer, and the rest is not shown. */
  truncated?: true | undefined;
  /** It has no end yet; what follows comes as a line of its own. */
  open?: true | undefined;
}

interface LogsPage {
  items: LogLineInfo[];
  /** Lines that were removed before they were read, where the log was kept within its bounds. */
  lost: { instanceId: string; bytes: number }[];
  /** Goes on behind the last of these, also in time: with it, nothing comes twice and nothing is missed. */
  nextCursor: string;
  hasMore: boolean;
}

/** What the runtime's instances wrote, those that have ended included: a page, or as it comes. */
export async function readLogs(call: Call): Promise<LogsPage | Readable> {
  const query = parseQuery(LogsQuery, call.query);
  const runtime = await requireRuntime(call);
  const isFollowed = query.follow === undefined ? wantsEventStream(call) : query.follow === 'true';
  const { since, until, level, version, instance, text } = query;
  if (since !== undefined && until !== undefined && since > until)
    throw new RunsteadError('ERR_VALIDATION_FAILED', 'since must not be later than until');
  const filter: LogFilter = { sinceMs: since, untilMs: until, level, version, instance, text };
  if (isFollowed) {
    if (query.limit !== undefined) {
      throw new RunsteadError(
        'ERR_VALIDATION_FAILED',
        'limit is for pages; with follow, tail says how many of the lines that are there come first',
      );
    }
    return followLogs(call, runtime.id, filter, startOf(call, runtime.id, query, LINES_DEFAULT));
  }
  const limit = query.limit ?? query.tail ?? LINES_DEFAULT;
  const start = startOf(call, runtime.id, query, limit);
  const page = await call.deps.logs.page(
    runtime.id,
    filter,
    start,
    start.at === 'newest' ? start.count : limit,
  );
  if (!page.isComplete)
    call.warn(
      'not all logs were looked through, only the newest; say since when with since, to read all of it',
    );
  return {
    items: page.lines.map(toWire),
    lost: page.lost,
    nextCursor: writeLogCursor(page.cursor, runtime.id),
    hasMore: page.hasMore,
  };
}

/** @throws RunsteadError ERR_VALIDATION_FAILED when where to begin is not said in one way */
function startOf(
  { request, query }: Call,
  runtimeId: string,
  { tail, since }: { tail?: number | undefined; since?: number | undefined },
  fallback: number,
): LogStart {
  // What a client sends when it connects again stands against the words it first came with.
  const lastId = request.headers['last-event-id'];
  const text = (typeof lastId === 'string' && lastId) || query.cursor;
  if (text) {
    const cursor = readLogCursor(text, runtimeId);
    if (cursor) return { at: 'cursor', cursor };
    throw new RunsteadError(
      'ERR_VALIDATION_FAILED',
      `${lastId ? 'Last-Event-ID' : 'cursor'} must be one that these logs were answered with (got ${shortened(JSON.stringify(text))})`,
    );
  }
  if (tail !== undefined) return { at: 'newest', count: tail };
  return since !== undefined ? { at: 'oldest' } : { at: 'newest', count: fallback };
}

function followLogs(call: Call, runtimeId: string, filter: LogFilter, start: LogStart): Readable {
  const { deps } = call;
  deps.logs.requireRoom();
  return eventStream(call, async function* (signal): AsyncGenerator<ServerEvent | undefined> {
    const stands = createStandingCheck(call, runtimeId);
    for await (const event of deps.logs.follow(runtimeId, filter, start, signal)) {
      if (event.kind === 'end') {
        yield { event: 'end', data: { reason: event.reason } };
        return;
      }
      const why = await stands();
      if (why !== undefined) {
        yield { event: 'end', data: { reason: why } };
        return;
      }
      const id = writeLogCursor(event.cursor(), runtimeId);
      if (event.kind === 'line') yield { id, data: toWire(event.line) };
      else if (event.kind === 'lost')
        yield { id, event: 'lost', data: { instanceId: event.instanceId, bytes: event.bytes } };
      else {
        yield { id };
        yield undefined;
      }
    }
  });
}

function toWire(line: ShownLine): LogLineInfo {
  return defined({
    time: new Date(line.timeMs).toISOString(),
    timeFrom: line.saysTime ? 'line' : 'file',
    level: line.level,
    instanceId: line.log.instanceId,
    agentRuntimeVersion: line.version === undefined ? undefined : String(line.version),
    text: line.text,
    truncated: line.isCut ? true : undefined,
    open: line.isOpen ? true : undefined,
  });
}
