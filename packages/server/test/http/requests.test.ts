import { expect, test } from 'vitest';
import type { RequestHead } from '../../src/http/request-head.ts';
import { cutInTwo, cutToBytes, type Reading, readRequests, summary } from './reading.ts';
import { REQUESTS, type RequestRow } from './requests.ts';

test.each(REQUESTS.map((row) => [row.name, row] as const))('%s', (_, row) => {
  const bytes = Buffer.from(row.raw, 'latin1');
  const whole = readRequests([bytes]);
  expect(outcome(whole)).toEqual(wanted(row));
  row.messages.forEach(({ fields }, index) => {
    if (fields) expect(whole.messages[index]!.head.section.fields).toEqual(fields);
  });
  expect(whole.fault?.reason ?? '').not.toMatch(/secret/);

  // However it is cut, and whether or not what was looked at is remembered.
  const seen = summary(whole);
  for (const pieces of cutInTwo(bytes)) {
    expect(summary(readRequests(pieces)), `cut at ${pieces[0]!.length}`).toEqual(seen);
  }
  expect(summary(readRequests(cutToBytes(bytes)))).toEqual(seen);
  if (bytes.length < 1000) expect(summary(readRequests(cutToBytes(bytes), false))).toEqual(seen);
});

test('names of rows are told apart', () => {
  const names = REQUESTS.map((row) => row.name);
  expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
  expect(REQUESTS.length).toBeGreaterThanOrEqual(150);
});

function wanted({ messages, status, unfinished = false }: RequestRow) {
  return {
    messages: messages.map(({ method, target, body, keepAlive = true }) => ({
      method,
      target,
      body,
      keepAlive,
    })),
    status,
    unfinished,
  };
}

function outcome({ messages, fault, isUnfinished }: Reading<RequestHead>) {
  return {
    messages: messages.map(({ head: { method, target, keepAlive }, body }) => ({
      method,
      target,
      body,
      keepAlive,
    })),
    status: fault?.status,
    unfinished: isUnfinished,
  };
}
