import { existsSync, lstatSync, readdirSync, readlinkSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Where an agent in the sandbox finds what is its own. */
export const INSIDE = {
  code: '/code',
  home: '/home/agent',
  tmp: '/tmp',
  /** Links to its interpreters. */
  links: '/run/runstead/bin',
} as const;

/** What an agent is to see of the machine, besides the system's own directories. */
export interface Scene {
  /** Seen as `/code`. */
  codeDir: string;
  /** The instance's folder; its `home`, `tmp` and `shm` can be written to. */
  folder: string;
  /** Folder of links to interpreters. */
  links: string | undefined;
  /** Seen under their own names. */
  readOnly: readonly string[];
  /** As well, and can be written to. */
  writable: readonly string[];
}

/** Read-only, under their own names. Programs and libraries, nothing that belongs to somebody. */
export const SYSTEM = [
  '/usr',
  '/bin',
  '/sbin',
  '/lib',
  '/lib32',
  '/lib64',
  '/libx32',
  '/nix/store',
  '/gnu/store',
];

/**
 * Of /etc by name: a server that is root could read all of it, /etc/shadow and private keys among it.
 * A name that ends in `*` stands for all that begin so.
 */
const ETC = (
  'alternatives ca-certificates ca-certificates.conf crypto-policies debian_version fonts gai.conf group ' +
  'host.conf hosts java* ld.so.cache ld.so.conf ld.so.conf.d localtime magic mime.types nsswitch.conf os-release ' +
  'passwd pki/ca-trust/extracted pki/tls/cert.pem pki/tls/certs pki/tls/openssl.cnf protocols python* ' +
  'resolv.conf services ssl/cert.pem ssl/certs ssl/openssl.cnf terminfo timezone'
).split(' ');

/** Others that programs look at: the layer's folder on PYTHONPATH, the number of processors. */
const FURTHER = ['/opt/python', '/sys/devices/system/cpu', '/sys/devices/system/node'];

/** Of /proc, what tells of the whole machine's memory, keys and timers to a process that is root's. */
const HIDDEN = 'kcore keys kmsg kpagecgroup kpagecount kpageflags sched_debug timer_list'.split(' ');

/**
 * The words after `bwrap` and before the agent's command.
 *
 * It shares the network with the machine, since agents are reached through loopback. It ends with its parent, which is
 * the instance's wrapper and not the server: an agent outlives a server that is killed.
 */
export function confinement({ codeDir, folder, links, readOnly, writable }: Scene): string[] {
  return [
    ...NAMESPACES,
    ...system(),
    ...['--bind', join(folder, 'shm'), '/dev/shm'],
    ...['--bind', join(folder, 'tmp'), INSIDE.tmp, '--bind', join(folder, 'home'), INSIDE.home],
    ...['--ro-bind', codeDir, INSIDE.code],
    ...(links === undefined ? [] : ['--ro-bind', links, INSIDE.links]),
    // After /tmp, since they may lie there.
    ...outermost(readOnly).flatMap(readOnlyBind),
    ...writable.flatMap((path) => ['--bind', path, path]),
    ...SEALED,
    ...['--chdir', INSIDE.code, '--'],
  ];
}

/** What is seen of a sandbox that begins without knowing for whom. */
export interface StageScene extends Pick<Scene, 'folder' | 'readOnly'> {
  links: string;
  /** Folder, in a mount namespace that lets what is mounted below it spread into the sandbox. Holds `/tmp` and `/code`. */
  stage: string;
  /** Where the server's user is root there only in a user namespace: who it is outside. */
  user?: { uid: number; gid: number } | undefined;
}

/** As `confinement`, with nothing that is an agent's yet; see waiting-wrapper.sh. */
export function stageConfinement({ folder, links, readOnly, stage, user }: StageScene): string[] {
  return [
    ...NAMESPACES,
    ...(user ? ['--unshare-user', '--uid', String(user.uid), '--gid', String(user.gid)] : []),
    ...['--bind', stage, '/'],
    ...system(),
    ...['--bind', join(folder, 'shm'), '/dev/shm', '--bind', join(folder, 'home'), INSIDE.home],
    ...['--ro-bind', links, INSIDE.links],
    ...outermost(readOnly).flatMap(readOnlyBind),
    ...SEALED,
    ...['--chdir', '/', '--'],
  ];
}

/** Whether a path that is mounted on a stage later would be hidden by what the sandbox itself has mounted. */
export function isHiddenOnStage(path: string, readOnly: readonly string[]): boolean {
  return isBelow(path, [...SYSTEM, ...FURTHER, ...STAGE_OWN, ...readOnly]);
}

const STAGE_OWN = ['/etc', '/proc', '/dev', '/sys', INSIDE.home, INSIDE.links, INSIDE.code];

/** A program that works for a version, such as its build: everything under its own name. */
export interface ProgramScene {
  cwd: string;
  readOnly: readonly string[];
  writable: readonly string[];
}

/** As `confinement`, for a program. What it writes elsewhere than where it may is in memory, and gone with it. */
export function programConfinement({ cwd, readOnly, writable }: ProgramScene): string[] {
  return [
    ...NAMESPACES,
    ...system(),
    ...['--tmpfs', '/tmp'],
    ...outermost(readOnly).flatMap(readOnlyBind),
    ...writable.flatMap((path) => ['--bind', path, path]),
    ...SEALED,
    ...['--chdir', cwd, '--'],
  ];
}

const NAMESPACES = [
  ...['--unshare-pid', '--unshare-ipc', '--unshare-uts', '--unshare-cgroup-try', '--new-session'],
  ...['--die-with-parent', '--cap-drop', 'ALL'],
  // A name that resolves: some programs ask for the address of their own.
  ...['--hostname', 'localhost'],
];

/** Root without capabilities may still write where root owns the file: to /proc/sys, which is the machine's. */
const SEALED = ['--remount-ro', '/proc', '--remount-ro', '/dev', '--remount-ro', '/'];

function system(): string[] {
  return [
    ...SYSTEM.flatMap(systemFolder),
    ...ETC.flatMap(namesInEtc).flatMap(readOnlyBind),
    ...FURTHER.filter((path) => existsSync(path)).flatMap(readOnlyBind),
    ...['--proc', '/proc'],
    ...HIDDEN.map((name) => `/proc/${name}`)
      .filter((path) => existsSync(path))
      .flatMap((path) => ['--ro-bind', '/dev/null', path]),
    ...['--dev', '/dev'],
  ];
}

function readOnlyBind(path: string): string[] {
  return ['--ro-bind', path, path];
}

/** Nowadays most of them are links into /usr. */
function systemFolder(path: string): string[] {
  const entry = lstatSync(path, { throwIfNoEntry: false });
  if (!entry) return [];
  return entry.isSymbolicLink() ? ['--symlink', readlinkSync(path), path] : ['--ro-bind', path, path];
}

function namesInEtc(name: string): string[] {
  if (!name.endsWith('*')) return existsSync(`/etc/${name}`) ? [`/etc/${name}`] : [];
  return readdirSync('/etc')
    .filter((entry) => entry.startsWith(name.slice(0, -1)))
    .map((entry) => `/etc/${entry}`);
}

/** Without those that lie in another, or are there as it is. */
export function outermost(paths: readonly string[]): string[] {
  const all = [...new Set(paths)].filter((path) => !isBelow(path, SYSTEM)).sort();
  return all.filter(
    (path) =>
      !isBelow(
        path,
        all.filter((other) => other !== path),
      ),
  );
}

function isBelow(path: string, folders: readonly string[]): boolean {
  return folders.some((folder) => path === folder || path.startsWith(`${folder}/`));
}

/**
 * What has to be seen for a program to run: the installation it is part of, which is two folders above in all common
 * layouts (`…/bin/node`), else the program alone.
 * @param apart what must not be seen along with it: an installation that holds one of these is a person's folder
 */
export function installationOf(program: string, apart: readonly string[]): string {
  const real = realpathSync(program);
  const prefix = dirname(dirname(real));
  const isOwn = dirname(real) === join(prefix, 'bin') && prefix !== '/';
  return isOwn && !apart.some((path) => isBelow(path, [prefix])) ? prefix : real;
}
