import { describe, expect, it } from 'vitest';
import { SseParser } from './sse.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

function parse(text: string, pieceLength = Number.POSITIVE_INFINITY) {
  const parser = new SseParser();
  const all = bytes(text);
  const events = [];
  for (let at = 0; at < all.length; at += pieceLength) {
    events.push(...parser.push(all.subarray(at, Math.min(at + pieceLength, all.length))));
  }
  return [...events, ...parser.end()].map(({ event, data }) => (event === undefined ? data : [event, data]));
}

const cases: [name: string, text: string, events: unknown[]][] = [
  ['one event', 'data: a\n\n', ['a']],
  ['carriage return and line feed', 'data: a\r\n\r\ndata: b\r\n\r\n', ['a', 'b']],
  ['carriage returns alone', 'data: a\r\rdata: b\r\r', ['a', 'b']],
  ['several lines of data', 'data: a\ndata:\ndata: b\n\n', ['a\n\nb']],
  ['several lines with carriage returns', 'data: a\r\ndata: b\r\n\r\n', ['a\nb']],
  ['comments', ': ping\n\ndata: a\n: ping\n\n', ['a']],
  ['a byte order mark', '\uFEFFdata: a\n\n', ['a']],
  ['only one space is dropped', 'data:  a\n\ndata:b\n\n', [' a', 'b']],
  ['a colon in the data', 'data: {"a":"b: c"}\n\n', ['{"a":"b: c"}']],
  ['characters of several bytes', 'data: héllo 你好 👋\n\n', ['héllo 你好 👋']],
  ['a named event', 'event: error\ndata: a\n\ndata: b\n\n', [['error', 'a'], 'b']],
  ['other fields', 'id: 1\nretry: 5\nfoo: x\nbar\ndata: a\n\n', ['a']],
  ['no data, no event', 'event: ping\n\ndata: a\n\n', ['a']],
  ['the last blank line missing', 'data: a\n\ndata: [DONE]\n', ['a', '[DONE]']],
  ['the last line feed missing', 'data: a\n\ndata: [DONE]', ['a', '[DONE]']],
];

describe('SseParser', () => {
  describe.each(cases)('%s', (_, text, events) => {
    // 1: every character of several bytes and every CRLF is cut.
    it.each([1, 2, 3, 7, Number.POSITIVE_INFINITY])('in pieces of %d bytes', (pieceLength) => {
      expect(parse(text, pieceLength)).toEqual(events);
    });
  });

  it('hands an event over as soon as it is complete', () => {
    const parser = new SseParser();
    expect(parser.push(bytes('data: a\r'))).toEqual([]);
    expect(parser.push(bytes('\n\r'))).toEqual([{ event: undefined, data: 'a' }]);
    expect(parser.push(bytes('\ndata: b\n\n'))).toEqual([{ event: undefined, data: 'b' }]);
  });

  it('gives up on an event without end', () => {
    const parser = new SseParser();
    const piece = bytes('x'.repeat(8 * 1024 * 1024));
    expect(() => {
      for (let i = 0; i < 9; i++) parser.push(piece);
    }).toThrow(RangeError);
  });
});
