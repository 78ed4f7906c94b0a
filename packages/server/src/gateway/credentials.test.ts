import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { authenticate, KeyRing } from './credentials.ts';

const KEY = 'rsk_0123456789abcdef';
const keys = new KeyRing();
keys.replace([
  { id: 'other', sha256: createHash('sha256').update('rsk_other').digest('hex') },
  { id: 'mine', sha256: createHash('sha256').update(KEY).digest('hex') },
  { id: 'broken', sha256: 'not hex' },
]);

test.each([`Bearer ${KEY}`, `bearer ${KEY}`, `BEARER   ${KEY} `])('"%s" is the key', (value) => {
  expect(authenticate(keys, ['Authorization', value])).toEqual({
    keyId: 'mine',
    forwardAuthorization: false,
  });
});

test.each([`Bearer ${KEY}x`, 'Bearer rsk_', 'Bearer rsk_unknown', `Bearer ${KEY} extra`])(
  '"%s" is refused: it claims to be a platform key',
  (value) => {
    expect(() => authenticate(keys, ['authorization', value])).toThrow(
      expect.objectContaining({ code: 'ERR_UNAUTHORIZED' }),
    );
  },
);

test.each(['Bearer sk-openai', 'Basic dXNlcjpyc2tfeA==', 'Bearer', 'Token rsk', 'Bearer xrsk_1'])(
  '"%s" belongs to the agent',
  (value) => {
    expect(authenticate(keys, ['authorization', value])).toEqual({
      keyId: undefined,
      forwardAuthorization: true,
    });
  },
);

test('no credential is needed', () => {
  expect(authenticate(keys, []).keyId).toBeUndefined();
});

test('a second Authorization field cannot hide behind the first', () => {
  expect(() =>
    authenticate(keys, ['authorization', 'Bearer sk-x', 'Authorization', `Bearer ${KEY}`]),
  ).toThrow(expect.objectContaining({ code: 'ERR_BAD_REQUEST' }));
});

test('a revoked key is no longer known', () => {
  const ring = new KeyRing();
  ring.replace([{ id: 'mine', sha256: createHash('sha256').update(KEY).digest('hex') }]);
  expect(ring.find(KEY)).toBe('mine');
  ring.replace([]);
  expect(ring.find(KEY)).toBeUndefined();
});
