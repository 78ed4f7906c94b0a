import { expect, test } from 'vitest';
import {
  CONTENT_LENGTH,
  DISGUISED,
  fieldName,
  fieldNameAt,
  noFieldName,
  PerFieldName,
  PLAIN,
} from './field-names.ts';

test('a name is the same in every spelling, and known by its role', () => {
  expect(fieldName('cOnTeNt-LeNgTh')).toMatchObject({ lower: 'content-length', role: CONTENT_LENGTH });
  expect(fieldName('Content_Length').role).toBe(DISGUISED);
  expect(fieldName('X-Content-Length').role).toBe(PLAIN);
});

test.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty'])(
  '"%s" is a name like others',
  (name) => {
    expect(fieldName(name)).toMatchObject({ lower: name.toLowerCase(), role: PLAIN });
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

test('a name that is expected is only taken for what stands there', () => {
  const first = noFieldName();
  const at = (head: string, end = head.length) => fieldNameAt(head, 0, end, first);
  expect(at('Host')).toBe(fieldName('Host'));
  expect(at('Host')).toBe(fieldName('Host'));
  expect(at('Hosts').lower).toBe('hosts');
  expect(at('Host', 3).lower).toBe('hos');
  expect(at('hOST').spelled).toBe('hOST');
  expect(at('Date')).toBe(fieldName('Date'));
});

test('what follows from a name is worked out once, and anew for names that are not kept', () => {
  const asked: string[] = [];
  const lengths = new PerFieldName((lower) => {
    asked.push(lower);
    return lower.length;
  });
  const unknown = fieldName('x'.repeat(100));
  expect([fieldName('ETag'), fieldName('ETag'), unknown, unknown].map((name) => lengths.of(name))).toEqual([
    4, 4, 100, 100,
  ]);
  expect(asked).toEqual(['etag', unknown.lower, unknown.lower]);
});
