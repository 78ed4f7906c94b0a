import { describe, expect, it } from 'vitest';
import { engineAddresses, parseEngineAddress, unusableDockerHost } from './engine-address.ts';

describe("a container engine's address", () => {
  it('is a socket, or a port of this machine', () => {
    expect(parseEngineAddress('unix:///run/x.sock')).toEqual({
      name: '/run/x.sock',
      target: { socketPath: '/run/x.sock' },
    });
    expect(parseEngineAddress('/run/x.sock')).toMatchObject({ target: { socketPath: '/run/x.sock' } });
    expect(parseEngineAddress('tcp://127.0.0.1:2376')).toMatchObject({
      target: { host: '127.0.0.1', port: 2376 },
    });
    expect(parseEngineAddress('tcp://[::1]:1')).toMatchObject({ target: { host: '::1', port: 1 } });
  });

  it.each(['', 'run/x.sock', 'ssh://me@box', 'npipe:////./pipe/docker_engine', 'unix://'])(
    '%j is none',
    (text) => {
      expect(parseEngineAddress(text)).toMatch(/^must be unix:/);
    },
  );

  it('is none of another machine', () => {
    expect(parseEngineAddress('tcp://10.0.0.7:2375')).toMatch(/engine of this machine/);
  });

  it('that is set for everybody and cannot be used is told of', () => {
    expect(unusableDockerHost({ DOCKER_HOST: 'ssh://me@box' })).toMatch(/^DOCKER_HOST is not used: .*"ssh:/);
    expect(unusableDockerHost({ DOCKER_HOST: 'unix:///run/x.sock' })).toBeUndefined();
    expect(unusableDockerHost({})).toBeUndefined();
  });

  it('is the setting, else DOCKER_HOST, else where engines usually listen', () => {
    const names = (setting: string | undefined, environment = {}) =>
      engineAddresses(setting, environment).map(({ name }) => name);
    expect(names('/a.sock', { DOCKER_HOST: 'unix:///b.sock' })).toEqual(['/a.sock']);
    expect(names(undefined, { DOCKER_HOST: 'unix:///b.sock' })).toEqual(['/b.sock']);
    expect(names('none', { DOCKER_HOST: 'unix:///b.sock' })).toEqual([]);
    expect(names(undefined, { XDG_RUNTIME_DIR: '/run/user/7', HOME: '/home/me' })).toEqual([
      '/var/run/docker.sock',
      '/run/podman/podman.sock',
      '/run/user/7/docker.sock',
      '/run/user/7/podman/podman.sock',
      '/home/me/.docker/run/docker.sock',
    ]);
  });
});
