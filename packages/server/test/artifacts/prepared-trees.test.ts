import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { type DataFolders, openDataFolders } from '../../src/artifacts/folders.ts';
import { measure } from '../../src/artifacts/measure.ts';
import type { PackageThread } from '../../src/artifacts/package-thread.ts';
import { createPreparedTrees } from '../../src/artifacts/prepared-trees.ts';
import { createLog } from '../../src/observe/log.ts';
import { waitFor } from '../wait-for.ts';

/** Evictions and starts of one runtime, in every order. */

const RUNTIME = 'runtime-1';
const [OLD, NEW] = ['a'.repeat(64), 'b'.repeat(64)];

let folders: DataFolders;
beforeEach(() => {
  const folder = mkdtempSync(join(tmpdir(), 'runstead-prepared-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  folders = openDataFolders(folder);
  for (const [digest, seconds] of [
    [OLD, 1000],
    [NEW, 2000],
  ] as const) {
    const home = join(folders.code, RUNTIME, digest);
    mkdirSync(home, { recursive: true });
    writeFileSync(join(home, 'index.js'), 'x'.repeat(10_000));
    utimesSync(home, seconds, seconds);
  }
});

const there = () => readdirSync(join(folders.code, RUNTIME)).sort();

function trees(limitBytes: number, inUse: { packages: ReadonlySet<string> | 'all' }) {
  const thread = { run: async (_job: string, folder: string) => measure(folder) } as unknown as PackageThread;
  const log = createLog('silent', 'control');
  const packagesInUse = async () => () => inUse.packages;
  return createPreparedTrees({ folders, thread, limitBytes, packagesInUse, log });
}

it('of those who take something of a runtime away, one begins when the other is over', async () => {
  const prepared = trees(1e9, { packages: 'all' });
  let underWay = 0;
  const work = async () => {
    expect(++underWay).toBe(1);
    await new Promise((resolve) => setImmediate(resolve));
    underWay--;
  };
  await Promise.all([1, 2, 3, 4].map(() => prepared.exclusively(RUNTIME, work)));
  await prepared.close();
});

describe('an eviction', () => {
  it('takes the older of two when there is room for one', async () => {
    const prepared = trees(15_000, { packages: new Set() });
    prepared.look();
    await waitFor('it', () => there().join() === NEW);
    await prepared.close();
    expect(there()).toEqual([NEW]);
  });

  it('takes nothing of a runtime for which a start is under way, also one that has begun since it looked', async () => {
    const inUse = { packages: new Set() as ReadonlySet<string> | 'all' };
    const prepared = trees(0, inUse);
    let over = () => {};
    // Something else is being taken away: the eviction, decided already, waits for its turn.
    const other = prepared.exclusively(RUNTIME, () => new Promise<void>((resolve) => (over = resolve)));
    prepared.look();
    await prepared.atRest('another');
    const start = prepared.atRest(RUNTIME);
    inUse.packages = 'all';
    over();
    await Promise.all([other, start]);
    await prepared.close();
    expect(there()).toEqual([OLD, NEW]);
  });

  it('is waited for by the start that comes while it takes something away', async () => {
    const prepared = trees(0, { packages: new Set([NEW]) });
    const events: string[] = [];
    const other = prepared.exclusively(RUNTIME, async () => {
      await new Promise((resolve) => setImmediate(resolve));
      events.push('taken away');
    });
    await prepared.atRest(RUNTIME);
    events.push('started');
    expect(events).toEqual(['taken away', 'started']);
    await other;
    prepared.look();
    await waitFor('the other package to go', () => there().join() === NEW);
    await prepared.close();
  });

  it('takes records of starts as well, as late as the last package, and none while an instance runs', async () => {
    const record = join(dirname(folders.code), 'starts', RUNTIME, 'c'.repeat(32));
    mkdirSync(record, { recursive: true });
    writeFileSync(join(record, 'cache'), 'x'.repeat(10_000));
    const inUse = { packages: new Set([NEW]) };
    const prepared = trees(0, inUse);
    prepared.look();
    await waitFor('the package that is not used to go', () => there().join() === NEW);
    await prepared.close();
    expect(existsSync(record)).toBe(true);
    const later = trees(0, { packages: new Set() });
    later.look();
    await waitFor('all to go', () => there().length === 0 && !existsSync(record));
    await later.close();
    expect(readdirSync(dirname(record))).toEqual([]);
  });

  it('leaves no half of what it took, and what is used is the last to go', async () => {
    const prepared = trees(15_000, { packages: new Set() });
    prepared.used('instance-1', RUNTIME, OLD);
    await waitFor('the one that was not used', () => there().join() === OLD);
    prepared.unused('instance-1');
    await prepared.close();
    expect(existsSync(join(folders.code, RUNTIME, NEW))).toBe(false);
    expect(there()).toEqual([OLD]);
  });
});
