import { describe, expect, it } from 'vitest';
import { signControlRequest, signDataRequest } from './sign.ts';

// Figures: contract, signing. The first control vector is Alibaba Cloud's own, the others were made with code that
// reproduces it; the data vectors with the official Python signer.

const empty = new Uint8Array();
const key = { accessKeyId: 'testak', accessKeySecret: 'testsk' };
const RUNTIMES = 'https://agentrun.cn-hangzhou.aliyuncs.com/2025-09-10/agents/runtimes';
const options = { date: new Date('2026-01-02T03:04:05Z'), nonce: '0123456789abcdef0123456789abcdef' };

function headersFor(action: string) {
  return {
    accept: 'application/json',
    'user-agent': 'test-agent/1.0',
    'x-acs-version': '2025-09-10',
    'x-acs-action': action,
  };
}

describe('signControlRequest', () => {
  it('reproduces the published vector', async () => {
    const query = 'ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai';
    const headers = await signControlRequest(
      {
        method: 'POST',
        url: new URL(`https://ecs.cn-shanghai.aliyuncs.com/?${query}`),
        headers: { 'x-acs-action': 'RunInstances', 'x-acs-version': '2014-05-26' },
      },
      { accessKeyId: 'YourAccessKeyId', accessKeySecret: 'YourAccessKeySecret' },
      {
        body: empty,
        date: new Date('2023-10-26T10:22:32Z'),
        nonce: '3156853299f313e23d1673dc12e1703d',
      },
    );
    expect(headers.authorization).toBe(
      'ACS3-HMAC-SHA256 Credential=YourAccessKeyId,' +
        'SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version,' +
        'Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0',
    );
    expect(headers['x-acs-date']).toBe('2023-10-26T10:22:32Z');
  });

  it('covers body and content type', async () => {
    const headers = await signControlRequest(
      {
        method: 'POST',
        url: new URL(RUNTIMES),
        headers: { ...headersFor('CreateAgentRuntime'), 'content-type': 'application/json; charset=utf-8' },
      },
      key,
      { ...options, body: new TextEncoder().encode('{"agentRuntimeName":"demo"}') },
    );
    expect(headers['x-acs-content-sha256']).toBe(
      '4daefa9bcf83983bf027d7cfc28a5b697c056d7a1d2f56ce72cc2b0777909b65',
    );
    expect(headers.authorization).toBe(
      'ACS3-HMAC-SHA256 Credential=testak,' +
        'SignedHeaders=content-type;host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version,' +
        'Signature=9524120a3c98e9f7fa91dd607c192bbb9a2c0c3266babeed2ca2b5dc067268f5',
    );
  });

  it('encodes the values of the query', async () => {
    // In another order, and with a space as `+`: neither may matter.
    const query = 'status=READY%2CCREATING&agentRuntimeName=a+b%2Fc~&pageNumber=1&pageSize=50';
    const headers = await signControlRequest(
      { method: 'GET', url: new URL(`${RUNTIMES}?${query}`), headers: headersFor('ListAgentRuntimes') },
      key,
      { ...options, body: empty },
    );
    expect(headers.authorization).toMatch(
      /Signature=bc8ec9951a6217f8b9d55d2cba87edf41bb5d66c9956dc27c82fc3d4c084d17a$/,
    );
  });

  it('does not mind spaces around a value, which do not arrive either', async () => {
    const signed = (action: string) =>
      signControlRequest({ method: 'GET', url: new URL(RUNTIMES), headers: headersFor(action) }, key, {
        ...options,
        body: empty,
      });
    expect((await signed(' ListAgentRuntimes ')).authorization).toBe(
      (await signed('ListAgentRuntimes')).authorization,
    );
  });

  it('signs the token of a temporary key', async () => {
    const headers = await signControlRequest(
      { method: 'GET', url: new URL(RUNTIMES), headers: headersFor('ListAgentRuntimes') },
      { ...key, securityToken: 'testtoken' },
      { ...options, body: empty },
    );
    expect(headers['x-acs-accesskey-id']).toBe('testak');
    expect(headers['x-acs-security-token']).toBe('testtoken');
    expect(headers.authorization).toBe(
      'ACS3-HMAC-SHA256 Credential=testak,' +
        'SignedHeaders=host;x-acs-accesskey-id;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-security-token;x-acs-signature-nonce;x-acs-version,' +
        'Signature=9a86d9f352320e4cdb9ce3ca5074881da9cfe19c73b0f185e7e6beead8d059ca',
    );
  });
});

describe('signDataRequest', () => {
  const origin = 'https://1431999136518149-ram.agentrun-data.cn-hangzhou.aliyuncs.com';
  const dataOptions = { regionId: 'cn-hangzhou', date: new Date('2026-03-06T12:00:00Z') };
  const prefix =
    'AGENTRUN4-HMAC-SHA256 Credential=testak/20260306/cn-hangzhou/agentrun/aliyun_v4_request,' +
    'SignedHeaders=host;x-acs-content-sha256;x-acs-date,Signature=';

  it.each([
    ['GET', '/sandboxes/sbx-xxx/health', '1ee77e325763d70b0ad0aff7ed8832e59bda99e20d29ece895c1b8cc45717e3f'],
    ['POST', '/path?foo=bar&zoo=', '282665036378de135607870d022f23fdcc5ed647864fdce619526a5d85080e93'],
    // Pairs without `=` do not count, of equal names the last one does.
    [
      'POST',
      '/path?zoo=1&flag&zoo=&foo=bar',
      '282665036378de135607870d022f23fdcc5ed647864fdce619526a5d85080e93',
    ],
  ])('%s %s', async (method, path, signature) => {
    const headers = await signDataRequest(
      { method, url: new URL(origin + path), headers: { accept: '*/*' } },
      key,
      dataOptions,
    );
    expect(headers).toEqual({
      accept: '*/*',
      'x-acs-date': '2026-03-06T12:00:00Z',
      'x-acs-content-sha256': 'UNSIGNED-PAYLOAD',
      'agentrun-authorization': prefix + signature,
    });
  });

  it('signs a content type that is passed, and a token', async () => {
    const headers = await signDataRequest(
      { method: 'GET', url: new URL(origin), headers: { 'content-type': 'application/json' } },
      { ...key, securityToken: 'testtoken' },
      dataOptions,
    );
    expect(headers['x-acs-security-token']).toBe('testtoken');
    expect(headers['agentrun-authorization']).toContain(
      'SignedHeaders=content-type;host;x-acs-content-sha256;x-acs-date;x-acs-security-token,',
    );
  });
});
