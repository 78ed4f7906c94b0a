import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunningNow } from '../../src/api/deps.ts';
import { ABSENT, openTestApi, runtimeAt, type TestApi } from './harness.ts';

let api: TestApi;
let running: RunningNow[] = [];
beforeAll(async () => {
  api = await openTestApi({ deps: { instances: () => running } });
});
afterAll(() => api.close());

const send = <T>(url: string) => api.send<{ items: T[] }>({ method: 'GET', url: `/runstead/v1${url}` });

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

describe('instances', () => {
  it('are named by runtime and version, and narrowed to a runtime', async () => {
    const first = await runtimeAt(api, 'READY', { versions: 2 });
    const second = await runtimeAt(api, 'CREATING');
    const instance = (runtimeId: string, revision: number): RunningNow => ({
      id: randomUUID(),
      runtimeId,
      revision,
      state: 'ready',
      pid: 4711,
      port: 40_000,
      startedAt: '2025-01-01T00:00:00.000Z',
      inFlight: 1,
    });
    running = [instance(first.id, 2), instance(second.id, 1), instance(ABSENT, 1)];
    const { data } = await send<Record<string, unknown>>('/instances');
    expect(data.items).toEqual([
      {
        instanceId: running[0]!.id,
        agentRuntimeId: first.id,
        agentRuntimeName: first.name,
        agentRuntimeVersion: '2',
        state: 'ready',
        pid: 4711,
        port: 40_000,
        startedAt: '2025-01-01T00:00:00.000Z',
        inFlight: 1,
      },
      expect.objectContaining({ agentRuntimeId: second.id, agentRuntimeName: second.name }),
      expect.objectContaining({ agentRuntimeId: ABSENT }),
    ]);
    expect(data.items[1]).not.toHaveProperty('agentRuntimeVersion');
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
