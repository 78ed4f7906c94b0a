import { describe, expect, it } from 'vitest';
import { type Config, mergeConfigs } from './config.ts';
import { readEnvironment } from './environment.ts';
import type { LocalServer } from './local-server.ts';
import { isLoopback, type Plane, resolveTarget } from './target.ts';

const LOCAL: LocalServer = { apiKey: 'rsk_local', url: 'http://127.0.0.1:7700' };
const AGENTRUN_KEY = { AGENTRUN_ACCESS_KEY_ID: 'testak', AGENTRUN_ACCESS_KEY_SECRET: 'testsk' };
const CLOUD_KEY = { ALIBABA_CLOUD_ACCESS_KEY_ID: 'testak2', ALIBABA_CLOUD_ACCESS_KEY_SECRET: 'testsk2' };
const KEY = { accessKeyId: 'testak', accessKeySecret: 'testsk' };

function resolve(plane: Plane, config: Config, environment: Record<string, string>, local: LocalServer = {}) {
  return resolveTarget(plane, mergeConfigs(config), readEnvironment(environment), () => local);
}

interface Row {
  name: string;
  config?: Config;
  env?: Record<string, string>;
  local?: LocalServer;
  control?: string | RegExp;
  data?: string | RegExp;
  /** Of the control plane, and of the data plane unless `dataCredential` says otherwise. */
  credential?: object;
  dataCredential?: object;
}

const apiKey = (key: string) => ({ kind: 'apiKey', apiKey: key });
const accessKey = (accessKeyId: string, accessKeySecret: string, securityToken?: string) => ({
  kind: 'accessKey',
  accessKeyId,
  accessKeySecret,
  ...(securityToken !== undefined && { securityToken }),
});
const none = { kind: 'none' };

const rows: Row[] = [
  {
    name: 'nothing at all',
    control: /no credentials are known: .*runstead serve.*RUNSTEAD_BASE_URL/,
    data: /accountId.*dataEndpoint.*baseUrl/,
  },
  {
    name: 'only a local server',
    local: LOCAL,
    control: 'http://127.0.0.1:7700',
    data: 'http://127.0.0.1:7700',
    credential: apiKey('rsk_local'),
  },
  {
    name: 'a local server and a key of the environment for it',
    env: { RUNSTEAD_API_KEY: 'rsk_env' },
    local: LOCAL,
    control: 'http://127.0.0.1:7700',
    data: 'http://127.0.0.1:7700',
    credential: apiKey('rsk_env'),
  },
  {
    name: "the cloud's key stands above a local server",
    env: { ...CLOUD_KEY, FC_ACCOUNT_ID: '123' },
    local: LOCAL,
    control: 'https://agentrun.cn-hangzhou.aliyuncs.com',
    data: 'https://123.agentrun-data.cn-hangzhou.aliyuncs.com',
    credential: accessKey('testak2', 'testsk2'),
  },
  {
    name: 'first variable first',
    env: {
      ...AGENTRUN_KEY,
      ...CLOUD_KEY,
      AGENTRUN_SECURITY_TOKEN: 'testtoken',
      ALIBABA_CLOUD_SECURITY_TOKEN: 'testtoken2',
      AGENTRUN_ACCOUNT_ID: '1',
      FC_ACCOUNT_ID: '2',
      AGENTRUN_REGION: 'cn-beijing',
      FC_REGION: 'cn-shanghai',
    },
    control: 'https://agentrun.cn-beijing.aliyuncs.com',
    data: 'https://1.agentrun-data.cn-beijing.aliyuncs.com',
    credential: accessKey('testak', 'testsk', 'testtoken'),
  },
  {
    name: 'empty variables count as not set',
    env: {
      ...CLOUD_KEY,
      AGENTRUN_ACCESS_KEY_ID: '',
      AGENTRUN_ACCESS_KEY_SECRET: ' ',
      AGENTRUN_REGION: '',
      FC_REGION: 'cn-shanghai',
      AGENTRUN_CONTROL_ENDPOINT: '',
      FC_ACCOUNT_ID: '2',
    },
    control: 'https://agentrun.cn-shanghai.aliyuncs.com',
    data: 'https://2.agentrun-data.cn-shanghai.aliyuncs.com',
    credential: accessKey('testak2', 'testsk2'),
  },
  {
    name: 'explicit beats environment, empty explicit does not',
    config: { ...KEY, accountId: '9', regionId: 'us-west-1', securityToken: '' },
    env: { ...CLOUD_KEY, AGENTRUN_ACCOUNT_ID: '1', AGENTRUN_REGION: 'cn-beijing' },
    control: 'https://agentrun.us-west-1.aliyuncs.com',
    data: 'https://9.agentrun-data.us-west-1.aliyuncs.com',
    credential: accessKey('testak', 'testsk'),
  },
  {
    name: "a token of the environment stays with the environment's key",
    config: { ...KEY, accountId: '9' },
    env: { ...CLOUD_KEY, ALIBABA_CLOUD_SECURITY_TOKEN: 'testtoken2' },
    control: 'https://agentrun.cn-hangzhou.aliyuncs.com',
    data: 'https://9.agentrun-data.cn-hangzhou.aliyuncs.com',
    credential: accessKey('testak', 'testsk'),
  },
  {
    name: 'endpoints of the environment',
    env: {
      ...AGENTRUN_KEY,
      AGENTRUN_CONTROL_ENDPOINT: 'https://control.example/prefix/',
      AGENTRUN_DATA_ENDPOINT: 'http://data.example:81//',
    },
    local: LOCAL,
    control: 'https://control.example/prefix',
    data: 'http://data.example:81',
    credential: accessKey('testak', 'testsk'),
  },
  {
    name: 'without a data endpoint the control endpoint is both',
    config: { controlEndpoint: 'https://runstead.example', apiKey: 'rsk_a' },
    env: { FC_ACCOUNT_ID: '123' },
    control: 'https://runstead.example',
    data: 'https://runstead.example',
    credential: apiKey('rsk_a'),
  },
  {
    name: "unless it is the cloud's",
    config: { controlEndpoint: 'agentrun.cn-beijing.aliyuncs.com', ...KEY, accountId: '5' },
    control: 'https://agentrun.cn-beijing.aliyuncs.com',
    data: 'https://5.agentrun-data.cn-hangzhou.aliyuncs.com',
    credential: accessKey('testak', 'testsk'),
  },
  {
    name: 'RUNSTEAD_BASE_URL is both, and stands above AGENTRUN_*_ENDPOINT',
    env: {
      RUNSTEAD_BASE_URL: 'https://runstead.example',
      RUNSTEAD_API_KEY: 'rsk_env',
      ...CLOUD_KEY,
      AGENTRUN_CONTROL_ENDPOINT: 'https://a.example',
      AGENTRUN_DATA_ENDPOINT: 'https://b.example',
    },
    control: 'https://runstead.example',
    data: 'https://runstead.example',
    credential: apiKey('rsk_env'),
  },
  {
    name: 'an explicit control endpoint is not mixed with RUNSTEAD_BASE_URL',
    config: { controlEndpoint: 'https://other.example', apiKey: 'rsk_other' },
    env: { RUNSTEAD_BASE_URL: 'https://runstead.example', RUNSTEAD_API_KEY: 'rsk_env' },
    control: 'https://other.example',
    data: 'https://other.example',
    credential: apiKey('rsk_other'),
  },
  {
    name: 'baseUrl is both, single endpoints stand above it',
    config: { baseUrl: 'https://base.example', dataEndpoint: 'https://data.example', apiKey: 'rsk_a' },
    env: { AGENTRUN_DATA_ENDPOINT: 'https://b.example' },
    control: 'https://base.example',
    data: 'https://data.example',
    credential: apiKey('rsk_a'),
  },
  {
    name: "an explicit access key stands above the environment's Runstead key",
    config: { baseUrl: 'https://base.example', ...KEY },
    env: { RUNSTEAD_API_KEY: 'rsk_env' },
    control: 'https://base.example',
    data: 'https://base.example',
    credential: accessKey('testak', 'testsk'),
  },
  {
    name: 'half an access key',
    config: { baseUrl: 'https://base.example', accessKeyId: 'testak' },
    control: /accessKeySecret is missing/,
    data: /accessKeySecret is missing/,
  },
  {
    name: 'half an access key in the environment is none',
    config: { baseUrl: 'https://base.example' },
    env: { AGENTRUN_ACCESS_KEY_ID: 'testak' },
    control: 'https://base.example',
    data: 'https://base.example',
    credential: none,
  },
  {
    name: 'a token is for the data plane',
    config: { baseUrl: 'https://base.example', ...KEY, token: 'tok' },
    control: 'https://base.example',
    data: 'https://base.example',
    credential: accessKey('testak', 'testsk'),
    dataCredential: { kind: 'accessToken', token: 'tok' },
  },
  {
    name: 'a token leads no agent call away from the local server',
    config: { token: 'tok' },
    local: LOCAL,
    control: 'http://127.0.0.1:7700',
    data: 'http://127.0.0.1:7700',
    credential: apiKey('rsk_local'),
    dataCredential: { kind: 'accessToken', token: 'tok' },
  },
  {
    name: 'a token beside an access key is for the cloud, whatever runs here',
    config: { ...KEY, token: 'tok', accountId: '1' },
    local: LOCAL,
    control: 'https://agentrun.cn-hangzhou.aliyuncs.com',
    data: 'https://1.agentrun-data.cn-hangzhou.aliyuncs.com',
    credential: accessKey('testak', 'testsk'),
    dataCredential: { kind: 'accessToken', token: 'tok' },
  },
  {
    name: 'a Runstead key never goes to the cloud: explicit',
    config: { apiKey: 'rsk_secret', accountId: '1' },
    control: /apiKey is for a Runstead server and is not sent to agentrun\.cn-hangzhou\.aliyuncs\.com/,
    data: /apiKey is for a Runstead server/,
  },
  {
    name: "a Runstead key never goes to the cloud: the cloud's key is taken instead",
    config: { regionId: 'cn-beijing', accountId: '1' },
    env: { RUNSTEAD_API_KEY: 'rsk_env', ...CLOUD_KEY },
    control: 'https://agentrun.cn-beijing.aliyuncs.com',
    data: 'https://1.agentrun-data.cn-beijing.aliyuncs.com',
    credential: accessKey('testak2', 'testsk2'),
  },
  {
    name: 'agents in the cloud may be open to everybody',
    config: { accountId: '1' },
    control: /no credentials are known/,
    data: 'https://1.agentrun-data.cn-hangzhou.aliyuncs.com',
    dataCredential: none,
  },
  {
    name: 'the local key goes to a loopback endpoint',
    config: { controlEndpoint: 'http://localhost:9999' },
    local: LOCAL,
    control: 'http://localhost:9999',
    data: 'http://localhost:9999',
    credential: apiKey('rsk_local'),
  },
  {
    name: 'and nowhere else',
    config: { baseUrl: 'https://127.0.0.1.example.com' },
    local: LOCAL,
    control: 'https://127.0.0.1.example.com',
    data: 'https://127.0.0.1.example.com',
    credential: none,
  },
  {
    name: "not even where the local server's file says so",
    local: { apiKey: 'rsk_local', url: 'http://10.0.0.7:7700' },
    control: 'http://10.0.0.7:7700',
    data: 'http://10.0.0.7:7700',
    credential: none,
  },
  {
    name: 'a user name in front of a foreign host is refused, and not shown',
    config: { baseUrl: 'http://localhost:hunter2@evil.example' },
    local: LOCAL,
    control: /^controlEndpoint or baseUrl must not hold a user name or password$/,
    data: /^dataEndpoint or baseUrl must not hold a user name or password$/,
  },
  {
    name: 'without a scheme: https, on this machine http',
    config: { controlEndpoint: 'localhost:7700', dataEndpoint: 'data.example:8443', apiKey: 'rsk_a' },
    control: 'http://localhost:7700',
    data: 'https://data.example:8443',
    credential: apiKey('rsk_a'),
  },
  {
    name: 'not a URL',
    config: { controlEndpoint: 'http://', dataEndpoint: 'ftp://x.example', apiKey: 'rsk_a' },
    control: /^controlEndpoint or baseUrl is not a URL$/,
    data: /^dataEndpoint or baseUrl must begin with http:\/\/ or https:\/\/$/,
  },
  {
    name: 'a region that would lead to another host',
    config: { ...KEY, regionId: 'x.evil.example/', accountId: '1/../..' },
    control: /regionId is not a region/,
    data: /regionId is not a region/,
  },
  {
    name: 'a key with a line break inside is not shown',
    config: { baseUrl: 'https://base.example', apiKey: 'rsk_a\nb' },
    control: /^apiKey holds characters that no such value has$/,
    data: /^apiKey holds characters that no such value has$/,
  },
  {
    name: 'white space around a key does not count',
    config: { baseUrl: 'https://base.example', apiKey: ' rsk_a\n' },
    control: 'https://base.example',
    data: 'https://base.example',
    credential: apiKey('rsk_a'),
  },
];

describe('resolveTarget', () => {
  describe.each(rows)('$name', ({ config = {}, env = {}, local, credential, dataCredential, ...wanted }) => {
    it.each(['control', 'data'] as const)('%s plane', (plane) => {
      const want = wanted[plane]!;
      if (want instanceof RegExp) {
        expect(() => resolve(plane, config, env, local)).toThrow(
          expect.objectContaining({ name: 'ValueError', message: expect.stringMatching(want) }),
        );
        return;
      }
      const target = resolve(plane, config, env, local);
      expect(target.baseUrl).toBe(want);
      expect(target.credential).toEqual(plane === 'data' ? (dataCredential ?? credential) : credential);
    });
  });

  it('does not look for a local server where settings suffice', () => {
    const never = () => {
      throw new Error('looked');
    };
    const given = mergeConfigs({ baseUrl: 'http://localhost:1', apiKey: 'rsk_a' });
    expect(() => resolveTarget('control', given, {}, never)).not.toThrow();
    expect(() =>
      resolveTarget('data', mergeConfigs({ baseUrl: 'https://a.example' }), {}, never),
    ).not.toThrow();
  });
});

describe('mergeConfigs', () => {
  it('lets a later layer win only by what it gives itself', () => {
    const client: Config = { regionId: 'us-west-1', accountId: '1', timeout: 5, headers: { A: '1', B: '1' } };
    expect(
      mergeConfigs(client, { accountId: '2', regionId: undefined, headers: { b: '2', c: undefined } }),
    ).toEqual({
      regionId: 'us-west-1',
      accountId: '2',
      timeout: 5,
      headers: { a: '1', b: '2' },
    });
    expect(mergeConfigs(client, undefined)).toMatchObject({ accountId: '1' });
    // The order of layers without a field in common does not matter.
    expect(mergeConfigs({ timeout: 1 }, { regionId: 'x' })).toEqual(
      mergeConfigs({ regionId: 'x' }, { timeout: 1 }),
    );
  });

  it('replaces a credential as a whole', () => {
    const temporary = { accessKeyId: 'testak', accessKeySecret: 'testsk', securityToken: 'testtoken' };
    expect(mergeConfigs(temporary, { apiKey: 'rsk_a' })).toEqual({ apiKey: 'rsk_a', headers: {} });
    expect(mergeConfigs({ apiKey: 'rsk_a' }, KEY)).toEqual({ ...KEY, headers: {} });
    expect(mergeConfigs(temporary, { accessKeyId: 'testak2', accessKeySecret: 'testsk2' })).toEqual({
      accessKeyId: 'testak2',
      accessKeySecret: 'testsk2',
      headers: {},
    });
  });
});

describe('isLoopback', () => {
  it.each([
    ['http://localhost', true],
    ['http://LOCALHOST:1', true],
    ['http://127.0.0.1', true],
    ['http://127.255.0.9:80', true],
    ['http://127.1', true],
    ['http://[::1]:7700', true],
    ['http://128.0.0.1', false],
    ['http://10.127.0.1', false],
    ['http://0.0.0.0', false],
    ['http://localhost.example', false],
    ['http://127.0.0.1.example', false],
    ['http://[::2]', false],
    ['http://[::ffff:8.8.8.8]', false],
  ])('%s: %s', (url, answer) => {
    expect(isLoopback(new URL(url).hostname)).toBe(answer);
  });
});
