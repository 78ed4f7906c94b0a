import type { Kysely } from 'kysely';
import { eventKind } from '../../domain/event-kind.ts';
import { type Tables, toEvent, toText } from '../rows.ts';
import type { NewEvent, Store } from '../store.ts';

type EventQueries = Pick<Store, 'addEvent' | 'listEvents' | 'removeEvents'>;

/** The history of runtimes. @param kept so many events of each kind stay */
export function eventQueries(db: Kysely<Tables>, kept: number): EventQueries {
  return {
    async addEvent(event) {
      await db.transaction().execute((tx) => insertEvent(tx, event, kept));
    },

    async listEvents(runtimeId, limit, { kind, beforeId, afterId } = {}) {
      let query = db.selectFrom('events').selectAll().where('runtime_id', '=', runtimeId);
      if (kind !== undefined) query = query.where('kind', '=', kind);
      if (beforeId !== undefined) query = query.where('id', '<', beforeId);
      if (afterId !== undefined) query = query.where('id', '>', afterId);
      // Behind an event, what came next is wanted first.
      const rows = await query
        .orderBy('id', afterId === undefined ? 'desc' : 'asc')
        .limit(limit)
        .execute();
      if (afterId !== undefined) rows.reverse();
      return rows.map(toEvent);
    },

    async removeEvents(before) {
      await db.deleteFrom('events').where('started_at', '<', before).execute();
    },
  };
}

/** Within what it belongs to. @param kept so many events of its kind stay */
export async function insertEvent(
  tx: Kysely<Tables>,
  { runtimeId, revision, phase, startedAt, durationMs, outcome, ...more }: NewEvent,
  kept: number,
): Promise<void> {
  const { reason, output, instanceId, exitCode, exitSignal } = more;
  const kind = eventKind(phase);
  // A runtime may be gone by the time something of it is reported.
  const known = await tx.selectFrom('runtimes').select('id').where('id', '=', runtimeId).executeTakeFirst();
  if (!known) return;
  await tx
    .insertInto('events')
    .values({
      runtime_id: runtimeId,
      revision,
      kind,
      phase,
      started_at: startedAt,
      duration_ms: Math.round(durationMs),
      outcome,
      reason: reason === undefined ? null : toText(reason),
      output: output === undefined ? null : JSON.stringify(output.map(toText)),
      instance_id: instanceId ?? null,
      exit_code: exitCode ?? null,
      exit_signal: exitSignal ?? null,
    })
    .execute();
  const oldestKept = await tx
    .selectFrom('events')
    .select('id')
    .where('runtime_id', '=', runtimeId)
    .where('kind', '=', kind)
    .orderBy('id', 'desc')
    .offset(kept - 1)
    .limit(1)
    .executeTakeFirst();
  if (!oldestKept) return;
  await tx
    .deleteFrom('events')
    .where('runtime_id', '=', runtimeId)
    .where('kind', '=', kind)
    .where('id', '<', oldestKept.id)
    .execute();
}
