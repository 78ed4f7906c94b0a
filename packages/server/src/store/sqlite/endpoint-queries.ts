import type { ExpressionBuilder, Kysely } from 'kysely';
import type { SecretBox } from '../../auth/secret-box.ts';
import { namedVersions, wasRemoved } from '../../domain/retention.ts';
import { type Tables, toEndpoint, toText } from '../rows.ts';
import { type EndpointSpec, type Store, VersionRemoved } from '../store.ts';
import { keepAnswer } from './kept-answers.ts';
import { deletingSince } from './mark-deleting.ts';
import { nameMatches } from './name-matches.ts';
import { newestFirst } from './newest-first.ts';
import { orNameTaken } from './refusals.ts';

type EndpointQueries = Pick<
  Store,
  | 'getEndpoint'
  | 'createEndpoint'
  | 'endpoints'
  | 'listEndpoints'
  | 'updateEndpoint'
  | 'markEndpointDeleting'
  | 'settleEndpoint'
  | 'removeEndpoint'
>;

/** Endpoints of runtimes. */
export function endpointQueries(db: Kysely<Tables>, box: SecretBox): EndpointQueries {
  return {
    async getEndpoint(runtimeId, id) {
      const row = await db
        .selectFrom('endpoints')
        .selectAll()
        .where('id', '=', id)
        .where('runtime_id', '=', runtimeId)
        .executeTakeFirst();
      return row && toEndpoint(row);
    },

    async createEndpoint({ id, runtimeId, name, spec, at }, keep) {
      const row = {
        id,
        runtime_id: runtimeId,
        name,
        revision: 1,
        status: 'CREATING',
        status_reason: null,
        spec: JSON.stringify(spec),
        created_at: at,
        updated_at: at,
      };
      const created = toEndpoint(row);
      const insert = db.transaction().execute(async (tx) => {
        await requireVersions(tx, runtimeId, spec);
        await tx.insertInto('endpoints').values(row).execute();
        if (keep) await keepAnswer(tx, box, keep, created);
      });
      await orNameTaken(name, insert);
      return created;
    },

    async endpoints(runtimeId) {
      const rows = await db
        .selectFrom('endpoints')
        .selectAll()
        .where('runtime_id', '=', runtimeId)
        .orderBy('created_at')
        .orderBy('id')
        .execute();
      return rows.map(toEndpoint);
    },

    async listEndpoints(runtimeId, { endpointName, searchMode }, page) {
      const matching = (where: ExpressionBuilder<Tables, 'endpoints'>) => {
        const within = where('runtime_id', '=', runtimeId);
        if (endpointName === undefined) return within;
        return where.and([within, nameMatches(where, endpointName, searchMode ?? 'fuzzy')]);
      };
      const { items, total } = await newestFirst(db, 'endpoints', matching, page);
      return { items: items.map(toEndpoint), total };
    },

    async updateEndpoint(runtimeId, id, { name, spec, at }) {
      const write = db.transaction().execute(async (tx) => {
        await requireVersions(tx, runtimeId, spec);
        return tx
          .updateTable('endpoints')
          .set((where) => ({
            name,
            spec: JSON.stringify(spec),
            revision: where('revision', '+', 1),
            status: 'UPDATING',
            status_reason: null,
            updated_at: at,
          }))
          .where('id', '=', id)
          .where('runtime_id', '=', runtimeId)
          .where('status', 'not in', ['DELETING', 'DELETE_FAILED'])
          .returningAll()
          .executeTakeFirst();
      });
      const row = await orNameTaken(name, write);
      return row && toEndpoint(row);
    },

    async markEndpointDeleting(runtimeId, id, at) {
      const row = await db
        .updateTable('endpoints')
        .set(deletingSince(at))
        .where('id', '=', id)
        .where('runtime_id', '=', runtimeId)
        .returningAll()
        .executeTakeFirst();
      return row && toEndpoint(row);
    },

    async settleEndpoint(id, revision, { status, statusReason }) {
      const result = await db
        .updateTable('endpoints')
        .set({ status, status_reason: statusReason === undefined ? null : toText(statusReason) })
        .where('id', '=', id)
        .where('revision', '=', revision)
        // An endpoint on its way out stays so, whatever an attempt of the same revision finds.
        .where((where) =>
          where('status', status === 'DELETE_FAILED' ? 'in' : 'not in', ['DELETING', 'DELETE_FAILED']),
        )
        .executeTakeFirst();
      return result.numUpdatedRows === 1n;
    },

    async removeEndpoint(id) {
      await db.deleteFrom('endpoints').where('id', '=', id).execute();
    },
  };
}

/** @throws VersionRemoved when the endpoint would name a version that was removed */
async function requireVersions(tx: Kysely<Tables>, runtimeId: string, spec: EndpointSpec): Promise<void> {
  const named = namedVersions(spec);
  if (named.length === 0) return;
  const runtime = await tx
    .selectFrom('runtimes')
    .select('head_version')
    .where('id', '=', runtimeId)
    .executeTakeFirst();
  const rows = await tx
    .selectFrom('versions')
    .select('version')
    .where('runtime_id', '=', runtimeId)
    .where('version', 'in', named)
    .execute();
  const there = new Set(rows.map(({ version }) => version));
  const versions = { head: runtime?.head_version ?? undefined, has: (version: number) => there.has(version) };
  const gone = named.find((version) => wasRemoved(version, versions));
  if (gone !== undefined) throw new VersionRemoved(gone);
}
