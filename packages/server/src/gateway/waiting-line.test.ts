import { expect, test } from 'vitest';
import { type InLine, WaitingLine } from './waiting-line.ts';

interface Person extends InLine<Person> {
  name: string;
}
const person = (name: string): Person => ({ name, before: undefined, after: undefined });

function names(line: WaitingLine<Person>): string {
  let seen = '';
  for (let at = line.first; at; at = at.after) seen += at.name;
  return seen;
}

test.each<[leaving: string, left: string]>([
  ['', 'abcd'],
  ['a', 'bcd'],
  ['d', 'abc'],
  ['bc', 'ad'],
  ['abcd', ''],
  ['dcba', ''],
  ['badc', ''],
])('of four in a line "%s" leave and "%s" stay, in order', (leaving, left) => {
  const line = new WaitingLine<Person>();
  const people = [...'abcd'].map(person);
  for (const one of people) line.enter(one);
  for (const name of leaving) line.leave(people.find((one) => one.name === name)!);
  expect(names(line)).toBe(left);
  expect(line.length).toBe(left.length);
  const late = person('x');
  line.enter(late);
  const urgent = person('u');
  line.enterFirst(urgent);
  expect(names(line)).toBe(`u${left}x`);
  line.leave(urgent);
  line.enter(urgent);
  expect(names(line)).toBe(`${left}xu`);
});

test('whoever goes first into an empty line is also the last', () => {
  const line = new WaitingLine<Person>();
  const [a, b] = [person('a'), person('b')];
  line.enterFirst(a);
  line.enter(b);
  expect(names(line)).toBe('ab');
  line.leave(b);
  line.enter(b);
  expect(names(line)).toBe('ab');
});
