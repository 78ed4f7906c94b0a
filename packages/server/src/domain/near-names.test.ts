import { expect, test } from 'vitest';
import { nearNames } from './near-names.ts';

const KNOWN = ['hello', 'hello-2', 'weather', 'Echo', 'a', 'b', 'support-agent', 'support-agents'];

test.each([
  ['helo', ['hello']],
  ['ehllo', ['hello']],
  ['hallo', ['hello']],
  ['HELLO', ['hello', 'hello-2']],
  ['hello-3', ['hello-2', 'hello']],
  ['echo', ['Echo']],
  ['suport-agent', ['support-agent', 'support-agents']],
  ['c', ['a', 'b']],
  ['whether', ['weather']],
  ['nothing', []],
  ['', []],
])('"%s" may have been meant for %j', (name, expected) => {
  expect(nearNames(name, KNOWN)).toEqual(expected);
});

test('a name that exists is not meant for itself, and no more than three are told', () => {
  expect(nearNames('hello', KNOWN)).toEqual(['hello-2']);
  expect(nearNames('a9', ['a1', 'a2', 'a3', 'a4', 'a5'])).toEqual(['a1', 'a2', 'a3']);
});

test('ten thousand long names are looked through', () => {
  const many = Array.from({ length: 10_000 }, (_, at) => `${'x'.repeat(120)}-${at}`);
  expect(nearNames(`${'x'.repeat(120)}-77777`, many)).toContain(`${'x'.repeat(120)}-7777`);
});
