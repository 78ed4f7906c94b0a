import { describe, expect, it } from 'vitest';
import { evaluate } from '../langgraph-agent/tools/arithmetic.mjs';

describe('evaluate', () => {
  it.each([
    ['12 * (3 + 4)', 84],
    ['1 + 2 * 3', 7],
    ['10 - 4 - 3', 3],
    ['100 / 10 / 5', 2],
    ['17 % 5', 2],
    ['2 ^ 10', 1024],
    ['2^3^2', 512],
    ['-2^2', -4],
    ['2^-1', 0.5],
    ['2 - -3', 5],
    ['--2', 2],
    ['-(1 + 2) * 3', -9],
    ['0 * -1', 0],
    ['.5 + 1.25', 1.75],
    ['0.1 + 0.2', 0.3],
    ['9007199254740991', 9007199254740991],
    ['  (( 7 ))  ', 7],
  ])('%s is %d', (expression, value) => {
    expect(evaluate(expression)).toBe(value);
  });

  it.each([
    ['', 'Expected a number or "(" at character 1, found the end.'],
    ['   ', 'Expected a number or "(" at character 1, found the end.'],
    ['1 +', 'Expected a number or "(" at character 4, found the end.'],
    ['* 2', 'Expected a number or "(" at character 1, found "*".'],
    ['(1 + 2', 'Expected ")" at character 7, found the end.'],
    ['1 + 2)', 'Expected an operator at character 6, found ")".'],
    ['3 4', 'Expected an operator at character 3, found "4".'],
    ['2 * x', 'Unexpected "x" at character 5.'],
    ['process.exit()', 'Unexpected "p" at character 1.'],
    ['1 / 0', 'Division by zero at character 3.'],
    ['1 % (2 - 2)', 'Division by zero at character 3.'],
    ['10 ^ 999', 'The result is not a finite real number.'],
    ['(-8) ^ 0.5', 'The result is not a finite real number.'],
  ])('refuses "%s"', (expression, message) => {
    expect(() => evaluate(expression)).toThrow(message);
  });

  it('refuses an expression too long to be meant', () => {
    expect(() => evaluate('('.repeat(201))).toThrow('at most 200 are allowed');
  });
});
