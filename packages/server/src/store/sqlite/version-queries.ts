import type { Kysely } from 'kysely';
import type { SecretBox } from '../../auth/secret-box.ts';
import { namedVersions } from '../../domain/retention.ts';
import * as rows from '../rows.ts';
import { type Tables, toText } from '../rows.ts';
import type { EndpointSpec, Store } from '../store.ts';
import { insertEvent } from './event-queries.ts';
import { keepAnswer } from './kept-answers.ts';

type VersionQueries = Pick<
  Store,
  'getVersion' | 'versions' | 'listVersions' | 'removeVersions' | 'publishVersion'
>;

/** Versions of runtimes. They are made where a deploy is settled. */
export function versionQueries(db: Kysely<Tables>, box: SecretBox, eventsKept: number): VersionQueries {
  const toVersion = (row: Parameters<typeof rows.toVersion>[0]) => rows.toVersion(row, box);
  return {
    async getVersion(runtimeId, version) {
      const row = await db
        .selectFrom('versions')
        .selectAll()
        .where('runtime_id', '=', runtimeId)
        .where('version', '=', version)
        .executeTakeFirst();
      return row && toVersion(row);
    },

    async versions(runtimeId) {
      const rows = await db
        .selectFrom('versions')
        .selectAll()
        .where('runtime_id', '=', runtimeId)
        .orderBy('version')
        .execute();
      return rows.map(toVersion);
    },

    async listVersions(runtimeId, page) {
      const all = db.selectFrom('versions').where('runtime_id', '=', runtimeId);
      const { total } = await all
        .select((where) => where.fn.countAll<number>().as('total'))
        .executeTakeFirstOrThrow();
      const items = await all
        .selectAll()
        .orderBy('version', 'desc')
        .limit(page.pageSize)
        .offset((page.pageNumber - 1) * page.pageSize)
        .execute();
      return { items: items.map(toVersion), total: Number(total) };
    },

    removeVersions(runtimeId, versions, eventOf) {
      return db.transaction().execute(async (tx) => {
        const runtime = await tx
          .selectFrom('runtimes')
          .select('head_version')
          .where('id', '=', runtimeId)
          .executeTakeFirst();
        const endpoints = await tx
          .selectFrom('endpoints')
          .select('spec')
          .where('runtime_id', '=', runtimeId)
          .execute();
        const held = new Set(
          endpoints.flatMap(({ spec }) => namedVersions(JSON.parse(spec) as EndpointSpec)),
        );
        const going = versions.filter((version) => version !== runtime?.head_version && !held.has(version));
        if (going.length === 0) return [];
        const rows = await tx
          .deleteFrom('versions')
          .where('runtime_id', '=', runtimeId)
          .where('version', 'in', going)
          .returning('version')
          .execute();
        const removed = rows.map(({ version }) => version).sort((a, b) => a - b);
        if (removed.length > 0) await insertEvent(tx, eventOf(removed), eventsKept);
        return removed;
      });
    },

    publishVersion(runtimeId, version, { description, publisher, at }, keep) {
      return db.transaction().execute(async (tx) => {
        const row = await tx
          .updateTable('versions')
          .set({
            ...(description !== undefined && { description: toText(description) }),
            ...(publisher !== undefined && { publisher: toText(publisher) }),
            updated_at: at,
          })
          .where('runtime_id', '=', runtimeId)
          .where('version', '=', version)
          .returningAll()
          .executeTakeFirst();
        const stamped = row && toVersion(row);
        if (stamped && keep) await keepAnswer(tx, box, keep, stamped);
        return stamped;
      });
    },
  };
}
