import { expect, it } from 'vitest';
import {
  type LogCursor,
  NOTHING_READ,
  placeIn,
  readLogCursor,
  START_OF_LOG,
  writeLogCursor,
} from './log-cursor.ts';

const RUNTIME = '01234567-89ab-4cde-8f01-23456789abcd';
const cursor: LogCursor = {
  readUpTo: 1_795_618_342_123,
  places: new Map([
    ['11111111-1111-4111-8111-111111111111', { position: 123_456_789_012, isSkipping: true, level: 'error' }],
    ['i-2', { position: 0, isSkipping: false, level: undefined }],
  ]),
};

it('reads as it was written', () => {
  expect(readLogCursor(writeLogCursor(cursor, RUNTIME), RUNTIME)).toEqual(cursor);
  expect(readLogCursor(writeLogCursor(NOTHING_READ, RUNTIME), RUNTIME)).toEqual(NOTHING_READ);
});

it('is no good for other logs, nor is anything else one', () => {
  expect(
    readLogCursor(writeLogCursor(cursor, RUNTIME), '99999999-89ab-4cde-8f01-23456789abcd'),
  ).toBeUndefined();
  for (const text of ['', '1', 'x', '!!!', '7', Buffer.from(`1|01234567|zz|../x:1,`).toString('base64url')]) {
    expect(readLogCursor(text, RUNTIME)).toBeUndefined();
  }
});

it('what was begun later is read from its start, what was begun before and is not named is over', () => {
  const log = (instanceId: string, openedAt: number) => ({ instanceId, openedAt });
  expect(placeIn(cursor, log('i-2', 5))).toEqual({ position: 0, isSkipping: false, level: undefined });
  expect(placeIn(cursor, log('i-3', 5))).toBeUndefined();
  expect(placeIn(cursor, log('i-3', cursor.readUpTo))).toBeUndefined();
  expect(placeIn(cursor, log('i-3', cursor.readUpTo + 1))).toBe(START_OF_LOG);
});
