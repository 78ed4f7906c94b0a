import { describe, expect, test } from 'vitest';
import { isPrivateCall, PRIVATE_NETWORKS, parseNetwork, privateAccess } from './private-access.ts';

const settings = { publicUrl: undefined, privateHosts: undefined, privateNetworks: PRIVATE_NETWORKS };
const call = (host: string, peer: string, isPassedOn = false) => ({ host, peer, isPassedOn });

describe('unless told otherwise', () => {
  const access = privateAccess(settings);

  test.each([
    ['localhost', '127.0.0.1'],
    ['LocalHost', '127.0.0.1'],
    ['127.0.0.1', '::ffff:127.0.0.1'],
    ['[::1]', '::1'],
  ])('a call to %s from %s is private', (host, peer) => {
    expect(isPrivateCall(access, call(host, peer))).toBe(true);
  });

  test.each([
    ['of another host', 'box.local', '127.0.0.1'],
    ['from another machine that names this one', 'localhost', '10.0.0.8'],
    ['from nowhere', 'localhost', 'unknown'],
    ['to another address of this machine', '127.0.0.2', '127.0.0.1'],
  ])('a call %s is not', (_, host, peer) => {
    expect(isPrivateCall(access, call(host, peer))).toBe(false);
  });

  test('what a proxy on this machine passed on is not', () => {
    expect(isPrivateCall(access, call('localhost', '127.0.0.1', true))).toBe(false);
  });

  test('no call is private where a public address elsewhere tells of a proxy', () => {
    const behind = privateAccess({ ...settings, publicUrl: 'https://agents.example.com' });
    expect(isPrivateCall(behind, call('127.0.0.1', '127.0.0.1'))).toBe(false);
    const local = privateAccess({ ...settings, publicUrl: 'http://localhost:7700' });
    expect(isPrivateCall(local, call('127.0.0.1', '127.0.0.1'))).toBe(true);
  });
});

describe('with private hosts of one’s own', () => {
  const access = privateAccess({ ...settings, privateHosts: ['agents.internal', '10.0.0.7', 'localhost'] });

  test.each([
    ['agents.internal', '10.1.2.3'],
    ['agents.internal', '192.168.1.9'],
    ['agents.internal', '::ffff:172.16.0.1'],
    ['agents.internal', 'fd12::1'],
    ['agents.internal', 'fe80::1%eth0'],
    ['10.0.0.7', '10.0.0.8'],
    ['localhost', '127.0.0.1'],
  ])('a call to %s from %s is private', (host, peer) => {
    expect(isPrivateCall(access, call(host, peer))).toBe(true);
  });

  test('also one that a proxy passed on: the proxy’s address counts', () => {
    expect(isPrivateCall(access, call('agents.internal', '10.0.0.2', true))).toBe(true);
  });

  test.each([
    ['a name that anybody can write, from the internet', 'agents.internal', '203.0.113.9'],
    ['the same over IPv6', 'agents.internal', '2001:db8::9'],
    ['a loopback name from the private network', 'localhost', '10.0.0.8'],
    ['a name that is not among them', '127.0.0.1', '127.0.0.1'],
  ])('%s is not', (_, host, peer) => {
    expect(isPrivateCall(access, call(host, peer))).toBe(false);
  });

  test('networks of one’s own replace the usual ones', () => {
    const own = privateAccess({
      ...settings,
      privateHosts: ['agents.internal'],
      privateNetworks: ['2001:db8:7::/48', '203.0.113.9'],
    });
    expect(isPrivateCall(own, call('agents.internal', '2001:db8:7::1'))).toBe(true);
    expect(isPrivateCall(own, call('agents.internal', '203.0.113.9'))).toBe(true);
    expect(isPrivateCall(own, call('agents.internal', '203.0.113.10'))).toBe(false);
    expect(isPrivateCall(own, call('agents.internal', '10.0.0.8'))).toBe(false);
  });
});

test('no private hosts: no call is private', () => {
  const access = privateAccess({ ...settings, privateHosts: [] });
  expect(isPrivateCall(access, call('localhost', '127.0.0.1'))).toBe(false);
});

test.each(['10.0.0.0/33', '::/129', '10.0.0', 'example.com', '10.0.0.0/', '', '10.0.0.0/-1'])(
  '"%s" is no network',
  (text) => {
    expect(parseNetwork(text)).toBeUndefined();
  },
);
