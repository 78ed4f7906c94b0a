import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { environmentVariables } from '../src/config/environment.ts';
import { AgentRuntimeClient, type Config } from '../src/index.ts';
import { recordingFetch } from './recording-fetch.ts';

beforeEach(() => {
  for (const name of Object.values(environmentVariables).flat()) vi.stubEnv(name, '');
  vi.stubEnv('RUNSTEAD_DATA', '/nonexistent');
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.unstubAllGlobals();
});

function inPage(config: Config) {
  vi.stubGlobal('window', { document: {} });
  vi.stubGlobal('navigator', { userAgent: 'a browser' });
  const { fetch, calls } = recordingFetch(() => Response.json({ data: {}, choices: [] }));
  return { client: new AgentRuntimeClient({ baseUrl: 'https://runstead.example', fetch, ...config }), calls };
}

const keys: [string, Config][] = [
  ['apiKey', { apiKey: 'rsk_x' }],
  ['accessKeyId and accessKeySecret', { accessKeyId: 'testak', accessKeySecret: 'testsk' }],
];

describe('in a page of a browser', () => {
  it.each(keys)('%s is refused, on both planes', async (setting, config) => {
    const { client, calls } = inPage(config);
    for (const call of [client.get('r1'), client.invokeOpenai('hello', undefined, { messages: [] })]) {
      await expect(call).rejects.toMatchObject({
        name: 'ValueError',
        message: expect.stringMatching(new RegExp(`^${setting} would be open to everybody`)),
      });
    }
    expect(() => client.openai('hello')).toThrow(/would be open to everybody/);
    expect(calls).toEqual([]);
  });

  it.each(keys)('%s is taken where everybody may have it', async (_, config) => {
    const { client, calls } = inPage({ ...config, dangerouslyAllowBrowser: true });
    await client.get('r1');
    await client.get('r1', { dangerouslyAllowBrowser: undefined });
    expect(calls).toHaveLength(2);
  });

  it('a token for one runtime is fine', async () => {
    const { client, calls } = inPage({ token: 'tok' });
    await client.invokeOpenai('hello', undefined, { messages: [] });
    expect(calls[0]?.headers).toMatchObject({ 'agentrun-access-token': 'tok' });
  });

  it('so are open agents', async () => {
    const { client } = inPage({});
    await client.invokeOpenai('hello', undefined, { messages: [] });
  });
});

it('elsewhere a window alone makes no page', async () => {
  const { client } = inPage({ apiKey: 'rsk_x' });
  vi.stubGlobal('window', {});
  await client.get('r1');
});
