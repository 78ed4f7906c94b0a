import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { deploy, example, ready, untilEndpointReady, untilSettled } from './harness/deploy.ts';
import { callContinuously, callEcho } from './harness/load.ts';
import { type Server, startServer } from './harness/server.ts';
import { waitFor } from './harness/wait-for.ts';

/** No call is lost while versions change. */

let server: Server;

beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server.dispose());

const CALLS = 200;
const CONCURRENCY = 8;

describe('an update rolls out under load', () => {
  test.each([1, 8])(
    '200 calls at concurrency 8 with %i calls at a time per instance: 0 failed',
    async (sessionConcurrencyLimitPerInstance) => {
      const client = server.client();
      const runtime = await deploy(client, {
        folder: example('hello-http'),
        command: ['node', 'server.mjs'],
        sessionConcurrencyLimitPerInstance,
      });
      const url = server.invocationUrl(runtime.agentRuntimeName);
      let settled = false;
      const load = callContinuously(
        CONCURRENCY,
        (calls) => settled && calls >= CALLS,
        (number) => callEcho(url, number),
      );
      await client.update(runtime.agentRuntimeId, { environmentVariables: { RELEASE: 'two' } });
      const updated = await untilSettled(client, runtime.agentRuntimeId);
      settled = true;
      const { failures, calls } = await load;
      expect(failures).toEqual([]);
      expect(calls).toBeGreaterThanOrEqual(CALLS);
      expect(ready(updated).agentRuntimeVersion).toBe('2');
      await waitFor('the instances of version 1 to be drained', async () => {
        const instances = await server.instances(runtime.agentRuntimeId);
        return instances.every(({ agentRuntimeVersion }) => agentRuntimeVersion === '2');
      });
    },
  );

  test('a failing update under load fails no call either', async () => {
    const client = server.client();
    const runtime = await deploy(client, {
      folder: example('hello-http'),
      command: ['node', 'server.mjs'],
      sessionConcurrencyLimitPerInstance: 8,
    });
    const url = server.invocationUrl(runtime.agentRuntimeName);
    let settled = false;
    const load = callContinuously(
      CONCURRENCY,
      (calls) => settled && calls >= CALLS,
      (number) => callEcho(url, number),
    );
    // The preload is asked for a module that is not there: the new version's process ends before it listens.
    await client.update(runtime.agentRuntimeId, {
      environmentVariables: { NODE_OPTIONS: '--import ./not-there.mjs' },
    });
    const updated = await untilSettled(client, runtime.agentRuntimeId);
    settled = true;
    expect((await load).failures).toEqual([]);
    expect(updated).toMatchObject({ status: 'UPDATE_FAILED', agentRuntimeVersion: '1' });
  });

  test('a rollback works when it is needed: while and after an update fails, and no call is lost', async () => {
    const client = server.client();
    const runtime = await deploy(client, {
      folder: example('hello-http'),
      command: ['node', 'server.mjs'],
      sessionConcurrencyLimitPerInstance: 8,
    });
    const { agentRuntimeId, agentRuntimeName } = runtime;
    const endpoint = (agentRuntimeEndpointName: string, more: object) =>
      client
        .createEndpoint(agentRuntimeId, { agentRuntimeEndpointName, ...more })
        .then(({ agentRuntimeEndpointId: id }) => untilEndpointReady(client, agentRuntimeId, id!));
    const weights = (...pairs: [string, number][]) => ({
      routingConfiguration: { versionWeights: pairs.map(([version, weight]) => ({ version, weight })) },
    });
    const prod = (await endpoint('prod', {})).agentRuntimeEndpointId!;
    const urls = ['Default', 'prod'].map((name) => server.invocationUrl(agentRuntimeName, name));
    let done = false;
    const load = callContinuously(
      CONCURRENCY,
      (calls) => done && calls >= CALLS,
      (number) => callEcho(urls[number % urls.length]!, number),
    );

    await client.update(agentRuntimeId, {
      environmentVariables: { NODE_OPTIONS: '--import ./not-there.mjs' },
    });
    // Most likely while it is UPDATING; whatever it is, a version serves.
    await endpoint('pinned', { targetVersion: '1' });
    const failed = await untilSettled(client, agentRuntimeId);
    expect(failed.status).toBe('UPDATE_FAILED');
    expect(failed.environmentVariables).toEqual({ NODE_OPTIONS: '--import ./not-there.mjs' });
    expect(
      (await client.get(agentRuntimeId, { agentRuntimeVersion: '1' })).environmentVariables,
    ).toBeUndefined();

    await client.updateEndpoint(agentRuntimeId, prod, { targetVersion: '1' });
    await untilEndpointReady(client, agentRuntimeId, prod);
    await client.updateEndpoint(agentRuntimeId, prod, weights(['1', 1]));
    await untilEndpointReady(client, agentRuntimeId, prod);

    await client.update(agentRuntimeId, { environmentVariables: { RELEASE: 'two' } });
    expect(ready(await untilSettled(client, agentRuntimeId)).agentRuntimeVersion).toBe('2');
    await client.updateEndpoint(agentRuntimeId, prod, weights(['1', 0.5], ['2', 0.5]));
    await untilEndpointReady(client, agentRuntimeId, prod);
    done = true;
    expect((await load).failures).toEqual([]);
  });
});
