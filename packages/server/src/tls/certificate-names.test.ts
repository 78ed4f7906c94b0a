import { expect, test } from 'vitest';
import { certificateName, hostToAsk, isEveryAddress, wantedNames } from './certificate-names.ts';

const nothing = {
  host: '127.0.0.1',
  publicUrl: undefined,
  allowHosts: [],
  tlsNames: [],
  privateHosts: undefined,
  domains: [],
  agentHosts: [],
};

test.each([
  ['*.Example.com', '*.example.com'],
  ['box.local', 'box.local'],
  ['[::1]', '::1'],
])('a certificate can hold %s', (text, expected) => {
  expect(certificateName(text)).toBe(expected);
});

test.each(['*', '*.com', '*.*.example.com', 'a.*.example.com', '*.127.0.0.1', 'a b', ''])(
  'a certificate cannot hold "%s"',
  (text) => {
    expect(certificateName(text)).toBeUndefined();
  },
);

test('the local certificate is for loopback at least', () => {
  expect(wantedNames(nothing)).toEqual(['127.0.0.1', '::1', 'localhost']);
});

test('it is for every name that a setting tells of, each once', () => {
  const names = wantedNames({
    host: '10.0.0.7',
    publicUrl: 'https://Agents.example.com:8443/base',
    allowHosts: ['box.local', 'not a name'],
    tlsNames: ['*.example.com', 'box.local'],
    privateHosts: ['agents.internal'],
    domains: [{ host: 'chat.example.com' }],
    agentHosts: ['agents.example.org'],
  });
  expect(names).toEqual(
    [
      '*.example.com',
      '10.0.0.7',
      '127.0.0.1',
      '::1',
      'agents.example.com',
      'agents.example.org',
      'agents.internal',
      'box.local',
      'chat.example.com',
      'localhost',
    ].sort(),
  );
});

test.each(['0.0.0.0', '::', '0:0:0:0:0:0:0:0'])('%s is every address, and no name', (host) => {
  expect(isEveryAddress(host)).toBe(true);
  expect(wantedNames({ ...nothing, host })).toEqual(wantedNames(nothing));
});

test.each([
  ['127.0.0.1', ['127.0.0.1', 'localhost'], '127.0.0.1'],
  ['0.0.0.0', ['127.0.0.1', 'localhost'], '127.0.0.1'],
  ['::', ['::1', 'localhost'], '::1'],
  ['127.0.0.1', ['localhost'], 'localhost'],
  ['127.0.0.1', ['*.example.com', 'agents.example.com'], 'agents.example.com'],
  ['127.0.0.1', [], '127.0.0.1'],
])('what is bound to %s, with a certificate for %j, is asked as %s', (bound, names, expected) => {
  expect(hostToAsk(bound, names)).toBe(expected);
});
