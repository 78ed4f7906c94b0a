import { describe, expect, it } from 'vitest';
import type { InstanceSpec } from '../instance-spec.ts';
import { type ContainerSurroundings, containerBody } from './container-body.ts';

const spec: InstanceSpec = {
  instanceId: 'i',
  runtimeId: 'r',
  runtimeName: 'agent',
  revision: 3,
  codeDir: '/data/code/a:b',
  language: 'nodejs20',
  command: ['node', 'index.js'],
  port: 9000,
  environment: { MODEL: 'qwen', PORT: '1', RUNSTEAD_DATA_MARK: 'mine' },
  cpu: 4,
  memoryMiB: 512,
  healthCheck: {},
  startTimeoutMs: 1000,
};

const around: ContainerSurroundings = {
  image: 'base',
  network: 'runstead-m-r',
  hostPort: 15_001,
  dataMark: 'm',
  accountId: '0',
  region: 'cn-test',
  logLimitBytes: 1024 * 1024,
  facts: { isPodman: false, isRootless: false, cpus: 2, architecture: 'amd64' },
  user: { uid: 1000, gid: 1001 },
  linked: ['/data/deps/x/node_modules'],
  sitePackages: [],
};

const registry = { authConfig: { userName: 'reader', password: 'sesame-open' } };
const image = { digest: 'd', image: `reg.example/a@sha256:${'a'.repeat(64)}`, registry };
const environmentOf = (body: ReturnType<typeof containerBody>) =>
  Object.fromEntries(body.Env.map((it) => [it.slice(0, it.indexOf('=')), it.slice(it.indexOf('=') + 1)]));

describe('what the engine is asked to create', () => {
  it('has no right, and no way to one', () => {
    for (const given of [spec, { ...spec, image, codeDir: '' }]) {
      const { HostConfig } = containerBody(given, around);
      expect(HostConfig).toMatchObject({
        CapDrop: ['ALL'],
        SecurityOpt: ['no-new-privileges'],
        PidsLimit: 512,
        IpcMode: 'private',
        CgroupnsMode: 'private',
        NetworkMode: 'runstead-m-r',
        PortBindings: { '9000/tcp': [{ HostIp: '127.0.0.1', HostPort: '15001' }] },
        LogConfig: { Type: 'json-file', Config: { 'max-size': '1024k', 'max-file': '2' } },
      });
      // The engine's own profile: whoever names another, or none, replaces it.
      expect(JSON.stringify(HostConfig)).not.toMatch(/seccomp|Privileged|PidMode|UTSMode|UsernsMode|Devices/);
    }
  });

  it('is held to its memory without swap, and to the processors that there are', () => {
    expect(containerBody(spec, around).HostConfig).toMatchObject({
      Memory: 512 * 1024 * 1024,
      MemorySwap: 512 * 1024 * 1024,
      NanoCpus: 2e9,
    });
    expect(containerBody({ ...spec, cpu: 0.5 }, around).HostConfig.NanoCpus).toBe(5e8);
  });

  it('sees of the machine its package alone, read-only, and what its operator has made available', () => {
    expect(containerBody(spec, around).HostConfig.Mounts).toEqual([
      { Type: 'bind', Source: '/data/code/a:b', Target: '/code', ReadOnly: true },
      {
        Type: 'bind',
        Source: '/data/deps/x/node_modules',
        Target: '/data/deps/x/node_modules',
        ReadOnly: true,
      },
    ]);
    const given = { ...spec, image, codeDir: '', mounts: ['/mnt/models'] };
    expect(containerBody(given, around).HostConfig.Mounts).toEqual([
      { Type: 'bind', Source: '/mnt/models', Target: '/mnt/models', ReadOnly: false },
    ]);
  });

  it('starts what is given in place of what the image would start', () => {
    expect(containerBody(spec, around)).toMatchObject({ Entrypoint: ['node'], Cmd: ['index.js'] });
    const own = containerBody({ ...spec, image, command: [] }, around);
    expect(own).not.toHaveProperty('Entrypoint');
    expect(own).not.toHaveProperty('Cmd');
  });

  it('bears no password of a registry, in labels, variables or anywhere', () => {
    const body = containerBody({ ...spec, image }, around);
    expect(JSON.stringify(body)).not.toContain('sesame-open');
    expect(body.Labels).toEqual({
      'runstead.data': 'm',
      'runstead.instance': 'i',
      'runstead.runtime': 'r',
      'runstead.revision': '3',
    });
  });

  it('has the variables that are promised, and never the mark of a process of this machine', () => {
    const environment = environmentOf(containerBody({ ...spec, image }, around));
    expect(environment).toEqual({
      MODEL: 'qwen',
      FC_ACCOUNT_ID: '0',
      FC_REGION: 'cn-test',
      PORT: '9000',
      FC_SERVER_PORT: '9000',
      FC_CUSTOM_LISTEN_PORT: '9000',
      RUNSTEAD_INSTANCE_ID: 'i',
      RUNSTEAD_RUNTIME_ID: 'r',
    });
    expect(environmentOf(containerBody(spec, around))).toMatchObject({
      HOME: '/tmp',
      PATH: expect.stringMatching(/^\/code\/node_modules\/\.bin:.*:\/code$/) as string,
    });
  });

  it('runs code as who may read it', () => {
    expect(containerBody(spec, around).User).toBe('1000:1001');
    const rootless = { ...around, facts: { ...around.facts, isRootless: true } };
    expect(containerBody(spec, rootless).User).toBe('0:0');
    expect(containerBody({ ...spec, image }, around)).not.toHaveProperty('User');
  });
});
