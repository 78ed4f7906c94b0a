import type { ResourceStatus } from '@runstead/contract';
import {
  type Expression,
  type ExpressionBuilder,
  Kysely,
  type Selectable,
  type SqlBool,
  SqliteDialect,
  sql,
} from 'kysely';
import type { SecretBox } from '../../auth/secret-box.ts';
import { namedVersions, wasRemoved } from '../../domain/retention.ts';
import { isLeaving, isUnsettled } from '../../domain/status.ts';
import * as rows from '../rows.ts';
import { type Tables, toEndpoint, toText, toWorkspace } from '../rows.ts';
import { toSpecText } from '../sealed-spec.ts';
import {
  type AnswerToKeep,
  type EndpointRecord,
  type EndpointSpec,
  EVENTS_KEPT,
  NameTaken,
  NoSuchWorkspace,
  type PageRequest,
  type PageResult,
  type RuntimeFilter,
  type RuntimeRecord,
  type SessionFilter,
  type Store,
  VersionRemoved,
  type WorkspaceRecord,
} from '../store.ts';
import { accessQueries } from './access-queries.ts';
import { eventQueries, insertEvent } from './event-queries.ts';
import { findKeptAnswer, keepAnswer } from './kept-answers.ts';
import { migrate } from './migrate.ts';
import { type OpenDatabase, openDatabase } from './open-database.ts';
import { checkSecretsKey, sealEarlier } from './seal-earlier.ts';
import { secretQueries } from './secret-queries.ts';
import { sessionQueries, toSession } from './session-queries.ts';

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
  const toRuntime = (row: Parameters<typeof rows.toRuntime>[0]) => rows.toRuntime(row, box);
  const toVersion = (row: Parameters<typeof rows.toVersion>[0]) => rows.toVersion(row, box);
  /** Writes, and keeps the answer that tells of it: both or neither. */
  const keeping = <R>(
    keep: AnswerToKeep<R> | undefined,
    written: R,
    write: (tx: Kysely<Tables>) => Promise<unknown>,
  ): Promise<unknown> =>
    keep === undefined
      ? write(db)
      : db.transaction().execute(async (tx) => {
          await write(tx);
          await keepAnswer(tx, box, keep, written);
        });
  let closing: Promise<void> | undefined;
  const getRuntime = async (id: string): Promise<RuntimeRecord | undefined> => {
    const row = await db.selectFrom('runtimes').selectAll().where('id', '=', id).executeTakeFirst();
    return row && toRuntime(row);
  };
  const getEndpoint = async (runtimeId: string, id: string): Promise<EndpointRecord | undefined> => {
    const row = await db
      .selectFrom('endpoints')
      .selectAll()
      .where('id', '=', id)
      .where('runtime_id', '=', runtimeId)
      .executeTakeFirst();
    return row && toEndpoint(row);
  };

  const defaultWorkspace = async (): Promise<WorkspaceRecord> =>
    toWorkspace(
      await db.selectFrom('workspaces').selectAll().where('is_default', '=', 1).executeTakeFirstOrThrow(),
    );

  return {
    getRuntime,
    getEndpoint,
    ...accessQueries(db, box),
    ...sessionQueries(db),
    ...secretQueries(db, box),
    ...eventQueries(db, eventsKept),

    async listSessions(filter, page) {
      const { items, total } = await newestFirst(db, 'sessions', (where) => ofSessions(where, filter), page);
      return { items: items.map(toSession), total };
    },

    async createRuntime({ id, name, workspaceId, spec, at }, keep) {
      const row = {
        id,
        name,
        workspace_id: workspaceId ?? (await defaultWorkspace()).id,
        revision: 1,
        status: 'CREATING',
        status_reason: null,
        spec: toSpecText(box, id, spec),
        artifact_digest: spec.artifact?.digest ?? null,
        head_version: null,
        force_evict: 0,
        created_at: at,
        updated_at: at,
      };
      const created = toRuntime(row);
      const insert = keeping(keep, created, (tx) => tx.insertInto('runtimes').values(row).execute());
      await orNoSuchWorkspace(row.workspace_id, orNameTaken(name, insert));
      return created;
    },

    async listRuntimes(filter, page) {
      const { items, total } = await newestFirst(db, 'runtimes', (where) => matches(where, filter), page);
      return { items: items.map(toRuntime), total };
    },

    async runtimeIds(filter) {
      let query = db.selectFrom('runtimes').select('id').orderBy('created_at').orderBy('id');
      if (filter?.unsettled) query = query.where('status', 'in', ['CREATING', 'UPDATING', 'DELETING']);
      return (await query.execute()).map(({ id }) => id);
    },

    async runtimeIdsByEndpoints() {
      const rows = await db
        .selectFrom('endpoints')
        .select('runtime_id')
        .distinct()
        .where((where) =>
          where.or([
            where('status', 'in', ['CREATING', 'UPDATING', 'DELETING']),
            // A text that only speaks of it costs one look in vain.
            where('spec', 'like', '%"scalingConfig"%'),
          ]),
        )
        .orderBy('runtime_id')
        .execute();
      return rows.map(({ runtime_id }) => runtime_id);
    },

    async updateRuntime(id, change) {
      const write = orNameTaken(
        change.name,
        db
          .updateTable('runtimes')
          .set({
            name: change.name,
            ...(change.workspaceId !== undefined && { workspace_id: change.workspaceId }),
            revision: change.expectedRevision + 1,
            status: 'UPDATING',
            status_reason: null,
            spec: toSpecText(box, id, change.spec),
            artifact_digest: change.spec.artifact?.digest ?? null,
            force_evict: change.forceEvict ? 1 : 0,
            updated_at: change.at,
          })
          .where('id', '=', id)
          .where('revision', '=', change.expectedRevision)
          .where('status', 'not in', ['DELETING', 'DELETE_FAILED'])
          .returningAll()
          .executeTakeFirst(),
      );
      const row = await orNoSuchWorkspace(change.workspaceId, write);
      return row && toRuntime(row);
    },

    async markRuntimeDeleting(id, at) {
      const row = await db
        .updateTable('runtimes')
        .set((where) => ({
          status: 'DELETING',
          status_reason: null,
          // A delete outranks every attempt under way; asked again it changes nothing.
          revision: where
            .case()
            .when('status', '=', 'DELETING')
            .then(where.ref('revision'))
            .else(where('revision', '+', 1))
            .end(),
          updated_at: where
            .case()
            .when('status', '=', 'DELETING')
            .then(where.ref('updated_at'))
            .else(at)
            .end(),
        }))
        .where('id', '=', id)
        .returningAll()
        .executeTakeFirst();
      return row && toRuntime(row);
    },

    fixArtifact(id, revision, artifact) {
      return db.transaction().execute(async (tx) => {
        const row = await tx.selectFrom('runtimes').selectAll().where('id', '=', id).executeTakeFirst();
        if (!row || row.revision !== revision) return false;
        const { status, spec } = toRuntime(row);
        if (!isUnsettled(status) || isLeaving(status)) return false;
        await tx
          .updateTable('runtimes')
          .set({ spec: toSpecText(box, id, { ...spec, artifact }), artifact_digest: artifact.digest })
          .where('id', '=', id)
          .execute();
        return true;
      });
    },

    settleRuntime(id, revision, outcome) {
      return db.transaction().execute(async (tx) => {
        const row = await tx.selectFrom('runtimes').selectAll().where('id', '=', id).executeTakeFirst();
        if (!row || row.revision !== revision) return false;
        const status = row.status as ResourceStatus;
        if (!isUnsettled(status) || isLeaving(status) !== (outcome.status === 'DELETE_FAILED')) return false;
        let head = row.head_version;
        if (outcome.status === 'READY' && outcome.newVersion) {
          head = (head ?? 0) + 1;
          await tx
            .insertInto('versions')
            .values({
              runtime_id: id,
              version: head,
              revision,
              spec: row.spec,
              artifact_digest: row.artifact_digest,
              description: null,
              publisher: null,
              created_at: outcome.at,
              updated_at: outcome.at,
            })
            .execute();
        }
        await tx
          .updateTable('runtimes')
          .set({
            status: outcome.status,
            status_reason: outcome.status === 'READY' ? null : toText(outcome.statusReason),
            head_version: head,
            updated_at: outcome.at,
          })
          .where('id', '=', id)
          .execute();
        return true;
      });
    },

    async removeRuntime(id) {
      await db.deleteFrom('runtimes').where('id', '=', id).execute();
    },

    async getVersion(runtimeId, version) {
      const row = await db
        .selectFrom('versions')
        .selectAll()
        .where('runtime_id', '=', runtimeId)
        .where('version', '=', version)
        .executeTakeFirst();
      return row && toVersion(row);
    },

    async versions(runtimeId) {
      const rows = await db
        .selectFrom('versions')
        .selectAll()
        .where('runtime_id', '=', runtimeId)
        .orderBy('version')
        .execute();
      return rows.map(toVersion);
    },

    async listVersions(runtimeId, page) {
      const all = db.selectFrom('versions').where('runtime_id', '=', runtimeId);
      const { total } = await all
        .select((where) => where.fn.countAll<number>().as('total'))
        .executeTakeFirstOrThrow();
      const items = await all
        .selectAll()
        .orderBy('version', 'desc')
        .limit(page.pageSize)
        .offset((page.pageNumber - 1) * page.pageSize)
        .execute();
      return { items: items.map(toVersion), total: Number(total) };
    },

    removeVersions(runtimeId, versions, eventOf) {
      return db.transaction().execute(async (tx) => {
        const runtime = await tx
          .selectFrom('runtimes')
          .select('head_version')
          .where('id', '=', runtimeId)
          .executeTakeFirst();
        const endpoints = await tx
          .selectFrom('endpoints')
          .select('spec')
          .where('runtime_id', '=', runtimeId)
          .execute();
        const held = new Set(
          endpoints.flatMap(({ spec }) => namedVersions(JSON.parse(spec) as EndpointSpec)),
        );
        const going = versions.filter((version) => version !== runtime?.head_version && !held.has(version));
        if (going.length === 0) return [];
        const rows = await tx
          .deleteFrom('versions')
          .where('runtime_id', '=', runtimeId)
          .where('version', 'in', going)
          .returning('version')
          .execute();
        const removed = rows.map(({ version }) => version).sort((a, b) => a - b);
        if (removed.length > 0) await insertEvent(tx, eventOf(removed), eventsKept);
        return removed;
      });
    },

    publishVersion(runtimeId, version, { description, publisher, at }, keep) {
      return db.transaction().execute(async (tx) => {
        const row = await tx
          .updateTable('versions')
          .set({
            ...(description !== undefined && { description: toText(description) }),
            ...(publisher !== undefined && { publisher: toText(publisher) }),
            updated_at: at,
          })
          .where('runtime_id', '=', runtimeId)
          .where('version', '=', version)
          .returningAll()
          .executeTakeFirst();
        const stamped = row && toVersion(row);
        if (stamped && keep) await keepAnswer(tx, box, keep, stamped);
        return stamped;
      });
    },

    async createEndpoint({ id, runtimeId, name, spec, at }, keep) {
      const row = {
        id,
        runtime_id: runtimeId,
        name,
        revision: 1,
        status: 'CREATING',
        status_reason: null,
        spec: JSON.stringify(spec),
        created_at: at,
        updated_at: at,
      };
      const created = toEndpoint(row);
      const insert = db.transaction().execute(async (tx) => {
        await requireVersions(tx, runtimeId, spec);
        await tx.insertInto('endpoints').values(row).execute();
        if (keep) await keepAnswer(tx, box, keep, created);
      });
      await orNameTaken(name, insert);
      return created;
    },

    async endpoints(runtimeId) {
      const rows = await db
        .selectFrom('endpoints')
        .selectAll()
        .where('runtime_id', '=', runtimeId)
        .orderBy('created_at')
        .orderBy('id')
        .execute();
      return rows.map(toEndpoint);
    },

    async listEndpoints(runtimeId, { endpointName, searchMode }, page) {
      const matching = (where: ExpressionBuilder<Tables, 'endpoints'>) => {
        const within = where('runtime_id', '=', runtimeId);
        if (endpointName === undefined) return within;
        return where.and([within, nameMatches(where, endpointName, searchMode ?? 'fuzzy')]);
      };
      const { items, total } = await newestFirst(db, 'endpoints', matching, page);
      return { items: items.map(toEndpoint), total };
    },

    async updateEndpoint(runtimeId, id, { name, spec, at }) {
      const write = db.transaction().execute(async (tx) => {
        await requireVersions(tx, runtimeId, spec);
        return tx
          .updateTable('endpoints')
          .set((where) => ({
            name,
            spec: JSON.stringify(spec),
            revision: where('revision', '+', 1),
            status: 'UPDATING',
            status_reason: null,
            updated_at: at,
          }))
          .where('id', '=', id)
          .where('runtime_id', '=', runtimeId)
          .where('status', 'not in', ['DELETING', 'DELETE_FAILED'])
          .returningAll()
          .executeTakeFirst();
      });
      const row = await orNameTaken(name, write);
      return row && toEndpoint(row);
    },

    async markEndpointDeleting(runtimeId, id, at) {
      const row = await db
        .updateTable('endpoints')
        .set((where) => ({
          status: 'DELETING',
          status_reason: null,
          revision: where
            .case()
            .when('status', '=', 'DELETING')
            .then(where.ref('revision'))
            .else(where('revision', '+', 1))
            .end(),
          updated_at: where
            .case()
            .when('status', '=', 'DELETING')
            .then(where.ref('updated_at'))
            .else(at)
            .end(),
        }))
        .where('id', '=', id)
        .where('runtime_id', '=', runtimeId)
        .returningAll()
        .executeTakeFirst();
      return row && toEndpoint(row);
    },

    async settleEndpoint(id, revision, { status, statusReason }) {
      const result = await db
        .updateTable('endpoints')
        .set({ status, status_reason: statusReason === undefined ? null : toText(statusReason) })
        .where('id', '=', id)
        .where('revision', '=', revision)
        // An endpoint on its way out stays so, whatever an attempt of the same revision finds.
        .where((where) =>
          where('status', status === 'DELETE_FAILED' ? 'in' : 'not in', ['DELETING', 'DELETE_FAILED']),
        )
        .executeTakeFirst();
      return result.numUpdatedRows === 1n;
    },

    async removeEndpoint(id) {
      await db.deleteFrom('endpoints').where('id', '=', id).execute();
    },

    async createWorkspace({ id, name, description, resourceGroupId, at }, keep) {
      const row = {
        id,
        name,
        description: description === undefined ? null : toText(description),
        resource_group_id: resourceGroupId === undefined ? null : toText(resourceGroupId),
        is_default: 0,
        created_at: at,
        updated_at: at,
      };
      const created = toWorkspace(row);
      await orNameTaken(
        name,
        keeping(keep, created, (tx) => tx.insertInto('workspaces').values(row).execute()),
      );
      return created;
    },

    async getWorkspace(id) {
      const row = await db.selectFrom('workspaces').selectAll().where('id', '=', id).executeTakeFirst();
      return row && toWorkspace(row);
    },

    defaultWorkspace,

    async workspaceByName(name) {
      const row = await db.selectFrom('workspaces').selectAll().where('name', '=', name).executeTakeFirst();
      return row && toWorkspace(row);
    },

    async listWorkspaces({ name, resourceGroupId, ids = [] }, page) {
      const matching = (where: ExpressionBuilder<Tables, 'workspaces'>) =>
        where.and([
          ...(name === undefined ? [] : [nameMatches(where, name, 'fuzzy')]),
          ...(ids.length === 0 ? [] : [where('id', 'in', [...ids])]),
          ...(resourceGroupId === undefined ? [] : [where('resource_group_id', '=', resourceGroupId)]),
        ]);
      const { items, total } = await newestFirst(db, 'workspaces', matching, page);
      return { items: items.map(toWorkspace), total };
    },

    async updateWorkspace(id, { description, at }) {
      const row = await db
        .updateTable('workspaces')
        .set({ ...(description !== undefined && { description: toText(description) }), updated_at: at })
        .where('id', '=', id)
        .returningAll()
        .executeTakeFirst();
      return row && toWorkspace(row);
    },

    async removeWorkspace(id) {
      const { numDeletedRows } = await db
        .deleteFrom('workspaces')
        .where('id', '=', id)
        .where('is_default', '=', 0)
        .where(({ not, exists, selectFrom }) =>
          not(exists(selectFrom('runtimes').select('id').where('workspace_id', '=', id))),
        )
        .executeTakeFirst();
      return numDeletedRows === 1n;
    },

    keptAnswer: (scope, key, since) => findKeptAnswer(db, box, scope, key, since),

    async artifactDigests() {
      const rows = await db
        .selectFrom('runtimes')
        .select('artifact_digest')
        .union(db.selectFrom('versions').select('artifact_digest'))
        .execute();
      return new Set(rows.flatMap(({ artifact_digest }) => artifact_digest ?? []));
    },

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

/** @throws VersionRemoved when the endpoint would name a version that was removed */
async function requireVersions(tx: Kysely<Tables>, runtimeId: string, spec: EndpointSpec): Promise<void> {
  const named = namedVersions(spec);
  if (named.length === 0) return;
  const runtime = await tx
    .selectFrom('runtimes')
    .select('head_version')
    .where('id', '=', runtimeId)
    .executeTakeFirst();
  const rows = await tx
    .selectFrom('versions')
    .select('version')
    .where('runtime_id', '=', runtimeId)
    .where('version', 'in', named)
    .execute();
  const there = new Set(rows.map(({ version }) => version));
  const versions = { head: runtime?.head_version ?? undefined, has: (version: number) => there.has(version) };
  const gone = named.find((version) => wasRemoved(version, versions));
  if (gone !== undefined) throw new VersionRemoved(gone);
}

/** Tables whose lists are newest first, ties by id. */
type Listed = 'runtimes' | 'endpoints' | 'workspaces' | 'sessions';

/**
 * Rows of one page and the number of all. Which rows they are is found by their keys alone, in the order of an index; only
 * those of the page are read whole.
 */
async function newestFirst<T extends Listed>(
  db: Kysely<Tables>,
  table: T,
  matching: (where: ExpressionBuilder<Tables, T>) => Expression<SqlBool>,
  { pageNumber, pageSize, after }: PageRequest,
): Promise<PageResult<Selectable<Tables[T]>>> {
  // All of them have id and created_at alike; the compiler follows one of them.
  const rows = db.selectFrom(table as 'runtimes');
  const all = rows.where(matching as unknown as Matching);
  const { total } = await all
    .select((where) => where.fn.countAll<number>().as('total'))
    .executeTakeFirstOrThrow();
  const rest = after
    ? all
        .where('created_at', '<=', after.createdAt)
        .where((where) => where.or([where('created_at', '<', after.createdAt), where('id', '>', after.id)]))
    : all.offset((pageNumber - 1) * pageSize);
  const keys = rest.select('id').orderBy('created_at', 'desc').orderBy('id').limit(pageSize);
  const items = await rows
    .where('id', 'in', keys)
    .selectAll()
    .orderBy('created_at', 'desc')
    .orderBy('id')
    .execute();
  return { items: items as unknown as Selectable<Tables[T]>[], total: Number(total) };
}

type Matching = (where: ExpressionBuilder<Tables, 'runtimes'>) => Expression<SqlBool>;

function matches(where: ExpressionBuilder<Tables, 'runtimes'>, filter: RuntimeFilter) {
  const conditions = [];
  if (filter.name) conditions.push(nameMatches(where, filter.name.value, filter.name.mode));
  if (filter.statuses?.length) conditions.push(where('status', 'in', [...filter.statuses]));
  if (filter.workspaceIds?.length) conditions.push(where('workspace_id', 'in', [...filter.workspaceIds]));
  for (const tag of filter.systemTags ?? []) {
    conditions.push(
      sql<boolean>`exists (select 1 from json_each(runtimes.spec, '$.systemTags') where value = ${tag})`,
    );
  }
  return where.and(conditions);
}

function ofSessions(where: ExpressionBuilder<Tables, 'sessions'>, filter: SessionFilter) {
  const conditions = [];
  if (filter.runtimeId !== undefined) conditions.push(where('runtime_id', '=', filter.runtimeId));
  if (filter.endpointName !== undefined) conditions.push(where('endpoint_name', '=', filter.endpointName));
  if (filter.workspaceIds?.length) {
    const within = where
      .selectFrom('runtimes')
      .select('runtimes.id')
      .where('runtimes.workspace_id', 'in', [...filter.workspaceIds]);
    conditions.push(where('runtime_id', 'in', within));
  }
  return where.and(conditions);
}

function nameMatches<T extends 'runtimes' | 'endpoints' | 'workspaces'>(
  where: ExpressionBuilder<Tables, T>,
  name: string,
  mode: 'exact' | 'fuzzy',
) {
  if (mode === 'exact') return sql<boolean>`${where.ref('name' as never)} = ${name}`;
  const pattern = `%${name.replace(/[\\%_]/g, '\\$&')}%`;
  return sql<boolean>`${where.ref('name' as never)} like ${pattern} escape '\\'`;
}

async function orNameTaken<T>(name: string, write: Promise<T>): Promise<T> {
  try {
    return await write;
  } catch (error) {
    if (
      error instanceof Error &&
      /UNIQUE constraint failed: \w+\.name|endpoints\.runtime_id, endpoints\.name/.test(error.message)
    ) {
      throw new NameTaken(`'${name}' already exists`, { cause: error });
    }
    throw error;
  }
}

/** The only thing a runtime refers to is its workspace. */
async function orNoSuchWorkspace<T>(id: string | undefined, write: Promise<T>): Promise<T> {
  try {
    return await write;
  } catch (error) {
    if (error instanceof Error && /FOREIGN KEY constraint failed/.test(error.message)) {
      throw new NoSuchWorkspace(`workspace '${id}' is not there`, { cause: error });
    }
    throw error;
  }
}
