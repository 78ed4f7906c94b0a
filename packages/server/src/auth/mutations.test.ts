import { createHash } from 'node:crypto';
import { canonicalControlQuery, canonicalDataQuery } from '@runstead/contract';
import { describe, expect, it } from 'vitest';
import { signControlRequest, signDataRequest } from '../../../client/src/transport/sign.ts';
import {
  fieldOf,
  nodeStyle,
  PAIR,
  pythonStyle,
  type Signed,
  signControl,
  signData,
} from '../../test/signing.ts';
import { verifyControlSignature } from './control-signature.ts';
import { verifyDataSignature } from './data-signature.ts';
import { KeyRing } from './key-ring.ts';

/** Requests as clients sign them, changed in one bit of anything a signature covers: none may be accepted. */

const NOW = Date.parse('2026-01-02T03:04:05Z');
const MUTATIONS = 1500;
const keys = new KeyRing(
  [{ kind: 'platform', id: 'k', ...PAIR, role: 'admin', workspaces: 'all' }],
  () => NOW,
);

/** Mulberry32: the same seed, the same mutations. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

function withBitFlipped(text: string, random: (below: number) => number): string {
  const bytes = Buffer.from(text, 'latin1');
  const at = random(bytes.length);
  bytes[at] = bytes[at]! ^ (1 << random(8));
  return bytes.toString('latin1');
}

interface Scheme {
  authorizationField: string;
  bodyIsCovered: boolean;
  /** @throws when it is refused */
  verify(request: Signed, authorization: string, body: string): void;
  /** What the API reads of a query: parameters by name, the last of each. */
  readQuery(query: string): string;
}

const control: Scheme = {
  authorizationField: 'authorization',
  bodyIsCovered: true,
  verify(request, authorization, body) {
    const { bodySha256 } = verifyControlSignature(request, authorization, keys, NOW);
    if (createHash('sha256').update(body, 'latin1').digest('hex') !== bodySha256)
      throw new Error('another body');
  },
  readQuery: (query) => JSON.stringify([...new Map(new URLSearchParams(query))].sort()),
};

const data: Scheme = {
  authorizationField: 'agentrun-authorization',
  bodyIsCovered: false,
  verify: (request, authorization) => void verifyDataSignature(request, authorization, keys, NOW),
  // The contract leaves names without "=" out of this scheme.
  readQuery: (query) => {
    const pairs = query.split('&').filter((pair) => pair.includes('='));
    return JSON.stringify([...new Map(new URLSearchParams(pairs.join('&')))].sort());
  },
};

interface Sent extends Signed {
  body: string;
}

/** Names the API reads of the signed fields, whichever way they are spelled, and values without spaces around. */
function meaningOf(request: Sent, scheme: Scheme): string {
  const [path, ...query] = request.target.split('?');
  const authorization = fieldOf(request, scheme.authorizationField);
  const signedNames = /SignedHeaders=([^,]*)/.exec(authorization)?.[1]?.split(';') ?? [];
  const signed: string[] = [];
  for (let at = 0; at < request.fields.length; at += 2) {
    const name = request.fields[at]!.toLowerCase();
    if (signedNames.includes(name)) signed.push(`${name}:${request.fields[at + 1]!.trim()}`);
  }
  return JSON.stringify([
    request.method,
    // Not in the way of TypeScript clients, who sign these decoded.
    path!.replaceAll('%7E', '~').replace('*', '%2A'),
    scheme.readQuery(query.join('?')),
    signed.sort(),
    authorization.replaceAll(', ', ','),
    scheme.bodyIsCovered ? request.body : '',
  ]);
}

function mutate(request: Sent, part: number, scheme: Scheme, random: (below: number) => number): Sent {
  if (part === 0) return { ...request, method: withBitFlipped(request.method, random) };
  if (part <= 3) return { ...request, target: withBitFlipped(request.target, random) };
  if (part === 4 && scheme.bodyIsCovered) return { ...request, body: withBitFlipped(request.body, random) };
  // Names, values and the field of the signature itself.
  const fields = [...request.fields];
  let at = random(fields.length);
  if (part >= 9) at = fields.indexOf(scheme.authorizationField) + 1;
  fields[at] = withBitFlipped(fields[at]!, random);
  return { ...request, fields };
}

/** How often a change was accepted that changes what the API reads; each is told. */
function acceptedOf(requests: readonly Sent[], scheme: Scheme, seed: number) {
  const random = randomFrom(seed);
  const accepted: string[] = [];
  let refused = 0;
  let same = 0;
  while (refused + accepted.length < MUTATIONS) {
    const request = requests[random(requests.length)]!;
    const changed = mutate(request, random(12), scheme, random);
    // Without the field there is nobody to verify.
    if (!changed.fields.includes(scheme.authorizationField)) {
      refused++;
      continue;
    }
    if (meaningOf(changed, scheme) === meaningOf(request, scheme)) {
      same++;
      continue;
    }
    try {
      scheme.verify(changed, fieldOf(changed, scheme.authorizationField), changed.body);
      accepted.push(JSON.stringify(changed));
    } catch {
      refused++;
    }
  }
  return { accepted, refused, same };
}

const PATH = '/2025-09-10/agents/runtimes/01234567-89ab-4cde-8f01-23456789abcd';
const QUERY = 'agentRuntimeName=a%20b%2Fc~&pageNumber=1&pageSize=50&status=READY%2CCREATING&q=%E4%BD%A0*+x';
const BODY = '{"agentRuntimeName":"demo","cpu":2,"memory":4096}';
const HEADERS = {
  accept: 'application/json',
  'content-type': 'application/json; charset=utf-8',
  'user-agent': 'test-agent/1.0 (a b)',
  'x-acs-action': 'UpdateAgentRuntime',
  'x-acs-credentials-provider': 'agentrun_context',
};
const date = new Date(NOW);

/** By the client's own signer. */
async function fromClient(scheme: Scheme): Promise<Sent[]> {
  const url = new URL(`http://agents.test:7700${PATH}?${QUERY}`);
  const pair = { ...PAIR, securityToken: 'token' };
  const request = { method: 'PUT', url, headers: HEADERS };
  const signed = async (key: typeof PAIR): Promise<Sent> => {
    const headers = scheme.bodyIsCovered
      ? await signControlRequest(request, key, { body: new TextEncoder().encode(BODY), date, nonce: 'n-1' })
      : await signDataRequest(request, key, { regionId: 'cn-hangzhou', date });
    return {
      method: 'PUT',
      target: url.pathname + url.search,
      fields: Object.entries({ ...headers, host: url.host }).flat(),
      body: BODY,
    };
  };
  return [await signed(PAIR), await signed(pair)];
}

function ownlySigned(scheme: Scheme): Sent[] {
  const shared = { method: 'POST', path: PATH, query: QUERY, headers: HEADERS, date: '2026-01-02T03:04:05Z' };
  return [nodeStyle, pythonStyle].map((unsigned) => ({
    ...(scheme.bodyIsCovered
      ? signControl({ ...shared, body: BODY, unsigned, nonce: 'n-2' })
      : signData({ ...shared, unsigned })),
    body: BODY,
  }));
}

describe.each([
  ['ACS3-HMAC-SHA256', control],
  ['AGENTRUN4-HMAC-SHA256', data],
] as const)('%s', (_, scheme) => {
  it('accepts what clients sign', async () => {
    for (const request of [...(await fromClient(scheme)), ...ownlySigned(scheme)]) {
      expect(() =>
        scheme.verify(request, fieldOf(request, scheme.authorizationField), request.body),
      ).not.toThrow();
    }
  });

  it(`accepts none of ${MUTATIONS} requests with one bit changed`, async () => {
    const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
    const requests = [...(await fromClient(scheme)), ...ownlySigned(scheme)];
    const { accepted, refused, same } = acceptedOf(requests, scheme, seed);
    expect(accepted, `seed ${seed} (set SEED to repeat)`).toEqual([]);
    expect(refused).toBe(MUTATIONS);
    // Spelled otherwise, they mean the same: few enough that nothing hides among them.
    expect(same, `seed ${seed}`).toBeLessThan(MUTATIONS);
    console.info(`seed ${seed}: ${refused} refused, ${same} that mean the same left out`);
  });

  it('takes a query for the same exactly when the API reads the same of it', () => {
    const canonical = scheme.bodyIsCovered ? canonicalControlQuery : canonicalDataQuery;
    for (const [one, other, isSame] of [
      ['a=x+y', 'a=x%20y', true],
      ['a=%2f', 'a=%2F', true],
      ['a=1&b=2', 'b=2&a=1', true],
      ['a=1&a=2', 'a=2', true],
      ['a=1', 'a=%31', true],
      ['a=+', 'a=%2B', false],
      ['a=1', 'a=2', false],
      ['a=1', 'A=1', false],
      ['a=1&b=2', 'a=1', false],
      ['a=', 'a=%00', false],
    ] as const) {
      expect(canonical(one) === canonical(other), `${one} and ${other}`).toBe(isSame);
      expect(scheme.readQuery(one) === scheme.readQuery(other), `${one} and ${other}`).toBe(isSame);
    }
  });
});
