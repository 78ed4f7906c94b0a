import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type OpenDatabase, openPlainDatabase } from './store/sqlite/open-database.ts';

/** What stands in `run/server.json`: who serves this data folder, and where. Clients on the same machine read it. */
export interface ServerRecord {
  pid: number;
  startedAt: string;
  /** This and all below: absent until it listens. */
  url?: string;
  /** The plain listener itself, whatever callers elsewhere reach the server under. */
  localUrl?: string;
  /** Absent: TLS is off. */
  tlsUrl?: string;
  /** What clients of `tlsUrl` must trust; absent when the certificate is the operator's own. */
  caFile?: string;
  accountId?: string;
  region?: string;
}

export class FolderInUse extends Error {
  override readonly name = 'FolderInUse';
}

export interface FolderLock {
  /** Completes the record once the address is known. */
  listening(found: Omit<ServerRecord, 'pid' | 'startedAt'>): void;
  release(): void;
}

/**
 * Takes a data folder for this process alone. The lock is the operating system's, on a file of its own, so it ends
 * with the process however that ends.
 * @throws FolderInUse naming the holder
 */
export function lockFolder(dataDir: string): FolderLock {
  const run = join(dataDir, 'run');
  mkdirSync(run, { recursive: true, mode: 0o700 });
  const recordFile = join(run, 'server.json');
  const database = takeLock(join(run, 'lock.sqlite'));
  if (!database) throw new FolderInUse(describeHolder(dataDir, recordFile));
  const record: ServerRecord = { pid: process.pid, startedAt: new Date().toISOString() };
  const write = (value: ServerRecord) => {
    writeFileSync(`${recordFile}.tmp`, `${JSON.stringify(value)}\n`, { mode: 0o600 });
    renameSync(`${recordFile}.tmp`, recordFile);
  };
  write(record);
  let released = false;
  return {
    listening: (found) => write({ ...record, ...found }),
    release() {
      if (released) return;
      released = true;
      rmSync(recordFile, { force: true });
      database.close();
    },
  };
}

function takeLock(file: string): OpenDatabase | undefined {
  // By `exec` alone: a prepared statement would keep the database open, and locked, after `close`.
  const database = openPlainDatabase(file, 0);
  try {
    database.exec('PRAGMA locking_mode = EXCLUSIVE');
    database.exec('BEGIN EXCLUSIVE');
    return database;
  } catch (error) {
    database.close();
    if (/locked|busy/i.test((error as Error).message)) return undefined;
    throw error;
  }
}

function describeHolder(dataDir: string, recordFile: string): string {
  const advice = 'Stop it first, or give this one another folder with --data.';
  try {
    const { pid, startedAt, url } = JSON.parse(readFileSync(recordFile, 'utf8')) as Partial<ServerRecord>;
    if (typeof pid !== 'number') throw new TypeError('no record');
    const where = url ? `, listening on ${url}` : '';
    return `${dataDir} is in use by the Runstead server with pid ${pid}${where}, since ${startedAt}. ${advice}`;
  } catch {
    return `${dataDir} is in use by another Runstead server. ${advice}`;
  }
}
