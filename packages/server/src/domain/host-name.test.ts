import { expect, test } from 'vitest';
import { canonicalHost, urlHost } from './host-name.ts';

test.each([
  ['Chat.Example.COM', 'chat.example.com'],
  ['localhost', 'localhost'],
  ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
  ['10.0.0.7', '10.0.0.7'],
  ['::1', '::1'],
  ['[0:0::1]', '::1'],
  ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
])('%s is the host %s', (text, expected) => {
  expect(canonicalHost(text)).toBe(expected);
});

test.each([
  '',
  'localhost:7700',
  'a b',
  'a..b',
  '-a.example',
  'a-.example',
  'bücher.example',
  'a.example.',
  '*.example.com',
  '[localhost]',
  'fe80::1%eth0',
  '1.2.3',
  `${'a'.repeat(64)}.example`,
  `${'a.'.repeat(127)}example`,
])('"%s" is no host', (text) => {
  expect(canonicalHost(text)).toBeUndefined();
});

test('an IPv6 address stands in brackets in a URL', () => {
  expect(urlHost('::1')).toBe('[::1]');
  expect(urlHost('127.0.0.1')).toBe('127.0.0.1');
  expect(urlHost('localhost')).toBe('localhost');
});
