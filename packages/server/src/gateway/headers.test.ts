import { expect, test } from 'vitest';
import { agentRequestFields, answerFields, controlRequestFields } from './headers.ts';

const base = {
  requestId: 'id-1',
  added: ['x-forwarded-for', '10.0.0.9', 'traceparent', 'ours'],
  agentHost: '127.0.0.1:4000',
  consumed: new Set<string>(),
  framing: [],
};

/** Fields as a list of "name: value", names in lower case. */
function lines(fields: string[]): string[] {
  const out: string[] = [];
  for (let at = 0; at < fields.length; at += 2) out.push(`${fields[at]!.toLowerCase()}: ${fields[at + 1]}`);
  return out;
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
  const sent = lines(agentRequestFields({ ...base, fields }));
  expect(sent).toEqual(['host: 127.0.0.1:4000', ...kept, ...stamped]);
});

test('toward the agent: a platform credential stops here', () => {
  const fields = ['Authorization', 'Bearer rsk_x', 'accept', '*/*'];
  const sent = agentRequestFields({ ...base, fields, consumed: new Set(['authorization']) });
  expect(sent.join()).not.toContain('rsk_');
});

test('toward the agent: the body is framed by the gateway', () => {
  const fields = ['Content-Length', '5', 'Connection', 'content-length'];
  const sent = lines(agentRequestFields({ ...base, fields, framing: ['content-length', '5'] }));
  expect(sent.filter((line) => line.startsWith('content-length'))).toEqual(['content-length: 5']);
});

test('toward the control process: Host and signed fields stay, platform fields are ours', () => {
  const sent = lines(
    controlRequestFields({
      requestId: 'id-1',
      peer: '10.0.0.9',
      framing: [],
      fields: [
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
      ],
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
    answerFields({ fields, status, requestId: 'id-1', origin: 'agent', crossOrigin: undefined }),
  );
  const origin = status === 304 ? ['x-runstead-error-origin: agent'] : [];
  expect(sent).toEqual([...kept, 'x-acs-request-id: id-1', ...origin]);
});

test('for an allowed foreign page the platform decides who may read the answer', () => {
  const sent = lines(
    answerFields({
      fields: ['access-control-allow-origin', '*', 'vary', 'accept'],
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
