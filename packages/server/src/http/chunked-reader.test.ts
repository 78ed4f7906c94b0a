import { expect, test } from 'vitest';
import { ChunkedReader } from './chunked-reader.ts';

function readAll(text: string, step: number) {
  const bytes = Buffer.from(text, 'latin1');
  const reader = new ChunkedReader();
  let body = '';
  let end = 0;
  for (let from = 0; from < bytes.length && !reader.done && !reader.fault; from = end) {
    end = reader.read(bytes, from, Math.min(from + step, bytes.length));
    for (let run = 0; run < reader.runs.length; run += 2) {
      body += bytes.toString('latin1', reader.runs[run], reader.runs[run + 1]);
    }
  }
  return { body, end, done: reader.done, bytes: reader.bytes, fault: reader.fault };
}

test.each([1, 2, 3, 7, 1000])('a body is the same in pieces of %d bytes', (step) => {
  const text = '5;a="b"\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nX-A: one\r\nX-B:\r\n\r\nNEXT';
  expect(readAll(text, step)).toEqual({
    body: 'hello0123456789abcdef',
    end: text.length - 4,
    done: true,
    bytes: 21,
    fault: undefined,
  });
});

test('a body that cannot be read is not done, and nothing more is read of it', () => {
  const bytes = Buffer.from('5\r\nhello\r\n5x\r\nhello\r\n0\r\n\r\n');
  const reader = new ChunkedReader();
  const end = reader.read(bytes, 0, bytes.length);
  expect(reader.runs).toEqual([3, 8]);
  expect(reader.done).toBe(false);
  expect(reader.fault?.reason).toBe(
    'The chunked body is not readable: the size of a chunk is followed by "x"',
  );
  expect(reader.read(bytes, end, bytes.length)).toBe(end);
  expect(reader.runs).toEqual([]);
});

test('the largest size is counted to the byte', () => {
  const reader = new ChunkedReader();
  const head = Buffer.from('ffffffffffff\r\n');
  reader.read(head, 0, head.length);
  const piece = Buffer.alloc(1000);
  reader.read(piece, 0, 1000);
  expect(reader).toMatchObject({ bytes: 1000, done: false, fault: undefined });
});

test.each([1, 3, 1000])('the limit of extensions counts all chunks, in pieces of %d bytes', (step) => {
  const chunks = (count: number) => `${`1;${'a'.repeat(1023)}\r\nx\r\n`.repeat(count)}0\r\n\r\n`;
  expect(readAll(chunks(4), step)).toMatchObject({ body: 'xxxx', done: true });
  expect(readAll(chunks(5), step).fault?.reason).toMatch(/extensions have more than 4096 bytes/);
});

test.each([1, 3, 100_000])('trailers without an end are refused at their limit, in pieces of %d', (step) => {
  const { done, end, fault } = readAll(`0\r\nX-A: ${'a'.repeat(40_000)}`, step);
  expect(done).toBe(false);
  expect(fault?.reason).toMatch(/trailers have more than 16384 bytes/);
  if (step < 100_000) expect(end).toBeLessThan(17_000);
});

test.each([1, 3, 1000])('a refusal does not tell what trailers hold, in pieces of %d bytes', (step) => {
  const { fault } = readAll('0\r\nX-A: sk-secret\r\nAuthorization: Bearer sk-secret\r\n\r\n', step);
  expect(fault?.reason).toBe('The chunked body is not readable: authorization may not come behind the body');
});
