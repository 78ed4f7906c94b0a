import { expect, test } from 'vitest';
import { encodeFrame, FrameError, FrameReader } from './frames.ts';

const MESSAGES = [{ type: 'keys', keys: [] }, { type: 'log', line: 'größer — 更大\n' }, { type: 'closed' }];
const BYTES = Buffer.concat(MESSAGES.map((message) => encodeFrame(message)));

test('messages are whole again, wherever their bytes were cut', () => {
  for (let at = 0; at <= BYTES.length; at++) {
    const reader = new FrameReader();
    const read = [...reader.read(BYTES.subarray(0, at)), ...reader.read(BYTES.subarray(at))];
    expect(read, `cut at ${at}`).toEqual(MESSAGES);
  }
});

test('messages that come byte by byte are handed out when their last byte is there', () => {
  const reader = new FrameReader();
  const counts = [...BYTES].map((byte) => reader.read(Buffer.from([byte])).length);
  const ends = MESSAGES.map(
    (_, index) => Buffer.concat(MESSAGES.slice(0, index + 1).map((it) => encodeFrame(it))).length,
  );
  expect(counts.flatMap((count, index) => (count > 0 ? [index + 1] : []))).toEqual(ends);
});

test('a message that is longer than allowed is refused by its head alone', () => {
  const frame = encodeFrame({ text: 'x'.repeat(100) });
  expect(() => new FrameReader(50).read(frame.subarray(0, 4))).toThrow(FrameError);
  expect(new FrameReader(frame.length - 4).read(frame)).toHaveLength(1);
  expect(() => encodeFrame({ text: 'x'.repeat(100) }, 50)).toThrow(/A message of 111 bytes is longer .* 50/);
});

test('what is no JSON is refused', () => {
  const frame = Buffer.from('\0\0\0\x03{"}');
  expect(() => new FrameReader().read(frame)).toThrow(FrameError);
});
