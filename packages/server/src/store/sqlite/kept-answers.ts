import type { Kysely } from 'kysely';
import type { SecretBox } from '../../auth/secret-box.ts';
import type { Tables } from '../rows.ts';
import { ANSWERS_KEPT_MS, type AnswerToKeep, type KeptAnswer } from '../store.ts';

/** Keeps the answer that tells of a write, within the write's transaction, and lets old ones go. */
export async function keepAnswer<R>(
  tx: Kysely<Tables>,
  box: SecretBox,
  { scope, key, bodySha256, at, data }: AnswerToKeep<R>,
  written: R,
): Promise<void> {
  const oldest = new Date(Date.parse(at) - ANSWERS_KEPT_MS).toISOString();
  await tx.deleteFrom('kept_answers').where('created_at', '<', oldest).execute();
  await tx
    .insertInto('kept_answers')
    .values({
      scope,
      key,
      body_sha256: bodySha256,
      sealed_data: box.seal(JSON.stringify(data(written)), purposeOf(scope, key)),
      created_at: at,
    })
    .execute();
}

/** Writes, and keeps the answer that tells of it, if one is to be kept: both or neither. */
export async function keepingAnswer<R>(
  db: Kysely<Tables>,
  box: SecretBox,
  keep: AnswerToKeep<R> | undefined,
  written: R,
  write: (tx: Kysely<Tables>) => Promise<unknown>,
): Promise<void> {
  if (keep === undefined) return void (await write(db));
  await db.transaction().execute(async (tx) => {
    await write(tx);
    await keepAnswer(tx, box, keep, written);
  });
}

export async function findKeptAnswer(
  db: Kysely<Tables>,
  box: SecretBox,
  scope: string,
  key: string,
  since: string,
): Promise<KeptAnswer | undefined> {
  const row = await db
    .selectFrom('kept_answers')
    .selectAll()
    .where('scope', '=', scope)
    .where('key', '=', key)
    .where('created_at', '>=', since)
    .executeTakeFirst();
  return (
    row && { bodySha256: row.body_sha256, data: JSON.parse(box.open(row.sealed_data, purposeOf(scope, key))) }
  );
}

const purposeOf = (scope: string, key: string) => `answer ${scope} ${key}`;
