import { describe, expect, it } from 'vitest';
import {
  type ControlRequest,
  EMPTY_SHA256,
  fieldOf,
  nodeStyle,
  PAIR,
  pythonStyle,
  type Signed,
  signControl,
  withField,
} from '../../test/signing.ts';
import { verifyControlSignature } from './control-signature.ts';
import { KeyRing } from './key-ring.ts';
import type { PlatformKey } from './keys.ts';

const DATE = '2026-01-02T03:04:05Z';
const NOW = Date.parse(DATE);
const KEY: PlatformKey = { kind: 'platform', id: 'k', ...PAIR, role: 'admin', workspaces: 'all' };

function verify(request: Signed, { keys = [KEY], now = NOW }: { keys?: PlatformKey[]; now?: number } = {}) {
  return verifyControlSignature(
    request,
    fieldOf(request, 'authorization'),
    new KeyRing(keys, () => now),
    now,
  );
}

/** Of the contract: "own vectors". */
const COMMON = {
  host: 'agentrun.cn-hangzhou.aliyuncs.com',
  'x-acs-version': '2025-09-10',
  'x-acs-date': DATE,
  'x-acs-signature-nonce': '0123456789abcdef0123456789abcdef',
  accept: 'application/json',
  'user-agent': 'test-agent/1.0',
};

function vector(
  method: string,
  target: string,
  headers: Record<string, string>,
  signedHeaders: string,
  signature: string,
  accessKeyId = 'testak',
): Signed {
  const authorization = `ACS3-HMAC-SHA256 Credential=${accessKeyId},SignedHeaders=${signedHeaders},Signature=${signature}`;
  return { method, target, fields: Object.entries({ ...headers, authorization }).flat() };
}

const CREATE = vector(
  'POST',
  '/2025-09-10/agents/runtimes',
  {
    ...COMMON,
    'x-acs-action': 'CreateAgentRuntime',
    'content-type': 'application/json; charset=utf-8',
    'x-acs-content-sha256': '4daefa9bcf83983bf027d7cfc28a5b697c056d7a1d2f56ce72cc2b0777909b65',
  },
  'content-type;host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version',
  '9524120a3c98e9f7fa91dd607c192bbb9a2c0c3266babeed2ca2b5dc067268f5',
);
const LIST_QUERY = 'agentRuntimeName=a+b%2Fc%7E&pageNumber=1&pageSize=50&status=READY%2CCREATING';
const LIST = (query: string) =>
  vector(
    'GET',
    `/2025-09-10/agents/runtimes?${query}`,
    { ...COMMON, 'x-acs-action': 'ListAgentRuntimes', 'x-acs-content-sha256': EMPTY_SHA256 },
    'host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version',
    'bc8ec9951a6217f8b9d55d2cba87edf41bb5d66c9956dc27c82fc3d4c084d17a',
  );
const WITH_TOKEN = vector(
  'GET',
  '/2025-09-10/agents/runtimes',
  {
    ...COMMON,
    'x-acs-action': 'ListAgentRuntimes',
    'x-acs-content-sha256': EMPTY_SHA256,
    'x-acs-accesskey-id': 'testak',
    'x-acs-security-token': 'testtoken',
  },
  'host;x-acs-accesskey-id;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-security-token;x-acs-signature-nonce;x-acs-version',
  '9a86d9f352320e4cdb9ce3ca5074881da9cfe19c73b0f185e7e6beead8d059ca',
);

describe('the vectors of the contract', () => {
  it('holds the official one', () => {
    const date = '2023-10-26T10:22:32Z';
    const official = vector(
      'POST',
      '/?ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai',
      {
        host: 'ecs.cn-shanghai.aliyuncs.com',
        'x-acs-action': 'RunInstances',
        'x-acs-version': '2014-05-26',
        'x-acs-date': date,
        'x-acs-signature-nonce': '3156853299f313e23d1673dc12e1703d',
        'x-acs-content-sha256': EMPTY_SHA256,
      },
      'host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version',
      '06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0',
      'YourAccessKeyId',
    );
    const key = { ...KEY, accessKeyId: 'YourAccessKeyId', accessKeySecret: 'YourAccessKeySecret' };
    expect(verify(official, { keys: [key], now: Date.parse(date) }).key).toBe(key);
  });

  it('holds a create with a body, and tells what its body must be', () => {
    expect(verify(CREATE)).toEqual({
      key: KEY,
      nonce: '0123456789abcdef0123456789abcdef',
      nonceExpiresMs: NOW + 15 * 60_000,
      bodySha256: '4daefa9bcf83983bf027d7cfc28a5b697c056d7a1d2f56ce72cc2b0777909b65',
    });
  });

  it.each([
    ['as browsers write it', LIST_QUERY],
    ['with %20 for +', LIST_QUERY.replace('+', '%20')],
    ['with ~ as it is', LIST_QUERY.replace('%7E', '~')],
    ['with hexadecimal digits in lower case', LIST_QUERY.replaceAll('%2F', '%2f').replaceAll('%2C', '%2c')],
    ['in another order', LIST_QUERY.split('&').reverse().join('&')],
    ['with empty pairs between', `&${LIST_QUERY.replaceAll('&', '&&')}&`],
  ])('holds a list whose query is written %s', (_, query) => {
    expect(verify(LIST(query)).key).toBe(KEY);
  });

  it('holds one of temporary credentials', () => {
    expect(verify(WITH_TOKEN).key).toBe(KEY);
  });
});

const NODE: ControlRequest = {
  method: 'PUT',
  path: '/2025-09-10/agents/runtimes/01234567-89ab-4cde-8f01-23456789abcd',
  query: 'a=1&b=x%20y',
  body: '{"cpu":2}',
  date: DATE,
  headers: {
    accept: 'application/json',
    'content-type': 'application/json',
    'user-agent': 'test/1',
    'x-acs-action': 'UpdateAgentRuntime',
  },
};
const PYTHON: ControlRequest = {
  ...NODE,
  unsigned: pythonStyle,
  headers: { ...NODE.headers, 'x-acs-credentials-provider': 'agentrun_context' },
};

describe('the styles of clients', () => {
  it('holds what Node clients sign: x-acs-*, host and content-type', () => {
    const request = signControl(NODE);
    expect(fieldOf(request, 'authorization')).not.toMatch(/SignedHeaders=[^,]*accept/);
    expect(verify(request).key).toBe(KEY);
  });

  it('holds what Python clients sign: every header they have set', () => {
    const request = signControl(PYTHON);
    expect(fieldOf(request, 'authorization')).toMatch(/SignedHeaders=accept;content-type;host;user-agent;/);
    expect(verify(request).key).toBe(KEY);
    expect(() => verify(withField(request, 'user-agent', 'other/1'))).toThrow(/^SignatureDoesNotMatch/);
    expect(() => verify(withField(request, 'accept', undefined))).toThrow(/^SignatureDoesNotMatch/);
  });

  it('holds what a client that writes names in capitals, spaces around values and spaces after commas sends', () => {
    const request = signControl(NODE);
    const fields = request.fields.map((text, at) => (at % 2 === 0 ? text.toUpperCase() : `  ${text}\t`));
    const authorization = fieldOf(request, 'authorization').replaceAll(',', ', ');
    const written = { ...request, fields };
    expect(verifyControlSignature(written, authorization, new KeyRing([KEY], () => NOW), NOW).key).toBe(KEY);
  });

  it('holds a path with what TypeScript clients encode before they sign', () => {
    const signed = signControl({ ...NODE, path: '/a%20b%2A~', query: '' });
    expect(verify({ ...signed, target: '/a+b*%7E' }).key).toBe(KEY);
    expect(() => verify({ ...signed, target: '/a+b*%7F' })).toThrow(/^SignatureDoesNotMatch/);
  });
});

describe('what must be under the signature', () => {
  it.each(['host', 'x-acs-date', 'x-acs-signature-nonce', 'x-acs-content-sha256'])(
    'refuses a signature that leaves %s out',
    (left) => {
      const request = signControl({ ...NODE, unsigned: (name) => name === left || nodeStyle(name) });
      expect(() => verify(request)).toThrow(`SignatureDoesNotMatch: SignedHeaders must name ${left}`);
    },
  );

  it.each(['host', 'x-acs-date', 'x-acs-signature-nonce', 'x-acs-content-sha256'])(
    'refuses %s that is not there, or there twice',
    (name) => {
      const request = signControl(NODE);
      expect(() => verify(withField(request, name, undefined))).toThrow(`${name} must be sent once`);
      const twice = { ...request, fields: [...request.fields, name, fieldOf(request, name)] };
      expect(() => verify(twice)).toThrow(`${name} must be sent once`);
    },
  );

  it('refuses any other signed field that is there twice', () => {
    const request = signControl(PYTHON);
    for (const name of ['accept', 'content-type', 'x-acs-action', 'user-agent']) {
      const twice = { ...request, fields: [...request.fields, name, fieldOf(request, name)] };
      expect(() => verify(twice)).toThrow(/^SignatureDoesNotMatch/);
    }
  });

  it.each(['x-acs-accesskey-id', 'x-acs-security-token'])('refuses %s beside the signature', (name) => {
    const request = signControl(NODE);
    const added = { ...request, fields: [...request.fields, name, 'testak'] };
    expect(() => verify(added)).toThrow(`SignatureDoesNotMatch: SignedHeaders must name ${name}`);
  });

  it('refuses a key that is named otherwise than the one that signs', () => {
    const headers = { 'x-acs-accesskey-id': 'other', 'x-acs-security-token': 't' };
    expect(() => verify(signControl({ ...NODE, headers }))).toThrow(/names another key than Credential/);
  });
});

describe('a query that could be read in two ways', () => {
  // Names stand unencoded in what is signed: with "=" or "&" in one, two pairs would read as one.
  it.each([
    ['a%3D1%26b=x%20y', 'a=1&b=x%20y'],
    ['a%26b=1', 'a%26b=1'],
    ['a%3Db=1', 'a%3Db=1'],
    ['a%0Ab=1', 'a%0Ab=1'],
    ['%C5%A1=1&b=2', 'a=1&b=2'],
    ['a+b=1', 'a%20b=1'],
  ])('is refused, whether or not it is what was signed: %s', (sent, signed) => {
    const request = signControl({ ...NODE, query: signed });
    expect(() => verify({ ...request, target: `${NODE.path}?${sent}` })).toThrow(/^SignatureDoesNotMatch/);
  });

  it('is refused before it means something else than what was signed', () => {
    // One character, one byte: what lies beyond must not come down to the letter that was signed.
    for (const point of [0x161, 0x2061, 0x4e61]) {
      const target = `${NODE.path}?${encodeURIComponent(String.fromCharCode(point))}=1`;
      expect(() => verify({ ...signControl({ ...NODE, query: 'a=1' }), target })).toThrow(
        /^SignatureDoesNotMatch/,
      );
    }
  });

  it.each(['%', '%zz', 'a=%e4', '%ff=1'])('is refused for a percent-encoding that is none: %s', (query) => {
    expect(() => verify({ ...signControl(NODE), target: `${NODE.path}?${query}` })).toThrow(
      'SignatureDoesNotMatch: the query has an invalid percent-encoding',
    );
  });
});

describe('time', () => {
  const MINUTES = 60_000;
  it.each([-15 * MINUTES, -1, 0, 1, 15 * MINUTES])('takes a date %i ms from our clock', (away) => {
    expect(verify(signControl(NODE), { now: NOW - away }).key).toBe(KEY);
  });

  it.each([-15 * MINUTES - 1, 15 * MINUTES + 1, 86_400_000])(
    'refuses one %i ms away, and says our time',
    (away) => {
      const now = NOW - away;
      expect(() => verify(signControl(NODE), { now })).toThrow(
        `more than 15 minutes away from this server's clock, which says ${new Date(now).toISOString()}`,
      );
    },
  );

  it.each([
    '',
    'now',
    '2026-01-02T03:04:05',
    '2026-01-02T03:04:05.000Z',
    '2026-01-02T03:04:05+00:00',
    '2026-13-02T03:04:05Z',
    '2026-01-02T25:04:05Z',
    'Fri, 02 Jan 2026 03:04:05 GMT',
    String(NOW),
  ])('refuses %j as a date', (date) => {
    expect(() => verify(signControl({ ...NODE, date }))).toThrow(/x-acs-date must be a time such as/);
  });

  it('refuses a key that has expired, as if it were not there', () => {
    const key = { ...KEY, expiresAt: new Date(NOW).toISOString() };
    expect(() => verify(signControl(NODE), { keys: [key] })).toThrow(/^InvalidAccessKeyId\.NotFound/);
    const later = { ...KEY, expiresAt: new Date(NOW + 1).toISOString() };
    expect(verify(signControl(NODE), { keys: [later] }).key).toBe(later);
  });
});

describe('what is refused', () => {
  it.each(['', ' ', 'a b', 'é', 'x'.repeat(129), 'a\x7f'])('%j as a nonce', (nonce) => {
    expect(() => verify(signControl({ ...NODE, nonce }))).toThrow(/x-acs-signature-nonce must have 1 to 128/);
  });
  it('takes a nonce of 128 characters', () => {
    expect(verify(signControl({ ...NODE, nonce: 'x'.repeat(128) })).nonce).toHaveLength(128);
  });

  it.each(['', 'UNSIGNED-PAYLOAD', EMPTY_SHA256.toUpperCase(), EMPTY_SHA256.slice(1), `${EMPTY_SHA256}0`])(
    '%j as the hash of the body',
    (hash) => {
      const headers = { 'x-acs-content-sha256': hash };
      expect(() => verify(signControl({ ...NODE, headers }))).toThrow(
        /x-acs-content-sha256 must be the SHA-256/,
      );
    },
  );

  it('another secret, and a key that is not there, each by its name', () => {
    const pair = { ...PAIR, accessKeySecret: 'other' };
    expect(() => verify(signControl({ ...NODE, pair }))).toThrow(/^SignatureDoesNotMatch/);
    expect(() => verify(signControl(NODE), { keys: [] })).toThrow(/^InvalidAccessKeyId\.NotFound/);
  });

  const authorization = fieldOf(signControl(NODE), 'authorization');
  const [, credential = '', headers = '', signature = ''] =
    /Credential=([^,]+),SignedHeaders=([^,]+),Signature=(.+)$/.exec(authorization)!;
  it.each([
    'ACS3-HMAC-SHA256',
    'ACS3-HMAC-SHA256 ',
    'ACS3-HMAC-SHA256 sesame',
    `ACS3-HMAC-SHA256 Credential=${credential}`,
    `ACS3-HMAC-SHA256 Credential=${credential},SignedHeaders=${headers}`,
    `ACS3-HMAC-SHA256 Credential=${credential},Signature=${signature}`,
    `ACS3-HMAC-SHA256 SignedHeaders=${headers},Signature=${signature}`,
    `ACS3-HMAC-SHA256 SignedHeaders=${headers},Credential=${credential},Signature=${signature}`,
    `ACS3-HMAC-SHA256 Credential=,SignedHeaders=${headers},Signature=${signature}`,
    `ACS3-HMAC-SHA256 Credential=${credential},SignedHeaders=,Signature=${signature}`,
    `ACS3-HMAC-SHA256 Credential=${credential},SignedHeaders=${headers.toUpperCase()},Signature=${signature}`,
    `ACS3-HMAC-SHA256 Credential=${credential},SignedHeaders=${headers},Signature=`,
    `ACS3-HMAC-SHA256 Credential=${credential},SignedHeaders=${headers},Signature=${signature.slice(1)}`,
    `ACS3-HMAC-SHA256 Credential=${credential},SignedHeaders=${headers},Signature=${signature}0`,
    `ACS3-HMAC-SHA256 Credential=${credential},SignedHeaders=${headers},Signature=${signature.toUpperCase()}`,
    `ACS3-HMAC-SHA256 Credential=${credential},SignedHeaders=${headers},Signature=${'g'.repeat(64)}`,
    `ACS3-HMAC-SHA256 Credential=${credential},SignedHeaders=${headers},Signature=${signature}\n`,
    `ACS3-HMAC-SHA256  Credential=${credential},SignedHeaders=${headers},Signature=${signature}`,
    `ACS3-HMAC-SHA256 Credential=${credential},SignedHeaders=${headers},Signature=${signature},Signature=${signature}`,
    `ACS3-HMAC-SHA256 Credential=${credential},,SignedHeaders=${headers},Signature=${signature}`,
    `acs3-hmac-sha256 Credential=${credential},SignedHeaders=${headers},Signature=${signature}`,
    `ACS3-RSA-SHA256 Credential=${credential},SignedHeaders=${headers},Signature=${signature}`,
    `AGENTRUN4-HMAC-SHA256 Credential=${credential},SignedHeaders=${headers},Signature=${signature}`,
  ])('an Authorization field that is malformed: %s', (malformed) => {
    const request = withField(signControl(NODE), 'authorization', malformed);
    expect(() => verify(request)).toThrow(
      /^AccessDenied: Authorization must read "ACS3-HMAC-SHA256 Credential=/,
    );
    expect(() => verify(request)).toThrow(/^(?!.*(?:sesame|testak|testsk))/);
  });

  it('says nothing of the secret or of what was presented', () => {
    const request = withField(signControl(NODE), 'x-acs-action', 'Other');
    const told = () => verify(request);
    expect(told).toThrow(/^SignatureDoesNotMatch/);
    expect(told).toThrow(new RegExp(`^(?!.*(?:testsk|${signature}))`));
  });
});
