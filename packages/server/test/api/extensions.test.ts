import { createHash, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunningNow, UsedNow } from '../../src/api/deps.ts';
import type { SessionInfo } from '../../src/api/sessions.ts';
import type { SessionRecord } from '../../src/store/store.ts';
import { ABSENT, API_KEY, openTestApi, runtimeAt, type TestApi } from './harness.ts';

let api: TestApi;
let running: RunningNow[] = [];
let uses = new Map<string, UsedNow>();
const hash = (of: string) => createHash('md5').update(of).digest('hex');
const ended: string[] = [];
beforeAll(async () => {
  const sessions = {
    openCallsOf: (id: string) => (id === hash('one') ? 2 : 0),
    end: async (id: string) => {
      ended.push(id);
      await api.store.saveSessions([], [id]);
    },
  };
  api = await openTestApi({ deps: { instances: () => running, usageOf: async () => uses, sessions } });
});
afterAll(() => api.close());

const send = <T>(url: string) =>
  api.send<{ items: T[]; total?: number; pageNumber?: number; pageSize?: number }>({
    method: 'GET',
    url: `/runstead/v1${url}`,
  });

describe('events', () => {
  it('are newest first, up to a limit', async () => {
    const { id } = await runtimeAt(api, 'CREATING');
    for (const phase of ['fetch', 'unpack', 'start']) {
      await api.store.addEvent({
        runtimeId: id,
        revision: 1,
        phase,
        startedAt: new Date().toISOString(),
        durationMs: 1.6,
        outcome: phase === 'start' ? 'failed' : 'ok',
        reason: phase === 'start' ? 'exited with code 3' : undefined,
      });
    }
    const { data } = await send<{ phase: string }>(`/runtimes/${id}/events`);
    expect(data.items.map(({ phase }) => phase)).toEqual(['start', 'unpack', 'fetch']);
    expect(data.items[0]).toMatchObject({ outcome: 'failed', reason: 'exited with code 3', durationMs: 2 });
    expect(data.items[0]).not.toHaveProperty('runtimeId');
    expect((await send(`/runtimes/${id}/events?limit=1`)).data.items).toHaveLength(1);
  });

  it('are read by kind, and page by page to the last', async () => {
    const { id } = await runtimeAt(api, 'READY', { versions: 2 });
    const phases = ['fetch', 'scale', 'exit', 'ready', 'stop'];
    for (const [at, phase] of phases.entries()) {
      await api.store.addEvent({
        runtimeId: id,
        revision: at === 2 ? 2 : 7,
        phase,
        startedAt: new Date().toISOString(),
        durationMs: 0,
        outcome: 'ok',
        ...(phase === 'exit' && { instanceId: ABSENT, exitCode: 3, output: ['last words'] }),
      });
    }
    const exits = await send(`/runtimes/${id}/events?kind=exit`);
    expect(exits.data.items).toEqual([
      expect.objectContaining({
        kind: 'exit',
        agentRuntimeVersion: '2',
        instanceId: ABSENT,
        exitCode: 3,
        output: ['last words'],
      }),
    ]);
    const seen: string[] = [];
    for (let cursor: string | undefined = ''; cursor !== undefined; ) {
      const { data }: { data: { items: { phase: string }[]; nextCursor?: string } } = await send(
        `/runtimes/${id}/events?limit=2&cursor=${cursor}`,
      );
      seen.push(...data.items.map(({ phase }) => phase));
      cursor = data.nextCursor;
    }
    expect(seen).toEqual([...phases].reverse());
    expect(await send(`/runtimes/${id}/events?kind=odd`)).toMatchObject({
      status: 400,
      message: 'kind must be one of deploy, scale, exit (got "odd")',
    });
    expect(await send(`/runtimes/${id}/events?cursor=x`)).toMatchObject({
      status: 400,
      message: 'cursor must be one that these events were answered with (got "x")',
    });
  });

  it.each(['0', '-1', 'x', '1000', '1.5'])('are not limited to %j', async (limit) => {
    const { id } = await runtimeAt(api, 'CREATING');
    expect(await send(`/runtimes/${id}/events?limit=${limit}`)).toMatchObject({
      status: 400,
      code: 'ERR_VALIDATION_FAILED',
      message: `limit must be an integer from 1 to 999 (got "${limit}")`,
    });
  });

  it('of no runtime are 404, of no id 400', async () => {
    expect(await send(`/runtimes/${ABSENT}/events`)).toMatchObject({ status: 404, code: 'ERR_NOT_FOUND' });
    expect(await send('/runtimes/x/events')).toMatchObject({ status: 400, code: 'ERR_BAD_REQUEST' });
  });
});

describe('logs', () => {
  it.each([
    [
      'since=yesterday',
      'since must be a duration such as 15m, 2h or 7d, or a time such as 2026-11-25T14:52:22Z (got "yesterday")',
    ],
    ['since=1h&until=2h', 'since must not be later than until'],
    ['level=loud', 'level must be one of trace, debug, info, warn, error, fatal (got "loud")'],
    ['version=LATEST', 'version must be the number of a version (got "LATEST")'],
    [
      'instance=x',
      'instance must be the id of an instance, or at least four characters of its beginning (got "x")',
    ],
    ['limit=0', 'limit must be an integer from 1 to 1000 (got 0)'],
    ['tail=1001', 'tail must be an integer from 0 to 1000 (got 1001)'],
    ['cursor=x', 'cursor must be one that these logs were answered with (got "x")'],
    ['follow=perhaps', 'follow must be one of true, false (got "perhaps")'],
    [
      'follow=true&limit=5',
      'limit is for pages; with follow, tail says how many of the lines that are there come first',
    ],
  ])('are not read by %s', async (query, message) => {
    const { id } = await runtimeAt(api, 'READY');
    const answer = await send(`/runtimes/${id}/logs?${query}`);
    expect(answer).toMatchObject({ status: 400, code: 'ERR_VALIDATION_FAILED', message });
  });

  it('of no runtime are 404, and of one that wrote nothing there are none', async () => {
    expect(await send(`/runtimes/${ABSENT}/logs`)).toMatchObject({ status: 404, code: 'ERR_NOT_FOUND' });
    const { id } = await runtimeAt(api, 'READY');
    expect((await send(`/runtimes/${id}/logs`)).data).toEqual({
      items: [],
      lost: [],
      nextCursor: expect.any(String),
      hasMore: false,
    });
  });

  it('are asked for by HEAD without an answer that does not end', async () => {
    const { id } = await runtimeAt(api, 'READY');
    const { statusCode, headers, body } = await api.app.inject({
      method: 'HEAD',
      url: `/runstead/v1/runtimes/${id}/logs?follow=true`,
      headers: { authorization: `Bearer ${API_KEY}` },
    });
    expect([statusCode, headers['content-type'], body]).toEqual([
      200,
      'text/event-stream; charset=utf-8',
      '',
    ]);
  });
});

describe('instances', () => {
  it('are named by runtime and version, and narrowed to a runtime', async () => {
    const first = await runtimeAt(api, 'READY', { versions: 2 });
    const second = await runtimeAt(api, 'CREATING');
    const instance = (runtimeId: string, revision: number): RunningNow => ({
      id: randomUUID(),
      runtimeId,
      revision,
      state: 'ready',
      driver: 'process',
      pid: 4711,
      host: '127.0.0.1',
      port: 40_000,
      startedAt: '2025-01-01T00:00:03.000Z',
      inFlight: 1,
      sessions: 2,
      busyReason: 'calls in flight: 1',
    });
    running = [
      instance(first.id, 2),
      // Begun before, so listed behind it.
      {
        ...instance(second.id, 1),
        state: 'starting',
        startedAt: '2025-01-01T00:00:02.000Z',
        port: 0,
        host: '',
        pid: undefined,
        idleSince: '2025-01-01T00:00:05.000Z',
      },
      { ...instance(ABSENT, 1), startedAt: '2025-01-01T00:00:01.000Z' },
    ];
    uses = new Map([
      [
        running[0]!.id,
        { memoryBytes: 52_428_800, memoryMeasure: 'pss' as const, cpuMs: 1234, cpuShare: 0.123_456 },
      ],
    ]);
    const { data } = await send<Record<string, unknown>>('/instances');
    expect(data.items).toEqual([
      {
        instanceId: running[0]!.id,
        agentRuntimeId: first.id,
        agentRuntimeName: first.name,
        agentRuntimeVersion: '2',
        state: 'ready',
        driver: 'process',
        pid: 4711,
        host: '127.0.0.1',
        port: 40_000,
        startedAt: '2025-01-01T00:00:03.000Z',
        memoryBytes: 52_428_800,
        memoryMeasure: 'pss',
        cpuSeconds: 1.234,
        cpuShare: 0.123,
        sessions: 2,
        inFlight: 1,
        busyReason: 'calls in flight: 1',
      },
      expect.objectContaining({ agentRuntimeId: second.id, agentRuntimeName: second.name }),
      expect.objectContaining({ agentRuntimeId: ABSENT }),
    ]);
    for (const name of ['agentRuntimeVersion', 'port', 'host', 'pid', 'memoryBytes'])
      expect(data.items[1]).not.toHaveProperty(name);
    expect(data.items[1]).toMatchObject({ idleSince: '2025-01-01T00:00:05.000Z' });
    expect(data).toMatchObject({ total: 3, pageNumber: 1, pageSize: 50 });
    const of = async (query: string) =>
      (await send<Record<string, unknown>>(`/instances?${query}`)).data.items.map(
        ({ instanceId }) => instanceId,
      );
    expect(await of('state=starting')).toEqual([running[1]!.id]);
    expect(await of(`agentRuntimeId=${first.id}&agentRuntimeVersion=2`)).toEqual([running[0]!.id]);
    expect(await of(`agentRuntimeId=${first.id}&agentRuntimeVersion=1`)).toEqual([]);
    expect(await of('pageSize=1&pageNumber=2')).toEqual([running[1]!.id]);
    // One that has gone meanwhile takes no other's place: the next page goes on where this one ended.
    expect(await of('pageSize=2&pageNumber=1')).toEqual([running[0]!.id, running[1]!.id]);
    const [gone, ...left] = running;
    running = left;
    expect(await of('pageSize=2&pageNumber=2')).toEqual([left[1]!.id]);
    running = [gone!, ...left];
    const narrowed = await send<Record<string, unknown>>(
      `/instances?agentRuntimeId=${second.id.toUpperCase()}`,
    );
    expect(narrowed.data.items.map(({ agentRuntimeId }) => agentRuntimeId)).toEqual([second.id]);
    expect(await send('/instances?agentRuntimeId=x')).toMatchObject({
      status: 400,
      code: 'ERR_BAD_REQUEST',
      message: 'agentRuntimeId must be a UUID (got "x")',
    });
  });
});

describe('sessions', () => {
  const bind = async (of: string, runtimeId: string, more: Partial<SessionRecord> = {}) =>
    api.store.saveSessions(
      [
        {
          id: hash(of),
          runtimeId,
          endpointName: 'Default',
          keyId: undefined,
          version: 1,
          instanceId: ABSENT,
          createdAt: '2026-01-02T03:04:05.000Z',
          lastUsedAt: '2026-01-02T03:05:05.000Z',
          ...more,
        },
      ],
      [],
    );

  it('are listed with where they are and whose, page by page', async () => {
    const runtime = await runtimeAt(api, 'READY');
    await bind('one', runtime.id, { keyId: 'rak1', createdAt: '2026-01-02T03:04:06.000Z' });
    await bind('two', runtime.id, { endpointName: 'canary' });
    const { data } = await send<SessionInfo>(`/sessions?agentRuntimeId=${runtime.id}`);
    expect(data).toMatchObject({ total: 2, pageNumber: 1, pageSize: 50 });
    expect(data.items).toEqual([
      {
        sessionHash: hash('one'),
        agentRuntimeId: runtime.id,
        agentRuntimeName: runtime.name,
        agentRuntimeEndpointName: 'Default',
        agentRuntimeVersion: '1',
        instanceId: ABSENT,
        keyId: 'rak1',
        createdAt: '2026-01-02T03:04:06.000Z',
        lastUsedAt: '2026-01-02T03:05:05.000Z',
        openCalls: 2,
      },
      expect.objectContaining({ sessionHash: hash('two'), openCalls: 0 }),
    ]);
    expect(data.items[1]).not.toHaveProperty('keyId');
    const of = async (query: string) =>
      (await send<SessionInfo>(`/sessions?agentRuntimeId=${runtime.id}&${query}`)).data.items.map(
        ({ sessionHash }) => sessionHash,
      );
    expect(await of('agentRuntimeEndpointName=canary')).toEqual([hash('two')]);
    expect(await of('pageSize=1&pageNumber=2')).toEqual([hash('two')]);
  });

  it.each([
    ['agentRuntimeId=x', 'ERR_BAD_REQUEST', /^agentRuntimeId must be a UUID/],
    [
      'agentRuntimeEndpointName=a/b',
      'ERR_VALIDATION_FAILED',
      /^agentRuntimeEndpointName must be the name of/,
    ],
    ['pageNumber=0', 'ERR_VALIDATION_FAILED', /^pageNumber must be an integer/],
  ])('are not listed by %s', async (query, code, message) => {
    expect(await send(`/sessions?${query}`)).toMatchObject({
      status: 400,
      code,
      message: expect.stringMatching(message),
    });
  });

  const end = (text: string) =>
    api.send<SessionInfo>({ method: 'DELETE', url: `/runstead/v1/sessions/${text}` });

  it('are ended once', async () => {
    const { id } = await runtimeAt(api, 'READY');
    await bind('three', id);
    expect(await end(hash('three'))).toMatchObject({ status: 200, data: { sessionHash: hash('three') } });
    expect(ended).toEqual([hash('three')]);
    expect(await end(hash('three'))).toMatchObject({ status: 404, code: 'ERR_NOT_FOUND' });
  });

  it('are not ended by their own id, and neither answer nor audit repeats it', async () => {
    const answer = await end('my-own-session-id');
    expect(answer).toMatchObject({ status: 400, code: 'ERR_BAD_REQUEST' });
    const [event] = await api.store.listAuditEvents(1);
    expect(event).toMatchObject({ operation: 'EndSession', status: 400, resource: '…' });
    expect(answer.text).not.toContain('my-own-session-id');
  });
});
