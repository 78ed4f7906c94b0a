import { expect, test } from 'vitest';
import { sectionOf } from '../../test/section-of.ts';
import { type ResponseHead, readResponseHead } from '../http/response-head.ts';
import { agentRequestLines, answerLines, controlRequestLines } from './headers.ts';

const base = {
  requestId: 'id-1',
  added: 'x-forwarded-for: 10.0.0.9\r\ntraceparent: ours\r\n',
  agentHost: '127.0.0.1:4000',
  consumed: new Set<string>(),
  framing: [],
};

/** Lines as a list of "name: value", names in lower case. */
function lines(text: string): string[] {
  expect(text.endsWith('\r\n')).toBe(true);
  const each = text.slice(0, -2).split('\r\n');
  return each.map((line) => line.replace(/^[^:]*/, (name) => name.toLowerCase()));
}

const stamped = ['x-forwarded-for: 10.0.0.9', 'traceparent: ours', 'x-acs-request-id: id-1'];

test.each([
  [
    'keeps end-to-end fields, spelling and repetition',
    ['X-One', '1', 'x-one', '2'],
    ['x-one: 1', 'x-one: 2'],
  ],
  ['drops hop-by-hop fields', ['Keep-Alive', '1', 'TE', 'trailers', 'Upgrade', 'h2c', 'Trailer', 'x'], []],
  [
    'drops what Connection names',
    ['Connection', 'close, X-Secret', 'X-Secret', 's', 'x-other', 'o'],
    ['x-other: o'],
  ],
  ['replaces Host', ['Host', 'localhost:7700'], []],
  [
    'drops a cloud credential claimed by the client',
    ['x-fc-access-key-id', 'a', 'X-Fc-Security-Token', 'b'],
    [],
  ],
  ['drops platform fields', ['X-Runstead-Peer', '1.2.3.4', 'x-acs-request-id', 'mine'], []],
  ['drops copies spelled with underscores', ['X_Fc_Access_Key_Id', 'a', 'x_forwarded_for', '::'], []],
  [
    'replaces forwarding claims',
    [
      'X-Forwarded-For',
      '1.1.1.1',
      'Forwarded',
      'for=1.1.1.1',
      'X-Real-IP',
      '1.1.1.1',
      'x_real_ip',
      '1.1.1.1',
    ],
    [],
  ],
  ['replaces the trace', ['TraceParent', 'theirs', 'tracestate', 'theirs'], []],
  [
    'drops cookies of the platform',
    ['Cookie', 'a=1; runstead-session=x; b=2', 'cookie', 'runstead-session=y', 'Cookie', 'c=3'],
    ['cookie: a=1; b=2', 'cookie: c=3'],
  ],
  ['keeps the agent’s own Authorization', ['Authorization', 'Bearer sk'], ['authorization: Bearer sk']],
])('toward the agent: %s', (_, fields, kept) => {
  const sent = lines(agentRequestLines({ ...base, section: sectionOf(fields) }));
  expect(sent).toEqual(['host: 127.0.0.1:4000', ...kept, ...stamped]);
});

test('toward the agent: a platform credential stops here', () => {
  const fields = ['Authorization', 'Bearer rsk_x', 'accept', '*/*'];
  const section = sectionOf(fields);
  const sent = agentRequestLines({ ...base, section, consumed: new Set(['authorization']) });
  expect(sent).not.toContain('rsk_');
});

test('toward the agent: lines pass as they were written, and odd white space does not', () => {
  const text = 'HTTP/1.1 200 OK\r\nA: 1\r\nb:2\r\nC:  3 \r\nD: \r\nTE: x\r\nE: 4\r\n\r\n';
  const head = readResponseHead(Buffer.from(text), 0, text.length, 'GET') as ResponseHead;
  const sent = agentRequestLines({ ...base, section: head.section });
  expect(sent).toBe(
    `host: 127.0.0.1:4000\r\nA: 1\r\nb: 2\r\nC: 3\r\nD: \r\nE: 4\r\n${base.added}x-acs-request-id: id-1\r\n`,
  );
});

test('toward the agent: the body is framed by the gateway', () => {
  const fields = ['Content-Length', '5', 'Connection', 'content-length'];
  const sent = lines(
    agentRequestLines({ ...base, section: sectionOf(fields), framing: ['content-length', '5'] }),
  );
  expect(sent.filter((line) => line.startsWith('content-length'))).toEqual(['content-length: 5']);
});

test('toward the control process: Host and signed fields stay, platform fields are ours', () => {
  const sent = lines(
    controlRequestLines({
      requestId: 'id-1',
      peer: '10.0.0.9',
      framing: [],
      section: sectionOf([
        'Host',
        'a:1',
        'x-acs-date',
        'd',
        'X-Runstead-Peer',
        '::1',
        'X-Acs-Request-Id',
        'z',
        'Connection',
        'x',
      ]),
    }),
  );
  expect(sent).toEqual(['host: a:1', 'x-acs-date: d', 'x-acs-request-id: id-1', 'x-runstead-peer: 10.0.0.9']);
});

test.each([
  ['repeated cookies', 200, ['Set-Cookie', 'a', 'Set-Cookie', 'b'], ['set-cookie: a', 'set-cookie: b']],
  [
    'no hop-by-hop',
    200,
    ['Connection', 'keep-alive, x-hop', 'x-hop', '1', 'transfer-encoding', 'chunked'],
    [],
  ],
  ['no claim to be the platform', 200, ['X-Runstead-Error-Origin', 'platform', 'x-acs-request-id', 'z'], []],
  [
    'nothing that rules the host',
    200,
    [
      ...['Alt-Svc', 'h3', 'Clear-Site-Data', '*', 'Strict-Transport-Security', 'x'],
      ...['Service-Worker-Allowed', '/', 'NEL', '{}', 'Report-To', '{}'],
    ],
    [],
  ],
  [
    'no cookie of the platform',
    200,
    ['Set-Cookie', 'runstead-session=x; Path=/', 'Set-Cookie', '=runstead-session=x', 'Set-Cookie', 'own=1'],
    ['set-cookie: own=1'],
  ],
  ['no length on 204', 204, ['Content-Length', '0'], []],
  ['the length of an unchanged page', 304, ['Content-Length', '10'], ['content-length: 10']],
  ['its own CORS', 200, ['Access-Control-Allow-Origin', '*'], ['access-control-allow-origin: *']],
])('from the agent: %s', (_, status, fields, kept) => {
  const sent = lines(
    answerLines({
      section: sectionOf(fields),
      status,
      requestId: 'id-1',
      origin: 'agent',
      crossOrigin: undefined,
    }),
  );
  const origin = status === 304 ? ['x-runstead-error-origin: agent'] : [];
  expect(sent).toEqual([...kept, 'x-acs-request-id: id-1', ...origin]);
});

test('for an allowed foreign page the platform decides who may read the answer', () => {
  const sent = lines(
    answerLines({
      section: sectionOf(['access-control-allow-origin', '*', 'vary', 'accept']),
      status: 404,
      requestId: 'id-1',
      origin: 'agent',
      crossOrigin: 'http://front.test',
    }),
  );
  expect(sent.filter((line) => line.startsWith('access-control-allow-origin'))).toEqual([
    'access-control-allow-origin: http://front.test',
  ]);
  expect(sent).toContain('vary: accept');
  expect(sent).toContain('vary: Origin');
  expect(sent).toContain('x-runstead-error-origin: agent');
});
