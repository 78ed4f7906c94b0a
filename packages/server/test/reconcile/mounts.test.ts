import { describe, expect, it } from 'vitest';
import { waitFor } from '../wait-for.ts';
import { withServer } from './harness.ts';

/** S11: a runtime does not start as if a file system were there that nobody has mapped. */

const nasConfig = {
  userId: 10003,
  groupId: 10003,
  mountPoints: [{ serverAddr: 'nas.test:/a', mountDir: '/mnt/a' }],
};
const ossMountConfig = {
  mountPoints: [
    {
      bucketName: 'models',
      bucketPath: '/',
      endpoint: 'http://oss.test',
      mountDir: '/mnt/models',
      readOnly: true,
    },
    { bucketName: 'more', mountDir: '/mnt/more/..more' },
  ],
};
const mounts = ['/mnt/a', '/mnt/models', '/mnt/more/..more'];

describe('a runtime that wants something mounted', () => {
  it('fails by name when the server does not map it, before anything is prepared or started', () =>
    withServer({ mounts: ['/mnt/a', '/mnt/models'] }, async (server) => {
      const id = await server.create('agent', { nasConfig, ossMountConfig });
      const runtime = await server.decided(id);
      expect(runtime).toMatchObject({ status: 'CREATE_FAILED', nasConfig, ossMountConfig });
      expect(runtime.statusReason).toBe(
        'start: ossMountConfig.mountPoints[1].mountDir is /mnt/more/..more, which this server does not map; have its ' +
          'operator make that directory available on the machine and name it in RUNSTEAD_MOUNTS, or remove the mount point',
      );
      expect(server.driver.starts).toEqual([]);
      const { data } = await server.api(`/runstead/v1/runtimes/${id}/events`);
      expect(data.items.map(({ phase, outcome }: Record<string, string>) => `${phase} ${outcome}`)).toEqual([
        'start failed',
      ]);
    }));

  it('starts when all of it is mapped, and is shown as it was given', () =>
    withServer({ mounts }, async (server) => {
      const runtime = await server.decided(await server.create('agent', { nasConfig, ossMountConfig }));
      expect(runtime).toMatchObject({ status: 'READY', nasConfig, ossMountConfig });
      expect((await server.invoke('agent')).status).toBe(200);
    }));

  it('by an update fails while what served goes on serving; mounting nothing again is an update like others', () =>
    withServer({}, async (server) => {
      const agentRuntimeId = await server.create('agent');
      await server.decided(agentRuntimeId);
      await server.call('UpdateAgentRuntime', { agentRuntimeId }, { ossMountConfig });
      const failed = await server.decided(agentRuntimeId);
      expect(failed).toMatchObject({ status: 'UPDATE_FAILED', agentRuntimeVersion: '1' });
      expect(failed.statusReason).toMatch(
        /^start: ossMountConfig\.mountPoints\[0\]\.mountDir is \/mnt\/models, /,
      );
      expect((await server.invoke('agent')).status).toBe(200);

      await server.call('UpdateAgentRuntime', { agentRuntimeId }, { ossMountConfig: { mountPoints: [] } });
      expect(await server.decided(agentRuntimeId)).toMatchObject({ status: 'READY' });
      expect((await server.invoke('agent')).status).toBe(200);
    }));

  it('is not woken by a server that no longer maps it, and a caller is told why', () =>
    withServer({ mounts, idleStopMs: 50 }, async (server) => {
      await server.decided(await server.create('agent', { ossMountConfig }));
      await waitFor('sleep', () => server.driver.instances.size === 0);
      await server.restart({ instancesEnd: true, settings: { mounts: [] } });
      const refused = await server.invoke('agent');
      expect(refused.status).toBe(503);
      expect(await refused.text()).toContain(
        'mountPoints[0].mountDir is /mnt/models, which this server does not map',
      );
    }));
});
