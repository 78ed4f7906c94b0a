import { describe, expect, it } from 'vitest';
import { bindValue } from './bind-value.ts';

class Custom {}

describe('bindValue', () => {
  const kept: [string, unknown, unknown][] = [
    ['text', 'a\n"日本"', 'a\n"日本"'],
    ['empty text', '', ''],
    ['an integer', -7, -7],
    ['zero', 0, 0],
    ['a fraction', 0.1, 0.1],
    ['the largest safe integer', Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
    ['a bigint', 2n ** 62n, 2n ** 62n],
    ['null', null, null],
    ['true', true, 1],
    ['false', false, 0],
    ['a time', new Date(Date.UTC(2026, 1, 3, 4, 5, 6, 7)), '2026-02-03T04:05:06.007Z'],
    ['a Buffer', Buffer.from([1, 2]), Buffer.from([1, 2])],
    ['bytes', new Uint8Array([3, 4]), new Uint8Array([3, 4])],
  ];
  it.each(kept)('stores %s faithfully', (_name, value, stored) => {
    expect(bindValue(value)).toStrictEqual(stored);
  });

  const refused: [string, unknown, RegExp][] = [
    ['undefined', undefined, /bind a undefined/],
    ['NaN', Number.NaN, /number.*NaN/],
    ['Infinity', Number.POSITIVE_INFINITY, /number.*Infinity/],
    ['-Infinity', Number.NEGATIVE_INFINITY, /-Infinity/],
    ['a time that is none', new Date('nonsense'), /class Date/],
    ['a function', () => 1, /bind a function/],
    ['a class', Custom, /bind a function/],
    ['a symbol', Symbol('s'), /symbol.*Symbol\(s\)/],
    ['an object', { a: 1 }, /class Object/],
    ['an object without a prototype', Object.create(null), /an object/],
    ['an array', ['a'], /class Array/],
    ['a map', new Map(), /class Map/],
    ['an instance', new Custom(), /class Custom/],
    ['a promise', Promise.resolve(), /class Promise/],
    ['boxed text', new String('a'), /class String/],
    ['memory without a view', new ArrayBuffer(2), /class ArrayBuffer/],
    ['numbers of 16 bits', new Uint16Array(2), /class Uint16Array/],
  ];
  it.each(refused)('refuses %s, and says what it was', (_name, value, message) => {
    expect(() => bindValue(value)).toThrow(TypeError);
    expect(() => bindValue(value)).toThrow(message);
  });
});
