import { describe, expect, it } from 'vitest';
import {
  type DataRequest,
  fieldOf,
  nodeStyle,
  PAIR,
  pythonStyle,
  type Signed,
  signData,
  withField,
} from '../../test/signing.ts';
import { verifyDataSignature } from './data-signature.ts';
import { KeyRing } from './key-ring.ts';
import type { PlatformKey } from './keys.ts';

const DATE = '2026-03-06T12:00:00Z';
const NOW = Date.parse(DATE);
const KEY: PlatformKey = { kind: 'platform', id: 'k', ...PAIR, role: 'invoke', workspaces: 'all' };

function verify(request: Signed, { keys = [KEY], now = NOW }: { keys?: PlatformKey[]; now?: number } = {}) {
  const authorization = fieldOf(request, 'agentrun-authorization');
  return verifyDataSignature(request, authorization, new KeyRing(keys, () => now), now);
}

const HOST = '1431999136518149-ram.agentrun-data.cn-hangzhou.aliyuncs.com';
const SCOPE = '20260306/cn-hangzhou/agentrun/aliyun_v4_request';

function vector(method: string, target: string, signature: string): Signed {
  const fields = {
    host: HOST,
    'x-acs-date': DATE,
    'x-acs-content-sha256': 'UNSIGNED-PAYLOAD',
    'agentrun-authorization': `AGENTRUN4-HMAC-SHA256 Credential=testak/${SCOPE},SignedHeaders=host;x-acs-content-sha256;x-acs-date,Signature=${signature}`,
  };
  return { method, target, fields: Object.entries(fields).flat() };
}

describe('the vectors of the contract', () => {
  it.each([
    ['GET', '/sandboxes/sbx-xxx/health', '1ee77e325763d70b0ad0aff7ed8832e59bda99e20d29ece895c1b8cc45717e3f'],
    ['POST', '/path?foo=bar&zoo=', '282665036378de135607870d022f23fdcc5ed647864fdce619526a5d85080e93'],
    ['POST', '/path?zoo=&foo=bar', '282665036378de135607870d022f23fdcc5ed647864fdce619526a5d85080e93'],
  ])('hold: %s %s', (method, target, signature) => {
    expect(verify(vector(method, target, signature))).toBe(KEY);
  });
});

const REQUEST: DataRequest = {
  method: 'POST',
  path: '/agent-runtimes/echo/endpoints/Default/invocations/openai/v1/chat/completions',
  query: 'a=1&b=x%20y&%E4%BD%A0=%2F',
  date: DATE,
  headers: { 'content-type': 'application/json', accept: '*/*' },
};

describe('what is under the signature', () => {
  it('holds a request with and without its content type, and one that signs every header', () => {
    expect(verify(signData(REQUEST))).toBe(KEY);
    expect(verify(signData({ ...REQUEST, unsigned: pythonStyle }))).toBe(KEY);
    const bare = (name: string) => name === 'content-type' || nodeStyle(name);
    expect(verify(signData({ ...REQUEST, unsigned: bare }))).toBe(KEY);
  });

  it('may come again within the window, as clients repeat what they have signed once', () => {
    const request = signData(REQUEST);
    expect([verify(request), verify(request)]).toEqual([KEY, KEY]);
  });

  it.each(['host', 'x-acs-date', 'x-acs-content-sha256'])('must hold %s, and that once', (name) => {
    const unsigned = (other: string) => other === name || nodeStyle(other);
    expect(() => verify(signData({ ...REQUEST, unsigned }))).toThrow(
      `SignatureDoesNotMatch: SignedHeaders must name ${name}`,
    );
    const request = signData(REQUEST);
    const twice = { ...request, fields: [...request.fields, name, fieldOf(request, name)] };
    expect(() => verify(twice)).toThrow(`${name} must be sent once`);
    expect(() => verify(withField(request, name, undefined))).toThrow(`${name} must be sent once`);
  });

  it('holds the token of temporary credentials, but not beside it', () => {
    const headers = { 'x-acs-security-token': 'token' };
    expect(verify(signData({ ...REQUEST, headers }))).toBe(KEY);
    const request = signData(REQUEST);
    const added = { ...request, fields: [...request.fields, 'x-acs-security-token', 'token'] };
    expect(() => verify(added)).toThrow(/SignedHeaders must name x-acs-security-token/);
  });
});

describe('what is refused', () => {
  it('a date outside the window or of another day than the scope', () => {
    for (const away of [-900_001, 900_001]) {
      expect(() => verify(signData(REQUEST), { now: NOW + away })).toThrow(/more than 15 minutes away/);
    }
    for (const away of [-900_000, 900_000]) expect(verify(signData(REQUEST), { now: NOW + away })).toBe(KEY);
    expect(() => verify(signData({ ...REQUEST, day: '20260305' }))).toThrow(/name two days/);
  });

  it('any hash but UNSIGNED-PAYLOAD', () => {
    const headers = {
      'x-acs-content-sha256': 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    };
    expect(() => verify(signData({ ...REQUEST, headers }))).toThrow(
      /x-acs-content-sha256 must be UNSIGNED-PAYLOAD/,
    );
  });

  it('another secret, a key that is not there, one that has expired', () => {
    const pair = { ...PAIR, accessKeySecret: 'other' };
    expect(() => verify(signData({ ...REQUEST, pair }))).toThrow(/^SignatureDoesNotMatch/);
    expect(() => verify(signData(REQUEST), { keys: [] })).toThrow(/^InvalidAccessKeyId\.NotFound/);
    const expired = { ...KEY, expiresAt: DATE };
    expect(() => verify(signData(REQUEST), { keys: [expired] })).toThrow(/^InvalidAccessKeyId\.NotFound/);
  });

  const [, headers = '', signature = ''] =
    /SignedHeaders=([^,]+),Signature=(.+)$/.exec(fieldOf(signData(REQUEST), 'agentrun-authorization')) ?? [];
  it.each([
    'testak',
    'testak/20260306',
    'testak/20260306/cn-hangzhou/agentrun',
    `testak/20260306/cn-hangzhou/agentrun/aliyun_v4_request/more`,
    `testak/20260306/cn-hangzhou/oss/aliyun_v4_request`,
    `testak/20260306/cn-hangzhou/agentrun/aws4_request`,
    `testak/2026-03-06/cn-hangzhou/agentrun/aliyun_v4_request`,
    `testak/20260306//agentrun/aliyun_v4_request`,
    `testak/20260306/CN-HANGZHOU/agentrun/aliyun_v4_request`,
    `a/b/20260306/cn-hangzhou/agentrun/aliyun_v4_request`,
  ])('a scope that is none: %s', (credential) => {
    const value = `AGENTRUN4-HMAC-SHA256 Credential=${credential},SignedHeaders=${headers},Signature=${signature}`;
    const request = withField(signData(REQUEST), 'agentrun-authorization', value);
    expect(() => verify(request)).toThrow(/^SignatureDoesNotMatch: Credential must read/);
  });

  it.each([
    'sesame',
    'AGENTRUN4-HMAC-SHA256',
    `AGENTRUN4-HMAC-SHA256 Credential=testak/${SCOPE},SignedHeaders=${headers}`,
    `AGENTRUN4-HMAC-SHA256 Credential=testak/${SCOPE},SignedHeaders=${headers},Signature=${signature.slice(1)}`,
    `ACS3-HMAC-SHA256 Credential=testak/${SCOPE},SignedHeaders=${headers},Signature=${signature}`,
    `Bearer Credential=testak/${SCOPE},SignedHeaders=${headers},Signature=${signature}`,
  ])('a field that is malformed: %s', (value) => {
    const request = withField(signData(REQUEST), 'agentrun-authorization', value);
    expect(() => verify(request)).toThrow(
      /^AccessDenied: Agentrun-Authorization must read "AGENTRUN4-HMAC-SHA256 /,
    );
    expect(() => verify(request)).toThrow(/^(?!.*(?:sesame|testak))/);
  });
});
