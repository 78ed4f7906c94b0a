import { describe, expect, test } from 'vitest';
import { forwardedFields, isPassedOn, provenance, proxyTrust } from './forwarded.ts';

const HOST = 'agents.test:7700';
const of = (fields: string[], peer: string, trusted: string[] = [], secure = false) =>
  provenance(proxyTrust(trusted), { fields, peer, secure }, HOST);
const sent = (...args: Parameters<typeof of>) => {
  const fields = forwardedFields(of(...args));
  return Object.fromEntries(
    Array.from({ length: fields.length / 2 }, (_, at) => [fields[2 * at], fields[2 * at + 1]]),
  );
};

/** What a client may say of itself, whoever it is. */
const CLAIMS = [
  'X-Forwarded-For',
  '10.0.0.1',
  'X-Forwarded-Proto',
  'https',
  'X-Forwarded-Host',
  'bank.test',
  'Forwarded',
  'for=10.0.0.1;proto=https;host=bank.test',
];

describe('from a peer that is not trusted', () => {
  test.each([[[]], [['192.0.2.1']], [['198.51.100.0/25', '2001:db8::/32']]])(
    'nothing it says counts (trusted: %j)',
    (trusted) => {
      expect(of(CLAIMS, '198.51.100.200', trusted)).toEqual({
        caller: '198.51.100.200',
        chain: ['198.51.100.200'],
        proto: 'http',
        host: HOST,
      });
    },
  );

  test('the agent is told of the connection', () => {
    expect(sent(CLAIMS, '198.51.100.9', [], true)).toEqual({
      'x-forwarded-for': '198.51.100.9',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': HOST,
      forwarded: `for=198.51.100.9;host="${HOST}";proto=https`,
    });
  });

  test.each([
    ['2001:db8::7', '2001:db8::7', 'for="[2001:db8::7]"'],
    ['::ffff:198.51.100.9', '198.51.100.9', 'for=198.51.100.9'],
    ['fe80::1%eth0', 'fe80::1', 'for="[fe80::1]"'],
    ['unknown', 'unknown', 'for=unknown'],
  ])('an address is written as others read it: %s', (peer, address, node) => {
    const fields = sent([], peer);
    expect(fields['x-forwarded-for']).toBe(address);
    expect(fields.forwarded).toBe(`${node};host="${HOST}";proto=http`);
  });
});

describe('from a trusted proxy', () => {
  const PROXY = '10.0.0.2';
  const trusted = ['10.0.0.0/8', '::1'];

  test('its chain is kept, and itself appended', () => {
    const fields = [
      'X-Forwarded-For',
      '203.0.113.9',
      'X-Forwarded-Proto',
      'https',
      'X-Forwarded-Host',
      'a.test',
    ];
    expect(of(fields, PROXY, trusted)).toEqual({
      caller: '203.0.113.9',
      chain: ['203.0.113.9', PROXY],
      proto: 'https',
      host: 'a.test',
    });
    expect(sent(fields, PROXY, trusted)).toEqual({
      'x-forwarded-for': `203.0.113.9, ${PROXY}`,
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'a.test',
      forwarded: `for=203.0.113.9, for=${PROXY};host="a.test";proto=https`,
    });
  });

  test.each<[string, string[], string]>([
    ['the last address that is no proxy', ['x-forwarded-for', '6.6.6.6, 203.0.113.9'], '203.0.113.9'],
    ['beyond two proxies', ['x-forwarded-for', '6.6.6.6, 203.0.113.9, 10.9.9.9'], '203.0.113.9'],
    [
      'beyond proxies in several fields',
      ['x-forwarded-for', '203.0.113.9', 'X-Forwarded-For', '10.9.9.9'],
      '203.0.113.9',
    ],
    ['the farthest, if all are trusted', ['x-forwarded-for', '10.7.7.7, 10.8.8.8'], '10.7.7.7'],
    ['the proxy itself, if it passes nothing on', [], PROXY],
    ['IPv4 with a port', ['x-forwarded-for', '203.0.113.9:4711'], '203.0.113.9'],
    ['IPv6 with a port', ['x-forwarded-for', '[2001:db8::7]:4711'], '2001:db8::7'],
    ['IPv6 without', ['x-forwarded-for', '2001:db8::7'], '2001:db8::7'],
    ['IPv4 in the form of IPv6', ['x-forwarded-for', '::ffff:203.0.113.9'], '203.0.113.9'],
    ['what Forwarded says', ['forwarded', 'for=203.0.113.9;proto=https, for=10.9.9.9'], '203.0.113.9'],
    ['IPv6 in Forwarded', ['forwarded', 'For="[2001:db8::7]:4711";by=x'], '2001:db8::7'],
    ['what both say', ['forwarded', 'for=203.0.113.9', 'x-forwarded-for', '203.0.113.9'], '203.0.113.9'],
  ])('the caller is %s', (_, fields, caller) => {
    expect(of(fields, PROXY, trusted).caller).toBe(caller);
  });

  test.each<[string, string[]]>([
    ['a word', ['x-forwarded-for', 'localhost']],
    ['nothing', ['x-forwarded-for', '']],
    ['an address that is none', ['x-forwarded-for', '203.0.113.999']],
    ['a word after an address', ['x-forwarded-for', '203.0.113.9, somebody']],
    ['an end of line', ['x-forwarded-for', '203.0.113.9\r\nx: y']],
    ['a hidden name', ['forwarded', 'for=_hidden']],
    ['a broken quote', ['forwarded', 'for="203.0.113.9']],
    ['two names in one element', ['forwarded', 'for=203.0.113.9;for=10.0.0.1']],
    ['a quoted quote', ['forwarded', 'for="203.0.113.9\\""']],
    ['two fields that contradict', ['forwarded', 'for=10.0.0.1', 'x-forwarded-for', '203.0.113.9']],
    ['only that it passes something on', ['via', '1.1 proxy']],
    ['only another field', ['x-real-ip', '203.0.113.9']],
  ])('a caller that it does not name is unknown, never a private one: %s', (_, fields) => {
    const seen = of(fields, PROXY, trusted);
    expect(seen.caller).toBe('unknown');
    expect(sent(fields, PROXY, trusted)['x-forwarded-for']).toMatch(/(^|, )unknown, 10\.0\.0\.2$/);
  });

  test.each<[string, string[], string, string]>([
    ['words', ['x-forwarded-proto', 'gopher', 'x-forwarded-host', 'a b'], 'http', HOST],
    ['a quote in a host', ['x-forwarded-host', 'a"b'], 'http', HOST],
    [
      'several',
      ['x-forwarded-proto', 'http, HTTPS', 'x-forwarded-host', 'evil.test, a.test'],
      'https',
      'a.test',
    ],
    ['Forwarded', ['forwarded', 'for=1.2.3.4;proto=HTTPS;host="a.test:8443"'], 'https', 'a.test:8443'],
    ['an IPv6 host', ['x-forwarded-host', '[2001:db8::7]:80'], 'http', '[2001:db8::7]:80'],
  ])('protocol and host are taken if they can be read: %s', (_, fields, proto, host) => {
    expect(of(fields, PROXY, trusted)).toMatchObject({ proto, host });
  });

  test('a chain without end is cut at the far end', () => {
    const chain = Array.from({ length: 500 }, (_, at) => `10.1.${at >> 8}.${at & 255}`);
    const seen = of(['x-forwarded-for', chain.join(',')], PROXY, trusted).chain;
    expect(seen).toHaveLength(32);
    expect(seen.slice(-2)).toEqual(['10.1.1.243', PROXY]);
  });

  test('one over a socket for both families is the same', () => {
    expect(of(['x-forwarded-for', '203.0.113.9'], '::ffff:10.0.0.2', trusted).caller).toBe('203.0.113.9');
    expect(of(['x-forwarded-for', '203.0.113.9'], '::1', trusted).caller).toBe('203.0.113.9');
  });
});

test('who is trusted is remembered without end of memory, and stays true', () => {
  const isTrusted = proxyTrust(['10.0.0.0/9']);
  for (let round = 0; round < 2; round++) {
    for (let at = 0; at < 3000; at++) {
      expect(isTrusted(`10.${at & 1 ? 200 : 100}.${at >> 8}.${at & 255}`)).toBe((at & 1) === 0);
    }
  }
  expect(isTrusted('unknown')).toBe(false);
});

test.each(['Forwarded', 'VIA', 'x-forwarded-for', 'X-Forwarded-Host', 'x-real-ip'])(
  'a request with %s was passed on',
  (name) => {
    expect(isPassedOn(['accept', '*/*', name, ''])).toBe(true);
    expect(isPassedOn(['accept', '*/*', `${name}-not`, ''])).toBe(false);
  },
);
