import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { hashKey, KeyRing } from '../../src/auth/key-ring.ts';
import { Nonces } from '../../src/auth/nonces.ts';
import type { Store } from '../../src/store/store.ts';
import {
  ABSENT,
  type Answer,
  codeRuntime,
  containerRuntime,
  type Endpoint,
  endpointAt,
  freshName,
  openTestApi,
  type Page,
  type Runtime,
  runtimeAt,
  TEST_KEY,
  type TestApi,
} from './harness.ts';

const REPLAY = 'x-runstead-idempotent-replay';
const OTHER_API_KEY = 'rsk_of-somebody-else';
const HOUR = 3_600_000;

let api: TestApi;
/** Creates of runtimes wait here when it is set, before they write. */
let gate: Promise<void> | undefined;
/** Creates of runtimes fail with this when it is set, after they have written. */
let fault: Error | undefined;
let creates = 0;
beforeAll(async () => {
  api = await openTestApi({
    deps: {
      authentication: {
        keys: new KeyRing([
          TEST_KEY,
          { ...TEST_KEY, id: 'other', accessKeyId: 'otherak', sha256: hashKey(OTHER_API_KEY) },
        ]),
        nonces: await Nonces.open(
          { nonces: async () => [], addNonce: async () => {}, removeNonces: async () => {} },
          Date.now(),
        ),
        now: Date.now,
      },
    },
    store: (real): Store => ({
      ...real,
      async createRuntime(...args) {
        creates++;
        await gate;
        if (fault !== undefined) throw fault;
        return real.createRuntime(...args);
      },
    }),
  });
});
afterAll(() => api.close());

let keys = 0;
const freshKey = () => `key-${++keys}`;
const create = (body: unknown, key: string, headers: Record<string, string> = {}) =>
  api.call<Runtime>('CreateAgentRuntime', { body, headers: { 'idempotency-key': key, ...headers } });
const named = async (name: unknown) => {
  const query = { agentRuntimeName: String(name), searchMode: 'exact' };
  return (await api.call<Page<Runtime>>('ListAgentRuntimes', { query })).data.total;
};

function expectReplay(again: Answer<unknown>, first: Answer<unknown>): void {
  expect(again.status).toBe(200);
  expect(again.headers[REPLAY]).toBe('true');
  expect(first.headers).not.toHaveProperty(REPLAY);
  expect(again.data).toEqual(first.data);
  expect(again.requestId).not.toBe(first.requestId);
}

describe('a create under an Idempotency-Key', () => {
  it('that is sent again gets the first answer, and nothing is made twice', async () => {
    const body = await codeRuntime({ environmentVariables: { API_KEY: 'planted-in-an-answer' } });
    const key = freshKey();
    const first = await create(body, key);
    expect(first.status).toBe(200);
    const again = await create(body, key);
    expectReplay(again, first);
    expect(await named(body.agentRuntimeName)).toBe(1);
    expect(await api.incoming()).toEqual([]);
    // What is kept for that has secrets in it.
    for (const suffix of ['', '-wal'])
      expect(readFileSync(`${api.folders.database}${suffix}`).includes('planted-in-')).toBe(false);
  });

  it('gets the first answer also when the runtime has moved on, or is gone', async () => {
    const body = containerRuntime();
    const key = freshKey();
    const first = await create(body, key);
    const id = first.data.agentRuntimeId!;
    await api.store.settleRuntime(id, 1, { status: 'READY', newVersion: true, at: new Date().toISOString() });
    expectReplay(await create(body, key), first);
    await api.store.removeRuntime(id);
    expectReplay(await create(body, key), first);
    expect(await named(body.agentRuntimeName)).toBe(0);
  });

  it('is refused with another body, even if only a space differs', async () => {
    const body = containerRuntime();
    const key = freshKey();
    await create(body, key);
    for (const other of [containerRuntime(), `${JSON.stringify(body)} `]) {
      const { status, code, message } = await create(other, key);
      expect([status, code]).toEqual([409, 'ERR_IDEMPOTENCY_CONFLICT']);
      // By these words clients tell that a name is taken.
      expect(message).not.toMatch(/already exists/i);
      expect(message).toMatch(/^Idempotency-Key was used with another body/);
    }
  });

  it('waits for the first while that is under way, and gets its answer', async () => {
    const body = containerRuntime();
    const key = freshKey();
    let open = () => {};
    gate = new Promise((resolve) => {
      open = resolve;
    });
    try {
      const before = creates;
      const calls = Array.from({ length: 8 }, () => create(body, key));
      await vi.waitFor(() => expect(creates).toBe(before + 1));
      // Others do not wait for it.
      expect((await api.call('ListAgentRuntimes')).status).toBe(200);
      open();
      const answers = await Promise.all(calls);
      expect(creates).toBe(before + 1);
      expect(answers.map(({ status }) => status)).toEqual(Array(8).fill(200));
      expect(new Set(answers.map(({ data }) => JSON.stringify(data))).size).toBe(1);
      expect(answers.filter(({ headers }) => headers[REPLAY] === 'true')).toHaveLength(7);
    } finally {
      open();
      gate = undefined;
    }
    expect(await named(body.agentRuntimeName)).toBe(1);
  });

  it('that failed is done when it is sent again, and may be mended under the same key', async () => {
    const key = freshKey();
    const refused = await create(containerRuntime({ cpu: -1 }), key);
    expect(refused.status).toBe(400);
    const body = containerRuntime();
    fault = new Error('the disk is full');
    try {
      expect((await create(body, key)).status).toBe(500);
    } finally {
      fault = undefined;
    }
    const first = await create(body, key);
    expect(first.status).toBe(200);
    expectReplay(await create(body, key), first);
  });

  it('of a name that is taken is refused as without one, as often as it is sent', async () => {
    const body = containerRuntime();
    await api.call('CreateAgentRuntime', { body });
    const key = freshKey();
    for (let i = 0; i < 2; i++)
      expect(await create(body, key)).toMatchObject({ status: 409, code: 'ERR_ALREADY_EXISTS' });
  });

  it('is another for another caller', async () => {
    const [body, other] = [containerRuntime(), containerRuntime()];
    const key = freshKey();
    const first = await create(body, key);
    const theirs = await create(other, key, { authorization: `Bearer ${OTHER_API_KEY}` });
    expect(theirs.status).toBe(200);
    expect(theirs.data.agentRuntimeId).not.toBe(first.data.agentRuntimeId);
    expectReplay(await create(body, key), first);
  });

  it('is remembered for 24 hours, and then no more', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    try {
      const body = containerRuntime();
      const key = freshKey();
      const first = await create(body, key);
      vi.setSystemTime(Date.now() + 24 * HOUR - 1000);
      expectReplay(await create(body, key), first);
      vi.setSystemTime(Date.now() + 2000);
      expect(await create(body, key)).toMatchObject({ status: 409, code: 'ERR_ALREADY_EXISTS' });
      const fresh = await create(containerRuntime(), key);
      expect([fresh.status, fresh.headers[REPLAY]]).toEqual([200, undefined]);
    } finally {
      vi.useRealTimers();
    }
  });

  it.each([
    ['', 'empty'],
    ['two words', 'a space'],
    ['ümlaut', 'not ASCII'],
    ['x'.repeat(256), 'too long'],
  ])('is refused when the key is %j: %s', async (key) => {
    const body = containerRuntime();
    const { status, code, message } = await create(body, key);
    expect([status, code]).toEqual([400, 'ERR_BAD_REQUEST']);
    expect(message).toContain('1 to 255 visible ASCII characters');
    expect(await named(body.agentRuntimeName)).toBe(0);
    expect(await api.incoming()).toEqual([]);
  });

  it('may have any key of 255 visible characters', async () => {
    const key = Array.from({ length: 255 }, (_, i) => String.fromCharCode(0x21 + (i % 94))).join('');
    const body = containerRuntime();
    const first = await create(body, key);
    expectReplay(await create(body, key), first);
  });
});

describe('other operations', () => {
  it('that create do so once for a key', async () => {
    const { id } = await runtimeAt(api, 'READY');
    const headers = { 'idempotency-key': freshKey() };
    const body = { agentRuntimeEndpointName: freshName() };
    const ask = { id, body, headers };
    const first = await api.call<Endpoint>('CreateAgentRuntimeEndpoint', ask);
    expect(first.status).toBe(200);
    expectReplay(await api.call('CreateAgentRuntimeEndpoint', ask), first);
    expect((await api.store.endpoints(id)).map(({ name }) => name)).toEqual([body.agentRuntimeEndpointName]);

    // The same key for another operation, or another runtime, is another.
    const stamp = { id, body: { description: 'published' }, headers };
    const published = await api.call('PublishRuntimeVersion', stamp);
    expect([published.status, published.headers[REPLAY]]).toEqual([200, undefined]);
    expectReplay(await api.call('PublishRuntimeVersion', stamp), published);
    const elsewhere = await runtimeAt(api, 'READY');
    const there = await api.call('CreateAgentRuntimeEndpoint', { ...ask, id: elsewhere.id });
    expect([there.status, there.headers[REPLAY]]).toEqual([200, undefined]);

    // Also when what it was made under is gone.
    await api.store.removeRuntime(id);
    expectReplay(await api.call('CreateAgentRuntimeEndpoint', ask), first);
  });

  it('answer a missing runtime and a bad body as without a key', async () => {
    const headers = { 'idempotency-key': freshKey() };
    const body = { agentRuntimeEndpointName: freshName() };
    expect((await api.call('CreateAgentRuntimeEndpoint', { id: ABSENT, body, headers })).status).toBe(404);
    const { id } = await runtimeAt(api, 'READY');
    expect((await api.call('CreateAgentRuntimeEndpoint', { id, body: '{', headers })).status).toBe(400);
  });

  it('that only repeat what they did anyway take no heed of a key', async () => {
    const { id } = await runtimeAt(api, 'READY');
    await endpointAt(api, id, freshName());
    const headers = { 'idempotency-key': 'no key at all' };
    for (let i = 0; i < 2; i++) {
      const updated = await api.call('UpdateAgentRuntime', { id, body: { cpu: 2 + i }, headers });
      expect([updated.status, updated.headers[REPLAY]]).toEqual([200, undefined]);
    }
    expect((await api.call('DeleteAgentRuntime', { id, headers })).status).toBe(200);
  });

  it('say what clients may rely on, in every answer', async () => {
    const answers = [
      await api.call('ListAgentRuntimes'),
      await api.send({ method: 'GET', url: '/nowhere' }),
      await api.send({ method: 'GET', url: '/%zz' }),
      await api.call('ListAgentRuntimes', { headers: { authorization: undefined } }),
      await api.send({ method: 'PATCH', url: '/2025-09-10/agents/runtimes' }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 404, 400, 401, 405]);
    for (const { headers } of answers) expect(headers['x-runstead-features']).toBe('idempotency-key');
  });
});
