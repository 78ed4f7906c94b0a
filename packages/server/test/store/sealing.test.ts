import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createSecretBox } from '../../src/auth/secret-box.ts';
import type { RuntimeSpec } from '../../src/domain/runtime.ts';
import { migrations as released } from '../../src/store/migrations/index.ts';
import { migrate, SEALED_MARK } from '../../src/store/sqlite/migrate.ts';
import { openDatabase, openPlainDatabase } from '../../src/store/sqlite/open-database.ts';
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { MigrationError, SecretsKeyError } from '../../src/store/store.ts';
import { testBox } from '../secret-box.ts';
import { at, specOf } from '../store-cases.ts';

const PROCESS = fileURLToPath(new URL('./sealing-process.mjs', import.meta.url));
/** What releases before sealing knew. */
const EARLIER = released.slice(0, 2);
const otherBox = createSecretBox(Buffer.alloc(32, 8));

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'runstead-sealing-'));
  path = join(folder, 'db.sqlite');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A configuration whose every secret has `planted-` in it. */
function secretSpec(mark: string): RuntimeSpec {
  return specOf({
    systemTags: ['tagged'],
    environmentVariables: { PLAIN_NAME: `planted-variable-${mark}`, OTHER: `planted-other-${mark}` },
    containerConfiguration: {
      image: 'registry.test/agent:1',
      registryConfig: { authConfig: { userName: 'user', password: `planted-password-${mark}` } },
    },
    ...{ armsConfiguration: { armsLicenseKey: `planted-licence-${mark}` } },
  });
}

/** Files of the folder that hold a secret for all to see. */
function plainFiles(): string[] {
  return readdirSync(folder).filter((name) => readFileSync(join(folder, name)).includes('planted-'));
}

/** A database as the release before left it: rows, pages that were freed, and the copy of an earlier migration. */
function seedEarlier(): void {
  const database = openPlainDatabase(path, 0);
  database.exec('PRAGMA journal_mode = WAL');
  migrate(database, path, { migrations: EARLIER.slice(0, 1) });
  const rows = (from: number, to: number) => {
    for (let i = from; i < to; i++) {
      const spec = JSON.stringify({ ...secretSpec(String(i)), description: 'd'.repeat(3000) });
      database
        .prepare(
          `INSERT INTO runtimes (id, name, revision, status, spec, head_version, force_evict, created_at, updated_at)
           VALUES (?, ?, 1, 'READY', ?, 1, 0, ?, ?)`,
        )
        .run([`r${i}`, `r${i}`, spec, at(i), at(i)]);
      database
        .prepare(
          'INSERT INTO versions (runtime_id, version, revision, spec, created_at, updated_at) VALUES (?, 1, 1, ?, ?, ?)',
        )
        .run([`r${i}`, spec, at(i), at(i)]);
    }
  };
  rows(0, 4);
  migrate(database, path, { migrations: EARLIER });
  rows(4, 40);
  // Some of it in the one file, some still in the log of writes.
  database.exec('PRAGMA wal_checkpoint(PASSIVE)');
  database.exec('DELETE FROM versions WHERE rowid > 8');
  database.exec('DELETE FROM runtimes WHERE rowid > 8');
  database.close();
}

async function expectWhole(): Promise<void> {
  const store = openSqliteStore(path, testBox);
  expect(await store.runtimeIds()).toHaveLength(8);
  for (let i = 0; i < 8; i++) {
    const expected = { ...secretSpec(String(i)), description: 'd'.repeat(3000) };
    expect((await store.getRuntime(`r${i}`))?.spec).toEqual(expected);
    expect((await store.getVersion(`r${i}`, 1))?.spec).toEqual(expected);
  }
  await store.close();
}

describe('secrets in the store', () => {
  it('stand in no file of it, while it is open and after', async () => {
    const store = openSqliteStore(path, testBox);
    const created = await store.createRuntime({ id: 'r1', name: 'r1', spec: secretSpec('a'), at: at(0) });
    expect(created.spec).toEqual(secretSpec('a'));
    await store.fixArtifact('r1', 1, { digest: 'd', crc64: '1' });
    await store.settleRuntime('r1', 1, { status: 'READY', newVersion: true, at: at(1) });
    const change = { name: 'r1', forceEvict: false, expectedRevision: 1, at: at(2) };
    const updated = await store.updateRuntime('r1', { ...change, spec: secretSpec('b') });
    expect(updated?.spec).toEqual(secretSpec('b'));
    expect((await store.getVersion('r1', 1))?.spec).toEqual({
      ...secretSpec('a'),
      artifact: { digest: 'd', crc64: '1' },
    });
    expect(plainFiles()).toEqual([]);
    const page = await store.listRuntimes({ systemTags: ['tagged'] }, { pageNumber: 1, pageSize: 10 });
    expect(page.items.map(({ spec }) => spec)).toEqual([secretSpec('b')]);
    await store.removeRuntime('r1');
    expect(plainFiles()).toEqual([]);
    await store.close();
    expect(plainFiles()).toEqual([]);
  });

  it('are refused to another key before anything is changed, whatever is wrong with it', async () => {
    const store = openSqliteStore(path, testBox);
    await store.createRuntime({ id: 'r1', name: 'r1', spec: secretSpec('a'), at: at(0) });
    await store.close();
    const before = readFileSync(path);
    expect(() => openSqliteStore(path, otherBox)).toThrow(SecretsKeyError);
    expect(() => openSqliteStore(path, otherBox)).toThrow(path);
    expect(readFileSync(path).equals(before)).toBe(true);
    const again = openSqliteStore(path, testBox);
    expect((await again.getRuntime('r1'))?.spec).toEqual(secretSpec('a'));
    await again.close();
  });

  it('cannot be put into the place of those of another runtime', async () => {
    const store = openSqliteStore(path, testBox);
    for (const id of ['r1', 'r2'])
      await store.createRuntime({ id, name: id, spec: secretSpec(id), at: at(0) });
    await store.close();
    const database = openDatabase(path);
    database.exec("UPDATE runtimes SET spec = (SELECT spec FROM runtimes WHERE id = 'r1') WHERE id = 'r2'");
    database.close();
    const again = openSqliteStore(path, testBox);
    await expect(again.getRuntime('r2')).rejects.toThrow('cannot be opened');
    await again.close();
  });

  it('hold the key to account although there are none yet', async () => {
    await openSqliteStore(path, testBox).close();
    expect(() => openSqliteStore(path, otherBox)).toThrow(SecretsKeyError);
  });
});

describe('secrets that a release before kept in the plain', () => {
  it('are sealed when the store opens: in rows, freed pages, the log of writes and all copies', async () => {
    seedEarlier();
    expect(plainFiles()).toEqual(expect.arrayContaining(['db.sqlite', 'db.sqlite.v1.bak']));
    const store = openSqliteStore(path, testBox);
    expect(readdirSync(folder)).toContain('db.sqlite.v2.bak');
    expect(plainFiles()).toEqual([]);
    await store.close();
    expect(plainFiles()).toEqual([]);
    await expectWhole();
    // A copy is as good as the database.
    for (const [copy, rows] of [
      ['db.sqlite.v2.bak', 8],
      ['db.sqlite.v1.bak', 4],
    ] as const) {
      const restored = join(mkdtempSync(join(folder, 'restored-')), 'db.sqlite');
      copyFileSync(join(folder, copy), restored);
      const from = openSqliteStore(restored, testBox);
      expect(await from.runtimeIds()).toHaveLength(rows);
      expect((await from.getRuntime('r3'))?.spec).toMatchObject(secretSpec('3'));
      await from.close();
    }
  });

  it('and copies of them are refused by the release before, which would run agents without variables', () => {
    seedEarlier();
    void openSqliteStore(path, testBox).close();
    for (const name of ['db.sqlite', 'db.sqlite.v1.bak', 'db.sqlite.v2.bak']) {
      const copy = openPlainDatabase(join(folder, name), 0);
      const schema = Number(copy.pragma('user_version'));
      copy.close();
      // All that it looks at.
      expect(schema, name).toBeGreaterThan(EARLIER.length);
      if (name.endsWith('.bak')) expect(schema).toBeGreaterThan(SEALED_MARK);
    }
  });

  it('are left alone with a clear word when a copy of them cannot be sealed', async () => {
    seedEarlier();
    const broken = `${path}.v1.bak`;
    writeFileSync(broken, 'no database, but planted- all the same'.repeat(100));
    expect(() => openSqliteStore(path, testBox)).toThrow(MigrationError);
    expect(() => openSqliteStore(path, testBox)).toThrow(/v1\.bak.*Move it away/);
    rmSync(broken);
    await expectWhole();
    expect(plainFiles()).toEqual([]);
  });

  it('are refused to another key than the one that sealing had begun with', async () => {
    seedEarlier();
    run('committed');
    expect(() => openSqliteStore(path, otherBox)).toThrow(SecretsKeyError);
    await expectWhole();
  });

  it.each([
    'copies-sealed',
    'rows-sealed',
    'committed',
    'vacuumed',
    'truncated',
    'copied',
    'verified',
    'before-3',
    'after-3',
    'migrated',
  ])('are all there and all sealed after the next start, should this one be killed at: %s', async (step) => {
    seedEarlier();
    run(step);
    const found = openPlainDatabase(path, 0);
    const schema = Number(found.pragma('user_version'));
    const sealed = found.prepare("SELECT 1 FROM runtimes WHERE spec LIKE '%sealed1:%'").all([]).length;
    found.close();
    // Never sealed for a release that would not notice.
    if (schema <= EARLIER.length) expect(sealed).toBe(0);
    else expect(sealed).toBe(8);
    await expectWhole();
    expect(plainFiles()).toEqual([]);
  });
});

/** Starts on the database, to be killed at a step. */
function run(step: string): void {
  const { signal, stderr } = spawnSync(process.execPath, [PROCESS, path, step], { encoding: 'utf8' });
  expect([step, signal, stderr]).toEqual([step, 'SIGKILL', '']);
}
