import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Images } from '../../src/drivers/images.ts';
import { waitFor } from '../wait-for.ts';
import { type TestServer, withServer, zipOf } from './harness.ts';

/** A promise that a test resolves when it wants. */
function gate(): { opened: Promise<void>; open: () => void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

describe('a deploy', () => {
  it('answers at once, becomes READY as version 1 and serves under both implicit endpoints', () =>
    withServer({}, async (server) => {
      const id = await server.create('first');
      expect((await server.call('GetAgentRuntime', { agentRuntimeId: id })).data.status).toMatch(
        /CREATING|READY/,
      );
      expect(await server.decided(id)).toMatchObject({ status: 'READY', agentRuntimeVersion: '1' });
      for (const endpoint of ['Default', 'default']) {
        const response = await server.invoke('first', '/x', { endpoint });
        expect(await response.json()).toMatchObject({ revision: 1 });
      }
      expect((await server.invoke('first', '/x', { endpoint: 'other' })).status).toBe(404);
    }));

  it('serves the moment READY can be read', () =>
    withServer({}, async (server) => {
      for (let i = 0; i < 10; i++) {
        await server.decided(await server.create(`agent-${i}`));
        expect((await server.invoke(`agent-${i}`)).status).toBe(200);
      }
    }));

  it('that fails says so with phase, exit code and last lines, leaves no version and serves nothing', () =>
    withServer({}, async (server) => {
      server.driver.behave = () => ({
        failure: {
          kind: 'exited',
          message: 'exited with code 1 after 0.01 s',
          lastLines: ['Error: boom', '  at x'],
        },
      });
      const id = await server.create('broken');
      const runtime = await server.decided(id);
      expect(runtime.status).toBe('CREATE_FAILED');
      expect(runtime.statusReason).toBe(
        'start: exited with code 1 after 0.01 s; last lines: Error: boom | at x',
      );
      expect(runtime.agentRuntimeVersion).toBeUndefined();
      expect((await server.call('ListAgentRuntimeVersions', { agentRuntimeId: id })).data.items).toEqual([]);
      const response = await server.invoke('broken');
      expect(response.status).toBe(503);
      expect(((await response.json()) as { error: { message: string } }).error.message).toMatch(
        /Error: boom/,
      );
      expect(server.driver.instances.size).toBe(0);
      expect((await server.call('ListAgentRuntimes')).data.total).toBe(1);
    }));

  it('with a wrong checksum or a truncated package fails in its phase', () =>
    withServer({}, async (server) => {
      const zipFile = Buffer.from('PK\u0003\u0004 and no more').toString('base64');
      const code = { zipFile, language: 'nodejs20', command: ['node', 'x.js'] };
      const truncated = await server.decided(await server.create('truncated', { codeConfiguration: code }));
      expect(truncated).toMatchObject({
        status: 'CREATE_FAILED',
        statusReason: expect.stringMatching(/^unpack: .*ZIP/),
      });
      const wrong = await server.decided(
        await server.create('wrong', { codeConfiguration: { ...code, checksum: '12345' } }),
      );
      expect(wrong).toMatchObject({
        status: 'CREATE_FAILED',
        statusReason: expect.stringMatching(/^fetch: .*checksum.*12345/),
      });
      expect(server.driver.starts).toHaveLength(0);
    }));

  it('with a wrong checksum of bytes that run already fails as well', () =>
    withServer({}, async (server) => {
      const agentRuntimeId = await server.create('same-bytes');
      await server.decided(agentRuntimeId);
      const [{ codeDir }] = server.driver.starts as [{ codeDir: string }];
      const digest = codeDir.split('/').at(-1);
      const zipFile = readFileSync(join(server.dataDir, 'blobs', `${digest}.zip`)).toString('base64');
      const codeConfiguration = { zipFile, language: 'nodejs20', checksum: '12345' };
      await server.call('UpdateAgentRuntime', { agentRuntimeId }, { codeConfiguration });
      expect(await server.decided(agentRuntimeId)).toMatchObject({
        status: 'UPDATE_FAILED',
        statusReason: expect.stringMatching(/^fetch: .*checksum.*12345/),
      });
      expect(server.driver.starts).toHaveLength(1);
    }));

  it('of a container image says what is missing', () =>
    withServer({}, async (server) => {
      const id = await server.create('image', {
        artifactType: 'Container',
        codeConfiguration: undefined,
        containerConfiguration: { image: 'example/agent:1' },
      });
      expect(await server.decided(id)).toMatchObject({
        status: 'CREATE_FAILED',
        statusReason: expect.stringMatching(/no container engine/),
      });
    }));

  it('of a container image fixes what it stands for, tells how far it is, and starts just that', () => {
    const { opened, open } = gate();
    const asked: string[] = [];
    let content = 'a';
    const images: Images = {
      async fix(name, registry, { onProgress }) {
        asked.push(`${name} as ${registry?.authConfig?.userName}`);
        onProgress('2 of 5 layers, 31 of 80 MiB');
        await opened;
        return { digest: content.repeat(64), image: `example/agent@sha256:${content.repeat(64)}` };
      },
      async collect() {},
    };
    const containerConfiguration = {
      image: 'example/agent:1',
      port: 8080,
      registryConfig: { authConfig: { userName: 'reader', password: 'sesame' } },
    };
    const test = async (server: TestServer) => {
      const agentRuntimeId = await server.create('image', {
        artifactType: 'Container',
        codeConfiguration: undefined,
        containerConfiguration,
      });
      const get = async () => (await server.call('GetAgentRuntime', { agentRuntimeId })).data;
      const update = (body: object) => server.call('UpdateAgentRuntime', { agentRuntimeId }, body);
      await waitFor('its progress', async () => {
        const { statusReason = '' } = await get();
        return /^fetch: 2 of 5 layers, 31 of 80 MiB/.test(statusReason);
      });
      open();
      expect(await server.decided(agentRuntimeId)).toMatchObject({ status: 'READY' });
      expect(server.driver.starts).toMatchObject([
        {
          image: {
            digest: 'a'.repeat(64),
            image: `example/agent@sha256:${'a'.repeat(64)}`,
            registry: containerConfiguration.registryConfig,
          },
          command: [],
          port: 8080,
        },
      ]);
      // The tag moves. An update of something else does not ask for it, and one that names it again does.
      content = 'b';
      await update({ environmentVariables: { VALUE: 'two' } });
      expect(await server.decided(agentRuntimeId)).toMatchObject({ status: 'READY' });
      expect(asked).toEqual(['example/agent:1 as reader']);
      expect(server.driver.starts.at(-1)!.image!.digest).toBe('a'.repeat(64));
      await update({ containerConfiguration });
      expect(await server.decided(agentRuntimeId)).toMatchObject({ status: 'READY' });
      expect(server.driver.starts.at(-1)!.image!.digest).toBe('b'.repeat(64));
      // The same again changes nothing that runs.
      const starts = server.driver.starts.length;
      await update({ containerConfiguration });
      expect(await server.decided(agentRuntimeId)).toMatchObject({ status: 'READY' });
      expect(asked).toHaveLength(3);
      expect(server.driver.starts).toHaveLength(starts);
    };
    return withServer({}, test, { images });
  });
});

describe('an update', () => {
  const env = (value: string) => ({ environmentVariables: { VALUE: value } });

  it('prepares beside the old version, switches when healthy, and stops the old one', () =>
    withServer({}, async (server) => {
      const id = await server.create('agent', env('one'));
      await server.decided(id);
      const { opened, open } = gate();
      server.driver.behave = () => ({ until: opened });
      const { data } = await server.call('UpdateAgentRuntime', { agentRuntimeId: id }, env('two'));
      expect(data.status).toBe('UPDATING');
      expect(await (await server.invoke('agent')).json()).toMatchObject({ env: { VALUE: 'one' } });
      open();
      expect(await server.decided(id)).toMatchObject({ status: 'READY', agentRuntimeVersion: '2' });
      expect(await (await server.invoke('agent')).json()).toMatchObject({ env: { VALUE: 'two' } });
      await waitFor('the old instance to be stopped', () => server.driver.instances.size === 1);
    }));

  it('that changes nothing that runs neither restarts nor makes a version', () =>
    withServer({}, async (server) => {
      const id = await server.create('agent', env('one'));
      await server.decided(id);
      const same = { description: 'now described', memory: 512, ...env('one') };
      const { data } = await server.call('UpdateAgentRuntime', { agentRuntimeId: id }, same);
      expect(data.status).toBe('UPDATING');
      expect(await server.decided(id)).toMatchObject({
        status: 'READY',
        agentRuntimeVersion: '1',
        description: 'now described',
      });
      expect(server.driver.starts).toHaveLength(1);
    }));

  it('that fails leaves traffic where it was, no version and no gap; sent again it is tried again', () =>
    withServer({}, async (server) => {
      const id = await server.create('agent', env('one'));
      await server.decided(id);
      server.driver.behave = () => ({ failure: { kind: 'exited', message: 'exited with code 3' } });
      await server.call('UpdateAgentRuntime', { agentRuntimeId: id }, env('two'));
      expect(await server.decided(id)).toMatchObject({
        status: 'UPDATE_FAILED',
        agentRuntimeVersion: '1',
        environmentVariables: { VALUE: 'two' },
      });
      expect(await (await server.invoke('agent')).json()).toMatchObject({ env: { VALUE: 'one' } });
      server.driver.behave = () => ({});
      await server.call('UpdateAgentRuntime', { agentRuntimeId: id }, env('two'));
      expect(await server.decided(id)).toMatchObject({ status: 'READY', agentRuntimeVersion: '2' });
    }));

  it('that came to nothing leaves nothing behind once another has followed, also over a restart', () =>
    withServer({}, async (server) => {
      const code = async (text: string) => ({
        codeConfiguration: {
          zipFile: (await zipOf({ 'index.js': text })).toString('base64'),
          language: 'nodejs20',
        },
      });
      const kept = () => ({
        code: readdirSync(join(server.dataDir, 'code', id)).length,
        blobs: readdirSync(join(server.dataDir, 'blobs')).filter((name) => name.endsWith('.zip')).length,
      });
      const id = await server.create('agent', env('one'));
      await server.decided(id);
      server.driver.behave = () => ({ failure: { kind: 'exited', message: 'exited with code 3' } });
      await server.call('UpdateAgentRuntime', { agentRuntimeId: id }, await code('// two'));
      expect(await server.decided(id)).toMatchObject({ status: 'UPDATE_FAILED' });
      // Still what is desired: sent again it is tried again.
      expect(kept()).toEqual({ code: 2, blobs: 2 });
      await server.call('UpdateAgentRuntime', { agentRuntimeId: id }, await code('// three'));
      await server.decided(id);
      await waitFor('the second package to be gone', () => kept().code === 2 && kept().blobs === 2);
      // What a server that was killed has not come to, the next one does.
      mkdirSync(join(server.dataDir, 'code', id, 'e'.repeat(64)));
      await server.restart();
      expect(kept()).toEqual({ code: 2, blobs: 2 });
      server.driver.behave = () => ({});
      await server.call('UpdateAgentRuntime', { agentRuntimeId: id }, await code('// four'));
      expect(await server.decided(id)).toMatchObject({ status: 'READY', agentRuntimeVersion: '2' });
      await waitFor('the third package to be gone', () => kept().code === 2 && kept().blobs === 2);
      expect((await server.invoke('agent')).status).toBe(200);
    }));

  it('supersedes the attempt under way, whose instance goes', () =>
    withServer({}, async (server) => {
      const id = await server.create('agent', env('one'));
      await server.decided(id);
      const never = gate();
      server.driver.behave = (spec) => (spec.environment.VALUE === 'two' ? { until: never.opened } : {});
      await server.call('UpdateAgentRuntime', { agentRuntimeId: id }, env('two'));
      await waitFor('the second start', () => server.driver.starts.length === 2);
      await server.call('UpdateAgentRuntime', { agentRuntimeId: id }, env('three'));
      expect(await server.decided(id)).toMatchObject({ status: 'READY', agentRuntimeVersion: '2' });
      expect(await (await server.invoke('agent')).json()).toMatchObject({ env: { VALUE: 'three' } });
      await waitFor('the others to be gone', () => server.driver.instances.size === 1);
      const { data } = await server.api(`/runstead/v1/runtimes/${id}/events`);
      expect(data.items.map(({ outcome }: { outcome: string }) => outcome)).toContain('superseded');
    }));

  it('waits for open calls of the old version before it is stopped', () =>
    withServer({}, async (server) => {
      const id = await server.create('agent', env('one'));
      await server.decided(id);
      const open = await server.invoke('agent', '/hang');
      await server.call('UpdateAgentRuntime', { agentRuntimeId: id }, env('two'));
      await server.decided(id);
      expect(await (await server.invoke('agent')).json()).toMatchObject({ env: { VALUE: 'two' } });
      expect(server.driver.instances.size).toBe(2);
      server.driver.hanging[0]!.end(' and ended');
      expect(await open.text()).toBe('begun and ended');
      await waitFor('the old instance to be stopped', () => server.driver.instances.size === 1);
    }));
});

describe('a delete', () => {
  it('shows DELETING, then 404; the name is free only then, and nothing is left', () =>
    withServer({ deleteGraceMs: 50 }, async (server) => {
      const id = await server.create('agent');
      await server.decided(id);
      expect((await server.call('DeleteAgentRuntime', { agentRuntimeId: id })).data).toMatchObject({
        agentRuntimeId: id,
        status: 'DELETING',
      });
      expect([200, 404]).toContain((await server.call('DeleteAgentRuntime', { agentRuntimeId: id })).status);
      await waitFor('404', async () => {
        const { status, data } = await server.call('GetAgentRuntime', { agentRuntimeId: id });
        if (status === 200) expect(data.status).toBe('DELETING');
        return status === 404;
      });
      expect((await server.invoke('agent')).status).toBe(404);
      expect(server.driver.instances.size).toBe(0);
      expect(server.driver.forgotten).toEqual([id]);
      await server.decided(await server.create('agent'));
    }));

  it('gives open streams their grace and then cuts them', () =>
    withServer({ deleteGraceMs: 100 }, async (server) => {
      const id = await server.create('agent');
      await server.decided(id);
      const open = await server.invoke('agent', '/hang');
      await server.call('DeleteAgentRuntime', { agentRuntimeId: id });
      await expect(open.text()).rejects.toThrow();
      await waitFor(
        '404',
        async () => (await server.call('GetAgentRuntime', { agentRuntimeId: id })).status === 404,
      );
    }));

  it('wins over an attempt under way', () =>
    withServer({}, async (server) => {
      server.driver.behave = () => ({ until: new Promise(() => {}) });
      const id = await server.create('agent');
      await waitFor('the start', () => server.driver.starts.length === 1);
      await server.call('DeleteAgentRuntime', { agentRuntimeId: id });
      await waitFor(
        '404',
        async () => (await server.call('GetAgentRuntime', { agentRuntimeId: id })).status === 404,
      );
      expect(server.driver.instances.size).toBe(0);
    }));
});
