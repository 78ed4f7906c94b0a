import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { migrations as released } from '../../src/store/migrations/index.ts';
import { migrate } from '../../src/store/sqlite/migrate.ts';
import { type OpenDatabase, openDatabase, openPlainDatabase } from '../../src/store/sqlite/open-database.ts';
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { MigrationError } from '../../src/store/store.ts';
import { testBox } from '../secret-box.ts';
import { at, specOf } from '../store-cases.ts';

const PROCESS = fileURLToPath(new URL('./migrating-process.mjs', import.meta.url));

/** What a next release might do: a new table, a new column, and a table rebuilt as SQLite wants it. */
const NEXT = [
  'CREATE TABLE audit (id INTEGER NOT NULL PRIMARY KEY, what TEXT NOT NULL)',
  "ALTER TABLE runtimes ADD COLUMN owner TEXT NOT NULL DEFAULT 'nobody'",
  'CREATE TABLE endpoints_new (id TEXT NOT NULL PRIMARY KEY, runtime_id TEXT NOT NULL, name TEXT NOT NULL)',
  'INSERT INTO endpoints_new SELECT id, runtime_id, name FROM endpoints',
  'DROP TABLE endpoints',
  'ALTER TABLE endpoints_new RENAME TO endpoints',
];
const AFTER_NEXT = ["INSERT INTO audit (what) SELECT 'migrated ' || id FROM runtimes"];
const ROWS = 40;
/** The schema of this release. */
const NOW = released.length;

let folder: string;
let path: string;
let databases: OpenDatabase[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'runstead-migrate-'));
  path = join(folder, 'db.sqlite');
  databases = [];
});

afterEach(() => {
  for (const database of databases) database.close();
  rmSync(folder, { recursive: true, force: true });
});

function open(file = path): OpenDatabase {
  const database = openDatabase(file);
  databases.push(database);
  return database;
}

function close(database: OpenDatabase): void {
  databases = databases.filter((other) => other !== database);
  database.close();
}

/** A database of this release with something in it. */
async function seed(): Promise<void> {
  const store = openSqliteStore(path, testBox);
  for (let i = 0; i < ROWS; i++) {
    const id = `r${i}`;
    await store.createRuntime({ id, name: id, spec: specOf({ description: `${i}`.repeat(500) }), at: at(i) });
    await store.settleRuntime(id, 1, { status: 'READY', newVersion: true, at: at(i) });
    await store.createEndpoint({ id: `e${i}`, runtimeId: id, name: 'prod', spec: {}, at: at(i) });
  }
  await store.close();
}

function count(database: OpenDatabase, table: string): unknown {
  const [row] = database.prepare(`SELECT count(*) AS n FROM ${table}`).all([]) as { n: unknown }[];
  return row?.n;
}

/** Whether the seeded rows are all there, in a schema that is one or another as a whole. */
function expectIntact(database: OpenDatabase): void {
  expect(database.pragma('integrity_check')).toBe('ok');
  expect(['runtimes', 'versions', 'endpoints'].map((table) => count(database, table))).toEqual([
    ROWS,
    ROWS,
    ROWS,
  ]);
}

const backup = () => `${path}.v${NOW}.bak`;
const leftovers = () => readdirSync(dirname(path)).filter((name) => !/^db\.sqlite(-wal|-shm)?$/.test(name));

describe('migrate', () => {
  it('makes the schema of this release in a new file, without a copy of nothing', () => {
    const database = open();
    migrate(database, path);
    expect(database.pragma('user_version')).toBe(released.length);
    expect(leftovers()).toEqual([]);
  });

  it('does nothing when run again', async () => {
    await seed();
    const steps: string[] = [];
    for (let i = 0; i < 2; i++) {
      const database = open();
      migrate(database, path, { onStep: (step) => steps.push(step) });
      expectIntact(database);
      close(database);
    }
    expect(steps).toEqual([]);
    expect(leftovers()).toEqual([]);
  });

  it('refuses data of a newer release, naming both schemas, and leaves it as it is', () => {
    const newer = open();
    migrate(newer, path, { migrations: [...released, NEXT, AFTER_NEXT] });
    close(newer);
    expect(() => openSqliteStore(path, testBox)).toThrow(MigrationError);
    expect(() => openSqliteStore(path, testBox)).toThrow(
      new RegExp(`schema ${released.length + 2}.*up to ${released.length}.*newer Runstead`),
    );
    const database = open();
    expect(database.pragma('user_version')).toBe(released.length + 2);
    expect(count(database, 'audit')).toBe(0);
  });

  it('keeps a copy of the data as it was, checked before anything is changed', async () => {
    await seed();
    const database = open();
    let copiedBefore: boolean | undefined;
    migrate(database, path, {
      migrations: [...released, NEXT],
      onStep: (step) => {
        if (step === `before-${NOW + 1}`) copiedBefore = existsSync(backup());
      },
    });
    expect(copiedBefore).toBe(true);
    expect(database.pragma('user_version')).toBe(NOW + 1);
    expectIntact(database);
    expect(leftovers()).toEqual([`db.sqlite.v${NOW}.bak`]);
    const copy = open(backup());
    expect(copy.pragma('user_version')).toBe(NOW);
    expectIntact(copy);
  });

  it('gives a copy that the release before can work with', async () => {
    await seed();
    const database = open();
    migrate(database, path, { migrations: [...released, NEXT] });
    close(database);
    const restored = join(mkdtempSync(join(folder, 'restored-')), 'db.sqlite');
    copyFileSync(backup(), restored);
    const store = openSqliteStore(restored, testBox);
    expect(await store.runtimeIds()).toHaveLength(ROWS);
    expect((await store.updateRuntime('r0', updateOf('r0')))?.revision).toBe(2);
    await store.close();
  });

  it('replaces what a copy cut short left behind, side files included', async () => {
    await seed();
    for (const suffix of ['', '-journal', '-wal', '-shm']) {
      writeFileSync(`${backup()}.tmp${suffix}`, Buffer.alloc(8192, 0x5a));
    }
    const database = open();
    migrate(database, path, { migrations: [...released, NEXT] });
    expect(leftovers()).toEqual([`db.sqlite.v${NOW}.bak`]);
    const copy = open(backup());
    expectIntact(copy);
  });

  it('changes nothing when a statement fails, and can be tried again', async () => {
    await seed();
    const database = open();
    const broken = [...NEXT, 'CREATE TABLE audit (again TEXT)'];
    expect(() => migrate(database, path, { migrations: [...released, broken] })).toThrow(/audit/);
    expect(database.pragma('user_version')).toBe(NOW);
    expect(database.pragma('foreign_keys')).toBe(1);
    expectIntact(database);
    expect(() => count(database, 'audit')).toThrow();
    migrate(database, path, { migrations: [...released, NEXT, AFTER_NEXT] });
    expect(count(database, 'audit')).toBe(ROWS);
  });

  it('may rebuild a table that others refer to', async () => {
    await seed();
    const database = open();
    const rebuild = [
      'CREATE TABLE rebuilt AS SELECT * FROM runtimes',
      'DROP TABLE runtimes',
      'CREATE TABLE runtimes (id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL)',
      'INSERT INTO runtimes SELECT id, name FROM rebuilt',
      'DROP TABLE rebuilt',
    ];
    migrate(database, path, { migrations: [...released, rebuild] });
    expectIntact(database);
    expect(database.pragma('foreign_keys')).toBe(1);
    database.exec("DELETE FROM runtimes WHERE id = 'r0'");
    expect(count(database, 'versions')).toBe(ROWS - 1);
  });

  it('refuses a migration that would leave rows referring to nothing', async () => {
    await seed();
    const database = open();
    const careless = ["DELETE FROM runtimes WHERE id = 'r3'"];
    expect(() => migrate(database, path, { migrations: [...released, careless] })).toThrow(
      /refer to nothing/,
    );
    expect(database.pragma('user_version')).toBe(NOW);
    expectIntact(database);
  });

  it('keeps the events that the first release recorded, which have no output', async () => {
    const first = open();
    migrate(first, path, { migrations: released.slice(0, 1) });
    first.exec(
      `INSERT INTO runtimes (id, name, revision, status, spec, force_evict, created_at, updated_at)
       VALUES ('r', 'r', 1, 'READY', '{}', 0, '${at(0)}', '${at(0)}')`,
    );
    first.exec(
      `INSERT INTO events (runtime_id, revision, phase, started_at, duration_ms, outcome)
       VALUES ('r', 1, 'install', '${at(0)}', 7, 'ok')`,
    );
    close(first);
    const store = openSqliteStore(path, testBox);
    const [event, ...more] = await store.listEvents('r', 10);
    expect(more).toEqual([]);
    expect(event).toMatchObject({ phase: 'install', durationMs: 7, output: undefined });
    await store.close();
    expect(leftovers()).toContain('db.sqlite.v1.bak');
  });

  it('puts runtimes of a release without workspaces into the default one, versions and endpoints kept', async () => {
    const before = open();
    migrate(before, path, { migrations: released.slice(0, 2) });
    const insert = (table: string, row: Record<string, unknown>) =>
      before
        .prepare(`INSERT INTO ${table} (${Object.keys(row)}) VALUES (${Object.keys(row).map(() => '?')})`)
        .run(Object.values(row));
    const times = { created_at: at(0), updated_at: at(1) };
    for (const [id, workspaceId] of [
      ['labelled', 'anything'],
      ['plain', undefined],
    ] as const) {
      const spec = JSON.stringify(
        specOf({ description: 'é "\\', ...(workspaceId && { workspaceId }) } as object),
      );
      const row = { revision: 3, spec, artifact_digest: 'd', ...times };
      insert('runtimes', {
        ...row,
        id,
        name: id,
        workspace_id: workspaceId ?? null,
        status: 'UPDATE_FAILED',
        status_reason: 'why',
        head_version: 1,
        force_evict: 1,
      });
      insert('versions', { ...row, runtime_id: id, version: 1, description: 'v' });
      insert('endpoints', {
        ...times,
        id: `e-${id}`,
        runtime_id: id,
        name: 'prod',
        revision: 1,
        status: 'READY',
        spec: '{}',
      });
    }
    close(before);

    const store = openSqliteStore(path, testBox);
    const { id: workspaceId, isDefault } = await store.defaultWorkspace();
    expect(isDefault).toBe(true);
    for (const id of ['labelled', 'plain']) {
      expect(await store.getRuntime(id)).toEqual({
        id,
        name: id,
        workspaceId,
        revision: 3,
        status: 'UPDATE_FAILED',
        statusReason: 'why',
        spec: specOf({ description: 'é "\\' }),
        headVersion: 1,
        forceEvict: true,
        createdAt: at(0),
        updatedAt: at(1),
      });
      expect((await store.getVersion(id, 1))?.spec).toEqual(specOf({ description: 'é "\\' }));
      expect(await store.endpoints(id)).toHaveLength(1);
    }
    expect(
      (await store.listRuntimes({ workspaceIds: [workspaceId] }, { pageNumber: 1, pageSize: 5 })).total,
    ).toBe(2);
    // What lies under a runtime still goes with it, also after its table was made anew.
    await store.removeRuntime('plain');
    expect(await store.versions('plain')).toEqual([]);
    expect(await store.endpoints('plain')).toEqual([]);
    await store.close();
  });

  it('takes a path with quotes and spaces in it', () => {
    const odd = join(folder, "it's here.sqlite");
    const database = open(odd);
    migrate(database, odd);
    migrate(database, odd, { migrations: [...released, NEXT] });
    expect(existsSync(`${odd}.v${NOW}.bak`)).toBe(true);
  });

  it('survives kill -9 at each step: old schema or new, all rows there, no half copy taken for a good one', async () => {
    await seed();
    const target = [...released, NEXT, AFTER_NEXT];
    const original = path;
    const steps = stepsOf(target);
    // Two of the copy, two around each migration, one after every statement.
    expect(steps).toHaveLength(2 + 2 * 2 + NEXT.length + AFTER_NEXT.length);
    for (const step of steps) {
      path = join(mkdtempSync(join(folder, 'step-')), 'db.sqlite');
      copyFileSync(original, path);
      const { signal, stderr } = spawnSync(process.execPath, [PROCESS, path, step, JSON.stringify(target)], {
        encoding: 'utf8',
      });
      expect([step, signal, stderr]).toEqual([step, 'SIGKILL', '']);
      if (existsSync(backup())) {
        const copy = openPlainDatabase(backup(), 0);
        expect(copy.pragma('user_version')).toBe(NOW);
        expectIntact(copy);
        copy.close();
      } else expect(step).toBe('copied#1');
      // What the process left is a whole schema, old, between or new …
      const found = open();
      const schema = Number(found.pragma('user_version'));
      expect([NOW, NOW + 1, NOW + 2]).toContain(schema);
      expectIntact(found);
      if (schema === NOW) expect(() => count(found, 'audit')).toThrow();
      else expect(count(found, 'audit')).toBe(schema === NOW + 2 ? ROWS : 0);
      // … from which the same migration goes on to its end.
      migrate(found, path, { migrations: target });
      expect(found.pragma('user_version')).toBe(NOW + 2);
      expect(count(found, 'audit')).toBe(ROWS);
      expectIntact(found);
      close(found);
      expect(leftovers().filter((name) => name.includes('.tmp'))).toEqual([]);
    }
  });
});

function updateOf(name: string) {
  return { name, spec: specOf(), expectedRevision: 1, forceEvict: false, at: at(60) };
}

/** The steps from the seeded schema to the newest, numbered where a name comes more than once. */
function stepsOf(target: readonly (readonly string[])[]): string[] {
  const trial = join(mkdtempSync(join(folder, 'trial-')), 'db.sqlite');
  copyFileSync(path, trial);
  const names: string[] = [];
  const seen = new Map<string, number>();
  migrate(open(trial), trial, {
    migrations: target,
    onStep: (name) => {
      seen.set(name, (seen.get(name) ?? 0) + 1);
      names.push(`${name}#${seen.get(name)}`);
    },
  });
  return names;
}
