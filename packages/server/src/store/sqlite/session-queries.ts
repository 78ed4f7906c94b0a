import type { ExpressionBuilder, Kysely, Selectable } from 'kysely';
import type { SessionTable, Tables } from '../rows.ts';
import type { SessionFilter, SessionRecord, Store } from '../store.ts';
import { newestFirst } from './newest-first.ts';

type SessionQueries = Pick<
  Store,
  'saveSessions' | 'keepSessionsOf' | 'sessions' | 'listSessions' | 'getSession'
>;

/** So many rows go into one statement: far from what the database takes, and enough to be quick. */
const ROWS_AT_ONCE = 200;

/** Which session is bound to which instance. */
export function sessionQueries(db: Kysely<Tables>): SessionQueries {
  return {
    saveSessions(changed, ended) {
      return db.transaction().execute(async (tx) => {
        for (const ids of slices(ended)) await tx.deleteFrom('sessions').where('id', 'in', ids).execute();
        for (const records of slices(changed)) {
          // What the gateway says of a runtime may come when that has just been removed.
          const runtimes = await tx
            .selectFrom('runtimes')
            .select('id')
            .where('id', 'in', [...new Set(records.map(({ runtimeId }) => runtimeId))])
            .execute();
          const known = new Set(runtimes.map(({ id }) => id));
          const rows = records.filter(({ runtimeId }) => known.has(runtimeId)).map(toRow);
          if (rows.length === 0) continue;
          await tx
            .insertInto('sessions')
            .values(rows)
            .onConflict((conflict) =>
              conflict.column('id').doUpdateSet((row) => ({
                version: row.ref('excluded.version'),
                instance_id: row.ref('excluded.instance_id'),
                last_used_at: row.ref('excluded.last_used_at'),
              })),
            )
            .execute();
        }
      });
    },

    async keepSessionsOf(instanceIds) {
      const rest = db.deleteFrom('sessions');
      await (instanceIds.length === 0
        ? rest
        : rest.where('instance_id', 'not in', [...instanceIds])
      ).execute();
    },

    async sessions() {
      const rows = await db.selectFrom('sessions').selectAll().orderBy('created_at').orderBy('id').execute();
      return rows.map(toSession);
    },

    async listSessions(filter, page) {
      const { items, total } = await newestFirst(db, 'sessions', (where) => ofSessions(where, filter), page);
      return { items: items.map(toSession), total };
    },

    async getSession(id) {
      const row = await db.selectFrom('sessions').selectAll().where('id', '=', id).executeTakeFirst();
      return row && toSession(row);
    },
  };
}

function ofSessions(where: ExpressionBuilder<Tables, 'sessions'>, filter: SessionFilter) {
  const conditions = [];
  if (filter.runtimeId !== undefined) conditions.push(where('runtime_id', '=', filter.runtimeId));
  if (filter.endpointName !== undefined) conditions.push(where('endpoint_name', '=', filter.endpointName));
  if (filter.workspaceIds?.length) {
    const within = where
      .selectFrom('runtimes')
      .select('runtimes.id')
      .where('runtimes.workspace_id', 'in', [...filter.workspaceIds]);
    conditions.push(where('runtime_id', 'in', within));
  }
  return where.and(conditions);
}

function toSession(row: Selectable<SessionTable>): SessionRecord {
  return {
    id: row.id,
    runtimeId: row.runtime_id,
    endpointName: row.endpoint_name,
    keyId: row.key_id ?? undefined,
    version: row.version,
    instanceId: row.instance_id,
    createdAt: row.created_at,
    lastUsedAt: row.last_used_at,
  };
}

function toRow(session: SessionRecord): Selectable<SessionTable> {
  return {
    id: session.id,
    runtime_id: session.runtimeId,
    endpoint_name: session.endpointName,
    key_id: session.keyId ?? null,
    version: session.version,
    instance_id: session.instanceId,
    created_at: session.createdAt,
    last_used_at: session.lastUsedAt,
  };
}

function* slices<T>(items: readonly T[]): Generator<T[]> {
  for (let at = 0; at < items.length; at += ROWS_AT_ONCE) yield items.slice(at, at + ROWS_AT_ONCE);
}
