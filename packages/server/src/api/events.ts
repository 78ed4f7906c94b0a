import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { EVENT_KINDS, eventKind } from '../domain/event-kind.ts';
import { defined } from '../domain/runtime.ts';
import type { EventFilter, EventRecord } from '../store/store.ts';
import type { Call } from './call.ts';
import { eventStream, type ServerEvent, wantsEventStream } from './event-stream.ts';
import { requireRuntime } from './ids.ts';
import { parseQuery } from './parse.ts';
import { createStandingCheck } from './standing-check.ts';

const eventId = z
  .string()
  .regex(/^[1-9][0-9]{0,14}$/, 'must be one that these events were answered with')
  .transform(Number);

const EventsQuery = z.object({
  limit: z
    .string()
    .regex(/^[1-9][0-9]{0,2}$/, 'must be an integer from 1 to 999')
    .transform(Number)
    .optional(),
  kind: z.enum(EVENT_KINDS).optional(),
  cursor: eventId.optional(),
  follow: z.enum(['true', 'false']).optional(),
});
const LastEventId = z.object({ 'Last-Event-ID': eventId.optional() });

/** One event, as `/runstead/v1/runtimes/{id}/events` shows it. */
type EventInfo = Omit<EventRecord, 'runtimeId'> & { kind: string; agentRuntimeVersion?: string | undefined };

interface EventsPage {
  items: EventInfo[];
  /** Goes on with older ones; absent: there are none. */
  nextCursor?: string | undefined;
}

/** How often it is looked for news while somebody follows, and how often they hear that all is well. */
const LOOK_MS = 1000;
const LOOKS_A_WORD = 10;
const AT_ONCE = 200;

/**
 * A runtime's history, newest first: every phase of every attempt with its time and outcome, every instance that was
 * started or stopped and why, every one that ended by itself and how. Followed, the oldest comes first.
 */
export async function listEvents(call: Call): Promise<EventsPage | Readable> {
  const { limit = 100, kind, cursor, follow } = parseQuery(EventsQuery, call.query);
  const runtime = await requireRuntime(call);
  const isFollowed = follow === undefined ? wantsEventStream(call) : follow === 'true';
  if (isFollowed) return followEvents(call, runtime.id, { kind }, limit);
  const { store } = call.deps;
  const events = await store.listEvents(runtime.id, limit + 1, { kind, beforeId: cursor });
  const items = events.slice(0, limit);
  const toWire = await createToWire(call, runtime.id);
  return defined({
    items: items.map(toWire),
    nextCursor: events.length > limit ? String(items.at(-1)!.id) : undefined,
  });
}

function followEvents(call: Call, runtimeId: string, filter: EventFilter, limit: number): Readable {
  const { store, logs } = call.deps;
  const said = { 'Last-Event-ID': String(call.request.headers['last-event-id'] ?? '') };
  let { 'Last-Event-ID': afterId } = parseQuery(LastEventId, said);
  logs.requireRoom();
  return eventStream(call, async function* (hangUp): AsyncGenerator<ServerEvent | undefined> {
    const ending = logs.untilClosing(hangUp);
    const over = ending.signal;
    const stands = createStandingCheck(call, runtimeId);
    try {
      for (let looks = 1; !over.aborted; looks++) {
        const why = await stands();
        if (why !== undefined) {
          yield { event: 'end', data: { reason: why } };
          return;
        }
        const count = afterId === undefined ? limit : AT_ONCE;
        const events = await store.listEvents(runtimeId, count, { ...filter, afterId });
        const toWire = events.length === 0 ? undefined : await createToWire(call, runtimeId);
        for (const event of events.reverse()) yield { id: String(event.id), data: toWire!(event) };
        afterId = events.at(-1)?.id ?? afterId ?? 0;
        if (looks % LOOKS_A_WORD === 0) yield {};
        yield undefined;
        if (events.length < AT_ONCE) await delay(LOOK_MS, undefined, { signal: over }).catch(() => {});
      }
      if (ending.isClosing()) yield { event: 'end', data: { reason: 'The server is stopping' } };
    } finally {
      ending.end();
    }
  });
}

/** Versions are told by their numbers, as far as they have one. */
async function createToWire(
  { deps: { store } }: Call,
  runtimeId: string,
): Promise<(event: EventRecord) => EventInfo> {
  const numbers = new Map(
    (await store.versions(runtimeId)).map(({ revision, version }) => [revision, String(version)]),
  );
  return ({ runtimeId: _, ...event }) =>
    defined({
      ...event,
      kind: eventKind(event.phase),
      agentRuntimeVersion: numbers.get(event.revision),
    });
}
