import { Kysely, SqliteDialect } from 'kysely';
import type { SecretBox } from '../../auth/secret-box.ts';
import type { Tables } from '../rows.ts';
import { EVENTS_KEPT, type Store } from '../store.ts';
import { accessQueries } from './access-queries.ts';
import { endpointQueries } from './endpoint-queries.ts';
import { eventQueries } from './event-queries.ts';
import { findKeptAnswer } from './kept-answers.ts';
import { migrate } from './migrate.ts';
import { type OpenDatabase, openDatabase } from './open-database.ts';
import { runtimeQueries } from './runtime-queries.ts';
import { checkSecretsKey, sealEarlier } from './seal-earlier.ts';
import { secretQueries } from './secret-queries.ts';
import { sessionQueries } from './session-queries.ts';
import { versionQueries } from './version-queries.ts';
import { workspaceQueries } from './workspace-queries.ts';

/**
 * Opens the store in a SQLite file and brings it up to date: its secrets sealed, its schema of this release.
 * @param box seals the secrets of runtimes, and opens them again
 * @throws SecretsKeyError when they were sealed with another key
 * @throws MigrationError when the file was written by a newer release
 */
export function openSqliteStore(
  path: string,
  box: SecretBox,
  { eventsKept = EVENTS_KEPT }: { eventsKept?: number } = {},
): Store {
  const database = openDatabase(path);
  try {
    checkSecretsKey(database, box, path);
    sealEarlier(database, box, path);
    migrate(database, path);
    checkSecretsKey(database, box, path);
  } catch (error) {
    database.close();
    throw error;
  }
  return createSqliteStore(database, box, eventsKept);
}

function createSqliteStore(database: OpenDatabase, box: SecretBox, eventsKept: number): Store {
  // Closed by the store: Kysely closes only a database that a query has gone through.
  const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database: { ...database, close() {} } }) });
  let closing: Promise<void> | undefined;

  return {
    ...runtimeQueries(db, box),
    ...versionQueries(db, box, eventsKept),
    ...endpointQueries(db, box),
    ...workspaceQueries(db, box),
    ...accessQueries(db, box),
    ...sessionQueries(db),
    ...secretQueries(db, box),
    ...eventQueries(db, eventsKept),

    keptAnswer: (scope, key, since) => findKeptAnswer(db, box, scope, key, since),

    close() {
      closing ??= db.destroy().then(() => {
        // Into the one file, for whoever copies it. Closing would do it, but the package for Node 20 closes only when
        // the last prepared statement has been collected as garbage.
        try {
          database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
        } catch {
          // A full disk has no room for it. What is durable in the log of writes is found there by the next start.
        }
        database.close();
      });
      return closing;
    },
  };
}
