import { expect, test } from 'vitest';
import { CONTENT_LENGTH, DISGUISED, fieldName, PLAIN } from './field-names.ts';

test('a name is the same in every spelling, and known by its role', () => {
  expect(fieldName('cOnTeNt-LeNgTh')).toEqual({ lower: 'content-length', role: CONTENT_LENGTH });
  expect(fieldName('Content_Length').role).toBe(DISGUISED);
  expect(fieldName('X-Content-Length').role).toBe(PLAIN);
});

test.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty'])(
  '"%s" is a name like others',
  (name) => {
    expect(fieldName(name)).toEqual({ lower: name.toLowerCase(), role: PLAIN });
  },
);

test('names that strangers invent are read, and take no room from those that are common', () => {
  const host = fieldName('Host');
  for (let count = 0; count < 5000; count++) {
    expect(fieldName(`X-Invented-${count}`).lower).toBe(`x-invented-${count}`);
  }
  expect(fieldName('Host')).toBe(host);
  expect(fieldName('Content-LENGTH').role).toBe(CONTENT_LENGTH);
});
