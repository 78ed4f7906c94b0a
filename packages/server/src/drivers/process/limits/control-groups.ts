import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFile,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

export type Resource = 'memory' | 'cpu' | 'processes';

/** What one instance may take. */
export interface Share {
  memoryBytes: number;
  /** In processors; may be a fraction. */
  cpu: number;
  processes: number;
}

/** An instance's groups: absolute folders of the kernel's, by what they limit. One folder may be there for several. */
export type Groups = Partial<Record<Resource, string>>;

/** Where groups can be made. */
export interface Place {
  version: 1 | 2;
  /** Holds a folder for each instance. */
  folder: string;
}

const CONTROLLER: Record<Resource, string> = { memory: 'memory', cpu: 'cpu', processes: 'pids' };
const RESOURCES = Object.keys(CONTROLLER) as Resource[];
const PERIOD_US = 100_000;

/** The kernel's own account of where control groups are and which this process is in. */
export interface Accounts {
  mountinfo: string;
  cgroup: string;
}

function ownAccounts(): Accounts {
  return {
    mountinfo: readOrEmpty('/proc/self/mountinfo'),
    cgroup: readOrEmpty('/proc/self/cgroup'),
  };
}

/**
 * Where this process may make groups, for each resource; resources are missing where it may not. Tried out, since being
 * root says little inside a container.
 * @param name of the folder that all groups of a data folder lie in
 */
export function findPlaces(name: string, accounts = ownAccounts()): Partial<Record<Resource, Place>> {
  const found: Partial<Record<Resource, Place>> = {};
  const mounts = readMounts(accounts.mountinfo);
  for (const resource of RESOURCES) {
    const controller = CONTROLLER[resource];
    const candidates = [
      ...unifiedFolders(mounts, accounts.cgroup).map((folder) => ({ version: 2 as const, folder })),
      ...separateFolders(mounts, accounts.cgroup, controller).map((folder) => ({
        version: 1 as const,
        folder,
      })),
    ];
    const place = candidates
      .map(({ version, folder }) => ({ version, folder: join(folder, name) }))
      .find((candidate) => isUsable(candidate, resource));
    if (place) found[resource] = place;
  }
  return found;
}

interface Mount {
  root: string;
  point: string;
  type: string;
  options: string[];
}

function readMounts(mountinfo: string): Mount[] {
  return mountinfo
    .split('\n')
    .filter((line) => line.includes(' - cgroup'))
    .map((line) => {
      const [before = '', after = ''] = line.split(' - ');
      const [, , , root = '/', point = ''] = before.split(' ');
      const [type = '', , options = ''] = after.split(' ');
      return { root, point: unescaped(point), type, options: options.split(',') };
    });
}

/** Blanks are written `\040`. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

/** This process's own group, and those around it: whoever was given one seldom may use the one it is in. */
function unifiedFolders(mounts: Mount[], cgroup: string): string[] {
  const mount = mounts.find(({ type }) => type === 'cgroup2');
  const path = /^0::(.*)$/m.exec(cgroup)?.[1];
  if (!mount || path === undefined) return [];
  const folders = [folderOf(mount, path)];
  while (folders.at(-1)!.startsWith(`${mount.point}/`)) folders.push(dirname(folders.at(-1)!));
  return folders;
}

/** Within the own group first: what limits the server then limits its agents, too. */
function separateFolders(mounts: Mount[], cgroup: string, controller: string): string[] {
  const mount = mounts.find(({ type, options }) => type === 'cgroup' && options.includes(controller));
  if (!mount) return [];
  const line = cgroup.split('\n').find((it) => it.split(':')[1]?.split(',').includes(controller));
  const path = line?.split(':').slice(2).join(':');
  const own = path === undefined ? mount.point : folderOf(mount, path);
  return [...new Set([own, mount.point])];
}

function folderOf({ root, point }: Mount, path: string): string {
  const inside = root === '/' ? path : path.startsWith(root) ? path.slice(root.length) : '/';
  const folder = join(point, inside).replace(/\/$/, '');
  return existsSync(folder) ? folder : point;
}

function isUsable(place: Place, resource: Resource): boolean {
  const trial = join(place.folder, `trial-${process.pid}`);
  try {
    makeGroup(place, trial, resource);
    setShare(place.version, trial, resource, { memoryBytes: 64 * 1024 * 1024, cpu: 1, processes: 16 });
    return true;
  } catch {
    return false;
  } finally {
    tryToRemove(trial);
    tryToRemove(place.folder);
  }
}

/** Makes the folders, and on the unified hierarchy has the controller handed down to them. */
function makeGroup({ version, folder }: Place, group: string, resource: Resource): void {
  if (!existsSync(dirname(folder))) throw new Error(`${dirname(folder)} is not there`);
  const controller = CONTROLLER[resource];
  if (version === 2) handDown(dirname(folder), controller);
  mkdirSync(folder, { recursive: true });
  if (version === 2) handDown(folder, controller);
  mkdirSync(group, { recursive: true });
}

/** @throws when processes live in the group itself: the kernel lets none of its groups have controllers then */
function handDown(folder: string, controller: string): void {
  const control = join(folder, 'cgroup.subtree_control');
  if (readFileSync(control, 'latin1').trim().split(/\s+/).includes(controller)) return;
  writeFileSync(control, `+${controller}`);
}

function setShare(version: 1 | 2, group: string, resource: Resource, share: Share): void {
  const set = (name: string, value: string | number) => writeFileSync(join(group, name), String(value));
  const setIfThere = (name: string, value: string | number) => {
    if (existsSync(join(group, name))) set(name, value);
  };
  const quota = Math.max(1000, Math.round(share.cpu * PERIOD_US));
  if (resource === 'processes') set('pids.max', share.processes);
  else if (resource === 'cpu' && version === 2) set('cpu.max', `${quota} ${PERIOD_US}`);
  else if (resource === 'cpu') {
    set('cpu.cfs_period_us', PERIOD_US);
    set('cpu.cfs_quota_us', quota);
  } else if (version === 2) {
    set('memory.max', share.memoryBytes);
    setIfThere('memory.swap.max', 0);
  } else {
    set('memory.limit_in_bytes', share.memoryBytes);
    // Memory and swap together; only where the kernel was told to count swap.
    setIfThere('memory.memsw.limit_in_bytes', share.memoryBytes);
  }
}

/**
 * Makes an instance's groups, empty.
 * @throws when one cannot be made that could be made before
 */
export function openGroups(
  places: Partial<Record<Resource, Place>>,
  instanceId: string,
  share: Share,
): Groups {
  const groups: Groups = {};
  try {
    for (const resource of RESOURCES) {
      const place = places[resource];
      if (!place) continue;
      const group = join(place.folder, instanceId);
      groups[resource] = group;
      makeGroup(place, group, resource);
      setShare(place.version, group, resource, share);
    }
    return groups;
  } catch (error) {
    for (const group of Object.values(groups)) tryToRemove(group);
    throw new Error(`its limits could not be set: ${(error as Error).message}`, { cause: error });
  }
}

/** Holds what is in some groups already to other shares from now on. @throws when it cannot be done */
export function setShares(places: Partial<Record<Resource, Place>>, groups: Groups, share: Share): void {
  for (const resource of RESOURCES) {
    const [place, group] = [places[resource], groups[resource]];
    if (place && group !== undefined) setShare(place.version, group, resource, share);
  }
}

/** Sets how much of the processors an instance may have from now on. @throws when its group is gone */
export function setCpu({ cpu: group }: Groups, cpu: number): void {
  if (group === undefined) return;
  const version = existsSync(join(group, 'cpu.max')) ? 2 : 1;
  setShare(version, group, 'cpu', { cpu, memoryBytes: 0, processes: 0 });
}

/** The files to write a process's number into, to put it and all that it starts from then on into the groups. */
export function doorsOf(groups: Groups): string[] {
  return [...new Set(Object.values(groups))].map((group) => join(group, 'cgroup.procs'));
}

/** The group that this process is in, for some resource that others can be given groups for; undefined: none is sure. */
export function ownGroup(
  places: Partial<Record<Resource, Place>>,
  accounts = ownAccounts(),
): string | undefined {
  const mounts = readMounts(accounts.mountinfo);
  for (const resource of RESOURCES) {
    const place = places[resource];
    if (!place) continue;
    const [folder] =
      place.version === 2
        ? unifiedFolders(mounts, accounts.cgroup)
        : separateFolders(mounts, accounts.cgroup, CONTROLLER[resource]);
    // A container may be shown another part of the hierarchy than the one it is in.
    const members = folder === undefined ? '' : readOrEmpty(join(folder, 'cgroup.procs'));
    if (members.split('\n').includes(String(process.pid))) return folder;
  }
  return undefined;
}

/**
 * Begins what makes the first process of all that are put into groups wait for ten milliseconds: until every processor
 * has come past a certain point of the kernel's. Those that follow at once need not wait. So this process is put where it is
 * already, which changes nothing, while an instance is prepared; nobody waits for it, and it may fail.
 */
export function easeJoining(group: string): void {
  writeFile(join(group, 'cgroup.procs'), String(process.pid), () => {});
}

/** How much memory the instance had when the kernel ended one of its processes for it; undefined when it never did. */
export function memoryAtKill({ memory }: Groups): number | undefined {
  if (memory === undefined) return undefined;
  // Version 2 in the first, version 1 in the second.
  const events =
    readOrEmpty(join(memory, 'memory.events')) || readOrEmpty(join(memory, 'memory.oom_control'));
  if (!(Number(/^oom_kill (\d+)$/m.exec(events)?.[1]) > 0)) return undefined;
  const peaks = ['memory.peak', 'memory.max_usage_in_bytes', 'memory.current'];
  return peaks.map((name) => Number(readOrEmpty(join(memory, name)))).find((bytes) => bytes > 0);
}

/** Lets no process of it start another: what kills them one by one is then certain to come to an end. */
export function forbidForks({ processes }: Groups): void {
  if (processes === undefined) return;
  try {
    writeFileSync(join(processes, 'pids.max'), '0');
  } catch {
    // Gone already.
  }
}

/** Removes the groups of an instance that has ended. The dead may be in them for a moment still. */
export async function closeGroups(groups: Groups): Promise<boolean> {
  for (let pauseMs = 1; ; pauseMs *= 2) {
    const left = Object.values(groups).filter((group) => !tryToRemove(group));
    if (left.length === 0) return true;
    if (pauseMs > 500) return false;
    await delay(pauseMs);
  }
}

/** Removes what is left of instances that are gone, where a server was killed before it could write down their groups. */
export async function sweepGroups(
  places: Partial<Record<Resource, Place>>,
  isInUse: (instanceId: string) => boolean,
): Promise<void> {
  for (const [resource, { folder }] of Object.entries(places)) {
    const entries = existsSync(folder) ? readdirSync(folder, { withFileTypes: true }) : [];
    for (const entry of entries) {
      if (entry.isDirectory() && !isInUse(entry.name))
        await closeGroups({ [resource]: join(folder, entry.name) });
    }
  }
}

/** Removes the folders that groups were made in, where they are empty. */
export function leavePlaces(places: Partial<Record<Resource, Place>>): void {
  for (const { folder } of Object.values(places)) tryToRemove(folder);
}

function tryToRemove(group: string): boolean {
  try {
    rmdirSync(group);
    return true;
  } catch {
    return !existsSync(group);
  }
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
