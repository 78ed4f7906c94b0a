import { expect, test } from 'vitest';
import { hashKey, KeyRing } from '../auth/key-ring.ts';
import type { PlatformKey } from '../auth/keys.ts';
import type { RuntimeRoute } from '../feed/messages.ts';
import { authenticate } from './credentials.ts';

const KEY = 'rsk_0123456789abcdef';
const platform = (id: string, key: string): PlatformKey => ({
  kind: 'platform',
  id,
  sha256: hashKey(key),
  accessKeyId: `rak-${id}`,
  accessKeySecret: 'secret',
  role: 'invoke',
  workspaces: 'all',
});
const runtime: RuntimeRoute = {
  runtimeId: 'r',
  name: 'hello',
  workspaceId: 'w',
  state: 'serving',
  endpoints: [],
  versions: [],
};
const keys = new KeyRing([platform('other', 'rsk_other'), platform('mine', KEY)]);
const ask = (fields: string[], of: RuntimeRoute | undefined = runtime, host = 'localhost') =>
  authenticate(
    { keys, anonymousCalls: true, now: Date.now },
    { method: 'GET', target: '/', fields, host },
    of,
  );

test.each([`Bearer ${KEY}`, `bearer ${KEY}`, `BEARER   ${KEY} `])('"%s" is the key', (value) => {
  const { keyId, consumed } = ask(['Authorization', value]);
  expect(keyId).toBe('mine');
  expect(consumed.has('authorization')).toBe(true);
});

test.each([`Bearer ${KEY}x`, 'Bearer rsk_', 'Bearer rsk_unknown', `Bearer ${KEY} extra`])(
  '"%s" is refused: it claims to be a platform key',
  (value) => {
    const refusal = expect.objectContaining({ code: 'InvalidAccessKeyId.NotFound' });
    expect(() => ask(['authorization', value])).toThrow(refusal);
    expect(() => ask(['authorization', value], undefined)).toThrow(refusal);
  },
);

test.each(['Bearer sk-openai', 'Basic dXNlcjpwYXNz', 'Bearer', 'Bearer ', 'Token rsk', 'Bearer xrsk_1'])(
  '"%s" belongs to the agent',
  (value) => {
    const { keyId, consumed } = ask(['authorization', value]);
    expect(keyId).toBeUndefined();
    expect(consumed.has('authorization')).toBe(false);
  },
);

test('no credential is needed', () => {
  expect(ask([]).keyId).toBeUndefined();
});

test('a second Authorization field cannot hide behind the first', () => {
  expect(() => ask(['authorization', 'Bearer sk-x', 'Authorization', `Bearer ${KEY}`])).toThrow(
    expect.objectContaining({ code: 'ERR_BAD_REQUEST' }),
  );
});

test('a revoked key is no longer known', () => {
  const ring = new KeyRing([platform('mine', KEY)]);
  expect(ring.byApiKey(KEY)?.id).toBe('mine');
  ring.replace([]);
  expect(ring.byApiKey(KEY)).toBeUndefined();
});
