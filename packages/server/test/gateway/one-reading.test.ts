import { Agent } from 'node:http';
import { RunsteadError } from '@runstead/contract';
import { describe, expect, test } from 'vitest';
import { extensions } from '../../src/api/app.ts';
import { issueAccessToken } from '../../src/auth/access-token.ts';
import { hashKey, KeyRing } from '../../src/auth/key-ring.ts';
import type { PlatformKey } from '../../src/auth/keys.ts';
import { permissions } from '../../src/auth/permissions.ts';
import { privateAccess } from '../../src/domain/private-access.ts';
import type { RuntimeRoute } from '../../src/feed/messages.ts';
import { Admission } from '../../src/gateway/admit.ts';
import { newCallRecord } from '../../src/gateway/call-record.ts';
import { ConnectionMemory } from '../../src/gateway/connection-memory.ts';
import type { Exchange } from '../../src/gateway/exchange.ts';
import { proxyTrust } from '../../src/gateway/forwarded.ts';
import { HangUp } from '../../src/gateway/hang-up.ts';
import { InstanceSet } from '../../src/gateway/instances.ts';
import { letIn } from '../../src/gateway/let-in.ts';
import type { Call, GatewayParts } from '../../src/gateway/parts.ts';
import type { RequestHead } from '../../src/gateway/request-head.ts';
import { resolve } from '../../src/gateway/resolve.ts';
import { RouteTable } from '../../src/gateway/route-table.ts';
import { routesOf } from '../access-table.ts';
import { ABSENT, openTestApi } from '../api/harness.ts';
import { sectionOf } from '../section-of.ts';
import { headersOf, signControl, signData } from '../signing.ts';
import {
  call,
  INVOKE,
  instanceOf,
  rawConnection,
  runtime,
  SETTINGS,
  startAgent,
  startControl,
  startTestGateway,
  until,
} from './harness.ts';

/**
 * S17: whoever routes, whoever checks the caller and whoever forwards read the same path. A failure prints its seed;
 * `RUNSTEAD_SEED=n` plays it again.
 */
const SEED = Number(process.env.RUNSTEAD_SEED ?? Math.floor(Math.random() * 2 ** 31));

/** mulberry32. @returns the next number in [0,1) */
function chances(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const NAMES = ['a', 'b', 'a-b', 'A', 'endpoints', 'invocations', 'agent-runtimes'];
const workspaceOf = (name: string) => `workspace-${name}`;
const keyOf = (name: string): PlatformKey => ({
  kind: 'platform',
  id: `key-${name}`,
  sha256: hashKey(`rsk_${name}`),
  accessKeyId: `ak-${name}`,
  accessKeySecret: `secret-${name}`,
  role: 'invoke',
  workspaces: [workspaceOf(name)],
});

/** A runtime that only the key of its own name may call. */
function routeOf(name: string, agent: { port: number }): RuntimeRoute {
  const instance = { ...instanceOf(agent), id: `instance-${name}` };
  const route = runtime({
    runtimeId: `runtime-${name}`,
    name,
    workspaceId: workspaceOf(name),
    credentialName: `credential-${name}`,
    serves: [{ instances: [instance], slots: 200 }],
  });
  const [endpoint] = route.endpoints;
  return { ...route, endpoints: [endpoint!, { ...endpoint!, name: 'blue' }] };
}

/** What disguises a path to some reader or other. */
const TRICKS = [
  '/',
  '//',
  '/./',
  '/../',
  '/x/../',
  '/..;/',
  ';',
  ';v=1',
  '\\',
  '%2f',
  '%2F',
  '%5c',
  '%00',
  '%',
  '%25',
  '%2e%2e/',
  '.',
  '..',
  '?',
  '#',
  '%23',
  '%3f',
  '@',
  '|',
  '~',
  '=',
  '&',
  '/invocations',
  '/endpoints/',
  '/agent-runtimes/',
  '/health',
  '/docs',
];

function fuzzed(chance: () => number): string {
  const pick = <T>(from: readonly T[]): T => from[Math.floor(chance() * from.length)]!;
  const rest = pick([
    '',
    '/',
    '/x',
    '/openai/v1/models?a=1',
    '?a=/../',
    '/a%2Fb//c/../;d',
    `/${pick(NAMES)}/../${pick(NAMES)}`,
  ]);
  let target = `/agent-runtimes/${pick(NAMES)}/endpoints/${pick(['Default', 'blue'])}/invocations${rest}`;
  for (let changes = Math.floor(chance() * 4); changes > 0; changes--) {
    const at = Math.floor(chance() * target.length);
    const char = target[at]!;
    const hex = char.charCodeAt(0).toString(16).padStart(2, '0');
    const replaced = pick<() => string>([
      () => `%${hex}`,
      () => `%25${hex}`,
      () => `%${hex.toUpperCase()}`,
      () => pick(TRICKS),
      () => char + pick(TRICKS),
      () => (char === char.toLowerCase() ? char.toUpperCase() : char.toLowerCase()),
      () => '',
      () => pick(NAMES),
    ])();
    target = target.slice(0, at) + replaced + target.slice(at + 1);
  }
  return target;
}

/** Whose key is sent: as often as not the right one; undefined: none is. */
function holderFor(name: string | undefined, chance: () => number): string | undefined {
  const isRight = name !== undefined && NAMES.includes(name) && chance() < 0.5;
  return isRight ? name : NAMES[Math.floor(chance() * (NAMES.length + 1))];
}

/** The literal reading, step by step and without the code that is tested. */
function literally(target: string): { name: string; endpoint: string; rest: string } | undefined {
  const end = target.indexOf('?');
  const segments = (end === -1 ? target : target.slice(0, end)).split('/');
  const [empty, first, name, second, endpoint, third, ...more] = segments;
  if (empty !== '' || first !== 'agent-runtimes' || second !== 'endpoints' || third !== 'invocations')
    return undefined;
  const isName = (text: string | undefined) =>
    [...(text ?? '')].every((char) =>
      'abcdefghijklmnopqrstuvwxyz0123456789_-'.includes(char.toLowerCase()),
    ) && 'abcdefghijklmnopqrstuvwxyz'.includes((text ?? '')[0]?.toLowerCase() ?? '?');
  if (!isName(name) || !isName(endpoint)) return undefined;
  const query = end === -1 ? '' : target.slice(end);
  const path = more.length === 0 ? '/' : `/${more.join('/')}`;
  return { name: name!, endpoint: endpoint!, rest: path + query };
}

/** The steps that come before forwarding, on a table of their own. */
function steps(): GatewayParts {
  const table = new RouteTable();
  const instances = new InstanceSet({ drained: () => {}, retired: () => {} }, () => 0);
  const routes = NAMES.map((name, at) => routeOf(name, { port: at + 1 }));
  table.installSnapshot(routes);
  for (const route of routes) instances.install(route.runtimeId, route);
  const random = () => 0;
  return {
    settings: SETTINGS,
    table,
    random,
    rates: { count: () => {} },
    privateAccess: privateAccess(SETTINGS),
    isTrustedProxy: proxyTrust([]),
    door: { keys: new KeyRing(NAMES.map(keyOf)), anonymousCalls: true, now: () => 0 },
    admission: new Admission({ table, instances, limits: SETTINGS, send: () => {}, random, now: () => 0 }),
  } as unknown as GatewayParts;
}

/** All on one connection, which remembers what the one before was told. */
const memory = new ConnectionMemory();

function exchangeOf(head: RequestHead): Exchange {
  const body = { length: 0, received: 0, isComplete: true };
  return {
    head,
    memory,
    body,
    wire: { method: head.method, section: sectionOf(head.fields) },
  } as unknown as Exchange;
}

describe('100,000 paths and who sent them', () => {
  test('lead where they say literally, to whoever may go there, with the rest as it was', async () => {
    const chance = chances(SEED);
    const parts = steps();
    const seen = { let_in: 0, refused: 0, elsewhere: 0 };
    for (let number = 0; number < 100_000; number++) {
      const target = fuzzed(chance);
      const said = `seed ${SEED}, case ${number}: ${target}`;
      const domain = chance() < 0.05 ? { host: 'd.test', runtimeName: 'b', endpointName: 'blue' } : undefined;
      const expected = domain
        ? target.startsWith('/')
          ? { name: 'b', endpoint: 'blue', rest: target }
          : undefined
        : literally(target);
      const resolved = resolve(target, domain);
      if (resolved.kind !== 'invocation') {
        if (expected) throw new Error(`${said} is a call, and was read as ${resolved.kind}`);
        seen.elsewhere++;
        continue;
      }
      if (!expected) throw new Error(`${said} was read as a call of ${resolved.runtimeName}`);
      const holder = holderFor(expected.name, chance);
      const fields = holder === undefined ? [] : ['authorization', `Bearer rsk_${holder}`];
      const head = { method: 'GET', target, fields, peer: '127.0.0.1', local: '127.0.0.1', secure: false };
      const from = { caller: '127.0.0.1', chain: ['127.0.0.1'], proto: 'http', host: 'h' } as const;
      const record = newCallRecord('id', 'GET');
      const open = { id: 'id', signal: new HangUp(), from, answerExtras: [], record } as unknown as Call;
      const caller = { host: 'localhost', hostname: 'localhost', crossOrigin: undefined, agentsOnly: false };
      let reached: string | undefined;
      try {
        const { destination, principal, lease, rest } = await letIn(
          parts,
          open,
          exchangeOf(head),
          caller,
          resolved,
        );
        lease.release();
        reached = destination.runtimeId;
        const facts = [destination.runtimeName, destination.endpointName, rest, principal.keyId];
        const wanted = [expected.name, expected.endpoint, expected.rest, `key-${holder}`];
        if (facts.join('\n') !== wanted.join('\n')) throw new Error(`${said}: ${facts}; not ${wanted}`);
        if (lease.instance.id !== `instance-${holder}`)
          throw new Error(`${said} reached ${lease.instance.id}`);
        if (!target.endsWith(rest) && rest !== `/${target.slice(target.length - rest.length + 1)}`)
          throw new Error(`${said}: ${rest} is no end of it`);
      } catch (error) {
        if (!(error instanceof RunsteadError)) throw error;
        if (!['ERR_NOT_FOUND', 'AccessDenied'].includes(error.code)) throw error;
      }
      const isKnown = NAMES.includes(expected.name) && ['Default', 'blue'].includes(expected.endpoint);
      const may = isKnown && holder === expected.name;
      if (may !== (reached !== undefined)) throw new Error(`${said} with the key of ${holder}: ${reached}`);
      seen[reached === undefined ? 'refused' : 'let_in']++;
    }
    // Otherwise nothing was tried.
    expect(Math.min(seen.let_in, seen.refused, seen.elsewhere)).toBeGreaterThan(3000);
  });
});

describe('through a gateway', () => {
  test('2,000 of them reach the agent whose key was checked, byte for byte, or nobody', async () => {
    const chance = chances(SEED);
    const agents = await Promise.all(
      NAMES.map((name) => startAgent((request, response) => response.end(`${name} ${request.url}`))),
    );
    const asked: string[] = [];
    const controlSocket = await startControl((request, response) => {
      asked.push(request.url!);
      response.writeHead(404).end('control');
    });
    const gateway = await startTestGateway({
      controlSocket,
      runtimes: NAMES.map((name, at) => routeOf(name, agents[at]!)),
      keys: NAMES.map(keyOf),
    });
    const agent = new Agent({ keepAlive: true, maxSockets: 8 });
    const one = async (target: string, holder: string) => {
      const said = `seed ${SEED}: ${target} with the key of ${holder}`;
      const headers = { authorization: `Bearer rsk_${holder}`, host: 'localhost' };
      const { status, body } = await call(gateway.port, target, { agent, headers });
      const expected = literally(target);
      const may = expected && holder === expected.name && ['Default', 'blue'].includes(expected.endpoint);
      if (may) expect([status, body], said).toEqual([200, `${expected.name} ${expected.rest}`]);
      else expect([400, 404], said).toContain(status);
      if (body === 'control') expect(resolve(target).kind, said).toBe('control');
    };
    const tried: Promise<void>[] = [];
    const passedOn: string[] = [];
    for (let number = 0; number < 2000; number++) {
      const target = fuzzed(chance);
      // What no reader of HTTP takes for a target never comes so far.
      if (!target.startsWith('/') || target.includes('#')) continue;
      if (resolve(target).kind === 'control') passedOn.push(target);
      tried.push(one(target, holderFor(literally(target)?.name, chance) ?? 'a'));
    }
    await Promise.all(tried);
    agent.destroy();
    expect(tried.length).toBeGreaterThan(1500);
    expect(asked.sort()).toEqual(passedOn.sort());
  });
});

/** Ways to write a path that some reader takes for the same. */
function disguises(path: string): string[] {
  const hex = (char: string) => char.charCodeAt(0).toString(16).padStart(2, '0');
  const segments = path.split('/').slice(1);
  const encoded = segments.flatMap((segment, at) => {
    const before = ['', ...segments.slice(0, at)].join('/');
    const after = ['', ...segments.slice(at + 1)].join('/');
    const tail = after === '/' ? '' : after;
    const rest = segment.slice(1);
    return [
      `${before}/%${hex(segment[0]!)}${rest}${tail}`,
      `${before}/%25${hex(segment[0]!)}${rest}${tail}`,
      `${before}/${segment};v=1${tail}`,
      `${before}//${segment}${tail}`,
      `${before}/./${segment}${tail}`,
      `${before}/x/../${segment}${tail}`,
      `${before}/x/%2e%2e/${segment}${tail}`,
      ...(at === 0 ? [] : [`${before}%2f${segment}${tail}`, `${before}\\${segment}${tail}`]),
    ];
  });
  return [...new Set(encoded)];
}

const PREFIXES = [
  INVOKE,
  '/2025-09-10/agents/runtimes',
  '/runstead/v1/keys',
  '/openai/v1/models',
  '/docs',
  '/metrics',
  '/health',
];
const HOLDER = keyOf('echo');
const SCHEMES: Record<string, (path: string, host: string) => Record<string, string>> = {
  none: () => ({}),
  'an API key': () => ({ authorization: 'Bearer rsk_echo' }),
  'a key of a credential': () => ({ authorization: 'Bearer rck_echo' }),
  'an access token': () => ({ 'agentrun-access-token': issueAccessToken(HOLDER, 'runtime-1', Date.now()) }),
  'a signature of a call': (path, host) => headersOf(signData({ path, host, pair: HOLDER })),
  'a signature for the control plane': (path, host) => headersOf(signControl({ path, host, pair: HOLDER })),
};

describe.each(PREFIXES)('%s, disguised', (prefix) => {
  test.each(Object.keys(SCHEMES))('is no call, and no other path than it reads: %s', async (scheme) => {
    const agent = await startAgent((_, response) => response.end('agent'));
    const asked: string[] = [];
    const controlSocket = await startControl((request, response) => {
      asked.push(request.url!);
      response.writeHead(404).end('{}');
    });
    const gateway = await startTestGateway({
      controlSocket,
      runtimes: [runtime({ workspaceId: workspaceOf('echo'), serves: [{ instances: [agent], slots: 50 }] })],
      keys: [HOLDER],
    });
    const { socket, state } = await rawConnection(gateway.port);
    const paths = disguises(prefix);
    for (const path of paths) {
      const host = `127.0.0.1:${gateway.port}`;
      const fields = Object.entries({ ...SCHEMES[scheme]!(path, host), host });
      socket.write(
        `GET ${path} HTTP/1.1\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`,
      );
    }
    await until(() => (state.text.match(/HTTP\/1\.1 \d/g) ?? []).length === paths.length, 'all answers');
    const wanted = prefix === INVOKE ? '400' : '404';
    expect(new Set(state.text.match(/(?<=HTTP\/1\.1 )\d+/g))).toEqual(new Set([wanted]));
    expect(asked).toEqual(prefix === INVOKE ? [] : paths);
    expect(agent.accepted).toHaveLength(0);
  });
});

test('on the control plane no spelling of a path leads past what its operation asks for', async () => {
  const invoker = { ...keyOf('echo'), workspaces: 'all' as const };
  const api = await openTestApi({
    deps: { authentication: { keys: new KeyRing([invoker]), nonces: undefined as never, now: Date.now } },
  });
  try {
    // Others than these would be let in under their own path.
    const beyond = routesOf(extensions).filter(({ name }) => permissions[name].role !== 'invoke');
    for (const { name, method, path } of beyond) {
      for (const url of [path, ...disguises(path).filter((_, at) => at % 3 === 0)].map((text) =>
        text.replace(/%?\{\w+\}/g, ABSENT),
      )) {
        const headers = { authorization: 'Bearer rsk_echo' };
        const { statusCode } = await api.app.inject({ method: method as 'GET', url, headers });
        expect([400, 403, 404, 405], `${method} ${url} for ${name}`).toContain(statusCode);
      }
    }
  } finally {
    await api.close();
  }
});
