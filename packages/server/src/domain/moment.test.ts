import { expect, it } from 'vitest';
import { readMoment } from './moment.ts';

const NOW = Date.parse('2026-11-25T14:00:00Z');

it.each([
  ['15m', '2026-11-25T13:45:00.000Z'],
  ['0s', '2026-11-25T14:00:00.000Z'],
  ['500ms', '2026-11-25T13:59:59.500Z'],
  ['2h', '2026-11-25T12:00:00.000Z'],
  ['7d', '2026-11-18T14:00:00.000Z'],
  ['2026-11-25', '2026-11-25T00:00:00.000Z'],
  ['2026-11-25T10:30', '2026-11-25T10:30:00.000Z'],
  ['2026-11-25 10:30:05.25Z', '2026-11-25T10:30:05.250Z'],
  ['2026-11-25T10:30:05+02:00', '2026-11-25T08:30:05.000Z'],
])('%s is %s', (text, moment) => {
  expect(new Date(readMoment(text, NOW)!).toISOString()).toBe(moment);
});

it.each([
  '',
  '15',
  '15 m',
  '-1m',
  '1y',
  'yesterday',
  '2026-13-01',
  '2026-04-31',
  '2026-11-25T25:00',
  '1795618342123',
])('%j is no moment', (text) => {
  expect(readMoment(text, NOW)).toBeUndefined();
});
