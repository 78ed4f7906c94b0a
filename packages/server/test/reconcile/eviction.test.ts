import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { waitFor } from '../wait-for.ts';
import { type TestServer, withServer, zipOf } from './harness.ts';

/** What is prepared goes when it is too much and nobody uses it, and is made again. Packages stay. */

/** The same bytes each time: an archive tells when it was made. */
const packages = new Map<number, Promise<Buffer>>();
const packageOf = async (version: number) => {
  const files = { 'index.js': `// version ${version}`, 'ballast.bin': 'x'.repeat(50_000) };
  const made = packages.get(version) ?? zipOf(files);
  packages.set(version, made);
  return { zipFile: (await made).toString('base64'), language: 'nodejs20' };
};
const unpacked = (server: TestServer, id: string) =>
  readdirSync(join(server.dataDir, 'code', id)).filter((name) => /^[0-9a-f]{64}$/.test(name));
const asleep = (server: TestServer) => waitFor('all to be asleep', () => server.driver.instances.size === 0);

/** A runtime of two versions, and an endpoint for each half of the calls. */
async function twoVersions(server: TestServer) {
  const id = await server.create('agent', { codeConfiguration: await packageOf(1) });
  await server.decided(id);
  await server.call(
    'CreateAgentRuntimeEndpoint',
    { agentRuntimeId: id },
    {
      agentRuntimeEndpointName: 'pinned',
      targetVersion: '1',
    },
  );
  await server.call('UpdateAgentRuntime', { agentRuntimeId: id }, { codeConfiguration: await packageOf(2) });
  expect(await server.decided(id)).toMatchObject({ status: 'READY', agentRuntimeVersion: '2' });
  const { data } = await server.call(
    'CreateAgentRuntimeEndpoint',
    { agentRuntimeId: id },
    {
      agentRuntimeEndpointName: 'half',
      targetVersion: '2',
      routingConfiguration: { versionWeights: [{ version: '1', weight: 0.5 }] },
    },
  );
  await waitFor('the endpoint', async () => {
    const ids = { agentRuntimeId: id, agentRuntimeEndpointId: data.agentRuntimeEndpointId };
    return (await server.call('GetAgentRuntimeEndpoint', ids)).data.status === 'READY';
  });
  return id;
}

const answer = async (server: TestServer, endpoint: string) => {
  const response = await server.invoke('agent', '/', { endpoint });
  const body = (await response.json()) as { revision?: number; error?: { code: string; message: string } };
  return { status: response.status, ...body };
};

it('everything that sleeps is evicted under a limit of nothing, what runs is not, and both answer', async () => {
  await withServer({ preparedLimitBytes: 0, idleStopMs: 300_000 }, async (server) => {
    const id = await twoVersions(server);
    expect(await answer(server, 'pinned')).toMatchObject({ status: 200, revision: 1 });
    expect(await answer(server, 'Default')).toMatchObject({ status: 200, revision: 2 });
    // Both run: each look that came of their starts has left them alone.
    await server.create('other', { codeConfiguration: await packageOf(3) });
    expect(unpacked(server, id)).toHaveLength(2);
    await server.restart({ instancesEnd: true });
    await waitFor('all to be evicted', () => unpacked(server, id).length === 0);
    expect(readdirSync(join(server.dataDir, 'blobs')).filter((name) => name.endsWith('.zip'))).toHaveLength(
      3,
    );
    expect(await answer(server, 'pinned')).toMatchObject({ status: 200, revision: 1 });
    expect(unpacked(server, id)).toHaveLength(1);
    expect(await answer(server, 'Default')).toMatchObject({ status: 200, revision: 2 });
    expect(unpacked(server, id)).toHaveLength(2);
  });
});

it('a version that cannot be made again answers 503 by name, and its weight stays where it is', async () => {
  await withServer({ preparedLimitBytes: 0, idleStopMs: 50 }, async (server) => {
    const id = await twoVersions(server);
    await asleep(server);
    await server.restart({ instancesEnd: true });
    await waitFor('all to be evicted', () => unpacked(server, id).length === 0);
    const before = server.driver.starts.length;
    expect(await answer(server, 'Default')).toMatchObject({ status: 200, revision: 2 });
    // The package of version 1, from under the server.
    const first = digestOf(server, 1);
    rmSync(join(server.dataDir, 'blobs', `${first}.zip`));
    const refused = await answer(server, 'pinned');
    expect(refused).toMatchObject({ status: 503, error: { code: 'ERR_VERSION_FAILED' } });
    expect(refused.error!.message).toMatch(
      /^Version 1\b.*the code package [0-9a-f]{12} is no longer in the data folder/,
    );
    const seen = [];
    for (let call = 0; call < 40; call++) seen.push((await answer(server, 'half')).status);
    // By chance none of 40 is as likely as a coin that falls the same way 40 times.
    expect(new Set(seen)).toEqual(new Set([200, 503]));
    expect(server.driver.starts.slice(before).every(({ revision }) => revision === 2)).toBe(true);
    expect(existsSync(join(server.dataDir, 'code', id, first))).toBe(false);
    // The same bytes, deployed again, are what it was made of.
    await server.call(
      'UpdateAgentRuntime',
      { agentRuntimeId: id },
      { codeConfiguration: await packageOf(1) },
    );
    expect(await server.decided(id)).toMatchObject({ status: 'READY', agentRuntimeVersion: '3' });
    const healed = await waitFor('version 1 to be tried again', async () => {
      const seen = await answer(server, 'pinned');
      return seen.status === 200 && seen;
    });
    expect(healed.revision).toBe(1);
  });
});

it('what was not used for longest goes first, and no more than has to', async () => {
  await withServer({ idleStopMs: 50 }, async (server) => {
    const id = await twoVersions(server);
    await asleep(server);
    expect(await answer(server, 'pinned')).toMatchObject({ status: 200, revision: 1 });
    const [first, second] = [1, 2].map((revision) => digestOf(server, revision));
    await asleep(server);
    // Room for one of the two.
    await server.restart({ settings: { preparedLimitBytes: 80_000 } });
    await waitFor('one to be evicted', () => unpacked(server, id).length === 1);
    expect(first).not.toBe(second);
    expect(unpacked(server, id)).toEqual([first]);
  });
});

/** The digest of the package that a revision was started from. */
function digestOf(server: TestServer, revision: number): string {
  const spec = server.driver.starts.find((start) => start.revision === revision)!;
  return spec.codeDir.split('/').at(-1)!;
}
