import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../wait-for.ts';
import { type TestServer, withServer, zipOf } from './harness.ts';

/** Which versions stay, and what is told of those that are gone. */

/** A further version, of a package of its own. */
async function rollOut(server: TestServer, agentRuntimeId: string, version: number) {
  const zip = await zipOf({ 'index.js': `// version ${version}` });
  const codeConfiguration = { zipFile: zip.toString('base64') };
  const { status } = await server.call('UpdateAgentRuntime', { agentRuntimeId }, { codeConfiguration });
  expect(status).toBe(200);
  expect(await server.decided(agentRuntimeId)).toMatchObject({
    status: 'READY',
    agentRuntimeVersion: String(version),
  });
}

const versionsOf = async (server: TestServer, agentRuntimeId: string): Promise<number[]> => {
  const { data } = await server.call('ListAgentRuntimeVersions', { agentRuntimeId });
  expect(data.total).toBe(data.items.length);
  return data.items.map(({ agentRuntimeVersion }: { agentRuntimeVersion: string }) =>
    Number(agentRuntimeVersion),
  );
};
const packagesIn = (server: TestServer, folder: string) =>
  readdirSync(join(server.dataDir, folder)).filter((name) => /^[0-9a-f]{64}/.test(name)).length;
/** Waits until so many packages are kept, and as many of the runtime's are unpacked. */
const untilPackages = (server: TestServer, id: string, count: number) =>
  waitFor(
    `${count} packages`,
    () => packagesIn(server, 'blobs') === count && packagesIn(server, join('code', id)) === count,
  );

describe('of the versions of a runtime', () => {
  it('the newest stay, and those that an endpoint names or that still answer; the rest goes with its packages', async () => {
    await withServer({ keptVersions: 2, drainTimeoutMs: 60_000 }, async (server) => {
      const id = await server.create('agent', { sessionConcurrencyLimitPerInstance: 8 });
      await server.decided(id);
      const endpoint = await server.call(
        'CreateAgentRuntimeEndpoint',
        { agentRuntimeId: id },
        {
          agentRuntimeEndpointName: 'pinned',
          targetVersion: 'LATEST',
          routingConfiguration: { versionWeights: [{ version: '1', weight: 0.5 }] },
        },
      );
      const ids = { agentRuntimeId: id, agentRuntimeEndpointId: endpoint.data.agentRuntimeEndpointId };
      await rollOut(server, id, 2);
      // An answer of version 2 that goes on and on.
      const open = server.invoke('agent', '/hang');
      await waitFor('it to begin', () => server.driver.hanging.length === 1);
      for (const version of [3, 4, 5, 6]) await rollOut(server, id, version);
      await waitFor('3 and 4 to go', async () => (await versionsOf(server, id)).join() === '6,5,2,1');
      await untilPackages(server, id, 4);

      const { data: events } = await server.api(`/runstead/v1/runtimes/${id}/events`);
      const told = events.items.filter(({ phase }: { phase: string }) => phase === 'retention');
      expect(told.map(({ reason }: { reason: string }) => reason.replace(/:.*/, '')).sort()).toEqual([
        'version 3 removed',
        'version 4 removed',
      ]);
      expect(told[0].reason).toMatch(/: the newest 2 are kept, and those .* \(RUNSTEAD_KEPT_VERSIONS\)$/);

      // It ends, and its version with it.
      server.driver.hanging[0]!.end('');
      await (await open).text();
      await waitFor('2 to go', async () => (await versionsOf(server, id)).join() === '6,5,1');

      for (const spec of [
        { targetVersion: '3' },
        { routingConfiguration: { versionWeights: [{ version: '2', weight: 0.5 }] } },
      ]) {
        const refused = await server.call('UpdateAgentRuntimeEndpoint', ids, spec);
        expect(refused).toMatchObject({ status: 400, code: 'ERR_VALIDATION_FAILED' });
        expect(refused.message).toMatch(
          /version "?\d"? is no version of this runtime any more: it was removed, as/i,
        );
      }
      const gone = await server.call('GetAgentRuntime', { agentRuntimeId: id });
      expect(gone.data.agentRuntimeVersion).toBe('6');
      const { data } = await server.call('GetAgentRuntimeEndpoint', ids);
      expect(data.routingConfiguration).toEqual({ versionWeights: [{ version: '1', weight: 0.5 }] });

      // Named no more, version 1 is as old as it is.
      await server.call('DeleteAgentRuntimeEndpoint', ids);
      await waitFor('1 to go', async () => (await versionsOf(server, id)).join() === '6,5');
      await untilPackages(server, id, 2);
      expect((await server.invoke('agent')).status).toBe(200);
    });
  });

  it('those that a lower setting asks to go, go at the next start, with what a crash left of others', async () => {
    await withServer({ keptVersions: 20 }, async (server) => {
      const id = await server.create('agent');
      await server.decided(id);
      for (const version of [2, 3, 4]) await rollOut(server, id, version);
      expect(await versionsOf(server, id)).toEqual([4, 3, 2, 1]);
      // As after a crash between the rows and what belonged to them.
      const gone = 'c'.repeat(64);
      mkdirSync(join(server.dataDir, 'code', id, gone));
      writeFileSync(join(server.dataDir, 'blobs', `${gone}.zip`), 'of a version that was removed');
      await server.restart({ settings: { keptVersions: 1 } });
      await waitFor('the others to go', async () => (await versionsOf(server, id)).join() === '4');
      await untilPackages(server, id, 1);
      await rollOut(server, id, 5);
      await waitFor('4 to go', async () => (await versionsOf(server, id)).join() === '5');
    });
  });
});
