import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NoSuchWorkspace, type Store } from '../src/store/store.ts';

/** What any implementation of the `Store` port has to do with secrets; parameters as `storeCases`. */
export function storeSecretCases(name: string, open: (path: string) => Store | Promise<Store>): void {
  describe(`${name} as a store of secrets`, () => {
    let folder: string;
    let store: Store;
    let own: string;
    let other: string;
    const at = (second: number) => `2026-01-02T03:04:0${second}.000Z`;
    beforeEach(async () => {
      folder = mkdtempSync(join(tmpdir(), 'runstead-store-'));
      store = await open(join(folder, 'db'));
      own = (await store.createWorkspace({ id: 'w1', name: 'own', at: at(0) })).id;
      other = (await store.createWorkspace({ id: 'w2', name: 'other', at: at(0) })).id;
    });
    afterEach(async () => {
      await store.close();
      rmSync(folder, { recursive: true, force: true });
    });
    const set = (workspaceId: string, secret: string, value: string, second = 1) =>
      store.setSecret({ workspaceId, name: secret, value, at: at(second) });

    it('lists them by name without their values, and tells when they were set last', async () => {
      await set(own, 'b', 'planted-b');
      await set(own, 'a', 'planted-a');
      const again = await set(own, 'b', 'planted-b2', 2);
      expect(again).toEqual({ workspaceId: own, name: 'b', createdAt: at(1), updatedAt: at(2) });
      await set(other, 'a', 'planted-a3');
      expect(await store.listSecrets([own])).toEqual([
        { workspaceId: own, name: 'a', createdAt: at(1), updatedAt: at(1) },
        again,
      ]);
      expect((await store.listSecrets([])).map(({ workspaceId, name: of }) => [of, workspaceId])).toEqual([
        ['a', own],
        ['a', other],
        ['b', own],
      ]);
    });

    it('gives the values of one workspace, those that are there, also later', async () => {
      await set(own, 'a', 'planted-a\n…');
      await set(other, 'a', 'planted-other');
      await store.close();
      store = await open(join(folder, 'db'));
      expect(await store.secretValues(own, ['a', 'none'])).toEqual(new Map([['a', 'planted-a\n…']]));
      expect(await store.secretValues(own, [])).toEqual(new Map());
      expect(await store.secretValues('nowhere', ['a'])).toEqual(new Map());
    });

    it('keeps no value that can be read in its file', async () => {
      await set(own, 'a', 'planted-value');
      await store.close();
      expect(readFileSync(join(folder, 'db')).includes('planted-value')).toBe(false);
      store = await open(join(folder, 'db'));
    });

    it('removes one once, and all with their workspace', async () => {
      await set(own, 'a', 'planted-a');
      expect(await store.removeSecret(own, 'a')).toMatchObject({ name: 'a' });
      expect(await store.removeSecret(own, 'a')).toBeUndefined();
      await set(own, 'a', 'planted-a');
      expect(await store.removeWorkspace(own)).toBe(true);
      expect(await store.listSecrets([])).toEqual([]);
    });

    it('takes none for a workspace that is not there', async () => {
      await expect(set('nowhere', 'a', 'planted-a')).rejects.toBeInstanceOf(NoSuchWorkspace);
    });
  });
}
