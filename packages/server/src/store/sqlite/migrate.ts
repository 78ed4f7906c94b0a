import { existsSync, renameSync, rmSync } from 'node:fs';
import { migrations } from '../migrations/index.ts';
import { type OpenDatabase, openDatabase } from './open-database.ts';

export class MigrationError extends Error {
  override readonly name = 'MigrationError';
}

export interface MigrateOptions {
  /** Default: this release's. */
  migrations?: readonly (readonly string[])[];
  /** Called between steps, so that a test can end the process there. */
  onStep?: (step: string) => void;
}

/**
 * Brings a database to this release's schema. Every migration is one transaction that also moves `user_version`, so
 * a crash leaves the schema before it or after it; before the first, a verified copy of the data is made beside the file.
 * @throws MigrationError when the data comes from a newer release, or the copy does not verify
 */
export function migrate(database: OpenDatabase, path: string, options: MigrateOptions = {}): void {
  const steps = options.migrations ?? migrations;
  const onStep = options.onStep ?? (() => {});
  const current = Number(database.pragma('user_version'));
  if (current > steps.length) {
    throw new MigrationError(
      `${path} has schema ${current}, and this release knows schemas up to ${steps.length}: it was written by a newer Runstead. Start that release, or another data folder.`,
    );
  }
  if (current === steps.length) return;
  if (current > 0) backUp(database, path, current, onStep);
  for (let version = current; version < steps.length; version++) {
    onStep(`before-${version + 1}`);
    database.exec('BEGIN IMMEDIATE');
    try {
      for (const sql of steps[version]!) {
        database.exec(sql);
        onStep(`within-${version + 1}`);
      }
      database.exec(`PRAGMA user_version = ${version + 1}`);
      database.exec('COMMIT');
    } catch (error) {
      database.exec('ROLLBACK');
      throw error;
    }
    onStep(`after-${version + 1}`);
  }
}

/** Copies the database to `PATH.v<schema>.bak`, opened and checked before it gets that name. */
function backUp(database: OpenDatabase, path: string, version: number, onStep: (step: string) => void): void {
  const target = `${path}.v${version}.bak`;
  const unverified = `${target}.tmp`;
  // A copy cut short by a crash is of no use.
  if (existsSync(unverified)) rmSync(unverified);
  database.exec(`VACUUM INTO '${unverified.replaceAll("'", "''")}'`);
  onStep('copied');
  const copy = openDatabase(unverified);
  const verdict = copy.pragma('integrity_check');
  copy.exec('PRAGMA journal_mode = DELETE');
  copy.close();
  if (verdict !== 'ok')
    throw new MigrationError(`the copy of ${path} made before migrating is damaged: ${verdict}`);
  renameSync(unverified, target);
  onStep('verified');
}
