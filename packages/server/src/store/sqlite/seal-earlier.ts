import { readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { SecretBox } from '../../auth/secret-box.ts';
import { fromSpecText, hasPlainSecrets, toSpecText } from '../sealed-spec.ts';
import { MigrationError, SecretsKeyError } from '../store.ts';
import { SEALED_MARK } from './migrate.ts';
import { type OpenDatabase, openPlainDatabase } from './open-database.ts';

/**
 * Seals what a release before sealing kept in the plain, in the database and in the copies made by earlier migrations.
 * Before anything else is done with them, the copy for the next migration included. Safe to repeat after a crash at any
 * point; does nothing to a database whose secrets are sealed.
 * @throws SecretsKeyError when a part is sealed already, with another key
 */
export function sealEarlier(
  database: OpenDatabase,
  box: SecretBox,
  path: string,
  onStep: (step: string) => void = () => {},
): void {
  if (Number(database.pragma('user_version')) === 0 || hasTable(database, 'secrets_check')) return;
  for (const copy of earlierCopies(path)) sealCopy(copy, box);
  onStep('copies-sealed');
  sealRows(database, box, path, onStep);
  // What a row held before still stands in pages that nothing uses now, and in the log of writes.
  database.exec('VACUUM');
  onStep('vacuumed');
  database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  onStep('truncated');
}

/** Sealed and marked at once: a release that cannot open what is sealed refuses the file rather than miss variables. */
function sealRows(
  database: OpenDatabase,
  box: SecretBox,
  path: string,
  onStep: (step: string) => void = () => {},
): void {
  const schema = Number(database.pragma('user_version'));
  database.exec('BEGIN IMMEDIATE');
  try {
    for (const table of ['runtimes', 'versions'] as const) {
      const id = table === 'runtimes' ? 'id' : 'runtime_id';
      const rows = database.prepare(`SELECT rowid AS row, ${id} AS id, spec FROM ${table}`).all([]);
      const update = database.prepare(`UPDATE ${table} SET spec = ? WHERE rowid = ?`);
      for (const { row, id, spec } of rows as { row: number; id: string; spec: string }[]) {
        const whole = open(box, path, id, spec);
        if (hasPlainSecrets(spec)) update.run([toSpecText(box, id, whole), row]);
      }
    }
    onStep('rows-sealed');
    database.exec(`PRAGMA user_version = ${(schema % SEALED_MARK) + SEALED_MARK}`);
    database.exec('COMMIT');
  } catch (error) {
    try {
      database.exec('ROLLBACK');
    } catch {
      // A fault such as a full disk has ended the transaction already; the fault itself is what matters.
    }
    throw error;
  }
  onStep('committed');
}

function open(box: SecretBox, path: string, id: string, spec: string) {
  try {
    return fromSpecText(box, id, spec);
  } catch (error) {
    throw new SecretsKeyError(path, { cause: error });
  }
}

/**
 * Holds the key against a value that was sealed with the right one; the first time that value is made.
 * @throws SecretsKeyError when it is another key
 */
export function checkSecretsKey(database: OpenDatabase, box: SecretBox, path: string): void {
  if (!hasTable(database, 'secrets_check')) return;
  const [kept] = database.prepare('SELECT sealed FROM secrets_check').all([]) as { sealed: string }[];
  if (kept === undefined) {
    // A server that was killed before it came here may have sealed something.
    const [some] = database
      .prepare(
        `SELECT id, spec FROM (SELECT id, spec FROM runtimes UNION ALL SELECT runtime_id, spec FROM versions)
         WHERE json_extract(spec, '$.sealed') IS NOT NULL LIMIT 1`,
      )
      .all([]) as { id: string; spec: string }[];
    if (some) open(box, path, some.id, some.spec);
    database
      .prepare('INSERT INTO secrets_check (id, sealed) VALUES (1, ?)')
      .run([box.seal('runstead', CHECK_PURPOSE)]);
    return;
  }
  try {
    box.open(kept.sealed, CHECK_PURPOSE);
  } catch (error) {
    throw new SecretsKeyError(path, { cause: error });
  }
}

const CHECK_PURPOSE = 'secrets_check';

function hasTable(database: OpenDatabase, name: string): boolean {
  return (
    database.prepare('SELECT 1 FROM sqlite_master WHERE type = ? AND name = ?').all(['table', name]).length >
    0
  );
}

function earlierCopies(path: string): string[] {
  if (path === ':memory:') return [];
  const folder = dirname(path);
  const prefix = `${basename(path)}.v`;
  return readdirSync(folder)
    .filter((name) => name.startsWith(prefix) && /^\d+\.bak$/.test(name.slice(prefix.length)))
    .map((name) => join(folder, name));
}

function sealCopy(path: string, box: SecretBox): void {
  const copy = openPlainDatabase(path, 0);
  try {
    const schema = Number(copy.pragma('user_version'));
    if (schema >= SEALED_MARK) return;
    sealRows(copy, box, path);
    copy.exec('VACUUM');
  } catch (error) {
    if (error instanceof SecretsKeyError) throw error;
    throw new MigrationError(
      `${path}, a copy that an earlier release made, holds secrets in the plain and could not be sealed: ${(error as Error).message}. Move it away from the data folder, or remove it.`,
      { cause: error },
    );
  } finally {
    copy.close();
  }
}
