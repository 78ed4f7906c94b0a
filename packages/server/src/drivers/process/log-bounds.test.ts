import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createSecretBox } from '../../auth/secret-box.ts';
import { LogBounds } from './log-bounds.ts';
import { LogShelf } from './log-shelf.ts';

const MIB = 1024 * 1024;
let folder: string;
let shelf: LogShelf;
const running = new Set<string>();
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'runstead-bounds-'));
  shelf = new LogShelf(folder, () => createSecretBox(Buffer.alloc(32, 7)));
  running.clear();
});
afterEach(() => rmSync(folder, { recursive: true }));

/** @param age in seconds */
function put(runtimeId: string, instanceId: string, age: number, bytes = MIB): void {
  mkdirSync(join(folder, runtimeId), { recursive: true });
  const path = shelf.path(runtimeId, instanceId);
  shelf.begin({ runtimeId, instanceId, revision: 1 });
  writeFileSync(path, Buffer.alloc(bytes, 'x'));
  const at = Date.now() / 1000 - age;
  utimesSync(path, at, at);
}

const there = (runtimeId: string) =>
  readdirSync(join(folder, runtimeId))
    .filter((name) => name.endsWith('.log'))
    .map((name) => name.slice(0, -'.log'.length))
    .sort();
const onDisk = () =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => statSync(join(folder, name)))
    .reduce((sum, { blocks, size }) => sum + (size > 0 ? blocks * 512 : 0), 0);
const bounds = (runtimeBytes: number, totalBytes: number) =>
  new LogBounds(shelf, { runtimeBytes, totalBytes }, (id) => running.has(id));

it('of a runtime that has too much, the oldest of ended instances go, and never one that runs', async () => {
  running.add('a-runs');
  put('a', 'a-runs', 100);
  put('a', 'a-old', 50);
  put('a', 'a-new', 10);
  put('b', 'b-old', 500);
  await bounds(2.5 * MIB, 100 * MIB).settle('a');
  expect(there('a')).toEqual(['a-new', 'a-runs']);
  expect(existsSync(`${shelf.path('a', 'a-old')}.about`)).toBe(false);
  expect(there('b')).toEqual(['b-old']);
});

it('in all they stay within their bounds, whoever they are of', async () => {
  running.add('runs-0');
  for (let n = 0; n < 6; n++) {
    put(`r${n}`, `runs-${n}`, 1000 + n);
    put(`r${n}`, `ended-${n}`, 10 * n);
  }
  const all = bounds(100 * MIB, 6 * MIB);
  await all.begin();
  expect(onDisk()).toBeLessThanOrEqual(6 * MIB);
  // Those that ended longest ago.
  expect(there('r0')).toEqual(['ended-0', 'runs-0']);
  expect(there('r5')).toEqual([]);
  // And they stay so, with each that ends.
  for (let n = 0; n < 8; n++) {
    put('r1', `more-${n}`, -n);
    await all.settle('r1');
    expect(onDisk()).toBeLessThanOrEqual(6.1 * MIB);
  }
  expect(there('r1')).toContain('more-7');
  expect(there('r0')).toContain('runs-0');
});

it('those that are written share what there is', () => {
  const shared = bounds(8 * MIB, 20 * MIB);
  expect(shared.limitOfOne(8 * MIB, { ofRuntime: 1, inAll: 1 })).toBe(4 * MIB);
  expect(shared.limitOfOne(8 * MIB, { ofRuntime: 2, inAll: 10 })).toBe(MIB);
  expect(shared.limitOfOne(8 * MIB, { ofRuntime: 1, inAll: 0 })).toBe(4 * MIB);
  expect(bounds(Infinity, Infinity).limitOfOne(8 * MIB, { ofRuntime: 5, inAll: 100 })).toBe(8 * MIB);
});
