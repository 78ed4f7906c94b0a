import { describe, expect, it } from 'vitest';
import { givenKeys, KeyBook } from './key-book.ts';
import { hashKey } from './key-ring.ts';
import type { Key } from './keys.ts';

const LOCAL = { apiKey: 'rsk_local', accessKeyId: 'rak0', accessKeySecret: 'secret' };
const NONE = { accessKeyId: undefined, accessKeySecret: undefined };
const made = (id: string): Key => ({
  kind: 'platform',
  id,
  sha256: hashKey(`rsk_${id}`),
  accessKeyId: id,
  accessKeySecret: 'secret',
  role: 'deploy',
  workspaces: 'all',
});

describe('the keys there are', () => {
  it('are the given ones until others were read', async () => {
    const book = new KeyBook(givenKeys(LOCAL, NONE), async () => [made('a')]);
    expect(book.all.map(({ id }) => id)).toEqual(['local']);
    await book.read();
    expect(book.all.map(({ id }) => id)).toEqual(['local', 'a']);
    expect(book.ring.byApiKey('rsk_a')?.id).toBe('a');
    expect(book.ring.byApiKey('rsk_local')?.role).toBe('admin');
    expect(book.givenIds).toEqual(['local']);
  });

  it('with a pair of the configuration are one more, which has no bearer', async () => {
    const pair = { accessKeyId: 'operators', accessKeySecret: 'their secret' };
    const book = new KeyBook(givenKeys(LOCAL, pair), async () => []);
    await book.read();
    expect(book.givenIds).toEqual(['local', 'configured']);
    expect(book.ring.byAccessKeyId('operators')?.id).toBe('configured');
  });

  it('do not come back when a look from before their end is slower than one from after it', async () => {
    let finishSlow = (_keys: Key[]) => {};
    const slow = new Promise<Key[]>((resolve) => {
      finishSlow = resolve;
    });
    const looks = [() => slow, async () => []];
    const book = new KeyBook([], () => looks.shift()!());
    const both = [book.read(), book.read()];
    finishSlow([made('revoked')]);
    await Promise.all(both);
    expect(book.ring.byApiKey('rsk_revoked')).toBeUndefined();
  });

  it('are read again after a look that failed', async () => {
    const looks = [() => Promise.reject(new Error('the disk')), async () => [made('a')]];
    const book = new KeyBook([], () => looks.shift()!());
    await expect(book.read()).rejects.toThrow('the disk');
    await book.read();
    expect(book.ring.byApiKey('rsk_a')?.id).toBe('a');
  });
});
