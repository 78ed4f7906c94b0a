import type { ResourceStatus } from '@runstead/contract';
import { type ExpressionBuilder, type Kysely, sql } from 'kysely';
import type { SecretBox } from '../../auth/secret-box.ts';
import { isLeaving, isUnsettled } from '../../domain/status.ts';
import * as rows from '../rows.ts';
import { type Tables, toText } from '../rows.ts';
import { toSpecText } from '../sealed-spec.ts';
import type { RuntimeFilter, Store } from '../store.ts';
import { keepingAnswer } from './kept-answers.ts';
import { deletingSince } from './mark-deleting.ts';
import { nameMatches } from './name-matches.ts';
import { newestFirst } from './newest-first.ts';
import { orNameTaken, orNoSuchWorkspace } from './refusals.ts';
import { selectDefault } from './workspace-queries.ts';

type RuntimeQueries = Pick<
  Store,
  | 'getRuntime'
  | 'createRuntime'
  | 'listRuntimes'
  | 'runtimeIds'
  | 'runtimeIdsByEndpoints'
  | 'updateRuntime'
  | 'markRuntimeDeleting'
  | 'fixArtifact'
  | 'settleRuntime'
  | 'removeRuntime'
  | 'artifactDigests'
>;

/** Runtimes, and how their deploys and deletions went. What a status may become is asked in the write itself. */
export function runtimeQueries(db: Kysely<Tables>, box: SecretBox): RuntimeQueries {
  const toRuntime = (row: Parameters<typeof rows.toRuntime>[0]) => rows.toRuntime(row, box);
  return {
    async getRuntime(id) {
      const row = await db.selectFrom('runtimes').selectAll().where('id', '=', id).executeTakeFirst();
      return row && toRuntime(row);
    },

    async createRuntime({ id, name, workspaceId, spec, at }, keep) {
      const row = {
        id,
        name,
        workspace_id: workspaceId ?? (await selectDefault(db)).id,
        revision: 1,
        status: 'CREATING',
        status_reason: null,
        spec: toSpecText(box, id, spec),
        artifact_digest: spec.artifact?.digest ?? null,
        head_version: null,
        force_evict: 0,
        created_at: at,
        updated_at: at,
      };
      const created = toRuntime(row);
      const insert = keepingAnswer(db, box, keep, created, (tx) =>
        tx.insertInto('runtimes').values(row).execute(),
      );
      await orNoSuchWorkspace(row.workspace_id, orNameTaken(name, insert));
      return created;
    },

    async listRuntimes(filter, page) {
      const { items, total } = await newestFirst(db, 'runtimes', (where) => matches(where, filter), page);
      return { items: items.map(toRuntime), total };
    },

    async runtimeIds(filter) {
      let query = db.selectFrom('runtimes').select('id').orderBy('created_at').orderBy('id');
      if (filter?.unsettled) query = query.where('status', 'in', ['CREATING', 'UPDATING', 'DELETING']);
      return (await query.execute()).map(({ id }) => id);
    },

    async runtimeIdsByEndpoints() {
      const rows = await db
        .selectFrom('endpoints')
        .select('runtime_id')
        .distinct()
        .where((where) =>
          where.or([
            where('status', 'in', ['CREATING', 'UPDATING', 'DELETING']),
            // A text that only speaks of it costs one look in vain.
            where('spec', 'like', '%"scalingConfig"%'),
          ]),
        )
        .orderBy('runtime_id')
        .execute();
      return rows.map(({ runtime_id }) => runtime_id);
    },

    async updateRuntime(id, change) {
      const write = orNameTaken(
        change.name,
        db
          .updateTable('runtimes')
          .set({
            name: change.name,
            ...(change.workspaceId !== undefined && { workspace_id: change.workspaceId }),
            revision: change.expectedRevision + 1,
            status: 'UPDATING',
            status_reason: null,
            spec: toSpecText(box, id, change.spec),
            artifact_digest: change.spec.artifact?.digest ?? null,
            force_evict: change.forceEvict ? 1 : 0,
            updated_at: change.at,
          })
          .where('id', '=', id)
          .where('revision', '=', change.expectedRevision)
          .where('status', 'not in', ['DELETING', 'DELETE_FAILED'])
          .returningAll()
          .executeTakeFirst(),
      );
      const row = await orNoSuchWorkspace(change.workspaceId, write);
      return row && toRuntime(row);
    },

    async markRuntimeDeleting(id, at) {
      const row = await db
        .updateTable('runtimes')
        .set(deletingSince(at))
        .where('id', '=', id)
        .returningAll()
        .executeTakeFirst();
      return row && toRuntime(row);
    },

    fixArtifact(id, revision, artifact) {
      return db.transaction().execute(async (tx) => {
        const row = await tx.selectFrom('runtimes').selectAll().where('id', '=', id).executeTakeFirst();
        if (!row || row.revision !== revision) return false;
        const { status, spec } = toRuntime(row);
        if (!isUnsettled(status) || isLeaving(status)) return false;
        await tx
          .updateTable('runtimes')
          .set({ spec: toSpecText(box, id, { ...spec, artifact }), artifact_digest: artifact.digest })
          .where('id', '=', id)
          .execute();
        return true;
      });
    },

    settleRuntime(id, revision, outcome) {
      return db.transaction().execute(async (tx) => {
        const row = await tx.selectFrom('runtimes').selectAll().where('id', '=', id).executeTakeFirst();
        if (!row || row.revision !== revision) return false;
        const status = row.status as ResourceStatus;
        if (!isUnsettled(status) || isLeaving(status) !== (outcome.status === 'DELETE_FAILED')) return false;
        let head = row.head_version;
        if (outcome.status === 'READY' && outcome.newVersion) {
          head = (head ?? 0) + 1;
          await tx
            .insertInto('versions')
            .values({
              runtime_id: id,
              version: head,
              revision,
              spec: row.spec,
              artifact_digest: row.artifact_digest,
              description: null,
              publisher: null,
              created_at: outcome.at,
              updated_at: outcome.at,
            })
            .execute();
        }
        await tx
          .updateTable('runtimes')
          .set({
            status: outcome.status,
            status_reason: outcome.status === 'READY' ? null : toText(outcome.statusReason),
            head_version: head,
            updated_at: outcome.at,
          })
          .where('id', '=', id)
          .execute();
        return true;
      });
    },

    async removeRuntime(id) {
      await db.deleteFrom('runtimes').where('id', '=', id).execute();
    },

    async artifactDigests() {
      const rows = await db
        .selectFrom('runtimes')
        .select('artifact_digest')
        .union(db.selectFrom('versions').select('artifact_digest'))
        .execute();
      return new Set(rows.flatMap(({ artifact_digest }) => artifact_digest ?? []));
    },
  };
}

function matches(where: ExpressionBuilder<Tables, 'runtimes'>, filter: RuntimeFilter) {
  const conditions = [];
  if (filter.name) conditions.push(nameMatches(where, filter.name.value, filter.name.mode));
  if (filter.statuses?.length) conditions.push(where('status', 'in', [...filter.statuses]));
  if (filter.workspaceIds?.length) conditions.push(where('workspace_id', 'in', [...filter.workspaceIds]));
  for (const tag of filter.systemTags ?? []) {
    conditions.push(
      sql<boolean>`exists (select 1 from json_each(runtimes.spec, '$.systemTags') where value = ${tag})`,
    );
  }
  return where.and(conditions);
}
