import { join } from 'node:path';
import { isLoopbackHost } from './loopback.ts';

/** Where a container engine may be reached. */
export interface EngineAddress {
  /** As it appears in messages. */
  name: string;
  target: { socketPath: string } | { host: string; port: number };
}

/**
 * Reads `unix:///path`, an absolute path, or `tcp://127.0.0.1:2375`.
 * @returns a sentence when it is none of these, or an engine of another machine: agents are reached under 127.0.0.1
 */
export function parseEngineAddress(text: string): EngineAddress | string {
  const path = /^(?:unix:\/\/)?(\/.+)$/.exec(text)?.[1];
  if (path !== undefined) return { name: path, target: { socketPath: path } };
  const asHttp = text.replace(/^tcp:/, 'http:');
  if (!asHttp.startsWith('http://') || !URL.canParse(asHttp))
    return 'must be unix:///path/to/the.sock or tcp://127.0.0.1:2375';
  const url = new URL(asHttp);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (!isLoopbackHost(host))
    return 'must be an engine of this machine: agents in containers are reached under 127.0.0.1';
  return { name: text, target: { host, port: Number(url.port) || 2375 } };
}

/**
 * Where to look for an engine, in this order: the setting alone; else DOCKER_HOST alone; else the usual sockets of
 * Docker and Podman, the system's before the user's own. `none` as a setting: nowhere.
 */
export function engineAddresses(
  setting: string | undefined,
  environment: Record<string, string | undefined>,
): EngineAddress[] {
  if (setting === 'none') return [];
  const given = setting ?? environment.DOCKER_HOST;
  if (given !== undefined && given !== '') {
    const address = parseEngineAddress(given);
    return typeof address === 'string' ? [] : [address];
  }
  const run = environment.XDG_RUNTIME_DIR;
  const home = environment.HOME;
  const paths = [
    '/var/run/docker.sock',
    '/run/podman/podman.sock',
    ...(run ? [join(run, 'docker.sock'), join(run, 'podman', 'podman.sock')] : []),
    ...(home ? [join(home, '.docker', 'run', 'docker.sock')] : []),
  ];
  return paths.map((path) => ({ name: path, target: { socketPath: path } }));
}

/** Why the variable that names an engine for everybody cannot be used here; undefined when it can, or is not set. */
export function unusableDockerHost(environment: Record<string, string | undefined>): string | undefined {
  const given = environment.DOCKER_HOST;
  if (given === undefined || given === '') return undefined;
  const address = parseEngineAddress(given);
  return typeof address === 'string'
    ? `DOCKER_HOST is not used: it ${address}, and is "${given}". Set RUNSTEAD_DOCKER_HOST to an engine of this machine`
    : undefined;
}
