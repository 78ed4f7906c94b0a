import { expect, test } from 'vitest';
import { HeadScan } from './head-scan.ts';
import { HEAD_BYTES } from './limits.ts';
import { Malformed } from './malformed.ts';
import { readRequestHead } from './request-head.ts';
import { readResponseHead } from './response-head.ts';

const REQUEST = `POST /x?y HTTP/1.1\r\nHost: localhost\r\nX-A: ${'a'.repeat(500)}\r\nContent-Length: 5\r\n\r\n`;
const ANSWER = `HTTP/1.1 200 All is well\r\nX-A: ${'a'.repeat(500)}\r\nContent-Length: 5\r\n\r\n`;

const readers = [
  ['a request', REQUEST, readRequestHead],
  [
    'an answer',
    ANSWER,
    (bytes: Buffer, from: number, to: number, scan?: HeadScan) =>
      readResponseHead(bytes, from, to, 'GET', scan),
  ],
] as const;

test.each(readers)('what was looked at of %s is not looked at again before it is whole', (_, text, read) => {
  const bytes = Buffer.from(text);
  const scan = new HeadScan();
  for (let to = 1; to < bytes.length; to++) {
    // Whoever looked at all of it again would refuse the NULs. The first words are short, and looked at until whole.
    const seen = Buffer.from(bytes.subarray(0, to));
    if (scan.at > 30) seen.fill(0, 0, scan.at - 1);
    expect(read(seen, 0, to, scan)).toBeUndefined();
    if (to > 100) expect(scan.at).toBeGreaterThan(to - 3);
  }
  expect(read(bytes, 0, bytes.length, scan)).toMatchObject({ length: 5, end: bytes.length });
});

test.each(readers)('%s may move between reads, and another follow', (_, text, read) => {
  const scan = new HeadScan();
  const half = Buffer.from(text.slice(0, 300));
  const moved = Buffer.from(`.......${text}${text}`);
  const whole = read(Buffer.from(text), 0, text.length);
  expect(read(half, 0, half.length, scan)).toBeUndefined();
  const first = read(moved, 7, 7 + text.length + 40, scan);
  expect(first).toEqual({ ...whole, end: 7 + text.length });
  expect(read(moved, 7 + text.length, 7 + text.length + 40, scan)).toBeUndefined();
  expect(read(moved, 7 + text.length, moved.length, scan)).toEqual({ ...whole, end: moved.length });
});

test.each(readers)('scans of two connections do not mix, for %s', (_, text, read) => {
  const bytes = Buffer.from(text);
  const whole = read(bytes, 0, bytes.length);
  const scans = [new HeadScan(), new HeadScan(), new HeadScan()];
  const read1 = (index: number, to: number) => read(bytes, 0, to, scans[index]);
  for (let to = 10; to < bytes.length; to += 7) {
    for (const index of scans.keys())
      expect(read1(index, Math.min(to + index, bytes.length - 1))).toBeUndefined();
    read(Buffer.from('rubbish'), 0, 7);
  }
  for (const index of scans.keys()) expect(read1(index, bytes.length)).toEqual(whole);
});

test.each(readers)('nothing behind what has arrived is looked at, for %s', (_, text, read) => {
  for (let to = 0; to < text.length; to++) {
    for (const rest of ['\0', '\r\n\r\n', text.slice(to)]) {
      const bytes = Buffer.from(text.slice(0, to) + rest);
      expect(read(bytes, 0, to)).toBeUndefined();
    }
  }
});

test('a head that cannot end within its limit is refused before more is kept', () => {
  const scan = new HeadScan();
  const bytes = Buffer.alloc(HEAD_BYTES, 'a');
  bytes.write('GET / HTTP/1.1\r\nX: ');
  expect(readRequestHead(bytes, 0, HEAD_BYTES - 1, scan)).toBeUndefined();
  expect(readRequestHead(bytes, 0, HEAD_BYTES, scan)).toMatchObject({ status: 431 });
});

test.each([
  ['a field without a colon', 'Authorization Bearer sk-secret'],
  ['a secret on a line of its own', 'sk-secret'],
  ['a folded secret', 'X-A: a\r\n sk-secret'],
  ['a control character in a secret', 'Authorization: Bearer sk-secret\x01'],
  ['a control character behind a secret', 'Cookie: a=sk-secret\r\nX-\0: a'],
  ['a bare LF in a secret', 'Authorization: Bearer sk-\nsecret'],
  ['a user in Host', 'Host: me:sk-secret@localhost'],
  ['a secret in Connection', 'Connection: "sk-secret"'],
])('a refusal does not tell secrets: %s', (_, field) => {
  const bytes = Buffer.from(`GET / HTTP/1.1\r\n${field}\r\n\r\n`);
  const refused = readRequestHead(bytes, 0, bytes.length);
  expect(refused).toBeInstanceOf(Malformed);
  expect((refused as Malformed).reason).not.toMatch(/sk-|secret|Bearer/);
});

test.each(['http://me:sk-secret@elsewhere.test/', '/?key=sk-secret\x80', '/?key=sk-secret#', 'sk-secret'])(
  'a refusal does not tell what is in the target "%s"',
  (target) => {
    const bytes = Buffer.from(`GET ${target} HTTP/1.1\r\nHost: localhost\r\n\r\n`, 'latin1');
    const refused = readRequestHead(bytes, 0, bytes.length);
    expect(refused).toBeInstanceOf(Malformed);
    expect((refused as Malformed).reason).not.toMatch(/sk-|secret/);
  },
);

test.each([
  ['GET /x HTTP/1.1\r\nA B: c\r\n', 'Field 1 of the head has a space between its name and the colon'],
  ['GET /x HTTP/1.1\r\nA: b\r\nC: \0', 'Field 2 of the head has the byte 0x00 in its value'],
  ['GET /x HTTP/1.1\r\nA: b\nC: d', 'Field 1 of the head has an LF alone; lines end with CRLF'],
  ['GET /x\xff', 'got the byte 0xff at its byte 3'],
  ['\x16\x03\x01', 'was sent a TLS handshake'],
  ['BREW /', 'The method "BREW" is not known here'],
  ['GET / HTTP/2', 'HTTP/1.1 and HTTP/1.0 are spoken here; got HTTP/2'],
])('%j is refused with a reason that names the place', (text, reason) => {
  const bytes = Buffer.from(text, 'latin1');
  const refused = readRequestHead(bytes, 0, bytes.length);
  expect((refused as Malformed).reason).toContain(reason);
});
