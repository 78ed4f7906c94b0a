import { chmodSync, closeSync, openSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { SqliteDatabase, SqliteStatement } from 'kysely';
import { bindValue } from './bind-value.ts';

/** The part of `node:sqlite` that is used here. */
interface DatabaseSync {
  exec(sql: string): void;
  prepare(sql: string): StatementSync;
  close(): void;
}
interface StatementSync {
  all(...parameters: unknown[]): unknown[];
  get(...parameters: unknown[]): unknown;
  run(...parameters: unknown[]): { changes: number | bigint; lastInsertRowid: number | bigint };
  iterate(...parameters: unknown[]): IterableIterator<unknown>;
  columns(): unknown[];
}
type DatabaseConstructor = new (path: string, options?: { timeout?: number }) => DatabaseSync;

/** A database with the interface that Kysely's SQLite dialect drives, and plain `exec` for migrations. */
export interface OpenDatabase extends SqliteDatabase {
  exec(sql: string): void;
  /** The first column of the first row. */
  pragma(sql: string): unknown;
}

/** How long a statement waits for another connection's lock, in ms. */
const BUSY_TIMEOUT_MS = 5000;

/**
 * Prepared statements kept for the next time. Each holds some 9 KiB outside JavaScript's heap that only the garbage
 * collector frees, and it does not see them: made anew for every query, 100,000 queries cost 900 MiB (Node 20).
 */
const PREPARED_KEPT = 200;

/**
 * Opens a SQLite file: write-ahead log, foreign keys on, and every commit on the disk before it is acknowledged
 * (`synchronous=FULL`). What is deleted is overwritten.
 */
export function openDatabase(path: string): OpenDatabase {
  const database = openPlainDatabase(path, BUSY_TIMEOUT_MS);
  database.exec('PRAGMA journal_mode = WAL');
  database.exec('PRAGMA synchronous = FULL');
  database.exec('PRAGMA foreign_keys = ON');
  // What was deleted or replaced does not stay behind in pages that are free now.
  database.exec('PRAGMA secure_delete = ON');
  return database;
}

/**
 * Opens a SQLite file as it is.
 * @param busyTimeoutMs how long a statement waits for another connection's lock
 */
export function openPlainDatabase(path: string, busyTimeoutMs: number): OpenDatabase {
  const Database = databaseConstructor();
  makeOwn(path);
  const database = new Database(path, { timeout: busyTimeoutMs });
  const prepared = new Map<string, SqliteStatement>();
  return {
    exec: (sql) => database.exec(sql),
    pragma: (sql) => Object.values((database.prepare(`PRAGMA ${sql}`).get() as object | undefined) ?? {})[0],
    close() {
      prepared.clear();
      database.close();
    },
    prepare(sql) {
      const statement =
        prepared.get(sql) ?? asKyselyStatement(database.prepare(sql), /^rollback$/i.test(sql));
      // Moved to the end: the first is the one that was not used for longest.
      prepared.delete(sql);
      prepared.set(sql, statement);
      if (prepared.size > PREPARED_KEPT) prepared.delete(prepared.keys().next().value!);
      return statement;
    },
  };
}

/**
 * It holds agents' variables, secrets among them, and its folder may have been there before, open to all. SQLite gives
 * the files it makes beside a database the mode of that.
 */
function makeOwn(path: string): void {
  if (path === ':memory:') return;
  try {
    closeSync(openSync(path, 'wx', 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    // Never opened and closed again: that would end the locks this process holds on it (fcntl(2), "Record locking").
    chmodSync(path, 0o600);
  }
}

function asKyselyStatement(statement: StatementSync, isRollback: boolean): SqliteStatement {
  const encode = (parameters: readonly unknown[]) => parameters.map(bindValue);
  return {
    reader: statement.columns().length > 0,
    all: (parameters) => statement.all(...encode(parameters)),
    run(parameters) {
      try {
        return statement.run(...encode(parameters));
      } catch (error) {
        // A fault such as a full disk has ended the transaction already. It is the one to be told, not this.
        if (!isRollback || !/no transaction is active/.test((error as Error).message)) throw error;
        return { changes: 0, lastInsertRowid: 0 };
      }
    },
    iterate: (parameters) => statement.iterate(...encode(parameters)),
  };
}

/** The built-in module where Node has one that is complete (22.13), else the same code as a package. */
function databaseConstructor(): DatabaseConstructor {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const builtin = major > 22 || (major === 22 && minor >= 16);
  const require = createRequire(import.meta.url);
  const module = require(builtin ? 'node:sqlite' : '@photostructure/sqlite') as {
    DatabaseSync: DatabaseConstructor;
  };
  return module.DatabaseSync;
}
