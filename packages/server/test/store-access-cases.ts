import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AUDIT_EVENTS_KEPT, type KeyRecord, type Store } from '../src/store/store.ts';

/** What any implementation of the `Store` port has to do with keys, nonces and the audit; parameters as `storeCases`. */
export function storeAccessCases(name: string, open: (path: string) => Store | Promise<Store>): void {
  describe(`${name} as a store of who may and who did`, () => {
    let folder: string;
    let store: Store;
    beforeEach(async () => {
      folder = mkdtempSync(join(tmpdir(), 'runstead-store-'));
      store = await open(join(folder, 'db'));
    });
    afterEach(async () => {
      await store.close();
      rmSync(folder, { recursive: true, force: true });
    });
    const reopen = async () => {
      await store.close();
      store = await open(join(folder, 'db'));
    };

    const shared = { createdBy: 'local', description: undefined, expiresAt: undefined };
    const platform: KeyRecord = {
      ...shared,
      kind: 'platform',
      id: 'rak1',
      sha256: 'a1',
      accessKeyId: 'rak1',
      accessKeySecret: 'planted-secret',
      role: 'deploy',
      workspaces: ['w1', 'w2'],
      createdAt: '2026-01-02T03:04:05.000Z',
      expiresAt: '2027-01-02T03:04:05.000Z',
    };
    const credential: KeyRecord = {
      ...shared,
      kind: 'credential',
      id: 'rak2',
      sha256: 'a2',
      credentialName: 'partner',
      headerName: 'x-api-key',
      workspaces: 'all',
      description: 'the partner',
      createdAt: '2026-01-02T03:04:06.000Z',
    };

    it('gives back keys of both kinds as they were made, oldest first, also later', async () => {
      await store.createKey(credential);
      await store.createKey(platform);
      expect(await store.keys()).toEqual([platform, credential]);
      await reopen();
      expect(await store.keys()).toEqual([platform, credential]);
    });

    it('removes a key once', async () => {
      await store.createKey(platform);
      expect(await store.removeKey('rak1')).toBe(true);
      expect(await store.removeKey('rak1')).toBe(false);
      expect(await store.keys()).toEqual([]);
    });

    it('takes no two keys that prove themselves by the same', async () => {
      await store.createKey(platform);
      await expect(store.createKey({ ...credential, sha256: platform.sha256 })).rejects.toThrow();
      expect(await store.keys()).toEqual([platform]);
    });

    it('remembers nonces until they expire, also later', async () => {
      const nonce = (keyId: string, text: string, expiresMs: number) => ({ keyId, nonce: text, expiresMs });
      await store.addNonce(nonce('a', 'one', 1000));
      await store.addNonce(nonce('a', 'two', 2000));
      await store.addNonce(nonce('b', 'one', 3000));
      await reopen();
      const known = async (nowMs: number) =>
        (await store.nonces(nowMs)).map(({ keyId, nonce: text }) => `${keyId} ${text}`).sort();
      expect(await known(1000)).toEqual(['a one', 'a two', 'b one']);
      expect(await known(1001)).toEqual(['a two', 'b one']);
      await store.removeNonces(2500);
      expect(await known(0)).toEqual(['b one']);
      await store.addNonce(nonce('b', 'one', 4000));
      expect(await store.nonces(4000)).toEqual([nonce('b', 'one', 4000)]);
    });

    const begun = (requestId: string) => ({
      at: '2026-01-02T03:04:05.000Z',
      requestId,
      keyId: 'local',
      operation: 'CreateAgentRuntime',
      resource: '',
    });

    it('tells the audit newest first; a write that did not end has no status', async () => {
      const first = await store.beginAuditEvent(begun('q1'));
      await store.beginAuditEvent(begun('q2'));
      await store.endAuditEvent(first, { status: 200, resource: 'made' });
      await reopen();
      expect(await store.listAuditEvents(10)).toEqual([
        { ...begun('q2'), id: first + 1, status: undefined },
        { ...begun('q1'), id: first, status: 200, resource: 'made' },
      ]);
      expect(await store.listAuditEvents(1)).toHaveLength(1);
    });

    it('keeps the resource a write began with when its end names none', async () => {
      const id = await store.beginAuditEvent({ ...begun('q1'), resource: 'the path' });
      await store.endAuditEvent(id, { status: 404 });
      expect((await store.listAuditEvents(1))[0]).toMatchObject({ status: 404, resource: 'the path' });
    });

    it('keeps only the newest of the audit', async () => {
      const more = 3;
      for (let count = 0; count < AUDIT_EVENTS_KEPT + more; count++) {
        await store.beginAuditEvent(begun(`q${count}`));
      }
      const kept = await store.listAuditEvents(AUDIT_EVENTS_KEPT + more);
      expect(kept).toHaveLength(AUDIT_EVENTS_KEPT);
      expect(kept.at(-1)?.requestId).toBe(`q${more}`);
    }, 120_000);

    it('finds a workspace by its whole name alone', async () => {
      await store.createWorkspace({ id: 'w', name: 'team-a', at: '2026-01-02T03:04:05.000Z' });
      expect((await store.workspaceByName('team-a'))?.id).toBe('w');
      for (const other of ['team', 'TEAM-A', '']) {
        expect(await store.workspaceByName(other)).toBeUndefined();
      }
    });
  });
}
