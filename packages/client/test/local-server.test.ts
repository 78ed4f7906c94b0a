import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { environmentVariables } from '../src/config/environment.ts';
import { readLocalServer } from '../src/config/local-server.ts';
import { readLocalServer as readNothing } from '../src/config/no-local-server.ts';
import { AgentRuntimeClient } from '../src/index.ts';
import { recordingFetch, success } from './recording-fetch.ts';

let data: string;

beforeEach(async () => {
  for (const name of Object.values(environmentVariables).flat()) vi.stubEnv(name, '');
  data = await mkdtemp(join(tmpdir(), 'runstead-client-'));
  vi.stubEnv('RUNSTEAD_DATA', data);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(data, { recursive: true });
});

async function writeLocalServer(key: string, server: string): Promise<void> {
  await mkdir(join(data, 'run'), { recursive: true });
  await writeFile(join(data, 'local-key.json'), key);
  await writeFile(join(data, 'run', 'server.json'), server);
}

describe('readLocalServer', () => {
  it('reads key and address', async () => {
    await writeLocalServer('{"apiKey":"rsk_local"}', '{"url":"http://127.0.0.1:7700","pid":1}');
    expect(readLocalServer()).toEqual({ apiKey: 'rsk_local', url: 'http://127.0.0.1:7700' });
  });

  it('looks in the home folder otherwise', async () => {
    vi.stubEnv('RUNSTEAD_DATA', '');
    vi.stubEnv('HOME', data);
    await mkdir(join(data, '.runstead'));
    await writeFile(join(data, '.runstead', 'local-key.json'), '{"apiKey":"rsk_home"}');
    expect(readLocalServer()).toEqual({ apiKey: 'rsk_home' });
  });

  it.each(['', '{', 'null', '{"apiKey":5,"url":""}', '[]'])('takes %j for nothing', async (text) => {
    await writeLocalServer(text, text);
    expect(readLocalServer()).toEqual({});
  });

  it('finds nothing where there are no files', () => {
    expect(readLocalServer()).toEqual({});
    expect(readNothing()).toEqual({});
  });
});

describe('a client without settings', () => {
  beforeEach(() => writeLocalServer('{"apiKey":"rsk_local"}', '{"url":"http://127.0.0.1:7700","pid":1}'));

  async function hostAndKey(config: { baseUrl?: string }) {
    const { fetch, calls } = recordingFetch(() => success({}));
    await new AgentRuntimeClient({ ...config, fetch }).get('r1');
    return [new URL(calls[0]!.url).host, calls[0]!.headers.authorization];
  }

  it('talks to the local server as its owner', async () => {
    expect(await hostAndKey({})).toEqual(['127.0.0.1:7700', 'Bearer rsk_local']);
  });

  it('shows the local key to loopback addresses only', async () => {
    expect(await hostAndKey({ baseUrl: 'http://[::1]:80' })).toEqual(['[::1]', 'Bearer rsk_local']);
    expect(await hostAndKey({ baseUrl: 'http://192.168.1.9:7700' })).toEqual(['192.168.1.9:7700', undefined]);
    expect(await hostAndKey({ baseUrl: 'http://localhost.example' })).toEqual([
      'localhost.example',
      undefined,
    ]);
  });
});
