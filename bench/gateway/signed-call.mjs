import { createHash, createHmac, randomBytes, randomUUID } from 'node:crypto';
import { canonicalRequest, DATA_ALGORITHM, DATA_SCOPE, UNSIGNED_PAYLOAD } from '@runstead/contract/signature';
import { HOST } from './small-call.mjs';

/** A key as the gateway is told of it, made for one run; `apiKey` is its other form. */
export function makeKey() {
  const apiKey = `rsk_${randomBytes(24).toString('base64url')}`;
  return {
    apiKey,
    route: {
      kind: 'platform',
      id: randomUUID(),
      sha256: createHash('sha256').update(apiKey).digest('hex'),
      accessKeyId: randomBytes(12).toString('hex'),
      accessKeySecret: randomBytes(24).toString('base64url'),
      role: 'invoke',
      workspaces: 'all',
    },
  };
}

/** The fields, names and values by turns, that sign a POST to a path with AGENTRUN4; good for 15 minutes. */
export function signedFields(path, { accessKeyId, accessKeySecret }, region = 'cn-hangzhou') {
  const date = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
  const fields = [
    ['host', HOST],
    ['x-acs-content-sha256', UNSIGNED_PAYLOAD],
    ['x-acs-date', date],
  ];
  const canonical = canonicalRequest({
    method: 'POST',
    path,
    query: '',
    headers: fields.map(([name, value]) => [name, [value]]),
    payloadHash: UNSIGNED_PAYLOAD,
  });
  const text = `${DATA_ALGORITHM}\n${createHash('sha256').update(canonical).digest('hex')}`;
  const scope = [date.slice(0, 10).replaceAll('-', ''), region, ...DATA_SCOPE];
  const key = scope.reduce(hmac, `aliyun_v4${accessKeySecret}`);
  const signature = hmac(key, text).toString('hex');
  const names = fields.map(([name]) => name).join(';');
  const credential = [accessKeyId, ...scope].join('/');
  return [
    ...fields.slice(1).flat(),
    'agentrun-authorization',
    `${DATA_ALGORITHM} Credential=${credential},SignedHeaders=${names},Signature=${signature}`,
  ];
}

function hmac(key, text) {
  return createHmac('sha256', key).update(text).digest();
}
