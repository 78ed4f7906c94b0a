import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { ConfigError, loadConfig } from '../src/config.ts';
import { startServer } from '../src/start-server.ts';

const mountsIn = (value: string) => loadConfig({}, { RUNSTEAD_MOUNTS: value }).mounts;

it.each([
  ['', []],
  ['/mnt/models', ['/mnt/models']],
  ['/mnt/models/, /mnt/shared ,', ['/mnt/models', '/mnt/shared']],
  ['/mnt/with space', ['/mnt/with space']],
])('RUNSTEAD_MOUNTS="%s" names %j', (value, expected) => {
  expect(mountsIn(value)).toEqual(expected);
});

it.each([
  'models',
  './models',
  '../models',
  '/',
  '/mnt/../etc',
  '/mnt/./a',
  '/mnt//a',
  '~/models',
  '/mnt/a,b',
])('RUNSTEAD_MOUNTS="%s" is refused by name', (value) => {
  expect(() => mountsIn(value)).toThrow(ConfigError);
  expect(() => mountsIn(value)).toThrow(/^RUNSTEAD_MOUNTS must be absolute paths of directories.*; got "/);
});

it('a mount that is not there keeps the server from starting, and nothing is left of the try', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'runstead-mounts-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'file');
  writeFileSync(file, '');
  for (const path of [join(folder, 'missing'), file, join(file, 'below')]) {
    const config = loadConfig(
      { dataDir: join(folder, 'data'), port: 0 },
      { RUNSTEAD_MOUNTS: `${folder},${path}` },
    );
    const failed = startServer(config);
    await expect(failed).rejects.toThrow(ConfigError);
    await expect(failed).rejects.toThrow(
      `RUNSTEAD_MOUNTS names ${path}, which is no directory of this machine`,
    );
  }
});

const read = (variables: Record<string, string>) => loadConfig({}, variables);

it('TLS is off, and everything about it unset, unless somebody says so', () => {
  expect(read({})).toMatchObject({
    tlsPort: undefined,
    tlsCert: undefined,
    tlsKey: undefined,
    tlsNames: [],
    insecureHttp: false,
    domains: [],
    privateHosts: undefined,
  });
});

it('settings of TLS, domains and private access are read', () => {
  expect(
    read({
      RUNSTEAD_TLS_PORT: '0',
      RUNSTEAD_TLS_CERT: '/etc/tls/cert.pem',
      RUNSTEAD_TLS_KEY: '/etc/tls/key.pem',
      RUNSTEAD_TLS_NAMES: 'Box.local, *.agents.example.com,[::2]',
      RUNSTEAD_INSECURE_HTTP: 'yes',
      RUNSTEAD_DOMAINS: 'chat.example.com=hello/blue, api.example.com=other',
      RUNSTEAD_PRIVATE_HOSTS: 'agents.internal,10.0.0.7',
      RUNSTEAD_PRIVATE_NETWORKS: '10.0.0.0/8,fd00::/8,192.0.2.1',
    }),
  ).toMatchObject({
    tlsPort: 0,
    tlsCert: '/etc/tls/cert.pem',
    tlsKey: '/etc/tls/key.pem',
    tlsNames: ['box.local', '*.agents.example.com', '::2'],
    insecureHttp: true,
    domains: [
      { host: 'chat.example.com', runtimeName: 'hello', endpointName: 'blue' },
      { host: 'api.example.com', runtimeName: 'other', endpointName: 'Default' },
    ],
    privateHosts: ['agents.internal', '10.0.0.7'],
    privateNetworks: ['10.0.0.0/8', 'fd00::/8', '192.0.2.1'],
  });
  expect(read({ RUNSTEAD_PRIVATE_HOSTS: 'none' }).privateHosts).toEqual([]);
});

it('nobody is trusted, no host is for agents alone and no call is written down, unless somebody says so', () => {
  expect(read({})).toMatchObject({
    trustProxy: [],
    traceSampled: true,
    agentHosts: [],
    accessLog: 'off',
    accessLogShare: 1,
    accessLogFile: undefined,
  });
});

it('settings of proxies, traces, agents’ hosts and the record of calls are read', () => {
  expect(
    read({
      RUNSTEAD_TRUST_PROXY: '10.0.0.0/8, ::1',
      RUNSTEAD_TRACE_SAMPLED: 'no',
      RUNSTEAD_AGENT_HOSTS: 'Agents.localhost,[2001:db8::7]',
      RUNSTEAD_ACCESS_LOG: 'all',
      RUNSTEAD_ACCESS_LOG_SHARE: '.25',
      RUNSTEAD_ACCESS_LOG_FILE: 'logs/access.log',
    }),
  ).toMatchObject({
    trustProxy: ['10.0.0.0/8', '::1'],
    traceSampled: false,
    agentHosts: ['agents.localhost', '2001:db8::7'],
    accessLog: 'all',
    accessLogShare: 0.25,
    // The gateway may stand elsewhere.
    accessLogFile: resolve('logs/access.log'),
  });
});

it('a record of calls that cannot be written keeps the server from starting', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'runstead-access-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const path of [folder, join(folder, 'missing', 'access.log')]) {
    const input = { dataDir: join(folder, 'data'), port: 0, accessLogFile: path };
    const failed = startServer(loadConfig({ ...input, accessLog: 'errors' }, {}));
    await expect(failed).rejects.toThrow(ConfigError);
    await expect(failed).rejects.toThrow(
      `RUNSTEAD_ACCESS_LOG_FILE names ${path}, which cannot be appended to`,
    );
  }
});

it.each<[Record<string, string>, RegExp]>([
  [{ RUNSTEAD_TLS_PORT: 'on' }, /RUNSTEAD_TLS_PORT must be a whole number .*got "on"/],
  [{ RUNSTEAD_TLS_PORT: '7700' }, /RUNSTEAD_TLS_PORT must differ from RUNSTEAD_PORT; got 7700/],
  [{ RUNSTEAD_TLS_PORT: '1', RUNSTEAD_TLS_CERT: 'c' }, /RUNSTEAD_TLS_KEY is needed beside RUNSTEAD_TLS_CERT/],
  [{ RUNSTEAD_TLS_PORT: '1', RUNSTEAD_TLS_KEY: 'k' }, /RUNSTEAD_TLS_CERT is needed beside RUNSTEAD_TLS_KEY/],
  [{ RUNSTEAD_TLS_CERT: 'c', RUNSTEAD_TLS_KEY: 'k' }, /RUNSTEAD_TLS_PORT is needed .*TLS is off/],
  [{ RUNSTEAD_TLS_NAMES: 'box:443' }, /RUNSTEAD_TLS_NAMES must be names .*got "box:443"/],
  [{ RUNSTEAD_INSECURE_HTTP: 'true' }, /RUNSTEAD_INSECURE_HTTP must be one of yes, no; got "true"/],
  [{ RUNSTEAD_DOMAINS: 'chat.example.com' }, /RUNSTEAD_DOMAINS must be hosts .*got "chat\.example\.com"/],
  [{ RUNSTEAD_DOMAINS: 'a.example=1x' }, /RUNSTEAD_DOMAINS must be hosts .*"1x" is no runtime/],
  [
    { RUNSTEAD_DOMAINS: 'a.example=x', RUNSTEAD_PUBLIC_URL: 'https://A.example:8443' },
    /RUNSTEAD_DOMAINS must not hold the host of RUNSTEAD_PUBLIC_URL, "a\.example"/,
  ],
  [{ RUNSTEAD_PRIVATE_HOSTS: 'a b' }, /RUNSTEAD_PRIVATE_HOSTS must be names .*got "a b"/],
  [{ RUNSTEAD_TRUST_PROXY: 'nginx' }, /RUNSTEAD_TRUST_PROXY must be addresses .*got "nginx"/],
  [{ RUNSTEAD_TRACE_SAMPLED: '1' }, /RUNSTEAD_TRACE_SAMPLED must be one of yes, no; got "1"/],
  [{ RUNSTEAD_AGENT_HOSTS: 'a.test:80' }, /RUNSTEAD_AGENT_HOSTS must be names .*got "a\.test:80"/],
  [
    { RUNSTEAD_AGENT_HOSTS: 'localhost' },
    /RUNSTEAD_AGENT_HOSTS must not hold "localhost", this machine's own/,
  ],
  [
    { RUNSTEAD_AGENT_HOSTS: 'A.test', RUNSTEAD_PUBLIC_URL: 'https://a.test:8443' },
    /RUNSTEAD_AGENT_HOSTS must not hold "a\.test", the host of RUNSTEAD_PUBLIC_URL/,
  ],
  [
    { RUNSTEAD_AGENT_HOSTS: '10.0.0.7', RUNSTEAD_HOST: '10.0.0.7' },
    /RUNSTEAD_AGENT_HOSTS must not hold "10\.0\.0\.7", the host of RUNSTEAD_HOST/,
  ],
  [
    { RUNSTEAD_AGENT_HOSTS: 'a.test', RUNSTEAD_DOMAINS: 'a.test=x' },
    /RUNSTEAD_AGENT_HOSTS must not hold "a\.test", which is among RUNSTEAD_DOMAINS/,
  ],
  [{ RUNSTEAD_ACCESS_LOG: 'yes' }, /RUNSTEAD_ACCESS_LOG must be one of off, errors, all; got "yes"/],
  [{ RUNSTEAD_ACCESS_LOG_SHARE: '10%' }, /RUNSTEAD_ACCESS_LOG_SHARE must be a number from 0 to 1.*got "10%"/],
  [{ RUNSTEAD_ACCESS_LOG_SHARE: '1.5' }, /RUNSTEAD_ACCESS_LOG_SHARE must be a number from 0 to 1/],
  [{ RUNSTEAD_PRIVATE_NETWORKS: '10.0.0.0/33' }, /RUNSTEAD_PRIVATE_NETWORKS must be .*got "10\.0\.0\.0\/33"/],
])('%j is refused', (variables, says) => {
  expect(() => read(variables)).toThrow(ConfigError);
  expect(() => read(variables)).toThrow(says);
});
