import { expect, test } from 'vitest';
import { issueAccessToken } from '../../src/auth/access-token.ts';
import { hashKey } from '../../src/auth/key-ring.ts';
import type { CredentialKey, PlatformKey } from '../../src/auth/keys.ts';
import { headersOf, signControl, signData } from '../signing.ts';
import { call, INVOKE, rawConnection, runtime, startAgent, startTestGateway, until } from './harness.ts';

/** S12: an echo agent, once per scheme; no byte of a secret may be in the echo. */

const API_KEY = 'rsk_Zq4vXw81LmTt';
const TEAM_KEY = 'rck_Hn7cPd52YbRk';
const FIELD_KEY = 'rck_Jx9sWf36GvQm';
const COOKIE = 'Ub3eKo68DnSz';
const STS = 'Ct5yMr40FhXa';

const PAIR: PlatformKey = {
  kind: 'platform',
  id: 'k',
  sha256: hashKey(API_KEY),
  accessKeyId: 'AkVe2iBq97',
  accessKeySecret: 'SkLp8wNz13TrGj',
  role: 'invoke',
  workspaces: 'all',
};
const credential = (id: string, key: string, headerName?: string): CredentialKey => ({
  kind: 'credential',
  id,
  sha256: hashKey(key),
  credentialName: 'team',
  workspaces: 'all',
  ...(headerName !== undefined && { headerName }),
});
const TOKEN = issueAccessToken(PAIR, 'runtime-1', Date.now());

async function start(credentialName?: string) {
  const agent = await startAgent(
    (request, response) => response.end(JSON.stringify([request.url, request.rawHeaders])),
    {
      setUp: (server) =>
        server.on('upgrade', (request, socket) => {
          const seen = JSON.stringify([request.url, request.rawHeaders]);
          socket.end(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n${seen}`);
        }),
    },
  );
  const gateway = await startTestGateway({
    runtimes: [
      runtime({
        serves: [{ instances: [agent], slots: 9 }],
        ...(credentialName !== undefined && { credentialName }),
      }),
    ],
    keys: [PAIR, credential('team', TEAM_KEY), credential('field', FIELD_KEY, 'x-team-key')],
  });
  return { agent, gateway, host: `127.0.0.1:${gateway.port}` };
}

const encoded = (user: string, password: string) => Buffer.from(`${user}:${password}`).toString('base64');
const basic = (user: string, password: string) => `Basic ${encoded(user, password)}`;

/** All that a secret may be told by: itself, what it reads like in Base64, and every six bytes of either. */
function expectNothingOf(secrets: readonly string[], echo: string) {
  for (const secret of secrets) {
    for (const text of [secret, Buffer.from(secret).toString('base64')]) {
      const body = text.replace(/^r[a-z]{2}_/, '');
      for (let at = 0; at + 6 <= body.length; at++) expect(echo).not.toContain(body.slice(at, at + 6));
    }
  }
}

interface Scheme {
  name: string;
  fields: (host: string) => Record<string, string>;
  secrets: string[];
  /** Where only a runtime that asks for it takes it for a credential, it goes all the same. */
  refused?: 401;
}

const SCHEMES: Scheme[] = [
  { name: 'an API key', fields: () => ({ authorization: `Bearer ${API_KEY}` }), secrets: [API_KEY] },
  {
    name: 'an API key, spelled oddly',
    fields: () => ({ AUTHORIZATION: `bEaReR   ${API_KEY} ` }),
    secrets: [API_KEY],
  },
  { name: 'an API key without a scheme', fields: () => ({ authorization: API_KEY }), secrets: [API_KEY] },
  {
    name: 'an API key as a password',
    fields: () => ({ authorization: basic('me', API_KEY) }),
    secrets: [API_KEY, encoded('me', API_KEY)],
  },
  {
    name: 'an API key as a user',
    fields: () => ({ authorization: basic(API_KEY, '') }),
    secrets: [API_KEY, encoded(API_KEY, '')],
  },
  { name: 'an API key in a field of others', fields: () => ({ 'x-api-key': API_KEY }), secrets: [API_KEY] },
  {
    name: 'an API key for a proxy',
    fields: () => ({ 'proxy-authorization': `Bearer ${API_KEY}` }),
    secrets: [API_KEY],
  },
  {
    name: 'a key of a credential',
    fields: () => ({ authorization: `Bearer ${TEAM_KEY}` }),
    secrets: [TEAM_KEY],
  },
  {
    name: 'a key of a credential in its field',
    fields: () => ({ 'X-Team-Key': FIELD_KEY }),
    secrets: [FIELD_KEY],
  },
  { name: 'a key spelled for CGI', fields: () => ({ x_team_key: FIELD_KEY }), secrets: [FIELD_KEY] },
  { name: 'an access token', fields: () => ({ 'agentrun-access-token': TOKEN }), secrets: [TOKEN] },
  {
    name: 'an access token as a bearer',
    fields: () => ({ authorization: `Bearer ${TOKEN}` }),
    secrets: [TOKEN],
  },
  {
    name: 'an access token as a password',
    fields: () => ({ authorization: basic('', TOKEN) }),
    secrets: [TOKEN, encoded('', TOKEN)],
  },
  {
    name: 'a signature of a call',
    fields: (host) => headersOf(signData({ path: INVOKE, host, pair: PAIR })),
    secrets: [PAIR.accessKeyId, PAIR.accessKeySecret, 'Signature='],
  },
  {
    name: 'a signature of a call, with a security token',
    fields: () => ({ 'x-acs-security-token': STS }),
    secrets: [STS],
  },
  {
    name: 'a signature for the control plane',
    fields: (host) => headersOf(signControl({ path: INVOKE, host, pair: PAIR })),
    secrets: [PAIR.accessKeyId, PAIR.accessKeySecret, 'Signature='],
    refused: 401,
  },
  {
    name: 'a session',
    fields: () => ({ cookie: `a=1; runstead-session=${COOKIE}; b=2` }),
    secrets: [COOKIE],
  },
  {
    name: 'nothing but a session',
    fields: () => ({ Cookie: `runstead-session=${COOKIE}` }),
    secrets: [COOKIE],
  },
];

test.each(SCHEMES.map((scheme) => [scheme.name, scheme] as const))(
  '%s does not reach an agent that asks for none',
  async (_, { fields, secrets, refused }) => {
    const { gateway, host, agent } = await start();
    const reply = await call(gateway.port, INVOKE, { headers: fields(host) });
    expect(reply.status).toBe(refused ?? 200);
    if (refused) expect(agent.accepted).toHaveLength(0);
    expectNothingOf(secrets, reply.body);
  },
);

test.each(SCHEMES.filter(({ refused }) => !refused).map((scheme) => [scheme.name, scheme] as const))(
  '%s does not reach an agent whose callers need a key, nor over an upgrade',
  async (_, { fields, secrets }) => {
    const { gateway, host } = await start('team');
    // Beside it, where it is not that itself, what lets the call in.
    const given = fields(host);
    const names = Object.keys(given).map((name) => name.toLowerCase());
    const isToken = names.includes('agentrun-access-token');
    const all = isToken ? given : { ...given, 'agentrun-access-token': TOKEN };
    const reply = await call(gateway.port, INVOKE, { headers: all });
    expect(reply.status).toBe(200);
    expectNothingOf([...secrets, TOKEN], reply.body);

    const { socket, state } = await rawConnection(gateway.port);
    const lines = Object.entries({ host, ...all, connection: 'Upgrade', upgrade: 'x' }).map(
      ([name, value]) => `${name}: ${value}\r\n`,
    );
    socket.write(`GET ${INVOKE} HTTP/1.1\r\n${lines.join('')}\r\n`);
    await until(() => state.ended, 'the end');
    expect(state.text).toMatch(/^HTTP\/1\.1 101 /);
    expect(state.text).toContain('["/",["host"');
    expectNothingOf([...secrets, TOKEN], state.text);
  },
);

test.each([
  'Bearer sk-of-the-agent',
  'Basic dXNlcjpwYXNz',
  'Bearer rate_limited',
  'Digest username="x"',
  'AWS4-HMAC-SHA256 Credential=x/20260101/r/s/aws4_request',
  'token',
])('any other Authorization is the agent’s: %s', async (authorization) => {
  const { gateway } = await start();
  const headers = { authorization, cookie: 'theme=dark; session=theirs' };
  const { body } = await call(gateway.port, INVOKE, { headers });
  expect(JSON.parse(body)[1]).toEqual(expect.arrayContaining([authorization, 'theme=dark; session=theirs']));
});

test('of an agent’s answer nothing speaks for the platform, or for all of its host', async () => {
  const refused = {
    'x-runstead-session': 'new',
    'X-Runstead-Error-Origin': 'platform',
    'x-acs-request-id': 'forged',
    'Service-Worker-Allowed': '/',
    'Clear-Site-Data': '"*"',
    'Strict-Transport-Security': 'max-age=1',
    'Alt-Svc': 'h3=":443"',
    NEL: '{"report_to":"x","max_age":1}',
    'Report-To': '{"group":"x"}',
  };
  const agent = await startAgent((_, response) => {
    for (const [name, value] of Object.entries(refused)) response.setHeader(name, value);
    response.setHeader('set-cookie', [
      'runstead-session=forged; Path=/',
      '=runstead-session=forged',
      'own=1',
    ]);
    response.setHeader('x-own', 'yes');
    response.end();
  });
  const gateway = await startTestGateway({ runtimes: [runtime({ serves: [{ instances: [agent] }] })] });
  const { headers, rawHeaders } = await call(gateway.port, INVOKE);
  expect(rawHeaders.join('\n')).not.toMatch(/forged|platform/);
  for (const name of Object.keys(refused)) {
    if (name !== 'x-acs-request-id') expect(headers[name.toLowerCase()], name).toBeUndefined();
  }
  expect(headers['set-cookie']).toEqual(['own=1']);
  expect(headers['x-own']).toBe('yes');
});
