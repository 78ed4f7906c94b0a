/**
 * Raw answers, by name, and what must come of each: from the rules of RFC 9110 and RFC 9112, and from the ways in
 * which the rest of one answer has been taken for the beginning of the next. Bytes are latin1.
 */
export interface AnswerRow {
  name: string;
  raw: string;
  /** Of the request that is answered. */
  method: string;
  /** Whether the connection ends behind the bytes. */
  ends: boolean;
  /** The interim answers before the one that counts. */
  interim: readonly number[];
  /**
   * `whole`: the client gets it. `refused`: its head is not readable; the client is told so. `broken`: its body is
   * not readable or ends too early; the client is told so, or its connection is cut.
   */
  outcome: 'whole' | 'refused' | 'broken';
  /** Of a whole answer. */
  status: number;
  body: string;
  keepAlive: boolean;
  /** Of a whole answer: what is behind it, which is nobody's. */
  excess: string;
  /** Names and values by turns, all of them; undefined: not looked at. */
  fields?: readonly string[];
}

const rows: AnswerRow[] = [];
const ROW = {
  method: 'GET',
  ends: false,
  interim: [],
  status: 200,
  body: 'hello',
  keepAlive: true,
  excess: '',
} as const;

/** @param raw without the excess */
function whole(name: string, raw: string, row: Partial<AnswerRow> = {}): void {
  rows.push({ ...ROW, ...row, name, raw: raw + (row.excess ?? ''), outcome: 'whole' });
}

function refused(name: string, raw: string, row: Partial<AnswerRow> = {}): void {
  rows.push({ ...ROW, ...row, name, raw, outcome: 'refused' });
}

function broken(name: string, raw: string, row: Partial<AnswerRow> = {}): void {
  rows.push({ ...ROW, ...row, name, raw, outcome: 'broken' });
}

const LENGTH = 'Content-Length: 5\r\n';
const CHUNKED = 'Transfer-Encoding: chunked\r\n';
const ok = (fields: string, body = 'hello') => `HTTP/1.1 200 OK\r\n${fields}\r\n${body}`;
const line = (text: string) => `${text}\r\n${LENGTH}\r\nhello`;
const PIECES = '5\r\nhello\r\n0\r\n\r\n';
/** What would poison the next call. */
const POISON = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison';

// ── The first line ──

whole('the least there can be', ok(LENGTH), { fields: ['Content-Length', '5'] });
whole('no reason and no space before it', line('HTTP/1.1 200'));
whole('no reason', line('HTTP/1.1 200 '));
whole('a reason of several words', line('HTTP/1.1 200 All is well'));
whole('a reason beyond ASCII', line('HTTP/1.1 200 gr\xfc\xdf dich'));
whole('a status nobody knows', line('HTTP/1.1 299 Fine'), { status: 299 });
whole('the last status there is', line('HTTP/1.1 599 No'), { status: 599 });
whole('HTTP/1.0', line('HTTP/1.0 200 OK'), { keepAlive: false });
refused('HTTP/0.9: a body alone', 'hello', { ends: true });
refused('HTML', '<html><body>hello</body></html>\r\n\r\n', { ends: true });
refused('HTTP/2.0', line('HTTP/2.0 200 OK'));
refused('HTTP/1.2', line('HTTP/1.2 200 OK'));
refused('HTTP/1.10', line('HTTP/1.10 200 OK'));
refused('a frame of HTTP/2', '\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80');
refused('a record of TLS', '\x15\x03\x03\0\x02\x02\x46');
refused('a version in lower case', line('http/1.1 200 OK'));
refused('ICY', line('ICY 200 OK'));
refused('a request', 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
refused('two spaces before the status', line('HTTP/1.1  200 OK'));
refused('a tab before the status', line('HTTP/1.1\t200 OK'));
refused('a status of two digits', line('HTTP/1.1 20 OK'));
refused('a status of four digits', line('HTTP/1.1 2000 OK'));
refused('a status of letters', line('HTTP/1.1 2xx OK'));
refused('a negative status', line('HTTP/1.1 -20 OK'));
refused('status 0', line('HTTP/1.1 000 OK'));
refused('status 600', line('HTTP/1.1 600 OK'));
refused('status 999', line('HTTP/1.1 999 OK'));
refused('a status that its reason follows at once', line('HTTP/1.1 200OK'));
refused('no status', line('HTTP/1.1'));
refused('a first line that ends with LF alone', `HTTP/1.1 200 OK\n${LENGTH}\r\nhello`);
refused('a first line that ends with CR alone', `HTTP/1.1 200 OK\r${LENGTH}\r\nhello`);
refused('LF alone everywhere', 'HTTP/1.1 200 OK\nContent-Length: 5\n\nhello');
refused('an empty line before the answer', `\r\n${ok(LENGTH)}`);
refused('a space before the answer', ` ${ok(LENGTH)}`);
refused('a NUL in the reason', line('HTTP/1.1 200 O\0K'));
refused('a DEL in the reason', line('HTTP/1.1 200 O\x7fK'));
refused('half a first line', 'HTTP/1.1 20', { ends: true });
refused('nothing', '', { ends: true });

// ── Lines of fields ──

refused('a folded field', ok(`X-A: one\r\n two\r\n${LENGTH}`));
refused('a first field that begins with a space', `HTTP/1.1 200 OK\r\n X-A: one\r\n${LENGTH}\r\nhello`);
refused('a space before the colon', ok(`Content-Length : 5\r\n`));
refused('a field without a colon', ok(`X-A\r\n${LENGTH}`));
refused('a field without a name', ok(`: one\r\n${LENGTH}`));
refused('a name that is no token', ok(`X(A): one\r\n${LENGTH}`));
refused('a NUL in a value', ok(`X-A: o\0e\r\n${LENGTH}`));
refused('a CR alone in a value', ok(`X-A: one\rX-B: two\r\n${LENGTH}`));
refused('an LF alone in a value', ok(`X-A: one\nX-B: two\r\n${LENGTH}`));
refused('an escape in a value', ok(`X-A: \x1b[31m\r\n${LENGTH}`));
refused('a head that ends with LF alone', `HTTP/1.1 200 OK\r\n${LENGTH}\nhello`);
refused('201 fields', ok('X-A: one\r\n'.repeat(200) + LENGTH));
refused('a head of more than 64 KiB', ok(`X-A: ${'a'.repeat(1000)}\r\n`.repeat(66) + LENGTH));
refused('half a head', `HTTP/1.1 200 OK\r\n${LENGTH}`, { ends: true });
whole('190 fields', ok('X-A: one\r\n'.repeat(189) + LENGTH));
whole('a head of 60 KiB', ok(`X-A: ${'a'.repeat(1000)}\r\n`.repeat(60) + LENGTH));
whole('two cookies', ok(`Set-Cookie: a=b\r\nSet-Cookie: c=d\r\n${LENGTH}`), {
  fields: ['Set-Cookie', 'a=b', 'Set-Cookie', 'c=d', 'Content-Length', '5'],
});
whole('bytes beyond ASCII in a value', ok(`X-A: \xe4\xff\r\n${LENGTH}`), {
  fields: ['X-A', '\xe4\xff', 'Content-Length', '5'],
});
whole('two Hosts, which say nothing here', ok(`Host: a\r\nHost: b\r\n${LENGTH}`));

// ── Lengths ──

for (const [name, value] of [
  ['negative', '-5'],
  ['signed', '+5'],
  ['in hexadecimal', '0x5'],
  ['a list of equals', '5, 5'],
  ['a list of unequals', '5, 6'],
  ['empty', ''],
  ['of letters', 'five'],
  ['beyond 64 bits', '18446744073709551621'],
  ['with a letter behind', '5a'],
] as const) {
  refused(`a Content-Length ${name}`, ok(`Content-Length: ${value}\r\n`));
}
refused('two equal Content-Lengths', ok(LENGTH + LENGTH));
refused('two unequal Content-Lengths', ok(`${LENGTH}Content-Length: 50\r\n`));
refused('CL.TE', ok(LENGTH + CHUNKED, PIECES));
refused('TE.CL', ok(CHUNKED + LENGTH, PIECES));
refused('TE.TE', ok(CHUNKED + CHUNKED, PIECES));
refused('a Transfer-Encoding of gzip', ok('Transfer-Encoding: gzip\r\n', 'hello'), { ends: true });
refused('a Transfer-Encoding of identity', ok(`Transfer-Encoding: identity\r\n`), { ends: true });
refused('gzip under chunked', ok('Transfer-Encoding: gzip, chunked\r\n', PIECES));
refused('chunked under gzip', ok('Transfer-Encoding: chunked, gzip\r\n', PIECES), { ends: true });
refused('a name that ends like chunked', ok('Transfer-Encoding: xchunked\r\n', PIECES), { ends: true });
refused('a space before the colon of Transfer-Encoding', ok('Transfer-Encoding : chunked\r\n', PIECES));
refused('a folded Transfer-Encoding', ok('Transfer-Encoding:\r\n chunked\r\n', PIECES));
refused('a Transfer-Encoding spelled with an underscore', ok('Transfer_Encoding: chunked\r\n', PIECES), {
  ends: true,
});
refused('a Transfer-Encoding in HTTP/1.0', `HTTP/1.0 200 OK\r\n${CHUNKED}\r\n${PIECES}`, { ends: true });
whole('chunked', ok(CHUNKED, PIECES));
whole('chunked in another case', ok('transfer-encoding: Chunked\r\n', PIECES));
whole('chunked with extensions and trailers', ok(CHUNKED, '5;a=b\r\nhello\r\n0\r\nX-A: one\r\n\r\n'));
whole('a body of no bytes', ok('Content-Length: 0\r\n', ''), { body: '' });
whole('a body until the end of the connection', ok(''), { ends: true, keepAlive: false });
whole('no body until the end of the connection', ok('', ''), { ends: true, keepAlive: false, body: '' });
whole('a body until the end of the connection, of HTTP/1.0', 'HTTP/1.0 200 OK\r\n\r\nhello', {
  ends: true,
  keepAlive: false,
});
whole('keep-alive and no length mean a body until the end', ok('Connection: keep-alive\r\n'), {
  ends: true,
  keepAlive: false,
});
broken('a body shorter than its length', ok('Content-Length: 50\r\n'), { ends: true });
broken('a chunked body without its end', ok(CHUNKED, '5\r\nhello\r\n'), { ends: true });
broken('a chunked body without its last CRLF', ok(CHUNKED, '5\r\nhello\r\n0\r\n'), { ends: true });
broken('a chunk without a size', ok(CHUNKED, 'hello\r\n0\r\n\r\n'));
broken('a chunk with a signed size', ok(CHUNKED, `+5\r\nhello\r\n0\r\n\r\n`));
broken('a chunk longer than said', ok(CHUNKED, '4\r\nhello\r\n0\r\n\r\n'));
broken('a chunk that ends with LF alone', ok(CHUNKED, '5\r\nhello\n0\r\n\r\n'));
broken('a size that ends with LF alone', ok(CHUNKED, '5\nhello\r\n0\r\n\r\n'));
broken('a size beyond 64 bits', ok(CHUNKED, '10000000000000005\r\nhello\r\n0\r\n\r\n'));
broken('an LF in a chunk extension', ok(CHUNKED, '5;a\nb\r\nhello\r\n0\r\n\r\n'));
broken('Content-Length behind the body', ok(CHUNKED, '5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n'));
broken('Set-Cookie behind the body', ok(CHUNKED, '5\r\nhello\r\n0\r\nSet-Cookie: a=b\r\n\r\n'));
broken('the next answer in place of the end', ok(CHUNKED, `5\r\nhello\r\n0\r\n${POISON}`));

// ── Answers without content ──

whole('HEAD with a length', ok(LENGTH, ''), { method: 'HEAD', body: '' });
whole('HEAD with a coding', ok(CHUNKED, ''), { method: 'HEAD', body: '' });
whole('HEAD without either', ok('', ''), { method: 'HEAD', body: '' });
whole('204', 'HTTP/1.1 204 No Content\r\n\r\n', { status: 204, body: '' });
whole('204 with a length of nothing', 'HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n', {
  status: 204,
  body: '',
});
refused('204 with a length', `HTTP/1.1 204 No Content\r\n${LENGTH}\r\nhello`);
refused('204 with a coding', `HTTP/1.1 204 No Content\r\n${CHUNKED}\r\n${PIECES}`);
whole('304 with the length of what it stands for', `HTTP/1.1 304 Not Modified\r\n${LENGTH}\r\n`, {
  status: 304,
  body: '',
});
whole('205 with a length of nothing', 'HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n', {
  status: 205,
  body: '',
});
whole('100 before the answer', `HTTP/1.1 100 Continue\r\n\r\n${ok(LENGTH)}`, { interim: [100] });
whole(
  'several interim answers',
  `HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${ok(LENGTH)}`,
  {
    interim: [102, 103],
  },
);
refused('an interim answer with a length', `HTTP/1.1 103 Early Hints\r\n${LENGTH}\r\nhello${ok(LENGTH)}`);
refused('an interim answer with a coding', `HTTP/1.1 100 Continue\r\n${CHUNKED}\r\n${PIECES}${ok(LENGTH)}`);
refused('an interim answer and no other', 'HTTP/1.1 100 Continue\r\n\r\n', { interim: [100], ends: true });
refused(
  '101 that nobody asked for',
  'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n',
  {
    interim: [101],
  },
);

// ── Too much, and whether the connection goes on ──

whole('a second answer behind the first', ok(LENGTH), { excess: POISON });
whole('more than its length', ok(LENGTH), { excess: '!!' });
whole('an empty line behind', ok(LENGTH), { excess: '\r\n' });
whole('a second answer behind a chunked one', ok(CHUNKED, PIECES), { excess: POISON });
whole('a body behind 204', 'HTTP/1.1 204 No Content\r\n\r\n', { status: 204, body: '', excess: 'hello' });
whole('an answer behind 204', 'HTTP/1.1 204 No Content\r\n\r\n', { status: 204, body: '', excess: POISON });
whole('a body behind 304', 'HTTP/1.1 304 Not Modified\r\n\r\n', { status: 304, body: '', excess: POISON });
whole('the body of a HEAD', ok(LENGTH, ''), { method: 'HEAD', body: '', excess: 'hello' });
whole('an answer behind that of a HEAD', ok(LENGTH, ''), { method: 'HEAD', body: '', excess: POISON });
whole('a second end of a chunked body', ok(CHUNKED, PIECES), { excess: '0\r\n\r\n' });
whole('Connection: close', ok(`Connection: close\r\n${LENGTH}`), { keepAlive: false });
whole('Connection: close, and the connection stays', ok(`Connection: Close\r\n${LENGTH}`), {
  keepAlive: false,
  excess: POISON,
});
whole('a Connection that is no list', ok(`Connection: keep alive\r\n${LENGTH}`), { keepAlive: false });
whole('a Connection with a tab behind', ok(`Connection: keep-alive\t\r\n${LENGTH}`), { keepAlive: false });
whole('HTTP/1.0 with keep-alive', `HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n${LENGTH}\r\nhello`);
whole('the end right behind the answer', ok(LENGTH), { ends: true });

export const ANSWERS: readonly AnswerRow[] = rows;
