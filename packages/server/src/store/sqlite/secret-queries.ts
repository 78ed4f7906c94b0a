import type { Kysely, Selectable } from 'kysely';
import type { SecretBox } from '../../auth/secret-box.ts';
import type { SecretTable, Tables } from '../rows.ts';
import type { SecretRecord, Store } from '../store.ts';
import { orNoSuchWorkspace } from './refusals.ts';

type SecretQueries = Pick<Store, 'setSecret' | 'listSecrets' | 'secretValues' | 'removeSecret'>;

/** Secrets by workspace and name. A value is sealed for its place: copied to another row, it does not open. */
export function secretQueries(db: Kysely<Tables>, box: SecretBox): SecretQueries {
  const purpose = (workspaceId: string, name: string) => `secret ${workspaceId}/${name}`;
  return {
    async setSecret({ workspaceId, name, value, at }) {
      const sealed = box.seal(value, purpose(workspaceId, name));
      const write = db
        .insertInto('secrets')
        .values({ workspace_id: workspaceId, name, sealed, created_at: at, updated_at: at })
        .onConflict((conflict) =>
          conflict.columns(['workspace_id', 'name']).doUpdateSet({ sealed, updated_at: at }),
        )
        .returningAll()
        .executeTakeFirstOrThrow();
      const row = await orNoSuchWorkspace(workspaceId, write);
      return toSecret(row);
    },

    async listSecrets(workspaceIds) {
      let query = db.selectFrom('secrets').selectAll().orderBy('name').orderBy('workspace_id');
      if (workspaceIds.length > 0) query = query.where('workspace_id', 'in', [...workspaceIds]);
      return (await query.execute()).map(toSecret);
    },

    async secretValues(workspaceId, names) {
      if (names.length === 0) return new Map();
      const rows = await db
        .selectFrom('secrets')
        .select(['name', 'sealed'])
        .where('workspace_id', '=', workspaceId)
        .where('name', 'in', [...names])
        .execute();
      return new Map(rows.map(({ name, sealed }) => [name, box.open(sealed, purpose(workspaceId, name))]));
    },

    async removeSecret(workspaceId, name) {
      const row = await db
        .deleteFrom('secrets')
        .where('workspace_id', '=', workspaceId)
        .where('name', '=', name)
        .returningAll()
        .executeTakeFirst();
      return row && toSecret(row);
    },
  };
}

function toSecret(row: Selectable<SecretTable>): SecretRecord {
  return {
    workspaceId: row.workspace_id,
    name: row.name,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
