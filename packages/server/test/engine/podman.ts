import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
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
import { promisify } from 'node:util';
import { engineAddresses } from '../../src/domain/engine-address.ts';
import { createEngine, type Engine } from '../../src/drivers/docker/engine.ts';
import { waitFor } from '../wait-for.ts';

const run = promisify(execFile);

/** An engine of the test's own: a service of Podman on a socket and a storage that nobody else knows. */
export interface TestEngine {
  engine: Engine;
  socket: string;
  /** Ends the service; what runs in containers runs on. */
  stop(): Promise<void>;
  /** Starts it again. */
  start(): Promise<void>;
  /** Calls the program on the same storage. */
  podman(...args: string[]): Promise<string>;
  /** Ends everything in it and removes it. */
  dispose(): Promise<void>;
}

/** Why there is no engine to be had here; undefined when there is one. */
export function engineMissing(): string | undefined {
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

/** @param trustedCa a file with the certificates of the only authorities that it trusts */
export async function startPodman({ trustedCa }: { trustedCa?: string } = {}): Promise<TestEngine> {
  const folder = mkdtempSync(join(tmpdir(), 'runstead-engine-'));
  const socket = join(folder, 'engine.sock');
  const file = (name: string, text: string) => {
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
        `[network]\nnetwork_backend="netavark"\nnetwork_config_dir="${join(folder, 'networks')}"\n`,
    ),
    CONTAINERS_STORAGE_CONF: file(
      'storage.conf',
      `[storage]\ndriver="overlay"\ngraphroot="${join(folder, 'root')}"\nrunroot="${join(folder, 'run')}"\n`,
    ),
    CONTAINERS_REGISTRIES_CONF: file('registries.conf', ''),
    ...(trustedCa !== undefined && { SSL_CERT_FILE: trustedCa, SSL_CERT_DIR: join(folder, 'none') }),
  };
  let service: ChildProcess | undefined;

  const podman = async (...args: string[]) => (await run('podman', args, { env })).stdout;

  const start = async () => {
    rmSync(socket, { force: true });
    const args = ['--log-level=error', 'system', 'service', '--time=0', `unix://${socket}`];
    service = spawn('podman', args, { env, stdio: ['ignore', 'ignore', 'ignore'] });
    await waitFor('the engine to answer', () => answers(socket));
  };
  const stop = async () => {
    if (service && service.exitCode === null && service.signalCode === null) {
      service.kill('SIGKILL');
      await once(service, 'exit');
    }
  };
  await start();
  return {
    engine: createEngine(engineAddresses(socket, {})),
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

function answers(socketPath: string): Promise<boolean> {
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
 * The file system of an image from scratch: this machine's own programs with the libraries that they are linked to, as
 * a tar archive.
 * @param programs place in the image → program of this machine
 */
export async function imageArchive(programs: Record<string, string>): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'runstead-image-'));
  const root = join(folder, 'root');
  const add = (path: string, from: string) => {
    const place = join(root, path);
    if (existsSync(place)) return;
    mkdirSync(dirname(place), { recursive: true });
    copyFileSync(realpathSync(from), place);
    chmodSync(place, 0o755);
  };
  for (const [place, program] of Object.entries(programs)) {
    add(place, program);
    const { stdout } = await run('ldd', [realpathSync(program)]).catch(() => ({ stdout: '' }));
    for (const [library] of stdout.matchAll(/\/\S+/g)) add(library, library);
  }
  for (const path of ['tmp', 'proc', 'etc']) mkdirSync(join(root, path), { recursive: true });
  chmodSync(join(root, 'tmp'), 0o1777);
  const archive = join(folder, 'root.tar');
  await run('tar', ['-C', root, '-cf', archive, '.']);
  rmSync(root, { recursive: true });
  return archive;
}

/** Node with a shell and the few programs that the agents of the suite call. */
export function nodeArchive(): Promise<string> {
  return imageArchive({
    '/usr/local/bin/node': process.execPath,
    '/bin/sh': '/bin/sh',
    '/bin/sleep': '/bin/sleep',
    '/bin/grep': '/bin/grep',
  });
}
