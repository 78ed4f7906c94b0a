import { describe, expect, it } from 'vitest';
import { FrameFilter, FrameReader, LOG_BEGIN } from './log-frames.ts';

function frame(stamp: string, text: string, stream = 1): Buffer {
  const bytes = Buffer.from(`${stamp} ${text}`);
  const head = Buffer.alloc(8);
  head[0] = stream;
  head.writeUInt32BE(bytes.length, 4);
  return Buffer.concat([head, bytes]);
}

const whole = [
  frame('2026-11-25T10:00:00.000000001Z', 'one\n'),
  frame('2026-11-25T10:00:00.000000001Z', 'two\n', 2),
  frame('2026-11-25T10:00:00.5Z', 'part of a long '),
  frame('2026-11-25T11:00:01+01:00', 'line\n'),
  frame('2026-11-25T10:00:01Z', '\n'),
];
const texts = ['one\n', 'two\n', 'part of a long ', 'line\n', '\n'];

describe("an engine's log", () => {
  it('is read however it is cut', () => {
    const bytes = Buffer.concat(whole);
    for (const size of [1, 7, 8, 9, 40, 1000]) {
      const reader = new FrameReader();
      const seen = [];
      for (let at = 0; at < bytes.length; at += size)
        seen.push(...reader.read(bytes.subarray(at, at + size)));
      expect(seen.map((it) => it.bytes.toString())).toEqual(texts);
    }
  });

  it('has times that can be compared as text, whatever their form', () => {
    const stamps = new FrameReader().read(Buffer.concat(whole)).map((it) => it.stamp);
    expect(stamps).toEqual([...stamps].sort());
    expect(stamps[3]).toBe(stamps[4]);
    expect(stamps[0]).toMatch(/^\d{10}\.000000001$/);
  });

  it('is passed on once, wherever the reading broke off', () => {
    for (let broken = 0; broken <= whole.length; broken++) {
      const first = new FrameFilter(LOG_BEGIN);
      const before = new FrameReader().read(Buffer.concat(whole.slice(0, broken)));
      const said = before.filter((it) => first.isNew(it));
      // Asked again from the cursor's moment on: the engine begins with all of that moment, or with all there is.
      const again = new FrameFilter(first.cursor);
      const rest = new FrameReader().read(Buffer.concat(whole)).filter((it) => again.isNew(it));
      expect([...said, ...rest].map((it) => it.bytes.toString())).toEqual(texts);
    }
  });

  it('that is none is refused', () => {
    expect(() => new FrameReader().read(Buffer.from('HTTP/1.1 200 OK'))).toThrow(/form that is not known/);
    expect(() => new FrameReader().read(frame('yesterday', 'x'))).toThrow(/without its time/);
  });
});
