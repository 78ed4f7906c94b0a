/**
 * Raw requests, by name, and what must come of each: from the rules of RFC 9110 and RFC 9112, and from the ways in
 * which two readers on one path have been made to disagree. Bytes are latin1.
 */
export interface RequestRow {
  name: string;
  raw: string;
  /** What is read, in order. */
  messages: readonly ExpectedRequest[];
  /** Then a refusal with this status; undefined: what comes next is read, too. */
  status?: number;
  /** Then the beginning of a request whose rest has not come. */
  unfinished?: boolean;
  /**
   * Who answers each of the messages at the gateway: the agent (the default) with what stands behind `/invocations`,
   * the control process, or the gateway itself with a status.
   */
  gateway?: readonly ('agent' | 'control' | number)[];
}

export interface ExpectedRequest {
  method: string;
  target: string;
  body: string;
  /** Names and values by turns, all of them; undefined: not looked at. */
  fields?: readonly string[];
  /** Default: true. */
  keepAlive?: boolean;
}

/** Where the gateway's agent is, and what it gets to see of it. */
export const AGENT = '/agent-runtimes/echo/endpoints/Default/invocations';
const X = `${AGENT}/x`;
const HOST = 'Host: localhost\r\n';

const rows: RequestRow[] = [];

function refused(name: string, status: number, raw: string): void {
  rows.push({ name, raw, messages: [], status });
}

type Passed = Partial<ExpectedRequest> & { gateway?: 'agent' | 'control' | number };

function passed(name: string, raw: string, { gateway = 'agent', ...message }: Passed = {}): void {
  rows.push({
    name,
    raw,
    messages: [{ method: 'GET', target: X, body: '', ...message }],
    gateway: [gateway],
  });
}

function unfinished(name: string, raw: string): void {
  rows.push({ name, raw, messages: [], unfinished: true });
}

/** A request without a body whose further fields are given. */
const get = (fields: string) => `GET ${X} HTTP/1.1\r\n${HOST}${fields}\r\n`;
const post = (fields: string, body: string) => `POST ${X} HTTP/1.1\r\n${HOST}${fields}\r\n${body}`;
const chunked = (body: string) => post('Transfer-Encoding: chunked\r\n', body);
const at = (target: string) => `GET ${target} HTTP/1.1\r\n${HOST}\r\n`;
const line = (text: string) => `${text}\r\n${HOST}\r\n`;
/** What a smuggler would have read as a request of its own. */
const SMUGGLED = `GET ${AGENT}/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n`;

// ── The first line ──

refused('HTTP/0.9: a line without a version', 400, `GET ${X}\r\n`);
refused('a line with a space but no version', 400, line(`GET ${X} `));
refused('two spaces before the target', 400, line(`GET  ${X} HTTP/1.1`));
refused('two spaces before the version', 400, line(`GET ${X}  HTTP/1.1`));
refused('a target of two words', 400, line(`GET ${X} y HTTP/1.1`));
refused('tabs in place of spaces', 400, line(`GET\t${X}\tHTTP/1.1`));
refused('a space before the method', 400, line(` GET ${X} HTTP/1.1`));
refused('a space behind the version', 400, line(`GET ${X} HTTP/1.1 `));
refused('a second version', 400, line(`GET ${X} HTTP/1.1 HTTP/1.1`));
refused('a version in lower case', 400, line(`GET ${X} http/1.1`));
refused('HTTP/0.9 by name', 505, line(`GET ${X} HTTP/0.9`));
refused('HTTP/1.2', 505, line(`GET ${X} HTTP/1.2`));
refused('HTTP/2.0 in words', 505, line(`GET ${X} HTTP/2.0`));
refused('HTTP/2 without a minor version', 505, line(`GET ${X} HTTP/2`));
refused('HTTP/3', 505, line(`GET ${X} HTTP/3`));
refused('the preface of HTTP/2', 505, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
refused('HTTP/1.10', 400, line(`GET ${X} HTTP/1.10`));
refused('HTTP/01.1', 505, line(`GET ${X} HTTP/01.1`));
refused('HTTP/1,1', 400, line(`GET ${X} HTTP/1,1`));
refused('HTTP/1 alone', 400, line(`GET ${X} HTTP/1`));
refused('HTTP/1.x', 400, line(`GET ${X} HTTP/1.x`));
refused('HTTPS/1.1', 400, line(`GET ${X} HTTPS/1.1`));
refused('another protocol', 400, line(`GET ${X} HTCPCP/1.0`));
refused('a first line that ends with LF alone', 400, `GET ${X} HTTP/1.1\n${HOST}\r\n`);
refused('a first line that ends with CR alone', 400, `GET ${X} HTTP/1.1\r${HOST}\r\n`);
refused('a first line that ends with CR CR LF', 400, `GET ${X} HTTP/1.1\r\r\n${HOST}\r\n`);
refused('LF alone everywhere', 400, `GET ${X} HTTP/1.1\nHost: localhost\n\n`);
refused('a NUL in the method', 400, line(`G\0ET ${X} HTTP/1.1`));
refused('a NUL in the target', 400, line(`GET ${X}\0 HTTP/1.1`));
refused('a NUL behind the version', 400, line(`GET ${X} HTTP/1.1\0`));
refused('a DEL in the target', 400, line(`GET ${X}\x7f HTTP/1.1`));
refused('a byte beyond ASCII in the target', 400, line(`GET ${X}/\xe4 HTTP/1.1`));
refused('UTF-8 in the target', 400, line(`GET ${X}/\xc3\xa4 HTTP/1.1`));
refused('a tab in the target', 400, line(`GET ${X}\t HTTP/1.1`));
refused('a form feed before the version', 400, line(`GET ${X}\fHTTP/1.1`));
refused('a CR alone in the target', 400, line(`GET ${X}\rX: HTTP/1.1`));
refused('an LF alone in the target', 400, line(`GET ${X}\nX: HTTP/1.1`));
refused('a fragment in the target', 400, line(`GET ${X}#top HTTP/1.1`));
refused('a method nobody knows', 501, line(`BREW ${X} HTTP/1.1`));
refused('a method that begins as a known one', 501, line(`GETS ${X} HTTP/1.1`));
refused('half a method', 501, line(`PO ${X} HTTP/1.1`));
refused('a method in lower case', 400, line(`get ${X} HTTP/1.1`));
refused('a method in mixed case', 400, line(`Get ${X} HTTP/1.1`));
refused('a method that is no token', 400, line(`GE:T ${X} HTTP/1.1`));
refused('a method of digits', 501, line(`123 ${X} HTTP/1.1`));
refused('CONNECT', 501, 'CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n');
refused('CONNECT with a path', 501, line(`CONNECT ${X} HTTP/1.1`));
refused('nothing but empty lines', 400, '\r\n\r\n');
refused('two empty lines before a request', 400, `\r\n\r\n${get('')}`);
refused('an LF before a request', 400, `\n${get('')}`);
refused('a CR before a request', 400, `\r${get('')}`);
refused('two LF', 400, '\n\n');
refused('a first line that begins with a colon', 400, ': x\r\n\r\n');
refused('a byte order mark before a request', 400, `\xef\xbb\xbf${get('')}`);
refused('a first line longer than 16 KiB', 414, line(`GET ${X}?${'q'.repeat(16 * 1024)} HTTP/1.1`));
refused('a target without an end', 414, `GET ${X}?${'q'.repeat(20 * 1024)}`);
refused('a method without an end', 501, 'A'.repeat(70_000));
refused('a TLS handshake', 400, '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03');
refused('a banner of SSH', 501, 'SSH-2.0-OpenSSH_9.9\r\n');
refused('a line of the PROXY protocol', 501, `PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n${get('')}`);
refused('a greeting of SOCKS', 400, '\x05\x01\x00');
refused('a command of Redis', 501, '*1\r\n$4\r\nPING\r\n');
refused('JSON', 400, '{"model":"x"}');
refused('plain words', 400, 'what is this\r\n\r\n');
refused('an answer', 501, 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
refused('the fields without a first line', 400, `Host: localhost\r\n\r\n`);
passed('one empty line before a request', `\r\n${get('')}`);
passed('the least there can be', get(''), { fields: ['Host', 'localhost'] });
for (const method of ['HEAD', 'DELETE', 'OPTIONS', 'PUT', 'PATCH', 'PROPFIND', 'M-SEARCH', 'REPORT']) {
  passed(`${method} without a body`, `${method} ${X} HTTP/1.1\r\n${HOST}\r\n`, { method });
}

// ── Targets: what the reader passes byte for byte, and the gateway decides ──

passed('a query with everything a query may hold', at(`${X}?a=b&c=%20/?:@!$'()*+,;=-._~`), {
  target: `${X}?a=b&c=%20/?:@!$'()*+,;=-._~`,
});
passed('marks that URIs do not have and clients send', at(`${X}?q={"a":[1|2]}^\`<>`), {
  target: `${X}?q={"a":[1|2]}^\`<>`,
});
passed('a line break, percent-encoded, stays so', at(`${X}/%0d%0aX-Injected:%20yes`), {
  target: `${X}/%0d%0aX-Injected:%20yes`,
});
passed('a line break in a query, percent-encoded, stays so', at(`${X}?next=%0D%0ASet-Cookie:a=b`), {
  target: `${X}?next=%0D%0ASet-Cookie:a=b`,
});
passed('a NUL, percent-encoded, stays so', at(`${X}/%00`), { target: `${X}/%00` });
passed('half a percent-encoding stays so', at(`${X}/%2`), { target: `${X}/%2` });
for (const rest of [
  '/../../../etc/passwd',
  '/./x',
  '/..',
  '/%2e%2e/x',
  '/%2e%2e%2f%2e%2e%2fx',
  '//x',
  '/a//b',
  '/x;y=1/../z',
  '/\\..\\x',
  '/%5c..%5cx',
  '?/../..',
  '/x?a=1?b=2',
  '/https://elsewhere.test/',
]) {
  passed(`"${rest}" behind the prefix is the agent's, byte for byte`, at(AGENT + rest), {
    target: AGENT + rest,
  });
}
for (const target of [
  '/agent-runtimes/echo/endpoints/Default/../../../../keys',
  '/agent-runtimes/../agent-runtimes/echo/endpoints/Default/invocations/x',
  '/x/../agent-runtimes/echo/endpoints/Default/invocations/x',
  '/health/../agent-runtimes/echo/endpoints/Default/invocations/x',
  '/./agent-runtimes/echo/endpoints/Default/invocations/x',
  '//agent-runtimes/echo/endpoints/Default/invocations/x',
  '/agent-runtimes//echo/endpoints/Default/invocations/x',
  '/agent-runtimes/echo/endpoints/Default//invocations/x',
  '/%61gent-runtimes/echo/endpoints/Default/invocations/x',
  '/agent%2druntimes/echo/endpoints/Default/invocations/x',
  '/agent-runtimes%2fecho/endpoints/Default/invocations/x',
  '/agent-runtimes/ech%6f/endpoints/Default/invocations/x',
  '/agent-runtimes/echo/endpoints/Default/invocations%2fx',
  '/agent-runtimes/echo/endpoints/Default/%69nvocations/x',
  '/agent-runtimes/echo/endpoints/Default/invocations;a=b/x',
  '/agent-runtimes;a/echo/endpoints/Default/invocations/x',
  '/agent-runtimes/echo;a/endpoints/Default/invocations/x',
  '/agent-runtimes/%2e%2e/agent-runtimes/echo/endpoints/Default/invocations/x',
  '/agent-runtimes/echo/%2e/endpoints/Default/invocations/x',
  '/%2561gent-runtimes/echo/endpoints/Default/invocations/x',
  '/agent-runtimes\\echo\\endpoints\\Default\\invocations\\x',
  '/agent-runtimes/echo%00/endpoints/Default/invocations/x',
  '/agent-runtimes//endpoints/Default/invocations/x',
]) {
  passed(`"${target}" is a disguise of the prefix`, at(target), { target, gateway: 400 });
}
for (const target of [
  '/',
  '/2025-09-10/agents/runtimes',
  '/AGENT-RUNTIMES/echo',
  '/health/',
  '/x?y=/agent-runtimes/',
]) {
  passed(`"${target}" is the control process's`, at(target), { target, gateway: 'control' });
}
passed('OPTIONS *', 'OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n', {
  method: 'OPTIONS',
  target: '*',
  gateway: 400,
});
refused('GET *', 400, line('GET * HTTP/1.1'));
refused('OPTIONS with more than *', 400, line('OPTIONS *x HTTP/1.1'));
refused('a target that begins with a query', 400, line('GET ?x HTTP/1.1'));
refused('a target that is a name', 400, line('GET localhost:80 HTTP/1.1'));
refused('a target that begins with a backslash', 400, line('GET \\x HTTP/1.1'));
refused('a target that begins with a semicolon', 400, line('GET ;x HTTP/1.1'));
refused('a target that begins with a percent sign', 400, line('GET %2fx HTTP/1.1'));
refused('a target that begins with a dot segment', 400, line(`GET ..${X} HTTP/1.1`));
passed('absolute form with the host of Host', at(`http://localhost${X}`));
passed('absolute form in another case', at(`HTTP://LOCALHOST${X}`));
passed('absolute form with a query and no path', at('http://localhost?x=1'), {
  target: '/?x=1',
  gateway: 'control',
});
passed('absolute form without a path', at('http://localhost'), { target: '/', gateway: 'control' });
passed(
  'absolute form without a path, of OPTIONS',
  'OPTIONS http://localhost HTTP/1.1\r\nHost: localhost\r\n\r\n',
  {
    method: 'OPTIONS',
    target: '*',
    gateway: 400,
  },
);
refused('absolute form with another host', 400, at(`http://elsewhere.test${X}`));
refused('absolute form with another port', 400, at(`http://localhost:81${X}`));
refused('absolute form with a user', 400, at(`http://me:secret@localhost${X}`));
refused('absolute form with Host as the user', 400, at(`http://localhost@elsewhere.test${X}`));
refused('absolute form without a host', 400, at(`http://${X}`));
refused('absolute form with one slash', 400, at(`http:/localhost${X}`));
refused('absolute form with backslashes', 400, at(`http:\\\\localhost${X}`));
refused('absolute form of another scheme', 400, at(`ftp://localhost${X}`));
refused('absolute form of a scheme that begins alike', 400, at(`httpx://localhost${X}`));
refused('absolute form without Host', 400, `GET http://localhost${X} HTTP/1.1\r\n\r\n`);

// ── Lines of fields ──

refused('a folded field', 400, get('X-A: one\r\n two\r\n'));
refused('a field folded with a tab', 400, get('X-A: one\r\n\ttwo\r\n'));
refused('a first field that begins with a space', 400, `GET ${X} HTTP/1.1\r\n Host: localhost\r\n\r\n`);
refused('white space alone in a line', 400, get(' \r\n'));
refused('a space before the colon', 400, get('X-A : one\r\n'));
refused('a tab before the colon', 400, get('X-A\t: one\r\n'));
refused('a space in a name', 400, get('X A: one\r\n'));
refused('a field without a name', 400, get(': one\r\n'));
refused('a field without a colon', 400, get('Authorization Bearer sk-secret\r\n'));
refused('a field that is a word', 400, get('sk-secret\r\n'));
for (const mark of '()<>@,;\\"/[]?={}') {
  refused(`"${mark}" in a name`, 400, get(`X${mark}A: one\r\n`));
}
refused('a byte beyond ASCII in a name', 400, get('X-\xc4: one\r\n'));
refused('a NUL in a name', 400, get('X\0A: one\r\n'));
refused('a CR in a name', 400, get('X\rA: one\r\n'));
refused('an LF in a name', 400, get('X\nA: one\r\n'));
refused('a DEL in a name', 400, get('X\x7fA: one\r\n'));
for (const [name, sign] of [
  ['NUL', '\0'],
  ['SOH', '\x01'],
  ['BS', '\b'],
  ['VT', '\v'],
  ['FF', '\f'],
  ['ESC', '\x1b'],
  ['DEL', '\x7f'],
] as const) {
  refused(`a ${name} in a value`, 400, get(`X-A: one${sign}two\r\n`));
}
refused('a CR alone in a value', 400, get('X-A: one\rX-B: two\r\n'));
refused('an LF alone in a value', 400, get('X-A: one\nX-B: two\r\n'));
refused('a field that ends with LF alone', 400, get('X-A: one\n'));
refused('a field that ends with CR CR LF', 400, get('X-A: one\r\r\n'));
refused('a field that ends with LF CR', 400, get('X-A: one\n\r'));
refused('a head that ends with LF alone', 400, `GET ${X} HTTP/1.1\r\n${HOST}\n`);
refused('a head that ends with CR CR LF', 400, `GET ${X} HTTP/1.1\r\n${HOST}\r\r\n`);
refused('201 fields', 431, get('X-A: one\r\n'.repeat(200)));
refused('a head of more than 64 KiB', 431, get(`X-A: ${'a'.repeat(1000)}\r\n`.repeat(66)));
refused('a value without an end', 431, get(`X-A: ${'a'.repeat(66_000)}`));
refused('a name without an end', 431, get('a'.repeat(66_000)));
refused('one byte more than 64 KiB', 431, headOf(64 * 1024 + 1));
passed('64 KiB to the byte', headOf(64 * 1024));
passed('200 fields', get('X-A: one\r\n'.repeat(199)));
passed('a field with a tab in its value', get('X-A: one\ttwo\r\n'), {
  fields: ['Host', 'localhost', 'X-A', 'one\ttwo'],
});
passed('white space around a value is not part of it', get('X-A: \t one two \t \r\n'), {
  fields: ['Host', 'localhost', 'X-A', 'one two'],
});
passed('a value without a space before it', get('X-A:one\r\n'), {
  fields: ['Host', 'localhost', 'X-A', 'one'],
});
passed('an empty value', get('X-A:\r\nX-B:   \r\n'), {
  fields: ['Host', 'localhost', 'X-A', '', 'X-B', ''],
});
passed('bytes beyond ASCII in a value', get('X-A: \x80\xe4\xff\r\n'), {
  fields: ['Host', 'localhost', 'X-A', '\x80\xe4\xff'],
});
passed('a no-break space is part of a value', get('X-A: \xa0one\xa0\r\n'), {
  fields: ['Host', 'localhost', 'X-A', '\xa0one\xa0'],
});
passed('every mark that a name may hold', get("!#$%&'*+-.^_`|~09azAZ: one\r\n"), {
  fields: ['Host', 'localhost', "!#$%&'*+-.^_`|~09azAZ", 'one'],
});
passed('names that are those of objects', get('__proto__: one\r\nconstructor: two\r\n'), {
  fields: ['Host', 'localhost', '__proto__', 'one', 'constructor', 'two'],
});
passed('repeated fields keep their order and spelling', get('x-a: 1\r\nX-A: 2\r\nX-B: 3\r\nx-a: 4\r\n'), {
  fields: ['Host', 'localhost', 'x-a', '1', 'X-A', '2', 'X-B', '3', 'x-a', '4'],
});
passed('a line break in a value, percent-encoded, stays so', get('X-A: %0d%0aContent-Length:%2044\r\n'), {
  fields: ['Host', 'localhost', 'X-A', '%0d%0aContent-Length:%2044'],
});
passed('a value with backslashes for a line break', get('X-A: \\r\\nX-B: two\r\n'), {
  fields: ['Host', 'localhost', 'X-A', '\\r\\nX-B: two'],
});

// ── Host ──

refused('no Host', 400, `GET ${X} HTTP/1.1\r\n\r\n`);
refused('two Hosts', 400, get('Host: elsewhere.test\r\n'));
refused('the same Host twice', 400, get(HOST));
refused('two Hosts in two spellings', 400, get('hOST: localhost\r\n'));
for (const [name, host] of [
  ['an empty Host', ''],
  ['a Host with a space', 'local host'],
  ['a list of Hosts', 'localhost, elsewhere.test'],
  ['a Host with a path', `localhost${X}`],
  ['a Host with a user', 'me@localhost'],
  ['a Host with a query', 'localhost?x'],
  ['a Host with a percent-encoding', 'local%68ost'],
  ['a Host with a semicolon', 'localhost;x'],
  ['a Host with a port that is none', 'localhost:8o'],
  ['a Host with a port of six digits', 'localhost:123456'],
  ['a Host with two ports', 'localhost:80:81'],
  ['a Host with half a bracket', '[::1'],
  ['a Host with a zone', '[fe80::1%25eth0]'],
  ['a Host beyond ASCII', 'localh\xf6st'],
  ['a Host that is a URL', 'http://localhost'],
  ['a Host with a backslash', 'localhost\\x'],
] as const) {
  refused(name, 400, `GET ${X} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
}
passed('a Host with a port', `GET ${X} HTTP/1.1\r\nHost: localhost:7700\r\n\r\n`);
passed('a Host that is an IPv6 address', `GET ${X} HTTP/1.1\r\nHost: [::1]:7700\r\n\r\n`);
passed('a Host at the end', `GET ${X} HTTP/1.1\r\nX-A: one\r\n${HOST}\r\n`);
passed('a Host that is not ours', `GET ${X} HTTP/1.1\r\nHost: elsewhere.test\r\n\r\n`, { gateway: 403 });
passed('HTTP/1.0 without Host', `GET ${X} HTTP/1.0\r\n\r\n`, { keepAlive: false, gateway: 400 });

// ── Content-Length ──

const FIVE = 'hello';
for (const [name, value] of [
  ['negative', '-5'],
  ['signed', '+5'],
  ['in hexadecimal', '0x5'],
  ['a fraction', '5.0'],
  ['with an exponent', '5e0'],
  ['empty', ''],
  ['of two words', '5 5'],
  ['a list of equals', '5, 5'],
  ['a list of unequals', '5, 6'],
  ['with an empty element', '5,'],
  ['with an underscore', '0_5'],
  ['with a letter behind', '5a'],
  ['with a parameter', '5;q=1'],
  ['in quotes', '"5"'],
  ['with a no-break space', '5\xa0'],
  ['in other digits', '\xb2'],
  ['of 16 digits', '1000000000000000'],
  ['just beyond 64 bits', '18446744073709551621'],
  ['just beyond 32 bits, written with 21 digits', '000000000004294967301'],
  ['of a hundred digits', '9'.repeat(100)],
  ['with a vertical tab', '5\v'],
  ['with a NUL', '5\0'],
] as const) {
  refused(`a Content-Length ${name}`, 400, post(`Content-Length: ${value}\r\n`, FIVE));
}
refused('a tab behind a Content-Length', 400, post('Content-Length: 5 \t\r\n', FIVE));
refused('a tab behind a Transfer-Encoding', 400, post('Transfer-Encoding: chunked\t\r\n', '0\r\n\r\n'));
refused('two equal Content-Lengths', 400, post('Content-Length: 5\r\nContent-Length: 5\r\n', FIVE));
refused('two unequal Content-Lengths', 400, post('Content-Length: 5\r\nContent-Length: 50\r\n', FIVE));
refused(
  'two Content-Lengths in two spellings',
  400,
  post('Content-Length: 0\r\ncontent-LENGTH: 5\r\n', FIVE),
);
refused(
  '0.CL: a Content-Length behind a space',
  400,
  post(`X: y\r\n Content-Length: ${SMUGGLED.length}\r\n`, SMUGGLED),
);
refused(
  '0.CL: a Content-Length before a spaced colon',
  400,
  post(`Content-Length : ${SMUGGLED.length}\r\n`, SMUGGLED),
);
refused('0.CL: a Content-Length folded', 400, post(`Content-Length:\r\n ${SMUGGLED.length}\r\n`, SMUGGLED));
refused(
  '0.CL: a Content-Length behind LF alone',
  400,
  post(`X: y\nContent-Length: ${SMUGGLED.length}\r\n`, SMUGGLED),
);
refused(
  '0.CL: a Content-Length behind CR alone',
  400,
  post(`X: y\rContent-Length: ${SMUGGLED.length}\r\n`, SMUGGLED),
);
refused('0.CL: a Content-Length spelled with an underscore', 400, post('Content_Length: 5\r\n', FIVE));
passed('a body of five bytes', post('Content-Length: 5\r\n', FIVE), { method: 'POST', body: FIVE });
passed('a length with zeros before it', post('Content-Length: 005\r\n', FIVE), {
  method: 'POST',
  body: FIVE,
});
passed('a length with white space around it', post('Content-Length: \t 5  \r\n', FIVE), {
  method: 'POST',
  body: FIVE,
});
passed('a body of no bytes', post('Content-Length: 0\r\n', ''), { method: 'POST' });
passed('POST without a length has no body', post('', ''), { method: 'POST' });
passed('a body of any bytes', post('Content-Length: 6\r\n', '\0\r\n\xff\n\r'), {
  method: 'POST',
  body: '\0\r\n\xff\n\r',
});
passed(
  'CL.0: a request in the body of a GET stays in it',
  `GET ${X} HTTP/1.1\r\n${HOST}Content-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`,
  {
    body: SMUGGLED,
  },
);
passed(
  'CL.0: a request in the body of a POST stays in it',
  post(`Content-Length: ${SMUGGLED.length}\r\n`, SMUGGLED),
  {
    method: 'POST',
    body: SMUGGLED,
  },
);
passed('DELETE with a body', `DELETE ${X} HTTP/1.1\r\n${HOST}Content-Length: 5\r\n\r\n${FIVE}`, {
  method: 'DELETE',
  body: FIVE,
});
passed('HEAD with a body', `HEAD ${X} HTTP/1.1\r\n${HOST}Content-Length: 5\r\n\r\n${FIVE}`, {
  method: 'HEAD',
  body: FIVE,
});
passed('OPTIONS with a body', `OPTIONS ${X} HTTP/1.1\r\n${HOST}Content-Length: 5\r\n\r\n${FIVE}`, {
  method: 'OPTIONS',
  body: FIVE,
});
passed(
  'Connection that names Content-Length',
  post('Connection: content-length\r\nContent-Length: 5\r\n', FIVE),
  {
    method: 'POST',
    body: FIVE,
  },
);
passed('Connection that names Host', get('Connection: host\r\n'));
passed(
  'a name that only resembles Content-Length',
  post('Content-Lengthy: 5\r\nX-Content-Length: 5\r\n', ''),
  {
    method: 'POST',
  },
);

// ── Transfer-Encoding ──

const WHOLE = '5\r\nhello\r\n0\r\n\r\n';
refused(
  'CL.TE',
  400,
  post(`Content-Length: ${5 + SMUGGLED.length}\r\nTransfer-Encoding: chunked\r\n`, `0\r\n\r\n${SMUGGLED}`),
);
refused(
  'TE.CL',
  400,
  post('Transfer-Encoding: chunked\r\nContent-Length: 4\r\n', `5c\r\n${SMUGGLED}\r\n0\r\n\r\n`),
);
refused(
  'CL.TE with a length of nothing',
  400,
  post('Content-Length: 0\r\nTransfer-Encoding: chunked\r\n', WHOLE),
);
refused(
  'TE.TE: chunked twice',
  400,
  post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', WHOLE),
);
refused(
  'TE.TE: chunked, then identity',
  400,
  post('Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n', WHOLE),
);
refused(
  'TE.TE: identity, then chunked',
  400,
  post('Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n', WHOLE),
);
refused(
  'TE.TE: a spelling of its own each',
  400,
  post('Transfer-Encoding: chunked\r\ntransfer-encoding: x\r\n', WHOLE),
);
for (const [name, value, status] of [
  ['nothing', '', 400],
  ['identity', 'identity', 400],
  ['gzip alone', 'gzip', 400],
  ['gzip under chunked', 'gzip, chunked', 501],
  ['chunked under gzip', 'chunked, gzip', 400],
  ['chunked under identity', 'chunked, identity', 400],
  ['chunked twice', 'chunked, chunked', 400],
  ['a name that ends alike', 'xchunked', 400],
  ['a name that begins alike', 'chunkedx', 400],
  ['chunked with a parameter', 'chunked;q=1', 400],
  ['chunked in quotes', '"chunked"', 400],
  ['chunked in apostrophes', "'chunked'", 400],
  ['chunked behind an empty element', ', chunked', 400],
  ['chunked before an empty element', 'chunked,', 400],
  ['two words', 'chunked x', 400],
  ['chunked behind a no-break space', '\xa0chunked', 400],
  ['chunked behind a vertical tab', '\vchunked', 400],
  ['chunked before a NUL', 'chunked\0', 400],
  ['chunked behind a CR', '\rchunked', 400],
  ['chunked behind a colon', ': chunked', 400],
] as const) {
  refused(`a Transfer-Encoding of ${name}`, status, post(`Transfer-Encoding: ${value}\r\n`, WHOLE));
}
refused('TE.TE: a space before the colon', 400, post('Transfer-Encoding : chunked\r\n', WHOLE));
refused('TE.TE: a tab before the colon', 400, post('Transfer-Encoding\t: chunked\r\n', WHOLE));
refused('TE.TE: folded', 400, post('Transfer-Encoding:\r\n chunked\r\n', WHOLE));
refused('TE.TE: behind a space', 400, post('X: y\r\n Transfer-Encoding: chunked\r\n', WHOLE));
refused('TE.TE: behind LF alone', 400, post('X: y\nTransfer-Encoding: chunked\r\n', WHOLE));
refused('TE.TE: behind CR alone', 400, post('X: y\rTransfer-Encoding: chunked\r\n', WHOLE));
refused('TE.TE: spelled with an underscore', 400, post('Transfer_Encoding: chunked\r\n', WHOLE));
refused('TE.TE: a NUL in the name', 400, post('Transfer-Encoding\0: chunked\r\n', WHOLE));
refused(
  'a Transfer-Encoding in HTTP/1.0',
  400,
  `POST ${X} HTTP/1.0\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n${WHOLE}`,
);
passed('chunked', chunked(WHOLE), { method: 'POST', body: FIVE });
passed('chunked in another case', post('Transfer-Encoding: CHUNKED\r\n', WHOLE), {
  method: 'POST',
  body: FIVE,
});
passed('chunked with white space around it', post('Transfer-Encoding:\t chunked  \r\n', WHOLE), {
  method: 'POST',
  body: FIVE,
});
passed(
  'Connection that names Transfer-Encoding',
  post('Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n', WHOLE),
  {
    method: 'POST',
    body: FIVE,
  },
);
passed('TE says nothing of the body', post('TE: chunked\r\n', ''), { method: 'POST' });
passed(
  'Content-Encoding says nothing of the framing',
  post('Content-Encoding: chunked\r\nContent-Length: 5\r\n', FIVE),
  {
    method: 'POST',
    body: FIVE,
  },
);
passed('GET with a chunked body', get('Transfer-Encoding: chunked\r\n') + WHOLE, { body: FIVE });

// ── Chunked bodies ──

const LAST = '0\r\n\r\n';
for (const [name, body, text] of [
  ['of nothing', LAST, ''],
  ['of two chunks', `2\r\nhe\r\n3\r\nllo\r\n${LAST}`, FIVE],
  ['with a size in capitals', `A\r\n0123456789\r\n${LAST}`, '0123456789'],
  ['with a size in small letters', `a\r\n0123456789\r\n${LAST}`, '0123456789'],
  ['with zeros before a size', `0005\r\nhello\r\n${LAST}`, FIVE],
  ['with a last chunk of several zeros', '5\r\nhello\r\n0000\r\n\r\n', FIVE],
  ['with an extension', `5;a=b\r\nhello\r\n${LAST}`, FIVE],
  ['with an extension without a value', `5;a\r\nhello\r\n${LAST}`, FIVE],
  ['with an extension in quotes', `5;a="b;\\"c"\r\nhello\r\n${LAST}`, FIVE],
  ['with several extensions', `5;a=b;c;d="e"\r\nhello\r\n0;f=g\r\n\r\n`, FIVE],
  ['with a trailer', '5\r\nhello\r\n0\r\nX-Checksum: abc\r\n\r\n', FIVE],
  ['with an empty trailer', '5\r\nhello\r\n0\r\nX-A:\r\nX-B: one\r\n\r\n', FIVE],
  ['whose bytes look like an end', `5\r\n0\r\n\r\n\r\n${LAST}`, '0\r\n\r\n'],
  ['whose bytes look like a request', `${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n${LAST}`, SMUGGLED],
] as const) {
  passed(`a chunked body ${name}`, chunked(body), { method: 'POST', body: text });
}
for (const [name, body] of [
  ['without a size', `\r\nhello\r\n${LAST}`],
  ['with a size of 0x5', `0x5\r\nhello\r\n${LAST}`],
  ['with a signed size', `+5\r\nhello\r\n${LAST}`],
  ['with a negative size', `-5\r\nhello\r\n${LAST}`],
  ['with a space before a size', ` 5\r\nhello\r\n${LAST}`],
  ['with a space behind a size', `5 \r\nhello\r\n${LAST}`],
  ['with a tab behind a size', `5\t\r\nhello\r\n${LAST}`],
  ['with an underscore in a size', `0_5\r\nhello\r\n${LAST}`],
  ['with a size that is a word', `five\r\nhello\r\n${LAST}`],
  ['with a size that ends with LF alone', `5\nhello\r\n${LAST}`],
  ['with a size that ends with CR alone', `5\rhello\r\n${LAST}`],
  ['with a size that ends with CR CR LF', `5\r\r\nhello\r\n${LAST}`],
  ['with a NUL behind a size', `5\0\r\nhello\r\n${LAST}`],
  ['with a chunk that ends with LF alone', `5\r\nhello\n${LAST}`],
  ['with a chunk that ends with nothing', `5\r\nhello${LAST}`],
  ['with a chunk longer than said', `5\r\nhello!\r\n${LAST}`],
  ['with a chunk shorter than said', `6\r\nhello\r\n${LAST}`],
  ['with a size beyond 48 bits', `1000000000000\r\nhello\r\n${LAST}`],
  ['with a size beyond 64 bits', `10000000000000005\r\nhello\r\n${LAST}`],
  ['with a size of a hundred zeros', `${'0'.repeat(100)}5\r\nhello\r\n${LAST}`],
  ['with an extension without a name', `5;\r\nhello\r\n${LAST}`],
  ['with an extension of nothing but a value', `5;=b\r\nhello\r\n${LAST}`],
  ['with an extension with an empty value', `5;a=\r\nhello\r\n${LAST}`],
  ['with two semicolons', `5;;a=b\r\nhello\r\n${LAST}`],
  ['with a space before an extension', `5 ;a=b\r\nhello\r\n${LAST}`],
  ['with a space in an extension', `5;a b\r\nhello\r\n${LAST}`],
  ['with an extension whose quotes do not close', `5;a="b\r\nhello\r\n${LAST}`],
  ['with an LF in an extension', `5;a\nb\r\nhello\r\n${LAST}`],
  ['with an LF in an extension in quotes', `5;a="\n"\r\nhello\r\n${LAST}`],
  ['with a CR in an extension', `5;a\rb\r\nhello\r\n${LAST}`],
  ['with a NUL in an extension', `5;a\0\r\nhello\r\n${LAST}`],
  ['with extensions of more than 4 KiB', `5;a=${'b'.repeat(4100)}\r\nhello\r\n${LAST}`],
  ['with many extensions of more than 4 KiB together', `1;a=${'b'.repeat(100)}\r\nh\r\n`.repeat(50) + LAST],
  ['whose end ends with LF alone', '5\r\nhello\r\n0\r\n\n'],
  ['whose end ends with LF CR', '5\r\nhello\r\n0\r\n\n\r'],
  ['whose end ends with CR CR LF', '5\r\nhello\r\n0\r\n\r\r\n'],
  ['with a request in place of its end', `5\r\nhello\r\n0\r\n${SMUGGLED}`],
  ['with Content-Length behind it', '5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n'],
  ['with Content_Length behind it', '5\r\nhello\r\n0\r\nContent_Length: 5\r\n\r\n'],
  ['with Transfer-Encoding behind it', '5\r\nhello\r\n0\r\ntransfer-encoding: chunked\r\n\r\n'],
  ['with Host behind it', '5\r\nhello\r\n0\r\nHOST: elsewhere.test\r\n\r\n'],
  ['with Authorization behind it', '5\r\nhello\r\n0\r\nX-A: one\r\nAuthorization: Bearer sk-secret\r\n\r\n'],
  ['with a folded trailer', '5\r\nhello\r\n0\r\nX-A: one\r\n two\r\n\r\n'],
  ['with a space before a trailer’s colon', '5\r\nhello\r\n0\r\nX-A : one\r\n\r\n'],
  ['with a trailer without a colon', '5\r\nhello\r\n0\r\nX-A\r\n\r\n'],
  ['with a trailer without a name', '5\r\nhello\r\n0\r\n: one\r\n\r\n'],
  ['with a trailer that ends with LF alone', '5\r\nhello\r\n0\r\nX-A: one\n\r\n'],
  ['with a NUL in a trailer', '5\r\nhello\r\n0\r\nX-A: \0\r\n\r\n'],
  ['with trailers of more than 16 KiB', `5\r\nhello\r\n0\r\nX-A: ${'a'.repeat(17_000)}\r\n\r\n`],
  ['with 201 trailers', `5\r\nhello\r\n0\r\n${'X-A: one\r\n'.repeat(201)}\r\n`],
] as const) {
  refused(`a chunked body ${name}`, 400, chunked(body));
}
unfinished('a chunked body without its end', chunked('5\r\nhello\r\n'));
unfinished('a chunked body without its last CRLF', chunked('5\r\nhello\r\n0\r\n'));
unfinished('a body shorter than its length', post('Content-Length: 50\r\n', FIVE));
unfinished('a head without its end', `GET ${X} HTTP/1.1\r\n${HOST}`);
unfinished('half a CRLF', `GET ${X} HTTP/1.1\r\n${HOST}\r`);
unfinished('the beginning of a method', 'GE');

// ── Expect, Connection, Upgrade, versions ──

passed('Expect: 100-continue', post('Expect: 100-continue\r\nContent-Length: 5\r\n', FIVE), {
  method: 'POST',
  body: FIVE,
});
passed('Expect: 100-Continue', post('Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n', WHOLE), {
  method: 'POST',
  body: FIVE,
});
passed('Expect: 100-continue without a body', get('Expect: 100-continue\r\n'));
refused(
  'CL.0: Expect of two words',
  417,
  post(`Expect: y 100-continue\r\nContent-Length: ${SMUGGLED.length}\r\n`, SMUGGLED),
);
refused(
  'CL.0: Expect with more behind',
  417,
  post(`Expect: 100-continue, y\r\nContent-Length: ${SMUGGLED.length}\r\n`, SMUGGLED),
);
refused(
  'CL.0: Expect twice',
  417,
  post(`Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: ${SMUGGLED.length}\r\n`, SMUGGLED),
);
refused('another expectation', 417, get('Expect: 200-ok\r\n'));
refused('an empty expectation', 417, get('Expect:\r\n'));
passed(
  'an expectation in HTTP/1.0 means nothing',
  `POST ${X} HTTP/1.0\r\n${HOST}Expect: x\r\nContent-Length: 5\r\n\r\n${FIVE}`,
  {
    method: 'POST',
    body: FIVE,
    keepAlive: false,
  },
);
for (const value of ['close', 'Close', 'keep-alive, close', ', close,']) {
  passed(`"Connection: ${value}" is the last request`, get(`Connection: ${value}\r\n`), { keepAlive: false });
}
for (const value of ['keep-alive', 'x-a', '', 'closed', 'not-close']) {
  passed(`"Connection: ${value}" is not the last request`, get(`Connection: ${value}\r\n`));
}
passed('Connection twice, with close in the second', get('Connection: x-a\r\nConnection: close\r\n'), {
  keepAlive: false,
});
for (const value of [
  'close\t',
  'close \t',
  'close\t,x-a',
  'close x',
  '"close"',
  'close;q=1',
  'close\xa0',
  'a/b',
]) {
  refused(
    `${JSON.stringify(`Connection: ${value}`)} is no list of names`,
    400,
    get(`Connection: ${value}\r\n`),
  );
}
refused('a Connection of 65 names', 400, get(`Connection: ${'a,'.repeat(65)}\r\n`));
refused('Connections of 65 names together', 400, get(`Connection: ${'a,'.repeat(13)}\r\n`.repeat(5)));
passed('a Connection of 64 names', get(`Connection: ${'a,'.repeat(63)}a\r\n`));
passed('HTTP/1.0', `GET ${X} HTTP/1.0\r\n${HOST}\r\n`, { keepAlive: false });
passed('HTTP/1.0 with keep-alive', `GET ${X} HTTP/1.0\r\n${HOST}Connection: keep-alive\r\n\r\n`);
passed('HTTP/1.0 with a body', `POST ${X} HTTP/1.0\r\n${HOST}Content-Length: 5\r\n\r\n${FIVE}`, {
  method: 'POST',
  body: FIVE,
  keepAlive: false,
});
passed(
  'an offer of h2c',
  get('Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n'),
);
passed('Upgrade that Connection does not name', get('Upgrade: websocket\r\n'));

// ── Several requests on one connection ──

const second: ExpectedRequest = { method: 'GET', target: `${AGENT}/smuggled`, body: '' };
rows.push(
  {
    name: 'two requests at once',
    raw: get('') + SMUGGLED,
    messages: [{ method: 'GET', target: X, body: '' }, second],
  },
  {
    name: 'a body, then a request',
    raw: post('Content-Length: 5\r\n', FIVE) + SMUGGLED,
    messages: [{ method: 'POST', target: X, body: FIVE }, second],
  },
  {
    name: 'a chunked body, then an empty line and a request',
    raw: `${chunked(WHOLE)}\r\n${SMUGGLED}`,
    messages: [{ method: 'POST', target: X, body: FIVE }, second],
  },
  {
    name: 'a length of nothing, then a request',
    raw: post('Content-Length: 0\r\n', '') + SMUGGLED,
    messages: [{ method: 'POST', target: X, body: '' }, second],
  },
  {
    name: 'what comes behind the last request is not read',
    raw: get('Connection: close\r\n') + SMUGGLED,
    messages: [{ method: 'GET', target: X, body: '', keepAlive: false }],
  },
  {
    name: 'what comes behind a request of HTTP/1.0 is not read',
    raw: `GET ${X} HTTP/1.0\r\n${HOST}\r\n${SMUGGLED}`,
    messages: [{ method: 'GET', target: X, body: '', keepAlive: false }],
  },
  {
    name: 'a body longer than its length',
    raw: post('Content-Length: 3\r\n', FIVE),
    messages: [{ method: 'POST', target: X, body: 'hel' }],
    status: 400,
  },
  {
    name: 'a body where none was said',
    raw: post('', '{"a":1}'),
    messages: [{ method: 'POST', target: X, body: '' }],
    status: 400,
  },
  {
    name: 'a second request that is malformed',
    raw: get('') + post('Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', WHOLE),
    messages: [{ method: 'GET', target: X, body: '' }],
    status: 400,
  },
  {
    name: 'bytes behind a chunked body',
    raw: chunked(`${WHOLE}\r\n\r\n`),
    messages: [{ method: 'POST', target: X, body: FIVE }],
    status: 400,
  },
  {
    name: 'a chunked body with two ends',
    raw: chunked(`${WHOLE}0\r\n\r\n`),
    messages: [{ method: 'POST', target: X, body: FIVE }],
    status: 501,
  },
  {
    name: 'three requests at once',
    raw: get('') + chunked(WHOLE) + SMUGGLED,
    messages: [{ method: 'GET', target: X, body: '' }, { method: 'POST', target: X, body: FIVE }, second],
  },
);

/** A head of so many bytes, in fields of which each is not remarkable. */
function headOf(bytes: number): string {
  const begin = `GET ${X} HTTP/1.1\r\n${HOST}`;
  const field = `X-A: ${'a'.repeat(1000)}\r\n`;
  let head = begin;
  while (head.length + field.length + 20 < bytes) head += field;
  return `${head}X-B: ${'b'.repeat(bytes - head.length - 9)}\r\n\r\n`;
}

export const REQUESTS: readonly RequestRow[] = rows;
