import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { SessionFilter, SessionRecord, Store } from '../src/store/store.ts';
import { at, specOf } from './store-cases.ts';

/** What any implementation of the `Store` port has to do with sessions; parameters as `storeCases`. */
export function storeSessionCases(name: string, open: (path: string) => Store | Promise<Store>): void {
  describe(`${name} as a store of sessions`, () => {
    let folder: string;
    let store: Store;
    beforeEach(async () => {
      folder = mkdtempSync(join(tmpdir(), 'runstead-store-'));
      store = await open(join(folder, 'db'));
      for (const id of ['r1', 'r2']) await store.createRuntime({ id, name: id, spec: specOf(), at: at(0) });
    });
    afterEach(async () => {
      await store.close();
      rmSync(folder, { recursive: true, force: true });
    });

    const session = (id: string, more: Partial<SessionRecord> = {}): SessionRecord => ({
      id,
      runtimeId: 'r1',
      endpointName: 'Default',
      keyId: undefined,
      version: 1,
      instanceId: 'a',
      createdAt: at(0),
      lastUsedAt: at(0),
      ...more,
    });
    const ids = async () => (await store.sessions()).map(({ id }) => id);

    it('gives back where sessions are bound, oldest first, also later', async () => {
      const one = session('one', { keyId: 'rak1' });
      const two = session('two', { createdAt: at(1) });
      await store.saveSessions([two, one], []);
      await store.close();
      store = await open(join(folder, 'db'));
      expect(await store.sessions()).toEqual([one, two]);
      expect(await store.getSession('two')).toEqual(two);
      expect(await store.getSession('three')).toBeUndefined();
    });

    it('replaces what was known of a session, but not when it began or whose it is', async () => {
      await store.saveSessions([session('one', { keyId: 'rak1' })], []);
      const moved = session('one', { version: 2, instanceId: 'b', lastUsedAt: at(9), createdAt: at(5) });
      await store.saveSessions([moved], []);
      expect(await store.sessions()).toEqual([{ ...moved, keyId: 'rak1', createdAt: at(0) }]);
    });

    it('forgets those that ended, and begins those anew that are named with them', async () => {
      await store.saveSessions([session('one'), session('two')], []);
      await store.saveSessions([session('two', { createdAt: at(3) })], ['one', 'two', 'never']);
      expect(await store.sessions()).toEqual([session('two', { createdAt: at(3) })]);
    });

    it('keeps those of the instances named', async () => {
      const more = session('two', { instanceId: 'b' });
      await store.saveSessions([session('one'), more, session('three', { instanceId: 'c' })], []);
      await store.keepSessionsOf(['b', 'x']);
      expect(await ids()).toEqual(['two']);
      await store.keepSessionsOf([]);
      expect(await ids()).toEqual([]);
    });

    it('loses them with their runtime, and passes over what comes later', async () => {
      await store.saveSessions([session('one'), session('two', { runtimeId: 'r2' })], []);
      await store.removeRuntime('r1');
      await store.saveSessions([session('one'), session('three', { runtimeId: 'r2' })], []);
      expect((await ids()).sort()).toEqual(['three', 'two']);
    });

    it('takes many at once', async () => {
      const many = Array.from({ length: 1000 }, (_, count) => session(`s${count}`));
      await store.saveSessions(many, []);
      expect(await ids()).toHaveLength(1000);
      await store.saveSessions(
        [],
        many.slice(1).map(({ id }) => id),
      );
      expect(await ids()).toEqual(['s0']);
    });

    it('lists them newest first by runtime, endpoint and workspace, in pages', async () => {
      const workspaceId = (await store.createWorkspace({ id: 'w', name: 'w', at: at(0) })).id;
      await store.createRuntime({ id: 'r3', name: 'r3', workspaceId, spec: specOf(), at: at(0) });
      await store.saveSessions(
        [
          session('one', { createdAt: at(1) }),
          session('two', { createdAt: at(2), endpointName: 'canary' }),
          session('three', { createdAt: at(2), runtimeId: 'r2' }),
          session('four', { createdAt: at(4), runtimeId: 'r3' }),
        ],
        [],
      );
      const listed = async (filter: SessionFilter, page = { pageNumber: 1, pageSize: 10 }) => {
        const { items, total } = await store.listSessions(filter, page);
        return [total, ...items.map(({ id }) => id)];
      };
      expect(await listed({})).toEqual([4, 'four', 'three', 'two', 'one']);
      expect(await listed({}, { pageNumber: 2, pageSize: 3 })).toEqual([4, 'one']);
      expect(await listed({ runtimeId: 'r1' })).toEqual([2, 'two', 'one']);
      expect(await listed({ runtimeId: 'r1', endpointName: 'canary' })).toEqual([1, 'two']);
      expect(await listed({ workspaceIds: ['w'] })).toEqual([1, 'four']);
      expect(await listed({ workspaceIds: ['w'], runtimeId: 'r1' })).toEqual([0]);
    });
  });
}
