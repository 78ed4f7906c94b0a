import type { Kysely } from 'kysely';
import type { SecretBox } from '../../auth/secret-box.ts';
import { toKey, toKeyRow } from '../key-records.ts';
import { type Tables, toText } from '../rows.ts';
import { AUDIT_EVENTS_KEPT, type Store } from '../store.ts';

type AccessQueries = Pick<
  Store,
  | 'createKey'
  | 'keys'
  | 'removeKey'
  | 'nonces'
  | 'addNonce'
  | 'removeNonces'
  | 'beginAuditEvent'
  | 'endAuditEvent'
  | 'listAuditEvents'
>;

/** What the store keeps of who may write and who has written: keys, nonces of signed requests, the audit. */
export function accessQueries(db: Kysely<Tables>, box: SecretBox): AccessQueries {
  return {
    async createKey(key) {
      await db.insertInto('keys').values(toKeyRow(key, box)).execute();
    },

    async keys() {
      const rows = await db.selectFrom('keys').selectAll().orderBy('created_at').orderBy('id').execute();
      return rows.map((row) => toKey(row, box));
    },

    async removeKey(id) {
      const { numDeletedRows } = await db.deleteFrom('keys').where('id', '=', id).executeTakeFirst();
      return numDeletedRows > 0n;
    },

    async nonces(nowMs) {
      const rows = await db.selectFrom('nonces').selectAll().where('expires_ms', '>=', nowMs).execute();
      return rows.map((row) => ({ keyId: row.key_id, nonce: row.nonce, expiresMs: row.expires_ms }));
    },

    async addNonce({ keyId, nonce, expiresMs }) {
      await db
        .insertInto('nonces')
        .values({ key_id: keyId, nonce, expires_ms: expiresMs })
        .onConflict((conflict) =>
          conflict.columns(['key_id', 'nonce']).doUpdateSet({ expires_ms: expiresMs }),
        )
        .execute();
    },

    async removeNonces(expiredBeforeMs) {
      await db.deleteFrom('nonces').where('expires_ms', '<', expiredBeforeMs).execute();
    },

    beginAuditEvent({ at, requestId, keyId, operation, resource }) {
      return db.transaction().execute(async (tx) => {
        const { id } = await tx
          .insertInto('audit_events')
          .values({
            at,
            request_id: requestId,
            key_id: keyId,
            operation,
            resource: toText(resource),
            status: null,
          })
          .returning('id')
          .executeTakeFirstOrThrow();
        await tx
          .deleteFrom('audit_events')
          .where('id', '<=', id - AUDIT_EVENTS_KEPT)
          .execute();
        return id;
      });
    },

    async endAuditEvent(id, { status, resource }) {
      await db
        .updateTable('audit_events')
        .set({ status, ...(resource !== undefined && { resource: toText(resource) }) })
        .where('id', '=', id)
        .execute();
    },

    async listAuditEvents(limit) {
      const rows = await db
        .selectFrom('audit_events')
        .selectAll()
        .orderBy('id', 'desc')
        .limit(limit)
        .execute();
      return rows.map(({ request_id, key_id, status, ...row }) => ({
        ...row,
        requestId: request_id,
        keyId: key_id,
        status: status ?? undefined,
      }));
    },
  };
}
