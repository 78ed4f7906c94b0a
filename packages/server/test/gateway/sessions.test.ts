import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import type { Affinity } from '../../src/domain/affinity.ts';
import type { KeyRoute, RuntimeRoute } from '../../src/feed/messages.ts';
import {
  call,
  INVOKE,
  instanceOf,
  openCall,
  readAll,
  runtime,
  startAgent,
  startTestGateway,
  type TestAgent,
  type TestGateway,
  until,
} from './harness.ts';

/** Sessions keep their instance: design decision 9, S16. */

/** An agent that answers with its port and what it was sent; `/open` is ended by the test. */
async function startWho() {
  const open: (() => void)[] = [];
  const agent = await startAgent((request, response) => {
    const body = JSON.stringify({ port: agent.port, fields: request.rawHeaders });
    if (!request.url!.startsWith('/open')) return void response.end(body);
    response.write(' ');
    open.push(() => response.end(body));
  });
  return { ...agent, open };
}

const whos = (count: number) => Promise.all(Array.from({ length: count }, startWho));

/** A runtime whose endpoint tells sessions by the given affinity. */
function withAffinity(affinity: Affinity | undefined, shape: Parameters<typeof runtime>[0]): RuntimeRoute {
  const route = runtime(shape);
  if (affinity) route.endpoints[0]!.affinity = affinity;
  return route;
}

interface Where {
  port: number;
  state: string | undefined;
  cookie: string | undefined;
  setCookie: string | undefined;
  sent: string[];
}

async function ask(
  gateway: TestGateway,
  headers: Record<string, string> = {},
  path: string = INVOKE,
): Promise<Where> {
  const reply = await call(gateway.port, path, { headers });
  expect(reply.body).not.toBe('');
  expect([reply.status, reply.status === 200 ? '' : reply.body]).toEqual([200, '']);
  const { port, fields } = reply.json() as { port: number; fields: string[] };
  const setCookie = reply.headers['set-cookie']?.[0];
  return {
    port,
    state: reply.headers['x-runstead-session'] as string | undefined,
    setCookie,
    cookie: setCookie?.split(';')[0],
    sent: fields,
  };
}

const as = (session: string, more: Record<string, string> = {}) => ({
  'x-agentrun-session-id': session,
  ...more,
});

test('one id is always answered by one instance, and calls without an id are spread', async () => {
  const agents = await whos(3);
  let turn = 0;
  const gateway = await startTestGateway({
    runtimes: [runtime({ serves: [{ instances: agents, slots: 50 }] })],
    random: () => (turn++ % 10) / 10,
  });
  const first = await ask(gateway, as('chat'));
  expect(first.state).toBe('new');
  for (let count = 0; count < 10; count++) {
    expect(await ask(gateway, as('chat'))).toMatchObject({ port: first.port, state: 'bound' });
  }
  const others = new Set<number>();
  for (let count = 0; count < 20; count++) {
    const { port, state } = await ask(gateway);
    expect(state).toBeUndefined();
    others.add(port);
  }
  expect(others.size).toBeGreaterThan(1);
  expect(first.sent).toContain('x-agentrun-session-id');
});

test('calls of one session share its slot, also the first ones that come together', async () => {
  const agent = await startWho();
  const gateway = await startTestGateway({ runtimes: [runtime()] });
  const open = Array.from({ length: 5 }, () => {
    const opened = openCall(gateway.port, `${INVOKE}/open`, { method: 'GET', headers: as('chat') });
    opened.request.end();
    return opened;
  });
  await until(() => gateway.of('demand').length > 0, 'demand');
  await gateway.routes(runtime({ serves: [{ instances: [agent] }] }));
  const answers = await Promise.all(open.map(({ answer }) => answer));
  expect(answers.map(({ headers }) => headers['x-runstead-session']).sort()).toEqual([
    'bound',
    'bound',
    'bound',
    'bound',
    'new',
  ]);
  // However many they were, they waited for one slot.
  expect(Math.max(...gateway.of('demand').map(({ queued }) => queued))).toBe(1);
  for (const end of agent.open) end();
  await Promise.all(answers.map(readAll));
});

test('the first calls of a session go to one version, whatever the weights say to each of them', async () => {
  const [one, two] = await whos(2);
  let turn = 0;
  const shares = { 1: 0.5, 2: 0.5 };
  const serves = [{ version: 1 }, { version: 2 }];
  const gateway = await startTestGateway({
    runtimes: [runtime({ serves, shares })],
    random: () => [0, 0.9][turn++ % 2]!,
  });
  const asked = [ask(gateway, as('chat')), ask(gateway, as('chat')), ask(gateway, as('chat'))];
  await until(() => gateway.of('demand').length > 0, 'demand');
  const other = ask(gateway, as('other'));
  await until(() => gateway.of('demand').length > 1, 'demand of another session');
  await gateway.routes(
    runtime({
      serves: [
        { version: 1, instances: [one!] },
        { version: 2, instances: [two!] },
      ],
      shares,
    }),
  );
  const ports = new Set((await Promise.all(asked)).map(({ port }) => port));
  expect(ports.size).toBe(1);
  expect(ports).not.toContain((await other).port);
});

test('weights are for new sessions: one that is bound keeps its version', async () => {
  const [one, two] = await whos(2);
  let point = 0;
  const serves = [
    { version: 1, instances: [one!], slots: 50 },
    { version: 2, instances: [two!], slots: 50 },
  ];
  const gateway = await startTestGateway({
    runtimes: [runtime({ serves, shares: { 1: 0.5, 2: 0.5 } })],
    random: () => point,
  });
  expect((await ask(gateway, as('early'))).port).toBe(one!.port);
  point = 0.9;
  expect((await ask(gateway, as('late'))).port).toBe(two!.port);
  expect(await ask(gateway, as('early'))).toMatchObject({ port: one!.port, state: 'bound' });
  expect((await ask(gateway)).port).toBe(two!.port);
});

test('across a rollout a session keeps its version while that drains; then it moves, and is told why', async () => {
  const [old, fresh] = await whos(2);
  const gateway = await startTestGateway({ runtimes: [runtime({ serves: [{ instances: [old!] }] })] });
  expect((await ask(gateway, as('chat'))).port).toBe(old!.port);
  const next = { version: 2, instances: [fresh!], slots: 9 };
  await gateway.routes(
    runtime({ serves: [{ instances: [instanceOf(old!, 'draining')] }, next], shares: { 2: 1 } }),
  );
  expect(await ask(gateway, as('chat'))).toMatchObject({ port: old!.port, state: 'bound' });
  expect((await ask(gateway, as('other'))).port).toBe(fresh!.port);
  expect(gateway.of('drained')).toEqual([]);
  await gateway.routes(runtime({ serves: [next], shares: { 2: 1 } }));
  expect(await ask(gateway, as('chat'))).toMatchObject({
    port: fresh!.port,
    state: 'moved; reason=version-gone',
  });
  expect((await ask(gateway, as('chat'))).state).toBe('bound');
});

test('a session whose instance is gone moves to another, also when the call itself finds that out', async () => {
  const [one, two] = await whos(2);
  const gateway = await startTestGateway({ runtimes: [runtime({ serves: [{ instances: [one!] }] })] });
  await ask(gateway, as('chat'));
  await one!.close();
  const moved = ask(gateway, as('chat'));
  // It waits for what becomes of its instance.
  await until(() => gateway.of('unreachable').length > 0, 'the instance to be reported');
  await gateway.routes(runtime({ serves: [{ instances: [two!] }] }));
  expect(await moved).toMatchObject({ port: two!.port, state: 'moved; reason=instance-gone' });
});

test('a session waits for its instance when that could not be reached for a moment', async () => {
  const agent = await startWho();
  const serves = [{ instances: [agent] }];
  const gateway = await startTestGateway({ runtimes: [runtime({ serves })] });
  await ask(gateway, as('chat'));
  await agent.close();
  const reply = ask(gateway, as('chat'));
  await until(() => gateway.of('unreachable').length > 0, 'the instance to be reported');
  await new Promise<void>((resolve) => agent.server.listen(agent.port, '127.0.0.1', resolve));
  await gateway.routes(runtime({ serves }));
  expect(await reply).toMatchObject({ port: agent.port, state: 'bound' });
  await agent.close();
});

test('idle sessions hold their slots until no further instance is to be had; then the longest unused moves', async () => {
  const [one, two] = await whos(2);
  const gateway = await startTestGateway({ runtimes: [runtime({ serves: [{ instances: [one!] }] })] });
  await ask(gateway, as('first'));
  const second = ask(gateway, as('second'));
  await until(() => gateway.of('demand').at(-1)?.queued === 1, 'the second session to wait');
  expect(gateway.of('demand').at(-1)).toMatchObject({ queued: 1, inFlight: 1 });
  await gateway.routes(runtime({ serves: [{ instances: [one!, two!] }] }));
  expect(await second).toMatchObject({ port: two!.port, state: 'new' });
  const third = ask(gateway, as('third'));
  await until(() => gateway.of('demand').at(-1)?.queued === 1, 'the third session to wait');
  await gateway.routes(runtime({ serves: [{ instances: [one!, two!], atCap: true }] }));
  expect(await third).toMatchObject({ port: one!.port, state: 'new' });
  expect(await ask(gateway, as('first'))).toMatchObject({ port: two!.port, state: 'moved; reason=evicted' });
  // Calls without a session are calls as well.
  expect((await ask(gateway)).port).toBe(one!.port);
});

test('under isolation every session and every call without one has an instance that nobody else ever gets', async () => {
  const agents = await whos(4);
  const route = (...instances: TestAgent[]) =>
    runtime({ serves: [{ instances, slots: 10, isolated: true, atCap: true }] });
  const gateway = await startTestGateway({ runtimes: [] });
  await gateway.routes(route(agents[0]!));
  expect((await ask(gateway, as('one'))).port).toBe(agents[0]!.port);
  // It does not make room.
  const two = ask(gateway, as('two'));
  await until(() => gateway.of('demand').at(-1)?.queued === 1, 'the second session to wait');
  await gateway.routes(route(agents[0]!, agents[1]!));
  expect((await two).port).toBe(agents[1]!.port);
  const none = ask(gateway);
  await until(() => gateway.of('demand').at(-1)?.queued === 1, 'the call without a session to wait');
  await gateway.routes(route(...agents.slice(0, 3)));
  expect((await none).port).toBe(agents[2]!.port);
  await until(() => gateway.of('spent').length > 0, 'the instance to be given up');
  expect(gateway.of('spent')).toEqual([{ type: 'spent', instanceId: `instance-${agents[2]!.port}` }]);
  const third = ask(gateway, as('three'));
  await until(() => gateway.of('demand').at(-1)?.queued === 1, 'the third session to wait');
  await gateway.routes(route(...agents));
  expect((await third).port).toBe(agents[3]!.port);
  expect(await ask(gateway, as('one'))).toMatchObject({ port: agents[0]!.port, state: 'bound' });
});

test('a session that is ended begins anew; its open call finishes, and under isolation its instance goes after that', async () => {
  const agent = await startWho();
  const route = (state: 'ready' | 'draining') =>
    runtime({ serves: [{ instances: [instanceOf(agent, state)], isolated: true }] });
  const gateway = await startTestGateway({ runtimes: [] });
  await gateway.routes(route('ready'));
  const { request, answer } = openCall(gateway.port, `${INVOKE}/open`, {
    method: 'GET',
    headers: as('chat'),
  });
  request.end();
  const stream = await answer;
  const { hash } = gateway.of('sessions')[0]!.changed[0]!;
  gateway.control.send({ type: 'endSession', sequence: 1000, hash });
  await until(() => gateway.of('installed').some(({ sequence }) => sequence === 1000), 'its end');
  expect(gateway.of('sessions').at(-1)!.ended).toEqual([hash]);
  expect(gateway.of('spent')).toHaveLength(1);
  await gateway.routes(route('draining'));
  expect(gateway.of('drained')).toEqual([]);
  const next = openCall(gateway.port, INVOKE, { method: 'GET', headers: as('chat') });
  next.request.end();
  await until(() => gateway.of('demand').at(-1)?.queued === 1, 'the next call to wait');
  agent.open[0]!();
  expect(JSON.parse(await readAll(stream))).toMatchObject({ port: agent.port });
  await until(() => gateway.of('drained').length === 1, 'the instance to be drained');
});

const key = (id: string): KeyRoute => ({
  kind: 'platform',
  id,
  sha256: createHash('sha256').update(`rsk_${id}`).digest('hex'),
  accessKeyId: id,
  accessKeySecret: 's',
  role: 'invoke',
  workspaces: 'all',
});
const bearer = (id: string) => ({ authorization: `Bearer rsk_${id}` });

test('one id of two callers is two sessions, under isolation on two instances', async () => {
  const agents = await whos(3);
  const gateway = await startTestGateway({ keys: [key('ann'), key('bob')] });
  await gateway.routes(runtime({ serves: [{ instances: agents, isolated: true }] }));
  const ports = new Set<number>();
  for (const headers of [bearer('ann'), bearer('bob'), {}]) {
    const { port, state } = await ask(gateway, as('chat', headers));
    expect(state).toBe('new');
    ports.add(port);
    expect(await ask(gateway, as('chat', headers))).toMatchObject({ port, state: 'bound' });
  }
  expect(ports.size).toBe(3);
});

test.each<[string, Affinity, Record<string, string>, string | undefined]>([
  ['a field of another name', { by: 'header', field: 'x-chat' }, { 'X-Chat': 'c' }, 'new'],
  ['the usual field where another is named', { by: 'header', field: 'x-chat' }, as('c'), undefined],
  ['the field where affinity is off', { by: 'nothing' }, as('c'), undefined],
  ['the field where a cookie is used', { by: 'cookie' }, as('c'), 'new'],
])('%s', async (_, affinity, headers, state) => {
  const agent = await startWho();
  const route = withAffinity(affinity, { serves: [{ instances: [agent], slots: 5 }] });
  const gateway = await startTestGateway({ runtimes: [route] });
  const where = await ask(gateway, headers);
  expect(where.state).toBe(state);
  expect(where.setCookie !== undefined).toBe(affinity.by === 'cookie');
});

test.each([
  ['a'.repeat(257), /^x-agentrun-session-id names the call's session and must have at most 256 characters/],
  ['caf\xe9', /must be of printable ASCII characters/],
])('an id that cannot be one is refused: %j', async (id, message) => {
  const gateway = await startTestGateway({ runtimes: [runtime()] });
  const reply = await call(gateway.port, INVOKE, { headers: as(id) });
  expect(reply.status).toBe(400);
  expect(reply.json().error).toMatchObject({
    code: 'ERR_BAD_REQUEST',
    message: expect.stringMatching(message),
  });
  expect(reply.body).not.toContain(id);
});

const COOKIES: Affinity = { by: 'cookie' };

test('a cookie leads back to the instance; the agent gets what cookies it has of its own, and no other', async () => {
  const agents = await whos(4);
  const route = withAffinity(COOKIES, { serves: [{ instances: agents, slots: 9 }] });
  const gateway = await startTestGateway({ runtimes: [route] });
  const first = await ask(gateway);
  expect(first.state).toBe('new');
  expect(first.setCookie).toMatch(
    /^runstead-session=1\.[\w.-]+; Path=\/agent-runtimes\/echo\/endpoints\/Default\/invocations; Max-Age=5400; HttpOnly; SameSite=Lax$/,
  );
  for (let count = 0; count < 8; count++) {
    const again = await ask(gateway, { cookie: `theme=dark; ${first.cookie}; lang=en` });
    expect(again).toMatchObject({ port: first.port, state: 'bound', setCookie: undefined });
    expect(again.sent[again.sent.findIndex((name) => /^cookie$/i.test(name)) + 1]).toBe(
      'theme=dark; lang=en',
    );
  }
  const alone = await ask(gateway, { cookie: first.cookie! });
  expect(alone.sent.join()).not.toMatch(/cookie|runstead/i);
});

test('a cookie is good for its own runtime, endpoint and caller; another or a broken one begins a new session', async () => {
  const agent = await startWho();
  const serves = [{ instances: [agent], slots: 50 }];
  const echo = withAffinity(COOKIES, { serves });
  echo.endpoints.push({ ...echo.endpoints[0]!, name: 'canary' });
  const other = withAffinity(COOKIES, {
    runtimeId: 'runtime-2',
    name: 'other',
    serves: [{ instances: [{ ...instanceOf(agent), id: 'other' }], slots: 50 }],
  });
  const gateway = await startTestGateway({ runtimes: [echo, other], keys: [key('ann')] });
  const cookie = (await ask(gateway)).cookie!;
  const foreign: [Record<string, string>, string?][] = [
    [{ cookie }, INVOKE.replace('echo', 'other')],
    [{ cookie }, INVOKE.replace('Default', 'canary')],
    [{ cookie, ...bearer('ann') }],
    [{ cookie: `${cookie.slice(0, -5)}AAAAA` }],
    [{ cookie: 'runstead-session=' }],
    [{ cookie: cookie.replace('=1.', '=2.') }],
  ];
  for (const [headers, path] of foreign) {
    const where = await ask(gateway, headers, path);
    expect(where.state).toBe('new');
    expect(where.cookie).toMatch(/^runstead-session=1\./);
    expect(where.cookie).not.toBe(cookie);
  }
  // One among others that are not good still counts.
  const both = await ask(gateway, { cookie: `runstead-session=x; ${cookie}` });
  expect(both.state).toBe('bound');
});

test('under a custom domain the cookie is for all of it', async () => {
  const agent = await startWho();
  const domains = [{ host: 'agent.example.test', runtimeName: 'echo', endpointName: 'Default' }];
  const gateway = await startTestGateway({
    runtimes: [withAffinity(COOKIES, { serves: [{ instances: [agent] }] })],
    settings: { domains, allowHosts: ['agent.example.test'] },
  });
  const { setCookie } = await ask(gateway, { host: 'agent.example.test' }, '/');
  expect(setCookie).toMatch(/; Path=\/; /);
});

test('a cookie is for TLS alone where the public address speaks it', async () => {
  const agent = await startWho();
  const gateway = await startTestGateway({
    runtimes: [withAffinity(COOKIES, { serves: [{ instances: [agent], slots: 5 }] })],
    settings: { publicUrl: 'https://agents.example.test', allowHosts: ['agents.example.test'] },
  });
  expect((await ask(gateway, { host: 'agents.example.test' })).setCookie).toMatch(/; Secure$/);
  expect((await ask(gateway)).setCookie).not.toMatch(/Secure/);
});

/** What a control process would tell the next gateway: the newest word on each session. */
function bindingsOf(gateway: TestGateway) {
  const known = new Map<string, ReturnType<TestGateway['of']>[number]>();
  for (const { changed, ended } of gateway.of('sessions')) {
    for (const session of changed) known.set(session.hash, session as never);
    for (const hash of ended) known.delete(hash);
  }
  return [...known.values()] as never[];
}

const sessionSecret = Buffer.alloc(32, 3).toString('base64url');

test('a gateway that follows another keeps sessions on their instances, by field and by cookie', async () => {
  const agents = await whos(6);
  const byField = runtime({ serves: [{ instances: agents.slice(0, 3), slots: 9 }] });
  const byCookie = withAffinity(COOKIES, {
    runtimeId: 'runtime-2',
    name: 'web',
    serves: [{ instances: agents.slice(3), slots: 9 }],
  });
  const WEB = INVOKE.replace('echo', 'web');
  const runtimes = [byField, byCookie];
  const first = await startTestGateway({ runtimes, known: { sessionSecret } });
  const chats = await Promise.all(['a', 'b', 'c', 'd'].map((id) => ask(first, as(id))));
  const web = await ask(first, {}, WEB);
  await until(() => bindingsOf(first).length === 5, 'five bindings to be told');
  await first.running.close();

  const second = await startTestGateway({ runtimes, known: { sessionSecret, sessions: bindingsOf(first) } });
  for (const [at, id] of ['a', 'b', 'c', 'd'].entries()) {
    expect(await ask(second, as(id))).toMatchObject({ port: chats[at]!.port, state: 'bound' });
  }
  expect(await ask(second, { cookie: web.cookie! }, WEB)).toMatchObject({ port: web.port, state: 'bound' });

  // One that nobody told of its sessions: a cookie says itself where it belongs.
  const third = await startTestGateway({ runtimes, known: { sessionSecret } });
  expect(await ask(third, { cookie: web.cookie! }, WEB)).toMatchObject({ port: web.port, state: 'bound' });
  const fourth = await startTestGateway({
    runtimes: [
      withAffinity(COOKIES, { runtimeId: 'runtime-2', name: 'web', serves: [{ instances: [agents[0]!] }] }),
    ],
    known: { sessionSecret },
  });
  const moved = await ask(fourth, { cookie: web.cookie! }, WEB);
  expect(moved).toMatchObject({ port: agents[0]!.port, state: 'moved; reason=instance-gone' });
  expect(await ask(fourth, { cookie: moved.cookie! }, WEB)).toMatchObject({ state: 'bound' });
});

test('a control process that begins anew under a living gateway is told of all sessions, and of what is spent', async () => {
  const agents = await whos(2);
  const plain = runtime({ serves: [{ instances: [agents[0]!] }] });
  const isolated = runtime({
    runtimeId: 'runtime-2',
    name: 'isolated',
    serves: [{ instances: [agents[1]!], isolated: true }],
  });
  const gateway = await startTestGateway();
  await gateway.routes(plain);
  await gateway.routes(isolated);
  await ask(gateway, as('chat'));
  await ask(gateway, {}, INVOKE.replace('echo', 'isolated'));
  await until(() => bindingsOf(gateway).length === 1 && gateway.of('spent').length === 1, 'both to be told');
  const known = bindingsOf(gateway) as { hash: string }[];
  gateway.said.length = 0;
  // What it has written down may be older than what the gateway knows.
  await gateway.snapshot([plain, isolated], [], {
    sessions: [{ ...known[0]!, hash: 'f'.repeat(32) } as never],
  });
  expect(gateway.of('sessions').flatMap(({ changed }) => changed.map(({ hash }) => hash))).toEqual([
    known[0]!.hash,
  ]);
  expect(gateway.of('spent')).toHaveLength(1);
  expect(await ask(gateway, as('chat'))).toMatchObject({ port: agents[0]!.port, state: 'bound' });
});

test('a draining instance with a session is not given up by a gateway that has just begun', async () => {
  const agent = await startWho();
  const first = await startTestGateway({
    runtimes: [runtime({ serves: [{ instances: [agent] }] })],
    known: { sessionSecret },
  });
  await ask(first, as('chat'));
  await until(() => bindingsOf(first).length === 1, 'the binding to be told');
  const draining = runtime({ serves: [{ instances: [instanceOf(agent, 'draining')] }] });
  const second = await startTestGateway({
    runtimes: [draining],
    known: { sessionSecret, sessions: bindingsOf(first) },
  });
  expect(await ask(second, as('chat'))).toMatchObject({ port: agent.port, state: 'bound' });
  expect(second.of('drained')).toEqual([]);
});

test('under isolation a gateway that has just begun uses no instance that may have served somebody', async () => {
  const agents = await whos(2);
  const route = runtime({ serves: [{ instances: agents, isolated: true }] });
  const first = await startTestGateway({ known: { sessionSecret } });
  await first.routes(route);
  const { port } = await ask(first, as('chat'));
  await until(() => bindingsOf(first).length === 1, 'the binding to be told');
  const second = await startTestGateway({
    runtimes: [route],
    known: { sessionSecret, sessions: bindingsOf(first) },
  });
  const rest = agents.find((agent) => agent.port !== port)!;
  expect(second.of('spent')).toEqual([{ type: 'spent', instanceId: `instance-${rest.port}` }]);
  expect(await ask(second, as('chat'))).toMatchObject({ port, state: 'bound' });
});

test('what the gateway says holds no session id; usage says how many are bound', async () => {
  const agent = await startWho();
  const gateway = await startTestGateway({
    runtimes: [runtime({ serves: [{ instances: [agent], slots: 5 }] })],
  });
  const ids = ['raw-id-one', 'raw-id-two'];
  for (const id of ids) await ask(gateway, as(id));
  const usage = await until(() => gateway.of('usage').at(-1)?.instances[0], 'usage');
  expect(usage).toMatchObject({ inFlight: 0, sessions: 2 });
  await until(() => bindingsOf(gateway).length === 2, 'both bindings to be told');
  expect(JSON.stringify(gateway.said)).not.toContain('raw-id');
});

test('a runtime that is deleted has no sessions any more', async () => {
  const agent = await startWho();
  const route = runtime({ serves: [{ instances: [agent] }] });
  const gateway = await startTestGateway({ runtimes: [route] });
  await ask(gateway, as('chat'));
  const draining = runtime({ serves: [{ instances: [instanceOf(agent, 'draining')] }] });
  await gateway.routes({ ...draining, state: 'deleting', endpoints: [] });
  expect(gateway.of('drained')).toHaveLength(1);
  await until(() => gateway.of('sessions').some(({ ended }) => ended.length === 1), 'its end to be told');
});
