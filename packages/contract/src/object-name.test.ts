import { describe, expect, it } from 'vitest';
import { BUCKET_NAME_PATTERN } from './limits.ts';
import { objectNameFault } from './object-name.ts';

describe('objectNameFault', () => {
  it.each([
    'a',
    'agent.zip',
    'teams/a/agent.zip',
    'a b/日本/é.zip',
    '..a',
    'a..',
    '.hidden',
    '...',
    '%2e%2e/x',
    'a//b',
  ])('accepts %s', (name) => expect(objectNameFault(name)).toBeUndefined());

  it('accepts 1024 bytes, and not one more', () => {
    expect(objectNameFault('é'.repeat(512))).toBeUndefined();
    expect(objectNameFault(`${'é'.repeat(512)}x`)).toMatch(/at most 1024 bytes in UTF-8; these are 1025/);
  });

  it.each([
    ['', 'empty'],
    ['a\0b', 'control'],
    ['a\nb', 'control'],
    ['a\u007f', 'control'],
    ['a\u0085', 'control'],
    ['a\ud800', 'lone surrogate'],
    ['a\\b', 'backslash'],
    ['/a', 'begin with "/"'],
    ['a/', 'end with "/"'],
    ['..', '".."'],
    ['.', '".."'],
    ['../a', '".."'],
    ['a/../b', '".."'],
    ['a/./b', '".."'],
    ['a/..', '".."'],
  ])('refuses %j', (name, reason) => expect(objectNameFault(name)).toContain(reason));
});

describe('BUCKET_NAME_PATTERN', () => {
  it.each(['abc', 'my-agents', 'a.b.c', '0-9', 'x'.repeat(63), '1.2.3', '1.2.3.4.5', 'a--b'])(
    'accepts %s',
    (name) => expect(name).toMatch(BUCKET_NAME_PATTERN),
  );
  it.each([
    'ab',
    'x'.repeat(64),
    'Agents',
    'my_agents',
    '-abc',
    'abc-',
    '.abc',
    'abc.',
    'a..b',
    'xn--abc',
    '192.168.0.1',
    'a b',
    'a/b',
    'abc\n',
    'ähm',
  ])('refuses %j', (name) => expect(name).not.toMatch(BUCKET_NAME_PATTERN));
});
