import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RuntimeSpec } from '../src/domain/runtime.ts';
import {
  type AnswerToKeep,
  type EndpointRecord,
  EVENTS_KEPT,
  type EventFilter,
  NameTaken,
  type NewEvent,
  NoSuchWorkspace,
  type PageRequest,
  type PageResult,
  type RuntimeFilter,
  type RuntimeRecord,
  type Store,
  VersionRemoved,
} from '../src/store/store.ts';

/** The configuration of a runtime, with what a case is about. */
export function specOf(changes: Partial<RuntimeSpec> = {}): RuntimeSpec {
  return { artifactType: 'Code', cpu: 1, memory: 512, port: 9000, ...changes };
}

/** A time of day on one made-up date; lists are ordered by such times. */
export function at(second: number): string {
  return new Date(Date.UTC(2026, 0, 2, 3, 4, 0) + second * 1000).toISOString();
}

const EVERYTHING = { pageNumber: 1, pageSize: 1000 };
const BAD = 'start: exited with code 1';

/**
 * What any implementation of the `Store` port has to do.
 * @param open opens the store at a path that is fresh for every case; opened again, the path has the data still
 */
export function storeCases(name: string, open: (path: string) => Store | Promise<Store>): void {
  describe(`${name} as a store`, () => {
    let folder: string;
    let path: string;
    let store: Store;

    beforeEach(async () => {
      folder = mkdtempSync(join(tmpdir(), 'runstead-store-'));
      path = join(folder, 'db');
      store = await open(path);
    });

    afterEach(async () => {
      await store.close();
      rmSync(folder, { recursive: true, force: true });
    });

    const create = (
      id: string,
      changes: { name?: string; workspaceId?: string; spec?: RuntimeSpec; at?: string } = {},
    ) => store.createRuntime({ id, name: id, spec: specOf(), at: at(0), ...changes });

    const workspace = (id: string, changes: { name?: string; at?: string } = {}) =>
      store.createWorkspace({ id, name: id, at: at(0), ...changes });

    const update = (runtime: RuntimeRecord, changes: Partial<RuntimeSpec> = {}, name = runtime.name) =>
      store.updateRuntime(runtime.id, {
        name,
        spec: { ...runtime.spec, ...changes },
        expectedRevision: runtime.revision,
        forceEvict: false,
        at: at(1),
      });

    const ready = (id: string, revision: number, newVersion = true) =>
      store.settleRuntime(id, revision, { status: 'READY', newVersion, at: at(2) });

    const fail = (id: string, revision: number, status: 'CREATE_FAILED' | 'UPDATE_FAILED') =>
      store.settleRuntime(id, revision, { status, statusReason: BAD, at: at(2) });

    const endpoint = (id: string, runtimeId: string, changes: { name?: string; at?: string } = {}) =>
      store.createEndpoint({
        id,
        runtimeId,
        name: id,
        spec: { targetVersion: '1' },
        at: at(0),
        ...changes,
      });

    const ids = (page: PageResult<{ id: string }>) => page.items.map(({ id }) => id);
    const found = async (filter: RuntimeFilter) => ids(await store.listRuntimes(filter, EVERYTHING)).sort();

    describe('a runtime', () => {
      it('is CREATING at revision 1, without a version', async () => {
        const spec = specOf({ description: 'first' });
        await workspace('w1');
        const created = await create('r1', { name: 'agent', workspaceId: 'w1', spec, at: at(7) });
        expect(created).toEqual({
          id: 'r1',
          name: 'agent',
          workspaceId: 'w1',
          revision: 1,
          status: 'CREATING',
          statusReason: undefined,
          spec,
          headVersion: undefined,
          forceEvict: false,
          createdAt: at(7),
          updatedAt: at(7),
        });
        expect(await store.getRuntime('r1')).toEqual(created);
      });

      it('is undefined when there is none', async () => {
        expect(await store.getRuntime('nobody')).toBeUndefined();
        expect(await store.markRuntimeDeleting('nobody', at(1))).toBeUndefined();
        expect(await ready('nobody', 1)).toBe(false);
        await store.removeRuntime('nobody');
      });

      it('has a name of its own, with capital letters told apart', async () => {
        await create('r1', { name: 'agent' });
        await expect(create('r2', { name: 'agent' })).rejects.toThrow(NameTaken);
        await expect(create('r2', { name: 'agent' })).rejects.toThrow("'agent'");
        expect(await store.getRuntime('r2')).toBeUndefined();
        await create('r2', { name: 'Agent' });
      });

      it('is refused under an id that is taken, which is no question of names', async () => {
        await create('r1', { name: 'one' });
        const error = await create('r1', { name: 'two' }).catch((reason: unknown) => reason);
        expect(error).toBeInstanceOf(Error);
        expect(error).not.toBeInstanceOf(NameTaken);
        expect((await store.getRuntime('r1'))?.name).toBe('one');
      });

      it('keeps its name until it is removed', async () => {
        await create('r1', { name: 'agent' });
        await store.markRuntimeDeleting('r1', at(1));
        await expect(create('r2', { name: 'agent' })).rejects.toThrow(NameTaken);
        await store.removeRuntime('r1');
        expect((await create('r2', { name: 'agent' })).revision).toBe(1);
      });
    });

    describe('an update', () => {
      it('raises the revision, and leaves the versions as they are', async () => {
        await create('r1');
        await ready('r1', 1);
        const updated = await store.updateRuntime('r1', {
          name: 'renamed',
          spec: specOf({ port: 8000 }),
          expectedRevision: 1,
          forceEvict: true,
          at: at(9),
        });
        expect(updated).toEqual({
          id: 'r1',
          name: 'renamed',
          workspaceId: (await store.defaultWorkspace()).id,
          revision: 2,
          status: 'UPDATING',
          statusReason: undefined,
          spec: specOf({ port: 8000 }),
          headVersion: 1,
          forceEvict: true,
          createdAt: at(0),
          updatedAt: at(9),
        });
        expect(await store.getRuntime('r1')).toEqual(updated);
        expect((await store.getVersion('r1', 1))?.spec).toEqual(specOf());
      });

      it('changes nothing when the revision it was merged onto is not the newest', async () => {
        const first = await create('r1');
        const second = await update(first, { port: 8001 });
        for (const expectedRevision of [0, 1, 3]) {
          const change = { name: 'late', spec: specOf({ port: 8002 }), forceEvict: true, at: at(9) };
          expect(await store.updateRuntime('r1', { ...change, expectedRevision })).toBeUndefined();
        }
        expect(await store.getRuntime('r1')).toEqual(second);
      });

      it('is refused when the runtime is gone or on its way out', async () => {
        const runtime = await create('r1');
        expect(await update({ ...runtime, id: 'nobody' })).toBeUndefined();
        const deleting = (await store.markRuntimeDeleting('r1', at(1)))!;
        expect(await update(deleting)).toBeUndefined();
        const outcome = { status: 'DELETE_FAILED', statusReason: BAD, at: at(2) } as const;
        expect(await store.settleRuntime('r1', deleting.revision, outcome)).toBe(true);
        expect(await update(deleting)).toBeUndefined();
        expect((await store.getRuntime('r1'))?.status).toBe('DELETE_FAILED');
      });

      it('may take a free name, and no other', async () => {
        await create('r1', { name: 'one' });
        const two = await create('r2', { name: 'two' });
        await expect(update(two, {}, 'one')).rejects.toThrow(NameTaken);
        expect(await store.getRuntime('r2')).toEqual(two);
        expect((await update(two, {}, 'two'))?.revision).toBe(2);
        expect((await update({ ...two, revision: 2 }, {}, 'three'))?.name).toBe('three');
        await create('r3', { name: 'two' });
      });

      it('clears the reason of a failure, and the wish to cut instances', async () => {
        const created = await create('r1');
        await fail('r1', 1, 'CREATE_FAILED');
        const change = { name: 'r1', spec: created.spec, at: at(3) };
        await store.updateRuntime('r1', { ...change, expectedRevision: 1, forceEvict: true });
        const again = await store.updateRuntime('r1', { ...change, expectedRevision: 2, forceEvict: false });
        expect(again).toMatchObject({ status: 'UPDATING', statusReason: undefined, forceEvict: false });
      });
    });

    describe('the package of an attempt', () => {
      const artifact = { digest: 'f'.repeat(64), crc64: '7', entry: { command: ['node', 'a'], source: 'a' } };

      it('is part of the configuration from then on, and of the version that comes of it', async () => {
        const before = await create('r1', { spec: specOf({ description: 'as it was' }) });
        expect(await store.fixArtifact('r1', 1, artifact)).toBe(true);
        const fixed = { ...before, spec: { ...before.spec, artifact } };
        expect(await store.getRuntime('r1')).toEqual(fixed);
        expect(await store.artifactDigests()).toEqual(new Set([artifact.digest]));
        await store.close();
        store = await open(path);
        expect(await store.getRuntime('r1')).toEqual(fixed);
        await ready('r1', 1);
        expect((await store.getVersion('r1', 1))?.spec).toEqual(fixed.spec);
        await update(fixed, { artifact: undefined });
        expect((await store.getRuntime('r1'))?.spec).not.toHaveProperty('artifact');
        expect(await store.artifactDigests()).toEqual(new Set([artifact.digest]));
      });

      it('is no longer taken when the runtime has moved on, is decided, on its way out, or gone', async () => {
        const runtime = await create('r1');
        await update(runtime);
        expect(await store.fixArtifact('r1', 1, artifact)).toBe(false);
        await ready('r1', 2);
        expect(await store.fixArtifact('r1', 2, artifact)).toBe(false);
        const { revision } = (await store.markRuntimeDeleting('r1', at(3)))!;
        expect(await store.fixArtifact('r1', revision, artifact)).toBe(false);
        expect((await store.getRuntime('r1'))?.spec).not.toHaveProperty('artifact');
        expect(await store.fixArtifact('r2', 1, artifact)).toBe(false);
        expect(await store.artifactDigests()).toEqual(new Set());
      });
    });

    describe('the end of an attempt', () => {
      it('numbers the version, and makes it the head in the same step', async () => {
        const spec = specOf({ description: 'what ran' });
        await create('r1', { spec });
        expect(await ready('r1', 1)).toBe(true);
        expect(await store.getRuntime('r1')).toMatchObject({
          status: 'READY',
          headVersion: 1,
          revision: 1,
          updatedAt: at(2),
        });
        expect(await store.getVersion('r1', 1)).toEqual({
          runtimeId: 'r1',
          version: 1,
          revision: 1,
          spec,
          description: undefined,
          publisher: undefined,
          createdAt: at(2),
          updatedAt: at(2),
        });
      });

      it('can be READY without a version', async () => {
        const created = await create('r1');
        await ready('r1', 1);
        await update(created);
        expect(await ready('r1', 2, false)).toBe(true);
        expect(await store.getRuntime('r1')).toMatchObject({ status: 'READY', headVersion: 1, revision: 2 });
        expect(await store.versions('r1')).toHaveLength(1);
      });

      it('says why it failed, and leaves no version', async () => {
        await create('r1');
        expect(await fail('r1', 1, 'CREATE_FAILED')).toBe(true);
        expect(await store.getRuntime('r1')).toMatchObject({
          status: 'CREATE_FAILED',
          statusReason: BAD,
          headVersion: undefined,
        });
        expect(await store.versions('r1')).toEqual([]);
      });

      it('leaves no trace when it is of an older revision', async () => {
        const created = await create('r1');
        const newest = await update(created);
        expect(await ready('r1', 1)).toBe(false);
        expect(await fail('r1', 1, 'CREATE_FAILED')).toBe(false);
        expect(await store.getRuntime('r1')).toEqual(newest);
        expect(await store.versions('r1')).toEqual([]);
        expect(await ready('r1', 2)).toBe(true);
        expect((await store.versions('r1')).map(({ version, revision }) => [version, revision])).toEqual([
          [1, 2],
        ]);
      });

      it('comes once: what has ended does not end again', async () => {
        await create('r1');
        await ready('r1', 1);
        const settled = await store.getRuntime('r1');
        expect(await ready('r1', 1)).toBe(false);
        expect(await ready('r1', 1, false)).toBe(false);
        expect(await fail('r1', 1, 'UPDATE_FAILED')).toBe(false);
        expect(await store.getRuntime('r1')).toEqual(settled);
        expect(await store.versions('r1')).toHaveLength(1);
      });

      it('numbers versions without gaps, whatever failed or was overtaken between them', async () => {
        let runtime = await create('r1');
        const wanted: number[] = [];
        for (let round = 1; round <= 12; round++) {
          if (round % 3 === 0) {
            expect(await fail('r1', runtime.revision, 'UPDATE_FAILED')).toBe(true);
          } else if (round % 4 === 0) {
            runtime = (await update(runtime))!;
            expect(await ready('r1', runtime.revision - 1)).toBe(false);
          } else {
            expect(await ready('r1', runtime.revision)).toBe(true);
            wanted.push(runtime.revision);
          }
          runtime = (await update((await store.getRuntime('r1'))!))!;
        }
        const versions = await store.versions('r1');
        expect(versions.map(({ version }) => version)).toEqual(wanted.map((_, index) => index + 1));
        expect(versions.map(({ revision }) => revision)).toEqual(wanted);
        expect((await store.getRuntime('r1'))?.headVersion).toBe(wanted.length);
      });

      it('keeps an agent’s own words, whatever bytes it wrote', async () => {
        await create('r1');
        const statusReason = 'start: "exit" \\ 100% 中文 🙂 \u0007 before\0after';
        await store.settleRuntime('r1', 1, { status: 'CREATE_FAILED', statusReason, at: at(1) });
        // NUL has no place in PostgreSQL's text; all else stays.
        expect((await store.getRuntime('r1'))?.statusReason).toBe(statusReason.replace('\0', '\ufffd'));
      });
    });

    describe('a delete', () => {
      it('raises the revision once only', async () => {
        await create('r1');
        await ready('r1', 1);
        const deleting = await store.markRuntimeDeleting('r1', at(5));
        expect(deleting).toMatchObject({ status: 'DELETING', revision: 2, updatedAt: at(5), headVersion: 1 });
        expect(await store.markRuntimeDeleting('r1', at(6))).toEqual(deleting);
        expect(await store.getRuntime('r1')).toEqual(deleting);
      });

      it('outranks the attempt under way', async () => {
        await create('r1');
        await store.markRuntimeDeleting('r1', at(5));
        for (const revision of [1, 2]) {
          expect(await ready('r1', revision)).toBe(false);
          expect(await fail('r1', revision, 'CREATE_FAILED')).toBe(false);
        }
        expect((await store.getRuntime('r1'))?.status).toBe('DELETING');
        expect(await store.versions('r1')).toEqual([]);
      });

      it('can fail, and be asked for again', async () => {
        await create('r1');
        const outcome = { status: 'DELETE_FAILED', statusReason: BAD, at: at(2) } as const;
        expect(await store.settleRuntime('r1', 1, outcome)).toBe(false);
        await store.markRuntimeDeleting('r1', at(1));
        expect(await store.settleRuntime('r1', 1, outcome)).toBe(false);
        expect(await store.settleRuntime('r1', 2, outcome)).toBe(true);
        expect(await store.getRuntime('r1')).toMatchObject({ status: 'DELETE_FAILED', statusReason: BAD });
        expect(await store.markRuntimeDeleting('r1', at(3))).toMatchObject({
          status: 'DELETING',
          statusReason: undefined,
          revision: 3,
        });
      });

      it('takes versions, endpoints and events with it, and nothing of others', async () => {
        for (const id of ['r1', 'r2']) {
          await create(id);
          await ready(id, 1);
          await endpoint(`${id}-e`, id);
          await store.addEvent(event(id, 1));
        }
        await store.removeRuntime('r1');
        expect(await store.getRuntime('r1')).toBeUndefined();
        expect(await store.getVersion('r1', 1)).toBeUndefined();
        expect(await store.versions('r1')).toEqual([]);
        expect(await store.endpoints('r1')).toEqual([]);
        expect(await store.getEndpoint('r1', 'r1-e')).toBeUndefined();
        expect(await store.listEvents('r1', 10)).toEqual([]);
        expect(await store.listVersions('r1', EVERYTHING)).toEqual({ items: [], total: 0 });
        expect(await store.versions('r2')).toHaveLength(1);
        expect(await store.endpoints('r2')).toHaveLength(1);
        expect(await store.listEvents('r2', 10)).toHaveLength(1);
        // The same id again begins anew.
        await create('r1');
        await ready('r1', 1);
        expect((await store.getRuntime('r1'))?.headVersion).toBe(1);
      });
    });

    describe('runtimeIds', () => {
      it('names all, oldest first, or those with work under way', async () => {
        await create('failed', { at: at(3) });
        await fail('failed', 1, 'CREATE_FAILED');
        await create('creating', { at: at(1) });
        await create('b-ready', { at: at(0) });
        await ready('b-ready', 1);
        const updating = await create('a-updating', { at: at(0) });
        await ready('a-updating', 1);
        await update(updating);
        await create('deleting', { at: at(2) });
        await store.markRuntimeDeleting('deleting', at(4));
        await create('delete-failed', { at: at(5) });
        await store.markRuntimeDeleting('delete-failed', at(6));
        await store.settleRuntime('delete-failed', 2, {
          status: 'DELETE_FAILED',
          statusReason: BAD,
          at: at(7),
        });
        const all = ['a-updating', 'b-ready', 'creating', 'deleting', 'failed', 'delete-failed'];
        expect(await store.runtimeIds()).toEqual(all);
        expect(await store.runtimeIds({ unsettled: false })).toEqual(all);
        expect(await store.runtimeIds({ unsettled: true })).toEqual(['a-updating', 'creating', 'deleting']);
      });

      it('names those with an endpoint under way, or one that asks for instances', async () => {
        for (const id of ['a-none', 'b-settled', 'c-creating', 'd-scaled', 'e-deleting']) await create(id);
        const put = (runtimeId: string, spec: object = {}) =>
          store.createEndpoint({ id: `of-${runtimeId}`, runtimeId, name: 'prod', spec, at: at(0) });
        for (const runtimeId of ['b-settled', 'c-creating', 'e-deleting']) await put(runtimeId);
        await put('d-scaled', { scalingConfig: { minInstances: 1 } });
        for (const runtimeId of ['b-settled', 'd-scaled', 'e-deleting'])
          await store.settleEndpoint(`of-${runtimeId}`, 1, { status: 'READY' });
        await store.markEndpointDeleting('e-deleting', 'of-e-deleting', at(1));
        expect(await store.runtimeIdsByEndpoints()).toEqual(['c-creating', 'd-scaled', 'e-deleting']);
      });
    });

    describe('the list of runtimes', () => {
      it('is newest first, ties by id, in pages', async () => {
        await create('c', { at: at(1) });
        await create('a', { at: at(1) });
        await create('old', { at: at(0) });
        await create('new', { at: at(2) });
        await create('b', { at: at(1) });
        const order = ['new', 'a', 'b', 'c', 'old'];
        expect(await store.listRuntimes({}, EVERYTHING)).toMatchObject({ total: 5 });
        expect(ids(await store.listRuntimes({}, EVERYTHING))).toEqual(order);
        for (const pageSize of [1, 2, 3, 5]) {
          const seen: string[] = [];
          for (let pageNumber = 1; pageNumber <= Math.ceil(5 / pageSize); pageNumber++) {
            const page = await store.listRuntimes({}, { pageNumber, pageSize });
            expect(page.total).toBe(5);
            seen.push(...ids(page));
          }
          expect(seen).toEqual(order);
        }
      });

      it('has an empty page behind the last, however far', async () => {
        await create('a');
        for (const pageNumber of [2, 1000, Number.MAX_SAFE_INTEGER]) {
          expect(await store.listRuntimes({}, { pageNumber, pageSize: 100 })).toEqual({
            items: [],
            total: 1,
          });
        }
      });

      it('leaves nobody out who was there, though others come while it is read', async () => {
        const there = Array.from({ length: 20 }, (_, index) => `r${String(index).padStart(2, '0')}`);
        for (const [index, id] of there.entries()) await create(id, { at: at(index % 5) });
        const before = ids(await store.listRuntimes({}, EVERYTHING));
        const seen = new Set<string>();
        for (let pageNumber = 1; ; pageNumber++) {
          const page = await store.listRuntimes({}, { pageNumber, pageSize: 3 });
          if (page.items.length === 0) break;
          for (const id of ids(page)) seen.add(id);
          // Fewer than fit on a page, so that the reader gets ahead.
          if (pageNumber < 10) await create(`late-${pageNumber}`, { at: at(100 + pageNumber) });
        }
        expect([...seen].filter((id) => there.includes(id))).toEqual(before);
      });

      it('finds names exactly, or by a part', async () => {
        const names = ['plain', '100%', '100', 'a_b', 'axb', 'back\\slash', 'backslash', "quo'te", 'Plain-2'];
        for (const [index, taken] of names.entries()) await create(`r${index}`, { name: taken });
        const named = async (value: string, mode: 'exact' | 'fuzzy') => {
          const { items, total } = await store.listRuntimes({ name: { value, mode } }, EVERYTHING);
          expect(total).toBe(items.length);
          return items.map((item) => item.name).sort();
        };
        for (const taken of names) expect(await named(taken, 'exact')).toEqual([taken]);
        expect(await named('PLAIN', 'exact')).toEqual([]);
        expect(await named('pla', 'exact')).toEqual([]);
        expect(await named('%', 'exact')).toEqual([]);
        expect(await named('100', 'fuzzy')).toEqual(['100', '100%']);
        expect(await named('%', 'fuzzy')).toEqual(['100%']);
        expect(await named('0%', 'fuzzy')).toEqual(['100%']);
        expect(await named('_', 'fuzzy')).toEqual(['a_b']);
        expect(await named('a_b', 'fuzzy')).toEqual(['a_b']);
        expect(await named('\\', 'fuzzy')).toEqual(['back\\slash']);
        expect(await named('k\\s', 'fuzzy')).toEqual(['back\\slash']);
        expect(await named("o't", 'fuzzy')).toEqual(["quo'te"]);
        expect(await named('pLAIN', 'fuzzy')).toEqual(['Plain-2', 'plain']);
        expect(await named('', 'fuzzy')).toEqual([...names].sort());
        expect(await named('nowhere', 'fuzzy')).toEqual([]);
      });

      it('selects by status, workspace and tags, all at once', async () => {
        await workspace('w1');
        await workspace('w2');
        await create('r1', { workspaceId: 'w1', spec: specOf({ systemTags: ['a', 'b'] }) });
        await create('r2', { workspaceId: 'w2', spec: specOf({ systemTags: ['a'] }) });
        await create('r3', { workspaceId: 'w1', spec: specOf({ systemTags: [] }) });
        await create('r4', { spec: specOf({ systemTags: ['ab', "b'", '%'] }) });
        await ready('r1', 1);
        await ready('r2', 1);
        expect(await found({ statuses: ['READY'] })).toEqual(['r1', 'r2']);
        expect(await found({ statuses: ['READY', 'CREATING'] })).toEqual(['r1', 'r2', 'r3', 'r4']);
        expect(await found({ statuses: ['DELETING'] })).toEqual([]);
        expect(await found({ statuses: [] })).toHaveLength(4);
        expect(await found({ workspaceIds: ['w1'] })).toEqual(['r1', 'r3']);
        expect(await found({ workspaceIds: ['w1', 'w2', 'w3'] })).toEqual(['r1', 'r2', 'r3']);
        expect(await found({ workspaceIds: [] })).toHaveLength(4);
        expect(await found({ systemTags: ['a'] })).toEqual(['r1', 'r2']);
        expect(await found({ systemTags: ['a', 'b'] })).toEqual(['r1']);
        expect(await found({ systemTags: ["b'"] })).toEqual(['r4']);
        expect(await found({ systemTags: ['%'] })).toEqual(['r4']);
        expect(await found({ systemTags: ['A'] })).toEqual([]);
        expect(await found({ systemTags: [] })).toHaveLength(4);
        expect(
          await found({
            name: { value: 'r', mode: 'fuzzy' },
            statuses: ['READY'],
            workspaceIds: ['w1'],
            systemTags: ['b'],
          }),
        ).toEqual(['r1']);
      });

      it('counts what the filter selects, not what the page shows', async () => {
        for (const id of ['w0', 'w1']) await workspace(id);
        for (let i = 0; i < 5; i++) await create(`r${i}`, { workspaceId: `w${i % 2}` });
        const page = await store.listRuntimes({ workspaceIds: ['w0'] }, { pageNumber: 2, pageSize: 2 });
        expect(page.total).toBe(3);
        expect(page.items).toHaveLength(1);
      });

      it('goes by the newest configuration', async () => {
        for (const id of ['w1', 'w2']) await workspace(id);
        const created = await create('r1', { workspaceId: 'w1', spec: specOf({ systemTags: ['a'] }) });
        const { spec, revision } = (await update(created, { systemTags: ['b'] }, 'other'))!;
        const move = { name: 'other', workspaceId: 'w2', spec, forceEvict: false, at: at(2) };
        await store.updateRuntime('r1', { ...move, expectedRevision: revision });
        expect(await found({ workspaceIds: ['w1'] })).toEqual([]);
        expect(await found({ systemTags: ['a'] })).toEqual([]);
        expect(await found({ name: { value: 'r1', mode: 'exact' } })).toEqual([]);
        expect(await found({ workspaceIds: ['w2'], systemTags: ['b'] })).toEqual(['r1']);
      });
    });

    describe('versions', () => {
      const withVersions = async (count: number) => {
        let runtime: RuntimeRecord | undefined = await create('r1');
        for (let i = 1; i <= count; i++) {
          await ready('r1', i);
          if (i < count) runtime = await update(runtime!, { port: 9000 + i });
        }
      };

      it('are read oldest first and listed newest first', async () => {
        await withVersions(12);
        const oldestFirst = Array.from({ length: 12 }, (_, index) => index + 1);
        const versions = await store.versions('r1');
        expect(versions.map(({ version }) => version)).toEqual(oldestFirst);
        expect(versions.map(({ spec }) => spec.port)).toEqual(oldestFirst.map((n) => 8999 + n));
        const page = await store.listVersions('r1', { pageNumber: 2, pageSize: 5 });
        expect(page.total).toBe(12);
        expect(page.items.map(({ version }) => version)).toEqual([7, 6, 5, 4, 3]);
        expect(await store.getVersion('r1', 13)).toBeUndefined();
        expect(await store.getVersion('r1', 0)).toBeUndefined();
        expect(await store.getVersion('other', 1)).toBeUndefined();
      });

      it('can be stamped, field by field', async () => {
        await withVersions(2);
        const before = await store.getVersion('r1', 1);
        const stamped = await store.publishVersion('r1', 2, { description: 'stable', at: at(20) });
        expect(stamped).toMatchObject({
          version: 2,
          description: 'stable',
          publisher: undefined,
          updatedAt: at(20),
        });
        await store.publishVersion('r1', 2, { description: undefined, publisher: 'ada 🙂', at: at(21) });
        expect(await store.getVersion('r1', 2)).toMatchObject({
          description: 'stable',
          publisher: 'ada 🙂',
          createdAt: at(2),
        });
        expect(await store.publishVersion('r1', 2, { description: '', at: at(22) })).toMatchObject({
          description: '',
        });
        expect(await store.getVersion('r1', 1)).toEqual(before);
        expect(await store.publishVersion('r1', 3, { at: at(20) })).toBeUndefined();
        expect(await store.publishVersion('other', 1, { at: at(20) })).toBeUndefined();
      });
    });

    describe('the removal of versions', () => {
      const eventOf = (removed: number[]): NewEvent => ({
        runtimeId: 'r1',
        revision: 1,
        phase: 'retention',
        startedAt: at(9),
        durationMs: 0,
        outcome: 'ok',
        reason: removed.join(),
      });
      const endpoint = (spec: EndpointRecord['spec']) => ({
        id: 'e1',
        runtimeId: 'r1',
        name: 'prod',
        spec,
        at: at(2),
      });
      beforeEach(async () => {
        for (const id of ['r1', 'r2']) {
          let runtime: RuntimeRecord | undefined = await create(id);
          for (let version = 1; version <= 4; version++) {
            await store.settleRuntime(id, version, { status: 'READY', newVersion: true, at: at(version) });
            runtime = await update(runtime!, { port: 9000 + version });
          }
        }
      });
      const left = async (id: string) => (await store.versions(id)).map(({ version }) => version);

      it('spares the head and what an endpoint names, and is told in the history', async () => {
        const versionWeights = [{ version: '3', weight: 0 }];
        await store.createEndpoint(
          endpoint({ targetVersion: '1', routingConfiguration: { versionWeights } }),
        );
        expect(await store.removeVersions('r1', [1, 2, 3, 4, 5], eventOf)).toEqual([2]);
        expect(await left('r1')).toEqual([1, 3, 4]);
        expect(await left('r2')).toEqual([1, 2, 3, 4]);
        expect((await store.listVersions('r1', EVERYTHING)).total).toBe(3);
        expect((await store.listEvents('r1', 5)).map(({ phase, reason }) => [phase, reason])).toEqual([
          ['retention', '2'],
        ]);
        // With nothing to remove there is nothing to tell.
        expect(await store.removeVersions('r1', [2, 4], eventOf)).toEqual([]);
        expect(await store.removeVersions('nowhere', [1], eventOf)).toEqual([]);
        expect(await store.listEvents('r1', 5)).toHaveLength(1);
      });

      it('leaves numbers that are not given again, and that no endpoint can name any more', async () => {
        await store.createEndpoint(endpoint({ targetVersion: '1' }));
        await store.removeVersions('r1', [2], eventOf);
        const versionWeights = [{ version: '2', weight: 0.5 }];
        for (const spec of [{ targetVersion: '2' }, { routingConfiguration: { versionWeights } }]) {
          const other = { ...endpoint(spec), id: 'e2', name: 'other' };
          await expect(store.createEndpoint(other)).rejects.toMatchObject({
            name: 'VersionRemoved',
            version: 2,
          });
          const write = store.updateEndpoint('r1', 'e1', { name: 'prod', spec, at: at(3) });
          await expect(write).rejects.toBeInstanceOf(VersionRemoved);
        }
        expect(await store.endpoints('r1')).toMatchObject([{ revision: 1, spec: { targetVersion: '1' } }]);
        await store.settleRuntime('r1', 5, { status: 'READY', newVersion: true, at: at(5) });
        expect(await left('r1')).toEqual([1, 3, 4, 5]);
      });

      it('and an endpoint that comes to name one: whichever is first, none names what is not there', async () => {
        const [removed, created] = await Promise.allSettled([
          store.removeVersions('r1', [1], eventOf),
          store.createEndpoint(endpoint({ targetVersion: '1' })),
        ]);
        const isThere = (await left('r1')).includes(1);
        expect([removed, created.status]).toMatchObject(
          isThere ? [{ value: [] }, 'fulfilled'] : [{ value: [1] }, 'rejected'],
        );
      });
    });

    describe('an endpoint', () => {
      it('is CREATING at revision 1, under its runtime alone', async () => {
        await create('r1');
        await create('r2');
        const spec = {
          targetVersion: '2',
          description: 'e',
          routingConfiguration: { versionWeights: [{ version: '1', weight: 0.25 }] },
          scalingConfig: { minInstances: 0 },
        };
        const created = await store.createEndpoint({
          id: 'e1',
          runtimeId: 'r1',
          name: 'prod',
          spec,
          at: at(3),
        });
        expect(created).toEqual({
          id: 'e1',
          runtimeId: 'r1',
          name: 'prod',
          revision: 1,
          status: 'CREATING',
          statusReason: undefined,
          spec,
          createdAt: at(3),
          updatedAt: at(3),
        } satisfies EndpointRecord);
        expect(await store.getEndpoint('r1', 'e1')).toEqual(created);
        expect(await store.getEndpoint('r2', 'e1')).toBeUndefined();
        expect(await store.getEndpoint('r1', 'e2')).toBeUndefined();
      });

      it('has a name of its own within the runtime', async () => {
        await create('r1');
        await create('r2');
        await endpoint('e1', 'r1', { name: 'prod' });
        await expect(endpoint('e2', 'r1', { name: 'prod' })).rejects.toThrow(NameTaken);
        await endpoint('e2', 'r2', { name: 'prod' });
        await endpoint('e3', 'r1', { name: 'Prod' });
        const rename = { name: 'prod', spec: {}, at: at(1) };
        await expect(store.updateEndpoint('r1', 'e3', rename)).rejects.toThrow(NameTaken);
        expect((await store.getEndpoint('r1', 'e3'))?.name).toBe('Prod');
        expect((await store.updateEndpoint('r1', 'e1', rename))?.name).toBe('prod');
      });

      it('of a runtime that is not there cannot be made', async () => {
        const error = await endpoint('e1', 'nobody').catch((reason: unknown) => reason);
        expect(error).toBeInstanceOf(Error);
        expect(error).not.toBeInstanceOf(NameTaken);
        await create('nobody');
        expect(await store.endpoints('nobody')).toEqual([]);
      });

      it('is replaced by an update, which raises the revision', async () => {
        await create('r1');
        await endpoint('e1', 'r1');
        await store.settleEndpoint('e1', 1, { status: 'UPDATE_FAILED', statusReason: BAD });
        const updated = await store.updateEndpoint('r1', 'e1', {
          name: 'canary',
          spec: { description: 'new' },
          at: at(8),
        });
        expect(updated).toEqual({
          id: 'e1',
          runtimeId: 'r1',
          name: 'canary',
          revision: 2,
          status: 'UPDATING',
          statusReason: undefined,
          spec: { description: 'new' },
          createdAt: at(0),
          updatedAt: at(8),
        });
        expect(await store.getEndpoint('r1', 'e1')).toEqual(updated);
        const change = { name: 'x', spec: {}, at: at(9) };
        expect(await store.updateEndpoint('r2', 'e1', change)).toBeUndefined();
        expect(await store.updateEndpoint('r1', 'e9', change)).toBeUndefined();
      });

      it('is settled for the newest revision only', async () => {
        await create('r1');
        await endpoint('e1', 'r1');
        await store.updateEndpoint('r1', 'e1', { name: 'e1', spec: {}, at: at(1) });
        expect(await store.settleEndpoint('e1', 1, { status: 'READY' })).toBe(false);
        expect(await store.settleEndpoint('e1', 3, { status: 'READY' })).toBe(false);
        expect(await store.settleEndpoint('nobody', 1, { status: 'READY' })).toBe(false);
        expect((await store.getEndpoint('r1', 'e1'))?.status).toBe('UPDATING');
        expect(await store.settleEndpoint('e1', 2, { status: 'UPDATE_FAILED', statusReason: BAD })).toBe(
          true,
        );
        expect(await store.getEndpoint('r1', 'e1')).toMatchObject({
          status: 'UPDATE_FAILED',
          statusReason: BAD,
        });
        expect(await store.settleEndpoint('e1', 2, { status: 'READY' })).toBe(true);
        expect(await store.getEndpoint('r1', 'e1')).toMatchObject({
          status: 'READY',
          statusReason: undefined,
        });
      });

      it('on its way out stays so, with its revision raised once', async () => {
        await create('r1');
        await endpoint('e1', 'r1');
        expect(await store.markEndpointDeleting('r2', 'e1', at(4))).toBeUndefined();
        expect(await store.markEndpointDeleting('r1', 'e9', at(4))).toBeUndefined();
        const deleting = await store.markEndpointDeleting('r1', 'e1', at(4));
        expect(deleting).toMatchObject({ status: 'DELETING', revision: 2, updatedAt: at(4) });
        expect(await store.markEndpointDeleting('r1', 'e1', at(5))).toEqual(deleting);
        expect(await store.updateEndpoint('r1', 'e1', { name: 'e1', spec: {}, at: at(6) })).toBeUndefined();
        for (const revision of [1, 2]) {
          expect(await store.settleEndpoint('e1', revision, { status: 'READY' })).toBe(false);
        }
        expect(await store.getEndpoint('r1', 'e1')).toEqual(deleting);
        await store.removeEndpoint('e1');
        expect(await store.getEndpoint('r1', 'e1')).toBeUndefined();
        await store.removeEndpoint('e1');
        expect((await endpoint('e1', 'r1')).revision).toBe(1);
      });

      it('is read oldest first and listed newest first, ties by id', async () => {
        await create('r1');
        await create('r2');
        await endpoint('c', 'r1', { at: at(1) });
        await endpoint('a', 'r1', { at: at(1) });
        await endpoint('old', 'r1', { at: at(0) });
        await endpoint('new', 'r1', { at: at(2) });
        await endpoint('other', 'r2', { at: at(2) });
        expect((await store.endpoints('r1')).map(({ id }) => id)).toEqual(['old', 'a', 'c', 'new']);
        expect(ids(await store.listEndpoints('r1', {}, EVERYTHING))).toEqual(['new', 'a', 'c', 'old']);
        const page = await store.listEndpoints('r1', {}, { pageNumber: 2, pageSize: 3 });
        expect(page.total).toBe(4);
        expect(ids(page)).toEqual(['old']);
      });

      it('is found by name, fuzzily unless asked otherwise', async () => {
        await create('r1');
        const names = ['Default', 'default', 'a_b', 'axb', 'p%', 'b\\c'];
        for (const [index, taken] of names.entries()) await endpoint(`e${index}`, 'r1', { name: taken });
        const named = async (endpointName: string, searchMode?: 'exact' | 'fuzzy') => {
          const { items } = await store.listEndpoints('r1', { endpointName, searchMode }, EVERYTHING);
          return items.map((item) => item.name).sort();
        };
        for (const taken of names) expect(await named(taken, 'exact')).toEqual([taken]);
        expect(await named('efau')).toEqual(['Default', 'default']);
        expect(await named('efau', 'fuzzy')).toEqual(['Default', 'default']);
        expect(await named('efau', 'exact')).toEqual([]);
        expect(await named('_')).toEqual(['a_b']);
        expect(await named('%')).toEqual(['p%']);
        expect(await named('\\')).toEqual(['b\\c']);
        expect(await named('')).toHaveLength(6);
      });
    });

    describe('events', () => {
      it('are read newest first, in the order they were added', async () => {
        await create('r1');
        await store.addEvent({ ...event('r1', 1), startedAt: at(9), phase: 'fetch', durationMs: 12.6 });
        await store.addEvent({ ...event('r1', 2), startedAt: at(1), outcome: 'failed', reason: 'no\0 ☃' });
        const events = await store.listEvents('r1', 10);
        expect(events.map(({ id: _id, ...rest }) => rest)).toEqual([
          { ...event('r1', 2), startedAt: at(1), outcome: 'failed', reason: 'no\ufffd ☃' },
          { ...event('r1', 1), startedAt: at(9), phase: 'fetch', durationMs: 13, reason: undefined },
        ]);
        expect(events[0]!.id).toBeGreaterThan(events[1]!.id);
        expect(await store.listEvents('r1', 1)).toEqual(events.slice(0, 1));
        expect(await store.listEvents('r2', 10)).toEqual([]);
      });

      it('keep what was written in them, line by line', async () => {
        await create('r1');
        const output = ['added 2 packages', 'a "quoted" ☃', 'nul\0'];
        await store.addEvent({ ...event('r1', 1), output });
        await store.addEvent({ ...event('r1', 2), output: [] });
        const [second, first] = await store.listEvents('r1', 10);
        expect(first!.output).toEqual(['added 2 packages', 'a "quoted" ☃', 'nul\ufffd']);
        expect(second!.output).toEqual([]);
      });

      it('of a runtime that is gone are dropped', async () => {
        await store.addEvent(event('nobody', 1));
        await create('nobody');
        expect(await store.listEvents('nobody', 10)).toEqual([]);
      });

      it(`stay up to ${EVENTS_KEPT} per runtime, the newest`, async () => {
        await create('r1');
        await create('r2');
        await store.addEvent(event('r2', 1));
        for (let i = 1; i <= EVENTS_KEPT + 7; i++) await store.addEvent(event('r1', i));
        const kept = await store.listEvents('r1', 10 * EVENTS_KEPT);
        expect(kept.map(({ revision }) => revision)).toEqual(
          Array.from({ length: EVENTS_KEPT }, (_, index) => EVENTS_KEPT + 7 - index),
        );
        expect(await store.listEvents('r2', 10)).toHaveLength(1);
      });
    });

    describe('events of several kinds', () => {
      const phases = async (filter?: EventFilter) =>
        (await store.listEvents('r1', 10_000, filter)).map(({ phase }) => phase);

      it('are read by kind, and on from one of them', async () => {
        await create('r1');
        for (const phase of ['install', 'scale', 'exit', 'stop', 'ready'])
          await store.addEvent({ ...event('r1', 1), phase });
        expect(await phases({ kind: 'scale' })).toEqual(['stop', 'scale']);
        expect(await phases({ kind: 'exit' })).toEqual(['exit']);
        expect(await phases({ kind: 'deploy' })).toEqual(['ready', 'install']);
        const ids = (await store.listEvents('r1', 10)).map(({ id }) => id);
        expect(await phases({ beforeId: ids[1] })).toEqual(['exit', 'scale', 'install']);
        expect(await phases({ afterId: ids[3] })).toEqual(['ready', 'stop', 'exit']);
        // What came next, not what is newest.
        const next = await store.listEvents('r1', 2, { afterId: ids[4] });
        expect(next.map(({ phase }) => phase)).toEqual(['exit', 'scale']);
      });

      it('tell of an instance and its end', async () => {
        await create('r1');
        await store.addEvent({ ...event('r1', 1), phase: 'exit', instanceId: 'i', exitCode: 0 });
        await store.addEvent({ ...event('r1', 1), phase: 'exit', instanceId: 'i', exitSignal: 'SIGKILL' });
        const [killed, ended] = await store.listEvents('r1', 10);
        expect(ended).toMatchObject({ instanceId: 'i', exitCode: 0 });
        expect(ended).not.toHaveProperty('exitSignal');
        expect(killed).toMatchObject({ instanceId: 'i', exitSignal: 'SIGKILL' });
      });

      it('are removed by age, of all runtimes', async () => {
        await create('r1');
        await create('r2');
        await store.addEvent({ ...event('r1', 1), startedAt: at(1), phase: 'install' });
        await store.addEvent({ ...event('r2', 1), startedAt: at(1) });
        await store.addEvent({ ...event('r1', 1), startedAt: at(5), phase: 'exit' });
        await store.removeEvents(at(5));
        expect(await phases()).toEqual(['exit']);
        expect(await store.listEvents('r2', 10)).toEqual([]);
      });
    });

    describe('artifactDigests', () => {
      it('names the packages of the newest configurations and of all versions, each once', async () => {
        const artifact = (letter: string) => ({ artifact: { digest: letter.repeat(64), crc64: '1' } });
        const digests = async () => [...(await store.artifactDigests())].map((digest) => digest[0]).sort();
        expect(await digests()).toEqual([]);
        let runtime = await create('r1', { spec: specOf(artifact('a')) });
        await ready('r1', 1);
        runtime = (await update(runtime, artifact('b')))!;
        expect(await digests()).toEqual(['a', 'b']);
        // What failed is still what is desired.
        await fail('r1', 2, 'UPDATE_FAILED');
        expect(await digests()).toEqual(['a', 'b']);
        runtime = (await update(runtime, artifact('c')))!;
        expect(await digests()).toEqual(['a', 'c']);
        await create('r2', { spec: specOf(artifact('c')) });
        await create('r3', { spec: specOf() });
        expect(await digests()).toEqual(['a', 'c']);
        await store.removeRuntime('r1');
        expect(await digests()).toEqual(['c']);
      });
    });

    describe('a workspace', () => {
      const newest = async (filter = {}) => ids(await store.listWorkspaces(filter, EVERYTHING));

      it('is there from the start: the default one, under one id for good', async () => {
        const first = await store.defaultWorkspace();
        expect(first).toEqual({
          id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/),
          name: 'default',
          description: undefined,
          resourceGroupId: undefined,
          isDefault: true,
          createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
          updatedAt: first.createdAt,
        });
        await store.close();
        store = await open(path);
        expect(await store.defaultWorkspace()).toEqual(first);
        expect(await store.getWorkspace(first.id)).toEqual(first);
        expect((await create('r1')).workspaceId).toBe(first.id);
        const other = await open(join(folder, 'other'));
        expect((await other.defaultWorkspace()).id).not.toBe(first.id);
        await other.close();
      });

      it('is kept as it was made, under a name of its own', async () => {
        const made = await store.createWorkspace({
          id: 'w1',
          name: 'team',
          description: 'héllo 日本',
          resourceGroupId: 'rg-1',
          at: at(3),
        });
        expect(made).toEqual({
          id: 'w1',
          name: 'team',
          description: 'héllo 日本',
          resourceGroupId: 'rg-1',
          isDefault: false,
          createdAt: at(3),
          updatedAt: at(3),
        });
        expect(await store.getWorkspace('w1')).toEqual(made);
        await expect(workspace('w2', { name: 'team' })).rejects.toThrow(NameTaken);
        await expect(workspace('w2', { name: 'default' })).rejects.toThrow(NameTaken);
        expect(await store.getWorkspace('w2')).toBeUndefined();
        await workspace('w2', { name: 'Team' });
      });

      it('changes its description, and nothing else', async () => {
        const made = await workspace('w1');
        const changed = await store.updateWorkspace('w1', { description: 'new', at: at(5) });
        expect(changed).toEqual({ ...made, description: 'new', updatedAt: at(5) });
        expect(await store.updateWorkspace('w1', { at: at(6) })).toEqual({ ...changed, updatedAt: at(6) });
        expect((await store.updateWorkspace('w1', { description: '', at: at(7) }))?.description).toBe('');
        expect(await store.updateWorkspace('nobody', { at: at(5) })).toBeUndefined();
      });

      it('is removed when it is empty, and never the default one', async () => {
        await workspace('w1');
        await create('r1', { workspaceId: 'w1' });
        await store.markRuntimeDeleting('r1', at(1));
        expect(await store.removeWorkspace('w1')).toBe(false);
        expect(await store.getWorkspace('w1')).toBeDefined();
        await store.removeRuntime('r1');
        expect(await store.removeWorkspace('w1')).toBe(true);
        expect(await store.getWorkspace('w1')).toBeUndefined();
        expect(await store.removeWorkspace('w1')).toBe(false);
        const { id } = await store.defaultWorkspace();
        expect(await store.removeWorkspace(id)).toBe(false);
        expect((await store.defaultWorkspace()).id).toBe(id);
        await workspace('w2', { name: 'w1' });
      });

      it('that is not there takes no runtime', async () => {
        await expect(create('r1', { workspaceId: 'w1' })).rejects.toThrow(NoSuchWorkspace);
        expect(await store.getRuntime('r1')).toBeUndefined();
        const { spec } = await create('r1');
        const before = await store.getRuntime('r1');
        const change = { name: 'r1', spec, expectedRevision: 1, forceEvict: false, at: at(1) };
        await expect(store.updateRuntime('r1', { ...change, workspaceId: 'w1' })).rejects.toThrow(
          NoSuchWorkspace,
        );
        expect(await store.getRuntime('r1')).toEqual(before);
      });

      it('can be left for another, and is stayed in otherwise', async () => {
        for (const id of ['w1', 'w2']) await workspace(id);
        const { spec } = await create('r1', { workspaceId: 'w1' });
        const change = { name: 'r1', spec, forceEvict: false, at: at(1) };
        const stayed = await store.updateRuntime('r1', { ...change, expectedRevision: 1 });
        expect(stayed?.workspaceId).toBe('w1');
        const moved = await store.updateRuntime('r1', {
          ...change,
          expectedRevision: 2,
          workspaceId: 'w2',
        });
        expect(moved?.workspaceId).toBe('w2');
        expect(await store.removeWorkspace('w1')).toBe(true);
        expect(await store.removeWorkspace('w2')).toBe(false);
      });

      it('is listed newest first, by name and resource group', async () => {
        const { id: first } = await store.defaultWorkspace();
        const later = (second: number) => new Date(Date.UTC(2100, 0, 1) + second * 1000).toISOString();
        await workspace('b', { name: 'Red_1', at: later(1) });
        await workspace('a', { name: 'redX1', at: later(1) });
        await store.createWorkspace({ id: 'c', name: 'blue', resourceGroupId: 'rg', at: later(2) });
        expect(await newest()).toEqual(['c', 'a', 'b', first]);
        expect(await newest({ name: 'RED' })).toEqual(['a', 'b']);
        expect(await newest({ name: 'd_1' })).toEqual(['b']);
        expect(await newest({ resourceGroupId: 'rg' })).toEqual(['c']);
        expect(await newest({ resourceGroupId: 'r' })).toEqual([]);
        const page = await store.listWorkspaces({}, { pageNumber: 2, pageSize: 3 });
        expect([ids(page), page.total]).toEqual([[first], 4]);
      });
    });

    describe('a page that begins behind a place', () => {
      /** Newest first: r9 … r0, three of a second. */
      const seed = async () => {
        for (let i = 0; i < 10; i++) await create(`r${i}`, { at: at(Math.floor(i / 3)) });
        return (await store.listRuntimes({}, EVERYTHING)).items;
      };

      it('has what comes after it, whatever number it has', async () => {
        const all = await seed();
        for (const [index, after] of all.entries()) {
          const page = await store.listRuntimes({}, { pageNumber: 999, pageSize: 4, after });
          expect(page).toEqual({ items: all.slice(index + 1, index + 5), total: 10 });
        }
      });

      it('has the same when what stood in front of it, and at the place itself, has gone', async () => {
        const all = await seed();
        const after = all[4]!;
        for (const { id } of all.slice(0, 5)) await store.removeRuntime(id);
        await create('new', { at: at(50) });
        const page = await store.listRuntimes({}, { pageNumber: 2, pageSize: 3, after });
        expect(page).toEqual({ items: all.slice(5, 8), total: 6 });
      });

      it('keeps to the filter', async () => {
        await seed();
        const filter: RuntimeFilter = { name: { value: 'r', mode: 'fuzzy' }, statuses: ['READY'] };
        for (const id of ['r1', 'r4', 'r7']) await ready(id, 1);
        const after = (await store.listRuntimes(filter, { pageNumber: 1, pageSize: 1 })).items[0]!;
        const page = await store.listRuntimes(filter, { pageNumber: 2, pageSize: 5, after });
        expect([ids(page), page.total]).toEqual([['r4', 'r1'], 3]);
      });

      it('is there for endpoints and workspaces too', async () => {
        await create('r1');
        for (const [id, second] of [
          ['a', 3],
          ['b', 2],
          ['c', 2],
          ['d', 1],
        ] as const) {
          await endpoint(id, 'r1', { at: at(second) });
          await workspace(id, { at: new Date(Date.UTC(2100, 0, 1, 0, 0, second)).toISOString() });
        }
        for (const list of [
          (page: PageRequest) => store.listEndpoints('r1', {}, page),
          (page: PageRequest) => store.listWorkspaces({}, page),
        ]) {
          const after = (await list({ pageNumber: 1, pageSize: 2 })).items[1]!;
          expect(after.id).toBe('b');
          expect(ids(await list({ pageNumber: 2, pageSize: 2, after }))).toEqual(['c', 'd']);
        }
      });
    });

    describe('values', () => {
      const specs: [string, Partial<RuntimeSpec>][] = [
        ['text of every script', { description: 'héllo 日本語 עברית 👩‍👩‍👧 \u2028 e\u0301' }],
        ['empty text', { description: '', environmentVariables: { EMPTY: '' } }],
        ['quotes, backslashes and SQL', { description: `'"\\; DROP TABLE runtimes; -- \${x} ? :a $1` }],
        ['control characters', { environmentVariables: { A: '\0\u0001\t\r\n\u001b[0m\u007f' } }],
        ['half of a surrogate pair', { environmentVariables: { A: 'x\ud800y' } }],
        ['awkward keys', { environmentVariables: JSON.parse('{"__proto__":"p","constructor":"c","":"e"}') }],
        ['numbers', { cpu: 0.1, memory: 9_007_199_254_740_991, port: 1, diskSize: 0 }],
        ['truth', { disableOndemand: true, disableSessionAffinity: false }],
        ['lists', { systemTags: [], codeConfiguration: { command: ['a', '', 'b c'], language: 'custom' } }],
        [
          'nested values',
          {
            healthCheckConfiguration: { httpGetUrl: '/h', periodSeconds: 3 },
            artifact: {
              digest: 'd'.repeat(64),
              crc64: '18446744073709551615',
              entry: { command: ['n'], source: 's' },
            },
          },
        ],
        ['a description of 1 MiB', { description: '€'.repeat(1024 * 1024) }],
        [
          'an environment of 1 MiB',
          {
            environmentVariables: Object.fromEntries(
              Array.from({ length: 1024 }, (_, i) => [`VARIABLE_${i}`, 'v'.repeat(1024)]),
            ),
          },
        ],
      ];
      it.each(specs)('come back as they were: %s', async (_name, changes) => {
        const spec = specOf(changes);
        expect((await create('r1', { spec })).spec).toEqual(spec);
        await ready('r1', 1);
        const change = { name: 'r1', spec, expectedRevision: 1, forceEvict: false, at: at(1) };
        expect((await store.updateRuntime('r1', change))?.spec).toEqual(spec);
        await store.close();
        store = await open(path);
        expect((await store.getRuntime('r1'))?.spec).toEqual(spec);
        expect((await store.getVersion('r1', 1))?.spec).toEqual(spec);
        expect((await store.listRuntimes({}, EVERYTHING)).items[0]?.spec).toEqual(spec);
      });
    });

    describe('several writers at once', () => {
      it('lose no update: 50 of them, repeated on conflict, raise the revision by 50', async () => {
        await create('r1', { spec: specOf({ systemTags: [] }) });
        let conflicts = 0;
        const writer = async (tag: string) => {
          for (;;) {
            const current = (await store.getRuntime('r1'))!;
            const systemTags = [...(current.spec.systemTags ?? []), tag];
            if (await update(current, { systemTags })) return;
            conflicts++;
          }
        };
        const tags = Array.from({ length: 50 }, (_, index) => `t${index}`);
        await Promise.all(tags.map(writer));
        const runtime = (await store.getRuntime('r1'))!;
        expect(runtime.revision).toBe(51);
        expect([...runtime.spec.systemTags!].sort()).toEqual([...tags].sort());
        expect(conflicts).toBeGreaterThan(0);
      });

      it('agree on one owner of a name', async () => {
        const creates = Array.from({ length: 20 }, (_, index) => create(`r${index}`, { name: 'wanted' }));
        const outcomes = await Promise.allSettled(creates);
        const lost = outcomes.filter((outcome) => outcome.status === 'rejected');
        expect(lost).toHaveLength(19);
        for (const { reason } of lost) expect(reason).toBeInstanceOf(NameTaken);
        expect(await store.runtimeIds()).toHaveLength(1);
      });

      it('end one attempt once, and number one version', async () => {
        await create('r1');
        const outcomes = await Promise.all(Array.from({ length: 20 }, () => ready('r1', 1)));
        expect(outcomes.filter((settled) => settled)).toHaveLength(1);
        expect(await store.versions('r1')).toHaveLength(1);
      });

      it('may fail within a transaction without harm to the others', async () => {
        await create('r1', { name: 'one' });
        const mixed = await Promise.allSettled([
          ready('r1', 1),
          create('r2', { name: 'one' }),
          store.addEvent({ ...event('r1', 1), durationMs: Number.NaN }),
          store.addEvent(event('r1', 2)),
          endpoint('e1', 'nobody'),
          endpoint('e2', 'r1'),
        ]);
        expect(mixed.map(({ status }) => status)).toEqual([
          'fulfilled',
          'rejected',
          'rejected',
          'fulfilled',
          'rejected',
          'fulfilled',
        ]);
        expect((await store.listEvents('r1', 10)).map(({ revision }) => revision)).toEqual([2]);
        expect(await store.endpoints('r1')).toHaveLength(1);
      });
    });

    describe('a kept answer', () => {
      const HOUR = 3600;
      const keep = (key: string, changes: Partial<AnswerToKeep<{ id: string }>> = {}) => ({
        scope: 'somebody POST /runtimes',
        key,
        bodySha256: 'hash',
        at: at(0),
        data: ({ id }: { id: string }) => ({ made: id }),
        ...changes,
      });
      const runtime = (id: string) => ({ id, name: id, spec: specOf(), at: at(0) });
      const kept = (key: string, scope = 'somebody POST /runtimes', since = at(0)) =>
        store.keptAnswer(scope, key, since);

      it('is there with what it tells of, and for its key and scope alone', async () => {
        await create('r0');
        expect(await kept('k')).toBeUndefined();
        const created = await store.createRuntime(runtime('r1'), keep('k'));
        expect(created.id).toBe('r1');
        expect(await kept('k')).toEqual({ bodySha256: 'hash', data: { made: 'r1' } });
        expect(await kept('K')).toBeUndefined();
        expect(await kept('k', 'somebody else POST /runtimes')).toBeUndefined();
        await store.close();
        store = await open(path);
        expect(await kept('k')).toEqual({ bodySha256: 'hash', data: { made: 'r1' } });
      });

      it('is there for endpoints and versions too', async () => {
        await create('r1');
        await ready('r1', 1);
        const made = { id: 'e1', runtimeId: 'r1', name: 'e1', spec: {}, at: at(0) };
        await store.createEndpoint(made, keep('e'));
        expect((await kept('e'))?.data).toEqual({ made: 'e1' });
        const stamp = { description: 'd', at: at(3) };
        await store.publishVersion('r1', 1, stamp, {
          ...keep('v'),
          data: ({ version, description }) => [version, description],
        });
        expect((await kept('v'))?.data).toEqual([1, 'd']);
        // Nothing was written.
        expect(
          await store.publishVersion('r1', 2, stamp, { ...keep('none'), data: () => 1 }),
        ).toBeUndefined();
        expect(await kept('none')).toBeUndefined();
      });

      it('is not kept for a write that fails, nor is the write done when it cannot be kept', async () => {
        await create('taken');
        const taken = { ...runtime('r1'), name: 'taken' };
        await expect(store.createRuntime(taken, keep('k'))).rejects.toThrow(NameTaken);
        expect(await kept('k')).toBeUndefined();
        const data = () => {
          throw new Error('cannot be told');
        };
        await expect(store.createRuntime(runtime('r2'), keep('k', { data }))).rejects.toThrow('be told');
        expect(await store.runtimeIds()).toEqual(['taken']);
        await store.createRuntime(runtime('r3'), keep('k'));
        // A second one of the same key would have to have been found.
        await expect(store.createRuntime(runtime('r4'), keep('k'))).rejects.toThrow();
        expect(await store.runtimeIds()).toEqual(['r3', 'taken']);
      });

      it('outlives what it tells of, and goes after 24 hours', async () => {
        await store.createRuntime(runtime('r1'), keep('old'));
        await store.removeRuntime('r1');
        expect(await kept('old')).toBeDefined();
        // Too old for whoever asks, and for the next to be kept under the same key.
        expect(await kept('old', undefined, at(1))).toBeUndefined();
        await store.createRuntime(runtime('r2'), keep('old', { at: at(24 * HOUR + 1) }));
        expect(await kept('old')).toEqual({ bodySha256: 'hash', data: { made: 'r2' } });
        await store.createRuntime(runtime('r3'), keep('new', { at: at(24 * HOUR + 2) }));
        expect(await kept('old')).toBeDefined();
      });
    });

    describe('close', () => {
      it('keeps everything for the next who opens it', async () => {
        await create('r1');
        await ready('r1', 1);
        await endpoint('e1', 'r1');
        await store.addEvent(event('r1', 1));
        const all = async () => [
          await store.listRuntimes({}, EVERYTHING),
          await store.versions('r1'),
          await store.endpoints('r1'),
          await store.listEvents('r1', 10),
        ];
        const before = await all();
        await store.close();
        store = await open(path);
        expect(await all()).toEqual(before);
      });

      it('may be called twice, and on a store that was never used', async () => {
        await store.close();
        await store.close();
        await expect(store.getRuntime('r1')).rejects.toThrow();
      });
    });
  });
}

function event(runtimeId: string, revision: number): NewEvent {
  return { runtimeId, revision, phase: 'start', startedAt: at(revision), durationMs: 5, outcome: 'ok' };
}
