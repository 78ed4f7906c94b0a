import { expect, test } from 'vitest';
import { setsPlatformCookie, withoutPlatformCookies } from './platform-cookies.ts';

test.each([
  ['a=1; b=2', 'a=1; b=2'],
  ['', ''],
  ['runstead=1; x-runstead-session=2', 'runstead=1; x-runstead-session=2'],
  ['a=runstead-session', 'a=runstead-session'],
  ['runstead-session=secret', undefined],
  ['runstead-session=secret; a=1', 'a=1'],
  ['a=1; runstead-session=secret; b=2', 'a=1; b=2'],
  ['a=1;runstead-session=secret;b=2', 'a=1;b=2'],
  ['a=1; runstead-session=one; runstead-session=two; runstead-other=three', 'a=1'],
  ['a=1; RunStead-Session=secret', 'a=1'],
  ['a=1;\trunstead-session=secret', 'a=1'],
  ['a=1; __Host-runstead-session=secret; __secure-runstead-x=secret', 'a=1'],
  ['runstead-session', undefined],
  ['runstead-session="a b"; a="1"', 'a="1"'],
])('a Cookie field loses what is the platform’s: %s', (value, kept) => {
  expect(withoutPlatformCookies(value)).toBe(kept);
});

test.each([
  'runstead-session=x',
  'runstead-session=x; Path=/; HttpOnly',
  'Runstead-Anything=x',
  ' \trunstead-session=x',
  '__Host-runstead-session=x; Secure; Path=/',
  '__SECURE-runstead-session=x',
  '=runstead-session=x',
  '= runstead-session=x',
  '==runstead-session=x',
  'runstead-session',
])('no agent sets "%s"', (value) => {
  expect(setsPlatformCookie(value)).toBe(true);
});

test.each([
  'session=x',
  'a=runstead-session',
  'x-runstead-session=x',
  'runstead=x',
  '',
  '=',
  'a=1; Path=/runstead-',
])('an agent may set "%s"', (value) => {
  expect(setsPlatformCookie(value)).toBe(false);
});
