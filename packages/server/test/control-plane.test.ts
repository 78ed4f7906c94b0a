import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig } from '../src/config.ts';
import { type ControlPlane, openControlPlane } from '../src/control-plane.ts';
import { FolderInUse } from '../src/folder-lock.ts';

let folder: string;
let plane: ControlPlane;
const open = () => openControlPlane(loadConfig({ dataDir: folder, logLevel: 'silent' }, {}));
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'runstead-alone-'));
  plane = await open();
});
afterEach(async () => {
  await plane.close();
  await rm(folder, { recursive: true });
});

function ask(method: string, path: string, body?: unknown) {
  return new Promise<{ status: number | undefined; data: Record<string, unknown> }>((resolve, reject) => {
    const headers = {
      authorization: `Bearer ${plane.apiKey}`,
      ...(body !== undefined && { 'content-type': 'application/json' }),
    };
    request({ socketPath: plane.socketPath, method, path, headers }, (response) => {
      text(response).then(
        (answer) => resolve({ status: response.statusCode, ...JSON.parse(answer) }),
        reject,
      );
    })
      .on('error', reject)
      .end(body === undefined ? undefined : JSON.stringify(body));
  });
}

describe('a control plane by itself', () => {
  it('answers for what is written, and nothing comes of it', async () => {
    const created = await ask('POST', '/2025-09-10/agents/runtimes', {
      agentRuntimeName: 'agent',
      artifactType: 'Container',
      containerConfiguration: { image: 'i' },
      cpu: 1,
      memory: 512,
      port: 9000,
    });
    expect(created).toMatchObject({ status: 200, data: { status: 'CREATING' } });
    const path = `/2025-09-10/agents/runtimes/${created.data.agentRuntimeId}`;
    // With a reconciler this one would fail at once, as there is no engine for containers; and go, once deleted.
    expect((await ask('GET', path)).data).toMatchObject({ status: 'CREATING' });
    expect((await ask('DELETE', path)).data).toMatchObject({ status: 'DELETING' });
    await plane.close();
    plane = await open();
    expect((await ask('GET', path)).data).toMatchObject({ status: 'DELETING' });
    expect(await plane.store.listEvents(String(created.data.agentRuntimeId), 10)).toEqual([]);
  });

  it('shares its folder with nobody', async () => {
    await expect(open()).rejects.toThrow(FolderInUse);
  });
});
