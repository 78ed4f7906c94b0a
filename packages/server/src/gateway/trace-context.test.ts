import { expect, test } from 'vitest';
import { isTraceField, traceFields } from './trace-context.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = '00f067aa0ba902b7';
const WHOLE = `00-${TRACE}-${PARENT}-01`;
const BEGUN = /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/;
const ask = (...fields: string[]) => traceFields(fields, { sampled: true });

test.each([
  ['as it is', WHOLE],
  ['one that is not sampled', `00-${TRACE}-${PARENT}-00`],
  ['flags of later versions', `00-${TRACE}-${PARENT}-ff`],
  ['a later version', `01-${TRACE}-${PARENT}-01`],
  ['a later version that says more', `cc-${TRACE}-${PARENT}-01-what-the-future-will-be-like`],
])('a trace goes on: %s', (_, value) => {
  expect(ask('Accept', '*/*', 'TraceParent', value)).toEqual(['traceparent', value]);
});

test('its state goes on with it, in all its fields and in their order', () => {
  expect(ask('tracestate', 'a=1', 'traceparent', WHOLE, 'Tracestate', 'b=2,c=3')).toEqual([
    'traceparent',
    WHOLE,
    'tracestate',
    'a=1',
    'tracestate',
    'b=2,c=3',
  ]);
});

test.each([
  ['nothing', ''],
  ['the forbidden version', `ff-${TRACE}-${PARENT}-01`],
  ['a trace of zeros', `00-${'0'.repeat(32)}-${PARENT}-01`],
  ['a parent of zeros', `00-${TRACE}-${'0'.repeat(16)}-01`],
  ['upper case', WHOLE.toUpperCase()],
  ['what is no hex', `00-${TRACE.replace('4', 'g')}-${PARENT}-01`],
  ['a version of one digit', `0-${TRACE}-${PARENT}-01`],
  ['a short trace', `00-${TRACE.slice(1)}-${PARENT}-01`],
  ['no flags', `00-${TRACE}-${PARENT}`],
  ['more than version 00 has', `${WHOLE}-more`],
  ['a later version that goes on without a dash', `01-${TRACE}-${PARENT}-01.more`],
  ['another separator', WHOLE.replaceAll('-', '_')],
  ['blanks', ` ${WHOLE}`],
  ['one without end', `01-${TRACE}-${PARENT}-01-${'x'.repeat(1000)}`],
])('what cannot be read is replaced, and its state dropped: %s', (_, value) => {
  const [name, begun, ...more] = ask('traceparent', value, 'tracestate', 'a=1');
  expect(name).toBe('traceparent');
  expect(begun).toMatch(BEGUN);
  expect(begun).not.toContain(TRACE);
  expect(more).toEqual([]);
});

test('two traces are none, and a state alone is no trace', () => {
  expect(ask('traceparent', WHOLE, 'TRACEPARENT', WHOLE)[1]).not.toBe(WHOLE);
  expect(ask('tracestate', 'a=1')).toEqual(['traceparent', expect.stringMatching(BEGUN)]);
});

test('one that begins here says what the setting says, and is nobody else’s', () => {
  expect(traceFields([], { sampled: false })[1]).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
  const seen = new Set(Array.from({ length: 1000 }, () => ask()[1]));
  expect(seen.size).toBe(1000);
});

test('ids of zeros are not taken from chance either', () => {
  const random = () => '0'.repeat(48);
  expect(traceFields([], { sampled: true, random })[1]).toMatch(/[1-9a-f]/);
  expect(traceFields([], { sampled: true, random })[1]).not.toContain('0'.repeat(16));
});

test('fields of a trace are known by their names', () => {
  expect(['traceparent', 'tracestate', 'tracestates', 'xtracestate'].map(isTraceField)).toEqual([
    true,
    true,
    false,
    false,
  ]);
});
