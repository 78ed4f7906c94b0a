import { closeSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { migrations } from '../migrations/index.ts';
import { MigrationError } from '../store.ts';
import { type OpenDatabase, openPlainDatabase } from './open-database.ts';

export interface MigrateOptions {
  /** Default: this release's. */
  migrations?: readonly (readonly string[])[];
  /** Called between steps, so that a test can end the process there. */
  onStep?: (step: string) => void;
}

/**
 * Added to the schema's number of a database, and of its copies, whose secrets were sealed before their schema knew of
 * it: releases that cannot open them take it for a newer schema and refuse. The next migration writes the plain number.
 */
export const SEALED_MARK = 1_000_000;

/**
 * Brings a database to this release's schema. Every migration is one transaction that also moves `user_version`, so
 * a crash leaves the schema before it or after it; before the first, a verified copy of the data is made beside the file.
 * @throws MigrationError when the data comes from a newer release, or the copy does not verify
 */
export function migrate(database: OpenDatabase, path: string, options: MigrateOptions = {}): void {
  const steps = options.migrations ?? migrations;
  const onStep = options.onStep ?? (() => {});
  const current = Number(database.pragma('user_version')) % SEALED_MARK;
  if (current > steps.length) {
    throw new MigrationError(
      `${path} has schema ${current}, and this release knows schemas up to ${steps.length}: it was written by a newer Runstead. Start that release, or another data folder.`,
    );
  }
  if (current === steps.length) return;
  if (current > 0) backUp(database, path, current, onStep);
  // A migration may rebuild a table, and dropping the old one would take with it the rows that refer to it.
  database.exec('PRAGMA foreign_keys = OFF');
  try {
    runSteps(database, steps, current, onStep);
  } finally {
    database.exec('PRAGMA foreign_keys = ON');
  }
}

function runSteps(
  database: OpenDatabase,
  steps: readonly (readonly string[])[],
  current: number,
  onStep: (step: string) => void,
): void {
  for (let version = current; version < steps.length; version++) {
    onStep(`before-${version + 1}`);
    database.exec('BEGIN IMMEDIATE');
    try {
      for (const sql of steps[version]!) {
        database.exec(sql);
        onStep(`within-${version + 1}`);
      }
      const dangling = database.pragma('foreign_key_check');
      if (dangling !== undefined) {
        throw new MigrationError(
          `migration ${version + 1} would leave rows of '${dangling}' that refer to nothing; the data is unchanged`,
        );
      }
      database.exec(`PRAGMA user_version = ${version + 1}`);
      database.exec('COMMIT');
    } catch (error) {
      try {
        database.exec('ROLLBACK');
      } catch {
        // A fault such as a full disk has ended the transaction already; the fault itself is what matters.
      }
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
  for (const leftover of ['', '-journal', '-wal', '-shm'])
    rmSync(`${unverified}${leftover}`, { force: true });
  database.exec(`VACUUM INTO '${unverified.replaceAll("'", "''")}'`);
  onStep('copied');
  // As it is, not in the mode that the server works in: the copy stays one file.
  const copy = openPlainDatabase(unverified, 0);
  const verdict = copy.pragma('integrity_check');
  const schema = Number(copy.pragma('user_version')) % SEALED_MARK;
  copy.close();
  if (verdict !== 'ok' || schema !== version) {
    throw new MigrationError(
      `the copy of ${path} made before migrating is damaged: ${verdict}, schema ${schema} of ${version}`,
    );
  }
  // SQLite leaves the flushing of such a copy to others.
  flush(unverified);
  renameSync(unverified, target);
  flush(dirname(target));
  onStep('verified');
}

/** Brings a file, or a folder's entries, to the disk. */
function flush(path: string): void {
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
