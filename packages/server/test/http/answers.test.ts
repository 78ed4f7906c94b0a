import { expect, test } from 'vitest';
import { ANSWERS } from './answers.ts';
import { cutInTwo, cutToBytes, readAnswers, summary } from './reading.ts';

test.each(ANSWERS.map((row) => [row.name, row] as const))('%s', (_, row) => {
  const bytes = Buffer.from(row.raw, 'latin1');
  const reading = readAnswers([bytes], row.method);
  const { messages, fault, isUnfinished } = reading;

  expect(messages.slice(0, row.interim.length).map(({ head }) => head.status)).toEqual(row.interim);
  const final = messages[row.interim.length];
  if (row.outcome === 'whole') {
    expect(final?.head).toMatchObject({ status: row.status, keepAlive: row.keepAlive });
    expect(final!.body).toBe(row.body);
    if (row.fields) expect(final!.head.section.fields).toEqual(row.fields);
    if (row.excess === '') expect({ fault, isUnfinished }).toEqual({ fault: undefined, isUnfinished: false });
  } else {
    expect(final).toBeUndefined();
    if (!row.ends && row.interim[0] !== 101) expect(fault).toBeDefined();
    if (row.outcome === 'refused' && fault) expect(fault.status).toBe(502);
  }

  const seen = summary(reading);
  for (const pieces of cutInTwo(bytes)) {
    expect(summary(readAnswers(pieces, row.method)), `cut at ${pieces[0]!.length}`).toEqual(seen);
  }
  expect(summary(readAnswers(cutToBytes(bytes), row.method))).toEqual(seen);
  if (bytes.length < 1000) expect(summary(readAnswers(cutToBytes(bytes), row.method, false))).toEqual(seen);
});

test('names of rows are told apart', () => {
  const names = ANSWERS.map((row) => row.name);
  expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
  expect(names.length).toBeGreaterThanOrEqual(60);
});
