import { describe, expect, it } from 'vitest';
import {
  type Affinity,
  type AffinitySpec,
  affinityOf,
  cookieValues,
  openCookie,
  SESSION_COOKIE,
  sealCookie,
  sessionHash,
  sessionIdFault,
  sessionName,
  sessionsPerInstance,
  setCookie,
  withoutPlatformCookies,
} from './affinity.ts';

const byField = (field: string): Affinity => ({ by: 'header', field });

describe('affinityOf', () => {
  const cases: [string, AffinitySpec, Affinity][] = [
    ['nothing', {}, byField('x-agentrun-session-id')],
    ['HEADER_FIELD', { sessionAffinityType: 'HEADER_FIELD' }, byField('x-agentrun-session-id')],
    ['a field', { sessionAffinityType: 'HEADER_FIELD', headerFieldName: 'X-Chat' }, byField('x-chat')],
    ['a field without a type', { headerFieldName: 'X-Chat' }, byField('x-chat')],
    ['GENERATED_COOKIE', { sessionAffinityType: 'GENERATED_COOKIE', headerFieldName: 'X' }, { by: 'cookie' }],
    ['NONE', { sessionAffinityType: 'NONE', headerFieldName: 'X' }, { by: 'nothing' }],
    [
      'that it is off, whatever else',
      { disableSessionAffinity: true, sessionAffinityType: 'GENERATED_COOKIE' },
      { by: 'nothing' },
    ],
    ['that it is not off', { disableSessionAffinity: false }, byField('x-agentrun-session-id')],
  ];
  it.each(cases)('where the configuration says %s', (_, spec, affinity) => {
    expect(affinityOf(spec)).toEqual(affinity);
  });
});

it('an instance takes as many sessions as the configuration says, and under isolation one', () => {
  expect(sessionsPerInstance({})).toBe(1);
  expect(sessionsPerInstance({ sessionConcurrencyLimitPerInstance: 20 })).toBe(20);
  expect(sessionsPerInstance({ sessionConcurrencyLimitPerInstance: 20, enableSessionIsolation: true })).toBe(
    1,
  );
});

describe('a session id', () => {
  it.each(['a', '42', 'user one/thread #7', '~'.repeat(256)])('may be %j', (id) => {
    expect(sessionIdFault(id)).toBeUndefined();
  });
  it.each([
    ['a'.repeat(257), 'must have at most 256 characters (got 257)'],
    ['a\tb', 'must be of printable ASCII characters (character 2 is none)'],
    ['grün', 'must be of printable ASCII characters (character 3 is none)'],
    ['\x7f', 'must be of printable ASCII characters (character 1 is none)'],
  ])('may not be %j', (id, fault) => {
    expect(sessionIdFault(id)).toBe(fault);
  });
});

const owner = { runtimeId: 'r-1', endpointName: 'Default', keyId: 'rak1' };
const others = [
  { ...owner, runtimeId: 'r-2' },
  { ...owner, endpointName: 'canary' },
  { ...owner, keyId: 'rak2' },
  { ...owner, keyId: undefined },
];
const secret = Buffer.alloc(32, 1);

describe('a session’s hash', () => {
  const hash = sessionHash(secret, sessionName(owner, 'chat'));
  it('is the same again, and tells nothing of the id', () => {
    expect(sessionHash(secret, sessionName({ ...owner }, 'chat'))).toBe(hash);
    expect(hash).toMatch(/^[0-9a-f]{32}$/);
  });
  it('differs by runtime, endpoint, principal, id and secret', () => {
    const all = [
      hash,
      ...others.map((other) => sessionHash(secret, sessionName(other, 'chat'))),
      sessionHash(secret, sessionName(owner, 'chat2')),
      sessionHash(Buffer.alloc(32, 2), sessionName(owner, 'chat')),
      // What one caller chooses as an id must not spell another's name.
      sessionHash(secret, sessionName({ ...owner, keyId: undefined }, 'rak1 chat')),
    ];
    expect(new Set(all).size).toBe(all.length);
  });
});

describe('a cookie', () => {
  const content = { id: 'Ab-_9', instanceId: 'i-1', expiresAt: 1_800_000_000 };
  const value = sealCookie(secret, owner, content);

  it('opens for its owner', () => {
    expect(openCookie(secret, owner, value)).toEqual(content);
  });
  it.each(others)('does not open for %j', (other) => {
    expect(openCookie(secret, other, value)).toBeUndefined();
  });
  it('does not open with another secret', () => {
    expect(openCookie(Buffer.alloc(32, 2), owner, value)).toBeUndefined();
  });
  it('does not open with any character changed, added or taken away', () => {
    for (let at = 0; at < value.length; at++) {
      const other = value[at] === 'x' ? 'y' : 'x';
      // Of the last character of 32 bytes in base64 only four bits count.
      if (at < value.length - 1)
        expect(openCookie(secret, owner, value.slice(0, at) + other + value.slice(at + 1))).toBeUndefined();
      expect(openCookie(secret, owner, value.slice(0, at) + value.slice(at + 1))).toBeUndefined();
    }
    for (const broken of ['', '.', '....', `${value}x`, 'é'.repeat(90), value.repeat(50)])
      expect(openCookie(secret, owner, broken)).toBeUndefined();
  });
  it('goes back to its endpoint alone, out of reach of pages, and under TLS only over TLS', () => {
    expect(setCookie('v', { path: '/p', secure: false }, 60)).toBe(
      'runstead-session=v; Path=/p; Max-Age=60; HttpOnly; SameSite=Lax',
    );
    expect(setCookie('v', { path: '/', secure: true }, 60)).toMatch(/; SameSite=Lax; Secure$/);
  });
});

describe('the platform’s cookies', () => {
  const cases: [field: string, values: string[], rest: string | undefined][] = [
    ['a=1', [], 'a=1'],
    ['', [], ''],
    ['runstead-session=x', ['x'], undefined],
    ['a=1; runstead-session=x; b=2', ['x'], 'a=1; b=2'],
    ['runstead-session=x; a="1; 2"', ['x'], 'a="1; 2"'],
    ['a=1;runstead-session=x;b=2', ['x'], 'a=1;b=2'],
    ['a=1; runstead-session = x', ['x'], 'a=1'],
    ['runstead-session=x; runstead-session=y; a=1', ['x', 'y'], 'a=1'],
    ['a=runstead-session=x', [], 'a=runstead-session=x'],
    ['my-runstead-session=x; runstead-session2=y', [], 'my-runstead-session=x; runstead-session2=y'],
    ['runstead-session', [''], undefined],
  ];
  it.each(cases)('in %j', (field, values, rest) => {
    expect(cookieValues(field)).toEqual(values);
    expect(withoutPlatformCookies(field)).toBe(rest);
  });
  it('are looked at only so many times', () => {
    expect(cookieValues(`${SESSION_COOKIE}=x;`.repeat(5000))).toHaveLength(8);
  });
});
