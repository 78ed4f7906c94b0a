import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { engineMissing, nodeArchive, startEngine } from '../container-engine.mjs';
import { dataMark } from '../processes.mjs';
import { makePackages } from './packages.mjs';

const AGENT = fileURLToPath(new URL('agent/server.mjs', import.meta.url));

/** What instances may run in. */
export const HOMES = ['plain', 'sandboxed', 'containers'];

/** Why instances cannot run in it here; undefined when they can. */
export function homeMissing(kind) {
  if (kind === 'containers') return engineMissing();
  const words = ['--ro-bind', '/', '/', '--unshare-pid', '--proc', '/proc', '--dev', '/dev', '/bin/true'];
  const works = kind === 'plain' || spawnSync('bwrap', words, { timeout: 10_000 }).status === 0;
  return works ? undefined : 'bubblewrap is missing or does not work on this machine';
}

/**
 * Makes what instances are to run in.
 * @param kind one of `HOMES`; with `containers`, half of the agents are images, and the others' code runs in one
 * @param folder where what is made for it may lie
 * @returns
 * - `driver`: which runs all instances then, as the server calls it
 * - `env`: settings of the server
 * - `beforeKillMs`: within which a kill is to fall, so that it may fall into every part of what the writes before cause
 * - `artifactsOf(index)`: what the agent of a slot comes as: `artifactType`, and `variants`, by name
 *   `{ variant, digest, installs, configuration }`
 * - `leftovers(data, instances)`: what is there for a data folder though none of the instances needs it, as texts
 * - `dispose()`
 */
export async function makeHome(kind, folder) {
  const code = { artifactType: 'Code', variants: await makePackages(join(folder, 'packages')) };
  if (kind !== 'containers') {
    return {
      driver: 'process',
      beforeKillMs: 700,
      env: { RUNSTEAD_SANDBOX: kind === 'plain' ? 'off' : 'require' },
      artifactsOf: () => code,
      leftovers: async () => [],
      dispose: async () => {},
    };
  }
  const engine = await startEngine();
  try {
    const images = { artifactType: 'Container', variants: await makeImages(engine) };
    return {
      driver: 'docker',
      // A container takes a second to come up, and to be gone.
      beforeKillMs: 2500,
      env: {
        RUNSTEAD_DOCKER_HOST: `unix://${engine.socket}`,
        RUNSTEAD_CODE_DRIVER: 'docker',
        RUNSTEAD_CODE_IMAGES: `nodejs20=${imageName('plain')}`,
      },
      artifactsOf: (index) => (index % 2 === 0 ? code : images),
      leftovers: (data, instances) => leftovers(engine, dataMark(data), instances),
      dispose: () => engine.dispose(),
    };
  } catch (error) {
    await engine.dispose();
    throw error;
  }
}

const imageName = (variant) => `localhost/runstead-kill:${variant}`;

/** The agent in several images. */
async function makeImages(engine) {
  const made = new Map();
  for (const variant of ['plain', 'other']) {
    const archive = await nodeArchive({
      '/agent/server.mjs': readFileSync(AGENT),
      '/agent/variant.txt': variant,
    });
    await engine.podman('import', archive, imageName(variant));
    await rm(dirname(archive), { recursive: true });
    const containerConfiguration = {
      image: imageName(variant),
      command: ['node', '/agent/server.mjs'],
      port: 9000,
    };
    made.set(variant, { variant, installs: false, configuration: { containerConfiguration } });
  }
  return made;
}

/** Containers of no instance, and networks of runtimes without any. */
async function leftovers(engine, mark, instances) {
  const filter = ['--filter', `label=runstead.data=${mark}`, '--format', 'json'];
  const [containers, networks] = await Promise.all(
    [
      ['ps', '--all', ...filter],
      ['network', 'ls', ...filter],
    ].map(async (args) => JSON.parse(await engine.podman(...args)) ?? []),
  );
  const owned = new Set(instances.map(({ instanceId }) => instanceId));
  const used = new Set(instances.map(({ agentRuntimeId }) => `runstead-${mark}-${agentRuntimeId}`));
  return [
    ...containers
      .filter(({ Labels: labels }) => !owned.has(labels['runstead.instance']))
      .map(({ Names: [name], State: state }) => `container ${name} (${state})`),
    ...networks.filter(({ name }) => !used.has(name)).map(({ name }) => `network ${name}`),
  ];
}
