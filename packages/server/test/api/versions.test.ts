import type { AgentRuntimeVersion } from '@runstead/contract';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTestApi, type Page, runtimeAt, type TestApi, TIMESTAMP } from './harness.ts';

let api: TestApi;
beforeAll(async () => {
  api = await openTestApi();
});
afterAll(() => api.close());

const list = (id: string, query: Record<string, string> = {}) =>
  api.call<Page<AgentRuntimeVersion>>('ListAgentRuntimeVersions', { id, query });
const publish = (id: string, body: unknown) =>
  api.call<AgentRuntimeVersion>('PublishRuntimeVersion', { id, body });

describe('ListAgentRuntimeVersions', () => {
  it('is newest first and numbered, LATEST not among them', async () => {
    const { id, name } = await runtimeAt(api, 'UPDATE_FAILED', {
      versions: 3,
      spec: { description: 'of the spec' },
    });
    const { status, data } = await list(id);
    expect(status).toBe(200);
    expect(data).toMatchObject({ total: 3, pageNumber: 1, pageSize: 50 });
    expect(data.items).toEqual(
      ['3', '2', '1'].map((agentRuntimeVersion) => ({
        agentRuntimeArn: `acs:agentrun:cn-hangzhou:0000000000000000:runtimes/${id}`,
        agentRuntimeId: id,
        agentRuntimeName: name,
        agentRuntimeVersion,
        description: 'of the spec',
        lastUpdatedAt: expect.stringMatching(TIMESTAMP),
      })),
    );
  });

  it('is empty before the first healthy start', async () => {
    const { id } = await runtimeAt(api, 'CREATE_FAILED');
    expect((await list(id)).data).toMatchObject({ items: [], total: 0 });
  });

  it('is cut into pages', async () => {
    const { id } = await runtimeAt(api, 'READY', { versions: 3 });
    const numbers = async (pageNumber: string) =>
      (await list(id, { pageNumber, pageSize: '2' })).data.items.map(
        ({ agentRuntimeVersion }) => agentRuntimeVersion,
      );
    expect([await numbers('1'), await numbers('2'), await numbers('3')]).toEqual([['3', '2'], ['1'], []]);
  });
});

describe('PublishRuntimeVersion', () => {
  it('stamps the newest version and no other', async () => {
    const { id } = await runtimeAt(api, 'READY', { versions: 2, spec: { description: 'of the spec' } });
    const { status, data } = await publish(id, { description: 'released', publisher: 'ann' });
    expect(status).toBe(200);
    expect(data).toMatchObject({ agentRuntimeId: id, agentRuntimeVersion: '2', description: 'released' });
    expect((await list(id)).data.items.map(({ description }) => description)).toEqual([
      'released',
      'of the spec',
    ]);
    expect(await api.store.getVersion(id, 2)).toMatchObject({ description: 'released', publisher: 'ann' });
    // What runs, and what is desired, stay as they are.
    expect((await api.call('GetAgentRuntime', { id })).data).toMatchObject({
      description: 'of the spec',
      status: 'READY',
      agentRuntimeVersion: '2',
    });
    expect(api.told).toEqual({ runtimes: [], endpoints: [], settled: expect.anything() });
  });

  it('keeps an earlier stamp that it does not name', async () => {
    const { id } = await runtimeAt(api, 'READY');
    await publish(id, { description: 'first', publisher: 'ann' });
    expect((await publish(id, { publisher: 'bob' })).data.description).toBe('first');
    expect((await publish(id, {})).data.description).toBe('first');
    expect(await api.store.getVersion(id, 1)).toMatchObject({ description: 'first', publisher: 'bob' });
  });

  it('refuses what is too long or no text, all at once', async () => {
    const { id } = await runtimeAt(api, 'READY');
    expect(await publish(id, { description: 'x'.repeat(257), publisher: 7 })).toMatchObject({
      status: 400,
      code: 'ERR_VALIDATION_FAILED',
      message: `description must have at most 256 characters (got "${'x'.repeat(79)}…); publisher must be a string (got 7)`,
    });
  });

  it('passes fields over that it does not know, and says so', async () => {
    const { id } = await runtimeAt(api, 'READY');
    expect((await publish(id, { version: '2' })).headers['x-runstead-warning']).toBe(
      'ignored fields that are not known: version',
    );
  });

  it('is 404 when the runtime goes while it is being stamped', async () => {
    const racing = await openTestApi({
      store: (real) => ({
        ...real,
        publishVersion: async (runtimeId, ...rest) => {
          await real.removeRuntime(runtimeId);
          return real.publishVersion(runtimeId, ...rest);
        },
      }),
    });
    const { id } = await runtimeAt(racing, 'READY');
    expect(await racing.call('PublishRuntimeVersion', { id, body: {} })).toMatchObject({
      status: 404,
      code: 'ERR_NOT_FOUND',
    });
    await racing.close();
  });
});
