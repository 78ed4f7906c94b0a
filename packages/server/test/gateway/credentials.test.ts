import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { issueAccessToken } from '../../src/auth/access-token.ts';
import { hashKey } from '../../src/auth/key-ring.ts';
import type { CredentialKey, PlatformKey } from '../../src/auth/keys.ts';
import type { KeyRoute, RuntimeRoute } from '../../src/feed/messages.ts';
import type { GatewaySettings } from '../../src/gateway/settings.ts';
import { headersOf, signControl, signData } from '../signing.ts';
import {
  call,
  INVOKE,
  openCall,
  rawConnection,
  readAll,
  runtime,
  startAgent,
  startTestGateway,
  until,
} from './harness.ts';

const OWN = '11111111-1111-4111-8111-111111111111';
const OTHER = '22222222-2222-4222-8222-222222222222';

function platformKey(id: string, more: Partial<PlatformKey> = {}): PlatformKey {
  const secrets = { accessKeyId: `ak-${id}`, accessKeySecret: `planted-secret-${id}` };
  const whole = { kind: 'platform', role: 'invoke', workspaces: 'all' } as const;
  return { ...whole, id, sha256: hashKey(`rsk_planted-${id}`), ...secrets, ...more };
}

function credentialKey(id: string, credentialName: string, more: Partial<CredentialKey> = {}): CredentialKey {
  const whole = { kind: 'credential', workspaces: 'all' } as const;
  return { ...whole, id, sha256: hashKey(`rck_planted-${id}`), credentialName, ...more };
}

const WHOLE = platformKey('whole');
const SCOPED = platformKey('scoped', { workspaces: [OTHER] });
const EXPIRED = platformKey('expired', { expiresAt: '2020-01-01T00:00:00.000Z' });
const KEYS: KeyRoute[] = [
  WHOLE,
  SCOPED,
  EXPIRED,
  credentialKey('team', 'team'),
  credentialKey('team-header', 'team', { headerName: 'x-api-key' }),
  credentialKey('team-scoped', 'team', { workspaces: [OTHER] }),
  credentialKey('team-expired', 'team', { expiresAt: '2020-01-01T00:00:00.000Z' }),
  credentialKey('others', 'others'),
];

const bearer = (key: string) => ({ authorization: `Bearer ${key}` });
const apiKey = (id: string) => bearer(`rsk_planted-${id}`);
const token = (key: PlatformKey, runtimeId = 'runtime-1', now = Date.now()) => ({
  'agentrun-access-token': issueAccessToken(key, runtimeId, now),
});

async function start(
  route: Partial<RuntimeRoute> = {},
  settings: Partial<GatewaySettings> = {},
  keys: KeyRoute[] = KEYS,
) {
  const agent = await startAgent((request, response) => {
    request.resume();
    request.on('end', () => response.end(JSON.stringify(request.rawHeaders)));
  });
  const routed = runtime({ workspaceId: OWN, serves: [{ instances: [agent], slots: 50 }], ...route });
  const gateway = await startTestGateway({ runtimes: [routed], keys, settings });
  const ask = (headers: Record<string, string> = {}, path = INVOKE) => call(gateway.port, path, { headers });
  /** Signed for this gateway. */
  const signed = (key: PlatformKey = WHOLE, more: Parameters<typeof signData>[0] | object = {}) =>
    headersOf(signData({ path: INVOKE, host: `127.0.0.1:${gateway.port}`, pair: key, ...(more as object) }));
  return { agent, gateway, routed, ask, signed };
}

const refusal = (reply: Awaited<ReturnType<typeof call>>) => [reply.status, reply.json().error?.code];

describe('a signed call', () => {
  test('is let in, and its signature never reaches the agent', async () => {
    const { ask, signed } = await start();
    const reply = await ask(signed());
    expect(reply.status).toBe(200);
    expect(reply.body).not.toMatch(/agentrun-authorization|Signature=|ak-whole/i);
    // As a client repeats it.
    const again = signed();
    expect([(await ask(again)).status, (await ask(again)).status]).toEqual([200, 200]);
  });

  test('is refused when anything signed was changed, though the runtime is open to all', async () => {
    const { ask, signed, agent } = await start();
    for (const [headers, path, code] of [
      [signed(), `${INVOKE}/other`, 'SignatureDoesNotMatch'],
      [signed(), `${INVOKE}?a=1`, 'SignatureDoesNotMatch'],
      [{ ...signed(), 'x-acs-date': '2020-01-01T00:00:00Z' }, INVOKE, 'SignatureDoesNotMatch'],
      [signed({ ...WHOLE, accessKeySecret: 'wrong' }), INVOKE, 'SignatureDoesNotMatch'],
      [signed({ ...WHOLE, accessKeyId: 'nobody' }), INVOKE, 'InvalidAccessKeyId.NotFound'],
      [signed(EXPIRED), INVOKE, 'InvalidAccessKeyId.NotFound'],
      [{ 'agentrun-authorization': 'Bearer x' }, INVOKE, 'AccessDenied'],
      [{ 'agentrun-authorization': apiKey('whole').authorization }, INVOKE, 'AccessDenied'],
    ] as [Record<string, string>, string, string][]) {
      expect(refusal(await ask(headers, path))).toEqual([401, code]);
    }
    expect(agent.accepted).toHaveLength(0);
  });

  test('is needed on a host whose first label ends with -ram, whatever else is sent', async () => {
    const settings = { allowHosts: ['123-ram.agents.test', '123-RAM.agents.test', '123.agents.test'] };
    const { ask, signed } = await start({}, settings);
    const host = '123-ram.agents.test';
    for (const headers of [{}, apiKey('whole'), token(WHOLE), bearer('sk-of-the-agent')]) {
      expect(refusal(await ask({ ...headers, host }))).toEqual([401, 'AccessDenied']);
      expect(refusal(await ask({ ...headers, host: '123-RAM.agents.test' }))).toEqual([401, 'AccessDenied']);
      expect((await ask({ ...headers, host: '123.agents.test' })).status).toBe(200);
    }
    expect((await ask(signed(WHOLE, { host }))).status).toBe(200);
    // Not with a signature for another host.
    expect(refusal(await ask({ ...signed(), host }))).toEqual([401, 'SignatureDoesNotMatch']);
  });
});

describe('an access token', () => {
  test('lets in to its runtime, and never reaches the agent', async () => {
    const { ask } = await start();
    const reply = await ask(token(WHOLE));
    expect(reply.status).toBe(200);
    expect(reply.body).not.toMatch(/rat_|access-token/i);
  });

  test.each([
    ['of another runtime', () => token(WHOLE, 'runtime-2')],
    ['of an expired key', () => token(EXPIRED)],
    ['of a key that is gone', () => token(platformKey('gone'))],
    ['of a key of the same id with another secret', () => token({ ...WHOLE, accessKeySecret: 'planted-2' })],
    ['that is more than a day old', () => token(WHOLE, 'runtime-1', Date.now() - 86_401_000)],
    ['that is none', () => ({ 'agentrun-access-token': 'sesame' })],
    ['that is an API key', () => ({ 'agentrun-access-token': 'rsk_planted-whole' })],
    ['with an API key beside it', () => ({ ...token(WHOLE, 'runtime-2'), ...apiKey('whole') })],
  ])('%s is refused, though the runtime is open to all', async (_, headers) => {
    const { ask, agent } = await start();
    const reply = await ask(headers());
    expect(refusal(reply)).toEqual([401, 'AccessDenied']);
    expect(reply.body).not.toMatch(/sesame|planted/);
    expect(agent.accepted).toHaveLength(0);
  });

  test('that was changed in any character is refused', async () => {
    const { ask } = await start();
    const { 'agentrun-access-token': good } = token(WHOLE);
    const accepted: string[] = [];
    for (let at = 0; at < good!.length; at++) {
      const other = good![at] === 'B' ? 'C' : 'B';
      const changed = good!.slice(0, at) + other + good!.slice(at + 1);
      const reply = await ask({ 'agentrun-access-token': changed });
      if (reply.status !== 401) accepted.push(changed);
    }
    // Also those whose last character differs in bits that stand for nothing.
    const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    for (const letter of letters) {
      const changed = good!.slice(0, -1) + letter;
      if (changed === good) continue;
      if ((await ask({ 'agentrun-access-token': changed })).status !== 401) accepted.push(changed);
    }
    expect(accepted).toEqual([]);
  });

  test('is not good for a runtime that was created anew under the same name', async () => {
    const { ask, gateway, routed } = await start();
    const headers = token(WHOLE);
    expect((await ask(headers)).status).toBe(200);
    await gateway.routes({ runtimeId: 'runtime-1', gone: true });
    await gateway.routes({ ...routed, runtimeId: 'runtime-9' });
    expect(refusal(await ask(headers))).toEqual([401, 'AccessDenied']);
    expect((await ask(token(WHOLE, 'runtime-9'))).status).toBe(200);
  });
});

describe('a runtime with a credential', () => {
  const route = { credentialName: 'team' };
  test.each([
    ['a key of it', bearer('rck_planted-team')],
    ['a key of it, spelled otherwise', { authorization: 'bearer   rck_planted-team ' }],
    ['a key of it in the field that it names', { 'X-API-Key': 'rck_planted-team-header' }],
    [
      'a key of it beside a bearer of the agent',
      { 'x-api-key': 'rck_planted-team-header', ...bearer('sk-1') },
    ],
    ['a key of the platform', apiKey('whole')],
    ['a token', token(WHOLE)],
  ])('takes %s, which never reaches the agent', async (_, headers) => {
    const { ask } = await start(route);
    const reply = await ask(headers as Record<string, string>);
    expect(reply.status).toBe(200);
    expect(reply.body).not.toContain('planted');
    if (JSON.stringify(headers).includes('sk-1')) expect(reply.body).toContain('Bearer sk-1');
  });

  test('takes a signed call', async () => {
    const { ask, signed } = await start(route);
    expect((await ask(signed())).status).toBe(200);
  });

  test.each([
    ['nothing', {}],
    ['an empty bearer', { authorization: 'Bearer ' }],
    ['an empty token', { 'agentrun-access-token': '' }],
    ['a bearer of the agent', bearer('sk-1')],
    ['a key that is not there', bearer('rck_planted-nobody')],
    ['a key of another credential', bearer('rck_planted-others')],
    ['a key for other workspaces', bearer('rck_planted-team-scoped')],
    ['an expired key', bearer('rck_planted-team-expired')],
    ['a key in the other key’s field', { 'x-api-key': 'rck_planted-team' }],
    ['the other key in this field', bearer('rck_planted-team-header')],
    [
      'a signature of the control plane',
      headersOf(signControl({ method: 'GET', path: INVOKE, pair: WHOLE })),
    ],
  ])('refuses %s, and says which credential is needed', async (_, given) => {
    const { ask, agent } = await start(route);
    const { host: _host, ...headers } = given as Record<string, string>;
    const reply = await ask(headers);
    expect(refusal(reply)).toEqual([401, 'AccessDenied']);
    expect(reply.json().error.message).toContain('"team"');
    expect(reply.body).not.toContain('planted');
    expect(agent.accepted).toHaveLength(0);
  });
});

describe('credentials of the platform never reach an agent', () => {
  // Where they are not needed, too: an agent could use them for itself.
  const beside = {
    'a credential’s key': bearer('rck_planted-team'),
    'a credential’s key in its own field': { 'x-api-key': 'rck_planted-team-header' },
    'a platform key in a field of another API': { 'api-key': 'rsk_planted-whole' },
    'what a browser sends to the docs': {
      authorization: `Basic ${Buffer.from('me:rsk_planted-whole').toString('base64')}`,
    },
    'the token of temporary credentials': { 'x-acs-security-token': 'planted-token' },
    'an empty token': { 'agentrun-access-token': '' },
  };
  test.each(Object.entries(beside))('%s, on a runtime open to all', async (_, headers) => {
    const { ask } = await start();
    const reply = await ask(headers as unknown as Record<string, string>);
    expect(reply.status).toBe(200);
    expect(reply.body).not.toContain('planted');
    expect(reply.body).not.toContain(Buffer.from('me:rsk_planted').toString('base64').slice(0, 12));
    expect(reply.body).not.toMatch(/access-token/i);
  });

  test.each(Object.entries(beside))('%s, beside a signature or a token that lets in', async (_, headers) => {
    const { ask, signed } = await start({ credentialName: 'team' });
    const given = headers as unknown as Record<string, string>;
    const unsignedToken = 'x-acs-security-token' in given;
    if (!unsignedToken) {
      const reply = await ask({ ...signed(), ...given });
      expect(reply.status).toBe(200);
      expect(reply.body).not.toMatch(/planted|Signature=/);
    }
    const reply = await ask({ ...given, ...token(WHOLE) });
    expect(reply.status).toBe(200);
    expect(reply.body).not.toMatch(/planted|rat_/);
    expect(reply.body).not.toContain(Buffer.from('me:rsk_planted').toString('base64').slice(0, 12));
  });

  test('names with underscores, which some servers read as hyphens, neither', async () => {
    const { ask } = await start();
    const reply = await ask({ agentrun_access_token: 'planted', x_api_key: 'rck_planted-team' });
    expect(reply.body).not.toContain('planted');
  });
});

describe('a credential of the platform that is no good is never taken for none', () => {
  test.each([
    ['an unknown key', bearer('rsk_planted-nobody'), 'InvalidAccessKeyId.NotFound'],
    ['an expired key', apiKey('expired'), 'InvalidAccessKeyId.NotFound'],
    ['only the beginning of a key', bearer('rsk_'), 'InvalidAccessKeyId.NotFound'],
    ['two keys in one field', bearer('rsk_planted-whole rsk_planted-whole'), 'InvalidAccessKeyId.NotFound'],
    ['a credential’s key that is not there', bearer('rck_planted-nobody'), 'InvalidAccessKeyId.NotFound'],
    [
      'a credential’s key that has expired',
      bearer('rck_planted-team-expired'),
      'InvalidAccessKeyId.NotFound',
    ],
    [
      'a signature of the control plane',
      { authorization: headersOf(signControl({ method: 'GET', path: INVOKE, pair: WHOLE })).authorization! },
      'AccessDenied',
    ],
    [
      'a signature in the wrong field',
      { authorization: headersOf(signData({ path: INVOKE, pair: WHOLE }))['agentrun-authorization']! },
      'AccessDenied',
    ],
  ])('%s', async (_, headers, code) => {
    const { ask, agent } = await start();
    const reply = await ask(headers);
    expect(refusal(reply)).toEqual([401, code]);
    expect(reply.body).not.toContain('planted');
    expect(agent.accepted).toHaveLength(0);
  });

  test('nor made up for by a good one', async () => {
    const { ask, signed } = await start();
    const bad = bearer('rsk_planted-nobody');
    expect((await ask({ ...signed(), ...bad })).status).toBe(401);
    expect((await ask({ ...token(WHOLE), ...bad })).status).toBe(401);
    expect((await ask({ ...signed({ ...WHOLE, accessKeySecret: 'x' }), ...apiKey('whole') })).status).toBe(
      401,
    );
    expect((await ask({ ...signed(), ...token(WHOLE), ...apiKey('whole') })).status).toBe(200);
  });

  test('but an empty one is none', async () => {
    const { ask } = await start();
    for (const headers of [
      { 'agentrun-access-token': '' },
      { authorization: 'Bearer ' },
      { authorization: '' },
    ]) {
      expect((await ask(headers as Record<string, string>)).status).toBe(200);
    }
  });

  test('and sent twice is refused', async () => {
    const { gateway } = await start();
    for (const name of ['Authorization', 'Agentrun-Access-Token', 'Agentrun-Authorization']) {
      const { socket, state } = await rawConnection(gateway.port);
      socket.write(
        `GET ${INVOKE} HTTP/1.1\r\nHost: localhost\r\n${name}: Bearer rsk_planted-whole\r\n${name}: x\r\nConnection: close\r\n\r\n`,
      );
      await until(() => state.ended, 'the answer');
      expect(state.text).toMatch(/^HTTP\/1\.1 400 /);
      expect(state.text).not.toContain('planted');
    }
  });
});

describe('a key for other workspaces', () => {
  test('finds no such runtime, in the words that tell of one that is nowhere', async () => {
    const { ask, signed, agent } = await start();
    const nowhere = await ask(apiKey('scoped'), INVOKE.replace('echo', 'nowhere'));
    expect(nowhere.status).toBe(404);
    for (const headers of [apiKey('scoped'), signed(SCOPED), token(SCOPED)]) {
      const reply = await ask(headers);
      expect(reply.status).toBe(404);
      const plain = (text: string) =>
        text.replace(/"request_?id":"[^"]*"/i, '').replaceAll('nowhere', 'echo');
      expect(plain(reply.body)).toBe(plain(nowhere.body));
    }
    // A second one that reaches it does not make up for it.
    expect((await ask({ ...signed(WHOLE), ...apiKey('scoped') })).status).toBe(404);
    expect(agent.accepted).toHaveLength(0);
  });

  test('calls what lies in its own', async () => {
    const { ask, signed } = await start({ workspaceId: OTHER });
    for (const headers of [apiKey('scoped'), signed(SCOPED), token(SCOPED)]) {
      expect((await ask(headers)).status).toBe(200);
    }
  });
});

describe('without anonymous calls', () => {
  test('a runtime that is open to all takes keys of the platform only', async () => {
    const { ask, signed, agent } = await start({}, { anonymousCalls: false });
    for (const headers of [{}, bearer('sk-1'), bearer('rck_planted-team'), { 'agentrun-access-token': '' }]) {
      expect(refusal(await ask(headers as Record<string, string>))).toEqual([401, 'AccessDenied']);
    }
    expect(agent.accepted).toHaveLength(0);
    for (const headers of [apiKey('whole'), signed(), token(WHOLE)])
      expect((await ask(headers)).status).toBe(200);
  });
});

describe('an upgrade', () => {
  async function upgrade(port: number, ...fields: string[]): Promise<number> {
    const { socket, state } = await rawConnection(port);
    const key = createHash('md5').update('k').digest('base64');
    socket.write(
      [
        `GET ${INVOKE}/ws HTTP/1.1`,
        `Host: 127.0.0.1:${port}`,
        'Connection: Upgrade',
        'Upgrade: websocket',
        'Sec-WebSocket-Version: 13',
        `Sec-WebSocket-Key: ${key}`,
        ...fields,
        '\r\n',
      ].join('\r\n'),
    );
    await until(() => state.text.includes('\r\n\r\n'), 'the answer');
    socket.destroy();
    return Number(state.text.split(' ')[1]);
  }

  test('passes the same checks, and carries no credential on', async () => {
    const seen: string[] = [];
    const agent = await startAgent((_, response) => response.end(), {
      setUp: (server) =>
        server.on('upgrade', (request, socket) => {
          seen.push(JSON.stringify(request.rawHeaders));
          socket.on('error', () => {});
          socket.end('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
        }),
    });
    const routed = runtime({
      workspaceId: OWN,
      credentialName: 'team',
      serves: [{ instances: [agent], slots: 50 }],
    });
    const { port } = await startTestGateway({ runtimes: [routed], keys: KEYS });
    const signed = headersOf(signData({ path: `${INVOKE}/ws`, host: `127.0.0.1:${port}`, pair: WHOLE }));
    const lines = (headers: Record<string, string>) =>
      Object.entries(headers)
        .filter(([name]) => name !== 'host')
        .map(([name, value]) => `${name}: ${value}`);
    for (const headers of [
      {},
      bearer('rsk_planted-nobody'),
      bearer('rck_planted-others'),
      token(WHOLE, 'runtime-2'),
      { ...signed, 'x-acs-date': '2020-01-01T00:00:00Z' },
    ]) {
      expect(await upgrade(port, ...lines(headers as Record<string, string>))).toBe(401);
    }
    expect(await upgrade(port, ...lines(apiKey('scoped')))).toBe(404);
    expect(seen).toEqual([]);
    for (const headers of [apiKey('whole'), bearer('rck_planted-team'), token(WHOLE), signed]) {
      expect(await upgrade(port, ...lines(headers as Record<string, string>))).toBe(101);
    }
    expect(seen).toHaveLength(4);
    for (const fields of seen) expect(fields).not.toMatch(/planted|rat_|Signature=/);
  });
});

describe('what changes while the body comes in', () => {
  test.each([
    ['the runtime is moved beyond the key’s reach', { workspaceId: OTHER }, 404],
    ['a credential is asked for from now on', { credentialName: 'team' }, 401],
    ['the name goes to another runtime', { runtimeId: 'runtime-9' }, 401],
  ])('counts: %s', async (_, change, status) => {
    const scoped = platformKey('own', { workspaces: [OWN] });
    const { gateway, routed, agent } = await start({}, {}, [...KEYS, scoped]);
    const headers = {
      404: apiKey('own'),
      401: 'runtimeId' in change ? token(WHOLE) : {},
    }[status as 404 | 401] as Record<string, string>;
    const { request, answer } = openCall(gateway.port, INVOKE, {
      headers: { ...headers, 'content-length': '10' },
    });
    request.write('12345');
    await until(() => gateway.running, 'a gateway');
    // The head is there once another call, sent later, has been answered.
    expect((await call(gateway.port, '/health')).status).toBe(200);
    if ('runtimeId' in change) await gateway.routes({ runtimeId: 'runtime-1', gone: true });
    await gateway.routes({ ...routed, ...change });
    request.end('67890');
    const reply = await answer;
    await readAll(reply);
    expect(reply.statusCode).toBe(status);
    expect(agent.accepted).toHaveLength(0);
  });
});
