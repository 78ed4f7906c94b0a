import { expect, test } from 'vitest';
import { sectionOf } from '../../test/section-of.ts';
import { hashKey, KeyRing } from '../auth/key-ring.ts';
import type { PlatformKey } from '../auth/keys.ts';
import type { RuntimeRoute } from '../feed/messages.ts';
import { anybody, authenticate } from './credentials.ts';

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

test('whoever is let in at a glance would have been let in as the same by a closer look', () => {
  const names = [
    ...['authorization', 'Authorization', 'Agentrun-Authorization', 'agentrun_authorization'],
    ...['Agentrun-Access-Token', 'X-Acs-Security-Token', 'cookie', 'x-api-key', 'accept'],
  ];
  const values = [
    ...['', 'Bearer', 'Bearer sk-openai', 'bearer sk_1', 'Bearer rck_unknown', `Bearer ${KEY}`, KEY, 'RSK_1'],
    ...[
      `Basic ${Buffer.from(`u:${KEY}`).toString('base64')}`,
      'Basic dXNlcjpwYXNz',
      'rat_a.b',
      'a=rsk_1; b=2',
    ],
    ...['AGENTRUN4-HMAC-SHA256 x', 'ACS3-HMAC-SHA256 x', 'bearer\trsk_other', 'text/plain'],
  ];
  const none = [[]];
  const one = names.flatMap((name) => values.map((value) => [name, value]));
  const two = one.flatMap((first) => one.map((second) => [...first, ...second]));
  const protectedRuntime: RuntimeRoute = { ...runtime, credentialName: 'c' };
  const seen = { atGlance: 0, closer: 0 };
  for (const fields of [...none, ...one, ...two]) {
    const section = sectionOf(fields);
    for (const of of [runtime, undefined, protectedRuntime]) {
      for (const host of ['localhost', '1-ram.example.com']) {
        for (const anonymousCalls of [true, false]) {
          const door = { keys, anonymousCalls, now: Date.now };
          const glance = anybody(door, section, host, of);
          seen[glance ? 'atGlance' : 'closer']++;
          if (!glance) continue;
          const closer = authenticate(door, { method: 'GET', target: '/', fields: section.fields, host }, of);
          if (glance.keyId !== closer.keyId || [...glance.consumed].join() !== [...closer.consumed].join())
            throw new Error(`${fields.join(' | ')} at ${host}: ${glance.keyId}, ${closer.keyId}`);
        }
      }
    }
  }
  expect(seen.atGlance).toBeGreaterThan(1000);
  expect(seen.closer).toBeGreaterThan(1000);
});
