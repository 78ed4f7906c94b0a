import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  codeRuntime,
  containerRuntime,
  endpointAt,
  openTestApi,
  runtimeAt,
  type TestApi,
} from './harness.ts';

/** Less is free than must stay free: nothing new comes onto the disk, and all else goes on. */

let api: TestApi;
beforeAll(async () => {
  api = await openTestApi({ deps: { freeSpaceReserveBytes: 2 ** 62 } });
});
afterAll(() => api.close());

const REFUSAL =
  /^There is no room for a deploy: the disk of the data folder has [\d.]+ \w+ free, and [\d.]+ TiB must stay free \(RUNSTEAD_FREE_SPACE_RESERVE\)/;

describe('without the room that must stay free', () => {
  it('a create, and an update that brings a package, are answered 507 and leave nothing', async () => {
    const { id } = await runtimeAt(api, 'READY');
    const { codeConfiguration } = (await codeRuntime()) as { codeConfiguration: object };
    const bucket = { ossBucketName: 'packages', ossObjectName: 'agent.zip', language: 'nodejs20' };
    for (const answer of [
      await api.call('CreateAgentRuntime', { body: await codeRuntime() }),
      await api.call('CreateAgentRuntime', { body: containerRuntime() }),
      await api.call('UpdateAgentRuntime', { id, body: { codeConfiguration } }),
      await api.call('UpdateAgentRuntime', { id, body: { codeConfiguration: bucket } }),
    ]) {
      expect(answer).toMatchObject({ status: 507, code: 'ERR_INSUFFICIENT_STORAGE' });
      expect(answer.message).toMatch(REFUSAL);
    }
    expect(await api.incoming()).toEqual([]);
    expect(await api.store.runtimeIds()).toEqual([id]);
    expect((await api.store.getRuntime(id))!.revision).toBe(1);
  });

  it('everything else is answered as ever', async () => {
    const { id } = await runtimeAt(api, 'READY');
    const endpointId = await endpointAt(api, id, 'prod');
    for (const answer of [
      await api.call('UpdateAgentRuntime', { id, body: { environmentVariables: { A: 'b' } } }),
      await api.call('GetAgentRuntime', { id }),
      await api.call('ListAgentRuntimes'),
      await api.call('DeleteAgentRuntimeEndpoint', { id, endpointId }),
      await api.call('DeleteAgentRuntime', { id }),
    ])
      expect(answer.status).toBe(200);
  });
});
