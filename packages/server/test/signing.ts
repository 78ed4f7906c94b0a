import { createHash, createHmac } from 'node:crypto';

/**
 * Signs requests as the contract says (signing), written apart from both the server's and the client's code: where all
 * three agree, they agree with the contract.
 */

export interface Signed {
  method: string;
  /** Path and query as sent. */
  target: string;
  /** Names and values by turns. */
  fields: string[];
}

export interface Pair {
  accessKeyId: string;
  accessKeySecret: string;
}

/** Of the contract's vectors. */
export const PAIR: Pair = { accessKeyId: 'testak', accessKeySecret: 'testsk' };

const sha256 = (data: string | Buffer) => createHash('sha256').update(data).digest('hex');
const hmac = (key: string | Buffer, data: string) => createHmac('sha256', key).update(data).digest();

export const EMPTY_SHA256 = sha256('');

/** RFC 3986, with the query's own plus for a space. */
const encode = (text: string) =>
  [...Buffer.from(text)]
    .map((byte) =>
      /[A-Za-z0-9._~-]/.test(String.fromCharCode(byte))
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
    )
    .join('');

export interface ControlRequest {
  method: string;
  path: string;
  /** As it is sent, without `?`. */
  query?: string;
  body?: string | Buffer;
  /** Beyond those of the signature. */
  headers?: Record<string, string>;
  /** Left out of `SignedHeaders`. Default: what Node clients leave out. */
  unsigned?: (name: string) => boolean;
  host?: string;
  date?: string;
  nonce?: string;
  pair?: Pair;
}

/** Node clients sign `x-acs-*`, `host` and `content-type`. */
export const nodeStyle = (name: string) =>
  !(name.startsWith('x-acs-') || name === 'host' || name === 'content-type');
/** Python clients sign every header they have set. */
export const pythonStyle = () => false;

let nonces = 0;

export const isoSeconds = (ms: number) => `${new Date(ms).toISOString().slice(0, 19)}Z`;

/** ACS3-HMAC-SHA256. */
export function signControl(request: ControlRequest): Signed {
  const { method, path, query = '', body = '', pair = PAIR, unsigned = nodeStyle } = request;
  const payloadHash = sha256(body);
  const headers: Record<string, string> = {
    host: request.host ?? 'agents.test:7700',
    'x-acs-version': '2025-09-10',
    'x-acs-date': request.date ?? isoSeconds(Date.now()),
    'x-acs-signature-nonce': request.nonce ?? `nonce-${process.pid}-${++nonces}`,
    'x-acs-content-sha256': payloadHash,
    ...request.headers,
  };
  const canonicalQuery = [...new URLSearchParams(query)]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${encode(value)}`)
    .join('&');
  const { block, names } = headerBlock(headers, unsigned);
  const canonical = [method, path, canonicalQuery, block, names, headers['x-acs-content-sha256']].join('\n');
  const signature = hmac(pair.accessKeySecret, `ACS3-HMAC-SHA256\n${sha256(canonical)}`).toString('hex');
  const authorization = `ACS3-HMAC-SHA256 Credential=${pair.accessKeyId},SignedHeaders=${names},Signature=${signature}`;
  return {
    method,
    target: query === '' ? path : `${path}?${query}`,
    fields: Object.entries({ ...headers, authorization }).flat(),
  };
}

export interface DataRequest {
  method?: string;
  path: string;
  query?: string;
  headers?: Record<string, string>;
  unsigned?: (name: string) => boolean;
  host?: string;
  date?: string;
  region?: string;
  /** Of the credential's scope. Default: that of the date. */
  day?: string;
  pair?: Pair;
}

/** AGENTRUN4-HMAC-SHA256. */
export function signData(request: DataRequest): Signed {
  const { method = 'GET', path, query = '', pair = PAIR, unsigned = nodeStyle } = request;
  const { region = 'cn-hangzhou', date = isoSeconds(Date.now()) } = request;
  const day = request.day ?? date.slice(0, 10).replaceAll('-', '');
  const headers: Record<string, string> = {
    host: request.host ?? '1431999136518149-ram.agentrun-data.cn-hangzhou.aliyuncs.com',
    'x-acs-date': date,
    'x-acs-content-sha256': 'UNSIGNED-PAYLOAD',
    ...request.headers,
  };
  const pairs = query.split('&').filter((pair) => pair.includes('='));
  const canonicalQuery = [...new Map(new URLSearchParams(pairs.join('&')))]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .join('&');
  const { block, names } = headerBlock(headers, unsigned);
  const canonical = [method, path, canonicalQuery, block, names, 'UNSIGNED-PAYLOAD'].join('\n');
  const scope = [day, region, 'agentrun', 'aliyun_v4_request'];
  const key = scope.reduce<string | Buffer>(
    (chain, part) => hmac(chain, part),
    `aliyun_v4${pair.accessKeySecret}`,
  );
  const signature = hmac(key, `AGENTRUN4-HMAC-SHA256\n${sha256(canonical)}`).toString('hex');
  const credential = [pair.accessKeyId, ...scope].join('/');
  return {
    method,
    target: query === '' ? path : `${path}?${query}`,
    fields: Object.entries({
      ...headers,
      'agentrun-authorization': `AGENTRUN4-HMAC-SHA256 Credential=${credential},SignedHeaders=${names},Signature=${signature}`,
    }).flat(),
  };
}

function headerBlock(headers: Record<string, string>, unsigned: (name: string) => boolean) {
  const signed = Object.keys(headers)
    .filter((name) => !unsigned(name))
    .sort();
  return {
    block: signed.map((name) => `${name}:${headers[name]!.trim()}\n`).join(''),
    names: signed.join(';'),
  };
}

/** As an object, for clients that take one. */
export function headersOf({ fields }: Signed): Record<string, string> {
  const headers: Record<string, string> = {};
  for (let at = 0; at < fields.length; at += 2) headers[fields[at]!] = fields[at + 1]!;
  return headers;
}

/** The same request with one field changed, or left out. */
export function withField(request: Signed, name: string, value: string | undefined): Signed {
  const fields: string[] = [];
  for (let at = 0; at < request.fields.length; at += 2) {
    if (request.fields[at] !== name) fields.push(request.fields[at]!, request.fields[at + 1]!);
    else if (value !== undefined) fields.push(name, value);
  }
  return { ...request, fields };
}

export function fieldOf({ fields }: Signed, name: string): string {
  return fields[fields.indexOf(name) + 1]!;
}
