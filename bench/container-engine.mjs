import { execFile, execFileSync, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);
const UP_WITHIN_MS = 10_000;

/** A container engine of one's own, and images for it that need no network: for benches and tests. */

/** Why there is no engine to be had here; undefined when there is one. */
export function engineMissing() {
  if (process.platform !== 'linux') return 'containers are tried on Linux alone';
  if (process.getuid?.() !== 0) return 'the engine of the test needs root';
  for (const program of ['podman', 'runc']) {
    try {
      execFileSync(program, ['--version'], { stdio: 'ignore' });
    } catch {
      return `this machine has no ${program}`;
    }
  }
  return undefined;
}

/**
 * A service of Podman on a socket and a storage that nobody else knows.
 * @param options.trustedCa a file with the certificates of the only authorities that it trusts
 * @returns `socket`, its path; `stop()` ends the service, and what runs in containers runs on; `start()` starts it
 *   again; `podman(...args)` calls the program on the same storage and resolves to what it printed; `dispose()` ends
 *   everything in it and removes it
 */
export async function startEngine({ trustedCa } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'runstead-engine-'));
  const socket = join(folder, 'engine.sock');
  const file = (name, text) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const env = {
    PATH: process.env.PATH,
    HOME: folder,
    CONTAINERS_CONF: file(
      'containers.conf',
      // Limits as they are: others than root may not raise them, and some machines have none to give.
      '[containers]\ndefault_ulimits=["nofile=4096:4096","nproc=4096:4096"]\nlog_driver="k8s-file"\n' +
        '[engine]\nruntime="runc"\ncgroup_manager="cgroupfs"\nevents_logger="file"\n' +
        `[network]\nnetwork_backend="netavark"\nnetwork_config_dir="${join(folder, 'networks')}"\n` +
        `default_subnet_pools=[{"base"="${ownAddresses()}","size"=25}]\n`,
    ),
    CONTAINERS_STORAGE_CONF: file(
      'storage.conf',
      `[storage]\ndriver="overlay"\ngraphroot="${join(folder, 'root')}"\nrunroot="${join(folder, 'run')}"\n`,
    ),
    CONTAINERS_REGISTRIES_CONF: file('registries.conf', ''),
    ...(trustedCa !== undefined && { SSL_CERT_FILE: trustedCa, SSL_CERT_DIR: join(folder, 'none') }),
  };
  let service;

  const podman = async (...args) => (await run('podman', args, { env })).stdout;

  const start = async () => {
    rmSync(socket, { force: true });
    const args = ['--log-level=error', 'system', 'service', '--time=0', `unix://${socket}`];
    service = spawn('podman', args, { env, stdio: ['ignore', 'ignore', 'ignore'] });
    const deadline = performance.now() + UP_WITHIN_MS;
    while (!(await answers(socket))) {
      if (performance.now() > deadline)
        throw new Error(`podman did not answer within ${UP_WITHIN_MS / 1000} s`);
      await delay(10);
    }
  };
  const stop = async () => {
    if (service && service.exitCode === null && service.signalCode === null) {
      service.kill('SIGKILL');
      await once(service, 'exit');
    }
  };
  await start();
  return {
    socket,
    start,
    stop,
    podman,
    async dispose() {
      await stop();
      await podman('rm', '--all', '--force', '--time', '0').catch(() => {});
      await podman('network', 'prune', '--force').catch(() => {});
      for (const mount of ['root/overlay', 'run/overlay'])
        await run('umount', ['--lazy', join(folder, mount)]).catch(() => {});
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/**
 * Two engines give the same addresses to networks that neither has brought up yet, and then a call to a container of
 * one is answered by one of the other.
 */
function ownAddresses() {
  return `10.${randomInt(128, 255)}.${64 * randomInt(4)}.0/18`;
}

function answers(socketPath) {
  return new Promise((resolve) => {
    request({ socketPath, path: '/_ping' }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    })
      .once('error', () => resolve(false))
      .end();
  });
}

/**
 * The file system of an image from scratch: this machine's own programs with the libraries that they are linked to, and
 * other files, as a tar archive.
 * @param programs place in the image → program of this machine
 * @param files place in the image → what is in it
 * @returns the archive's path; its folder is the caller's to remove
 */
export async function imageArchive(programs, files = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'runstead-image-'));
  const root = join(folder, 'root');
  const placeOf = (path) => {
    const place = join(root, path);
    mkdirSync(dirname(place), { recursive: true });
    return place;
  };
  const add = (path, from) => {
    const place = placeOf(path);
    if (existsSync(place)) return;
    copyFileSync(realpathSync(from), place);
    chmodSync(place, 0o755);
  };
  for (const [place, program] of Object.entries(programs)) {
    add(place, program);
    const { stdout } = await run('ldd', [realpathSync(program)]).catch(() => ({ stdout: '' }));
    for (const [library] of stdout.matchAll(/\/\S+/g)) add(library, library);
  }
  for (const [place, content] of Object.entries(files)) writeFileSync(placeOf(place), content);
  for (const path of ['tmp', 'proc', 'etc']) mkdirSync(join(root, path), { recursive: true });
  chmodSync(join(root, 'tmp'), 0o1777);
  const archive = join(folder, 'root.tar');
  await run('tar', ['-C', root, '-cf', archive, '.']);
  rmSync(root, { recursive: true });
  return archive;
}

/** Node with a shell and the few programs that small agents call. */
export function nodeArchive(files) {
  return imageArchive(
    {
      '/usr/local/bin/node': process.execPath,
      '/bin/sh': '/bin/sh',
      '/bin/sleep': '/bin/sleep',
      '/bin/grep': '/bin/grep',
    },
    files,
  );
}
