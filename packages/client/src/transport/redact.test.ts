import { describe, expect, it } from 'vitest';
import { redact, redactBody, redactHeaders } from './redact.ts';

describe('what stands in a log', () => {
  it('has names of secret headers, without their values', () => {
    const headers = {
      authorization: 'Bearer x',
      'agentrun-authorization': 'x',
      'agentrun-access-token': 'x',
      'x-acs-security-token': 'x',
      'x-api-key': 'x',
      cookie: 'x',
      'set-cookie': 'x',
      'x-acs-date': 'd',
      'idempotency-key': 'k',
    };
    const shown = Object.entries(headers).map(([name]) => [name, '***']);
    const expected = { ...Object.fromEntries(shown), 'x-acs-date': 'd', 'idempotency-key': 'k' };
    expect(redactHeaders(headers)).toEqual(expected);
    expect(redactHeaders(new Headers(headers))).toEqual(expected);
  });

  it('has no secret of a body, at any depth', () => {
    const body = {
      agentRuntimeName: 'a',
      credentialName: 'shown',
      codeConfiguration: { zipFile: 'UEsDB', checksum: '1', language: 'nodejs20' },
      environmentVariables: { OPENAI_API_KEY: 'x', PLAIN: 'y' },
      containerConfiguration: {
        registryConfig: {
          authConfig: { userName: 'u', password: 'x' },
          certConfig: { rootCaCertBase64: 'x', insecure: false },
        },
      },
      armsConfiguration: { armsLicenseKey: 'x' },
      items: [{ apiKey: 'x', accessKeyId: 'x', accessKeySecret: 'x', accessToken: 'x', keyId: 'shown' }],
    };
    expect(redactBody(body)).toEqual({
      agentRuntimeName: 'a',
      credentialName: 'shown',
      codeConfiguration: { zipFile: '<5 characters>', checksum: '1', language: 'nodejs20' },
      environmentVariables: { OPENAI_API_KEY: '***', PLAIN: '***' },
      containerConfiguration: {
        registryConfig: {
          authConfig: { userName: 'u', password: '***' },
          certConfig: { rootCaCertBase64: '***', insecure: false },
        },
      },
      armsConfiguration: { armsLicenseKey: '***' },
      items: [
        { apiKey: '***', accessKeyId: '***', accessKeySecret: '***', accessToken: '***', keyId: 'shown' },
      ],
    });
  });

  it('ends somewhere, however deep a body goes', () => {
    let body: object = {};
    for (let depth = 0; depth < 5000; depth++) body = { body };
    expect(JSON.stringify(redactBody(body)).length).toBeLessThan(500);
  });

  it('has no secret in running text', () => {
    expect(redact('the key rsk_x, twice: rsk_x', ['rsk_x', ''])).toBe('the key ***, twice: ***');
  });
});
