import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openDatabase } from '../../src/store/sqlite/open-database.ts';
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { testBox } from '../secret-box.ts';
import { storeAccessCases } from '../store-access-cases.ts';
import { at, specOf, storeCases } from '../store-cases.ts';
import { storeSecretCases } from '../store-secret-cases.ts';
import { storeSessionCases } from '../store-session-cases.ts';

storeCases('SQLite', (path) => openSqliteStore(path, testBox));
storeAccessCases('SQLite', (path) => openSqliteStore(path, testBox));
storeSecretCases('SQLite', (path) => openSqliteStore(path, testBox));
storeSessionCases('SQLite', (path) => openSqliteStore(path, testBox));

it('a closed SQLite store has everything in its one file', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'runstead-store-'));
  try {
    const path = join(folder, 'db.sqlite');
    const store = openSqliteStore(path, testBox);
    await store.createRuntime({ id: 'r1', name: 'r1', spec: specOf(), at: at(0) });
    await store.createRuntime({ id: 'r2', name: 'r1', spec: specOf(), at: at(0) }).catch(() => {});
    await store.listRuntimes({ name: { value: 'r', mode: 'fuzzy' } }, { pageNumber: 1, pageSize: 10 });
    await store.close();
    copyFileSync(path, join(folder, 'copy'));
    const copy = openSqliteStore(join(folder, 'copy'), testBox);
    expect(await copy.runtimeIds()).toEqual(['r1']);
    await copy.close();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

it('events of one kind do not push out those of another, and so many are kept as was said', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'runstead-store-'));
  try {
    const store = openSqliteStore(join(folder, 'db.sqlite'), testBox, { eventsKept: 3 });
    await store.createRuntime({ id: 'r1', name: 'r1', spec: specOf(), at: at(0) });
    for (const phase of ['install', 'exit', 'scale', 'stop', 'scale', 'stop', 'scale']) {
      await store.addEvent({
        runtimeId: 'r1',
        revision: 1,
        phase,
        startedAt: at(0),
        durationMs: 0,
        outcome: 'ok',
      });
    }
    const phases = (await store.listEvents('r1', 100)).map(({ phase }) => phase);
    expect(phases).toEqual(['scale', 'stop', 'scale', 'exit', 'install']);
    await store.close();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

it('SQLite acknowledges what is on the disk, and holds to its foreign keys', () => {
  const folder = mkdtempSync(join(tmpdir(), 'runstead-store-'));
  try {
    const database = openDatabase(join(folder, 'db.sqlite'));
    expect(database.pragma('journal_mode')).toBe('wal');
    // 2 is FULL.
    expect(database.pragma('synchronous')).toBe(2);
    expect(database.pragma('foreign_keys')).toBe(1);
    database.close();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

it('a statement is prepared once and used again, and only so many are kept', () => {
  const folder = mkdtempSync(join(tmpdir(), 'runstead-store-'));
  try {
    const database = openDatabase(join(folder, 'db.sqlite'));
    const statement = database.prepare('SELECT ? AS given');
    expect(statement.all([1])).toEqual([{ given: 1 }]);
    expect(() => statement.all([undefined])).toThrow(TypeError);
    expect(database.prepare('SELECT ? AS given')).toBe(statement);
    expect(statement.all(['a'])).toEqual([{ given: 'a' }]);
    for (let i = 0; i < 1000; i++) {
      database.prepare(`SELECT ${i}`);
      if (i < 500) expect(database.prepare('SELECT ? AS given')).toBe(statement);
    }
    expect(database.prepare('SELECT ? AS given')).not.toBe(statement);
    database.close();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
