import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { easeJoining, findPlaces, memoryAtKill, openGroups, ownGroup } from './control-groups.ts';
import { processorsFor } from './limits.ts';

/** Folders that look like the kernel's: what is written can be read, and nothing comes of it. */

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'runstead-groups-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
});

function file(path: string, text: string): void {
  mkdirSync(join(root, path, '..'), { recursive: true });
  writeFileSync(join(root, path), text);
}

const read = (path: string) => readFileSync(join(root, path), 'latin1');
const SHARE = { memoryBytes: 128 * 1024 * 1024, cpu: 1.5, processes: 64 };

/** The unified hierarchy, this process in `/slice/own`. */
const unified = () => ({
  mountinfo: `30 25 0:26 / ${root} rw,nosuid shared:9 - cgroup2 cgroup2 rw\n`,
  cgroup: '0::/slice/own\n',
});

test('on the unified hierarchy groups are made around the own one, which has processes in it', () => {
  // The kernel refuses what is written here while processes are in the group: here, as it is no file.
  mkdirSync(join(root, 'slice', 'own', 'cgroup.subtree_control'), { recursive: true });
  file('slice/cgroup.subtree_control', 'cpu memory pids\n');
  file('slice/name/cgroup.subtree_control', 'cpu memory pids\n');
  const places = findPlaces('name', unified());
  const place = { version: 2, folder: join(root, 'slice', 'name') };
  expect(places).toEqual({ memory: place, cpu: place, processes: place });

  const groups = openGroups(places, 'one', SHARE);
  expect(new Set(Object.values(groups))).toEqual(new Set([join(root, 'slice', 'name', 'one')]));
  expect(read('slice/name/one/memory.max')).toBe('134217728');
  expect(read('slice/name/one/cpu.max')).toBe('150000 100000');
  expect(read('slice/name/one/pids.max')).toBe('64');
});

test('where each resource has a hierarchy of its own, one may be there without the others', () => {
  mkdirSync(join(root, 'mem', 'own'), { recursive: true });
  const places = findPlaces('name', {
    mountinfo: [
      `36 30 0:31 / ${root}/mem rw - cgroup cgroup rw,memory`,
      '37 30 0:32 / /nowhere/cpu rw - cgroup cgroup rw,cpu,cpuacct',
    ].join('\n'),
    cgroup: '4:memory:/own\n1:cpu,cpuacct:/\n0::/\n',
  });
  expect(places).toEqual({ memory: { version: 1, folder: join(root, 'mem', 'own', 'name') } });
  openGroups(places, 'one', SHARE);
  expect(read('mem/own/name/one/memory.limit_in_bytes')).toBe('134217728');
});

test('this process is put where it is already, and nowhere else', async () => {
  mkdirSync(join(root, 'slice', 'own', 'cgroup.subtree_control'), { recursive: true });
  file('slice/cgroup.subtree_control', 'cpu memory pids\n');
  file('slice/name/cgroup.subtree_control', 'cpu memory pids\n');
  const places = findPlaces('name', unified());
  file('slice/own/cgroup.procs', '1\n');
  expect(ownGroup(places, unified())).toBeUndefined();
  file('slice/own/cgroup.procs', `1\n${process.pid}\n`);
  expect(ownGroup(places, unified())).toBe(join(root, 'slice', 'own'));
  easeJoining(join(root, 'slice', 'own'));
  await expect.poll(() => read('slice/own/cgroup.procs')).toBe(String(process.pid));
  // It is only a help.
  easeJoining(join(root, 'nowhere'));
});

test('a system without control groups has no places', () => {
  expect(findPlaces('name', { mountinfo: '', cgroup: '' })).toEqual({});
});

test.each([
  ['v2', { 'memory.events': 'low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\n', 'memory.peak': '134217728\n' }],
  ['v1', { 'memory.oom_control': 'under_oom 0\noom_kill 2\n', 'memory.max_usage_in_bytes': '134217728\n' }],
])('whether the kernel ended a process for its memory is read (%s)', (_version, files) => {
  for (const [name, text] of Object.entries(files)) file(name, text);
  expect(memoryAtKill({ memory: root })).toBe(134_217_728);
  const [name] = Object.keys(files);
  file(name!, 'oom_kill 0\n');
  expect(memoryAtKill({ memory: root })).toBeUndefined();
  expect(memoryAtKill({})).toBeUndefined();
});

test('an instance is put on as many processors as its share, others for another instance', () => {
  const ids = Array.from({ length: 50 }, (_, i) => `instance-${i}`);
  const all = ids.map((id) => processorsFor(id, 1.5, 4)!);
  for (const processors of all) expect(new Set(processors).size).toBe(2);
  expect(new Set(all.flat())).toEqual(new Set([0, 1, 2, 3]));
  expect(processorsFor('any', 4, 4)).toBeUndefined();
});
