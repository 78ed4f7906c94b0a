import type { ExpressionBuilder, Kysely } from 'kysely';
import type { SecretBox } from '../../auth/secret-box.ts';
import { type Tables, toText, toWorkspace } from '../rows.ts';
import type { Store } from '../store.ts';
import { keepingAnswer } from './kept-answers.ts';
import { nameMatches } from './name-matches.ts';
import { newestFirst } from './newest-first.ts';
import { orNameTaken } from './refusals.ts';

type WorkspaceQueries = Pick<
  Store,
  | 'createWorkspace'
  | 'getWorkspace'
  | 'workspaceByName'
  | 'listWorkspaces'
  | 'updateWorkspace'
  | 'removeWorkspace'
  | 'defaultWorkspace'
>;

/** Workspaces. There is always the one that is meant where none is named. */
export function workspaceQueries(db: Kysely<Tables>, box: SecretBox): WorkspaceQueries {
  return {
    async defaultWorkspace() {
      return toWorkspace(await selectDefault(db));
    },

    async createWorkspace({ id, name, description, resourceGroupId, at }, keep) {
      const row = {
        id,
        name,
        description: description === undefined ? null : toText(description),
        resource_group_id: resourceGroupId === undefined ? null : toText(resourceGroupId),
        is_default: 0,
        created_at: at,
        updated_at: at,
      };
      const created = toWorkspace(row);
      await orNameTaken(
        name,
        keepingAnswer(db, box, keep, created, (tx) => tx.insertInto('workspaces').values(row).execute()),
      );
      return created;
    },

    async getWorkspace(id) {
      const row = await db.selectFrom('workspaces').selectAll().where('id', '=', id).executeTakeFirst();
      return row && toWorkspace(row);
    },

    async workspaceByName(name) {
      const row = await db.selectFrom('workspaces').selectAll().where('name', '=', name).executeTakeFirst();
      return row && toWorkspace(row);
    },

    async listWorkspaces({ name, resourceGroupId, ids = [] }, page) {
      const matching = (where: ExpressionBuilder<Tables, 'workspaces'>) =>
        where.and([
          ...(name === undefined ? [] : [nameMatches(where, name, 'fuzzy')]),
          ...(ids.length === 0 ? [] : [where('id', 'in', [...ids])]),
          ...(resourceGroupId === undefined ? [] : [where('resource_group_id', '=', resourceGroupId)]),
        ]);
      const { items, total } = await newestFirst(db, 'workspaces', matching, page);
      return { items: items.map(toWorkspace), total };
    },

    async updateWorkspace(id, { description, at }) {
      const row = await db
        .updateTable('workspaces')
        .set({ ...(description !== undefined && { description: toText(description) }), updated_at: at })
        .where('id', '=', id)
        .returningAll()
        .executeTakeFirst();
      return row && toWorkspace(row);
    },

    async removeWorkspace(id) {
      const { numDeletedRows } = await db
        .deleteFrom('workspaces')
        .where('id', '=', id)
        .where('is_default', '=', 0)
        .where(({ not, exists, selectFrom }) =>
          not(exists(selectFrom('runtimes').select('id').where('workspace_id', '=', id))),
        )
        .executeTakeFirst();
      return numDeletedRows === 1n;
    },
  };
}

export function selectDefault(db: Kysely<Tables>) {
  return db.selectFrom('workspaces').selectAll().where('is_default', '=', 1).executeTakeFirstOrThrow();
}
