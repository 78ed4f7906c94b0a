import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createNodeShelf, type NodeShelf } from '../../src/artifacts/interpreters/node-shelf.ts';
import { modernNode, SHELF } from '../drivers/modern-node.ts';

let folder: string;
const shelves: NodeShelf[] = [];

function shelfOf(changes: Partial<Parameters<typeof createNodeShelf>[0]> = {}): NodeShelf {
  const shelf = createNodeShelf({
    folder: join(folder, 'interpreters'),
    nodeDir: undefined,
    timeoutMs: 60_000,
    freeSpaceReserveBytes: 0,
    marks: {},
    log: pino({ level: 'silent' }),
    ...changes,
  });
  shelves.push(shelf);
  return shelf;
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'runstead-shelf-'));
  // Nothing listens there: whoever asks npm hears so at once.
  vi.stubEnv('npm_config_registry', 'http://127.0.0.1:1/');
  vi.stubEnv('npm_config_fetch_retries', '0');
});
afterEach(async () => {
  await Promise.all(shelves.splice(0).map((shelf) => shelf.close()));
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

describe('a Node for agents', () => {
  it('that npm cannot get is missing with the reason and the ways out; who waits hears of it', async () => {
    mkdirSync(join(folder, 'interpreters', 'left-by-a-crash.tmp'), { recursive: true });
    const shelf = shelfOf();
    const heard: string[] = [];
    const asked = [1, 2].map(() => shelf.provide(24, { onDoing: (what) => heard.push(what) }));
    const leaver = new AbortController();
    const left = shelf.provide(24, { signal: leaver.signal });
    leaver.abort(new Error('has left'));
    await expect(left).rejects.toThrow('has left');
    const [first, second] = await Promise.all(asked);
    // One try for both.
    expect(second).toBe(first);
    expect(first).toEqual({
      missing: expect.stringMatching(
        /^Node 24 could not be got from npm: the package registry could not be reached: .*--node-dir/,
      ) as string,
    });
    expect(heard).toEqual(['getting Node 24 from npm', 'getting Node 24 from npm']);
    expect(readdirSync(join(folder, 'interpreters'))).toEqual([]);
  });

  it('that was got once is there without npm, whole and read-only', async (context) => {
    vi.unstubAllEnvs();
    const got = await modernNode(24);
    if (!got) return context.skip();
    vi.stubEnv('npm_config_registry', 'http://127.0.0.1:1/');
    if (got.path === process.execPath) return expect(got.version[0]).toBe(24);
    expect(await shelfOf({ folder: SHELF }).provide(24)).toMatchObject({
      path: got.path,
      version: got.version,
    });
    const kept = join(got.path, '../..');
    expect(readdirSync(kept, { recursive: true }).sort()).toEqual(['LICENSE', 'bin', join('bin', 'node')]);
    expect(statSync(got.path).mode & 0o777).toBe(0o555);
  });

  it('may lie in a folder of the operator’s, and is held to its own word', async () => {
    const nodeDir = join(folder, 'nodes');
    const own = process.versions.node.split('.').map(Number);
    for (const name of [String(own[0]), '98', '97'])
      mkdirSync(join(nodeDir, name, 'bin'), { recursive: true });
    symlinkSync(process.execPath, join(nodeDir, String(own[0]), 'bin', 'node'));
    symlinkSync(process.execPath, join(nodeDir, '98', 'bin', 'node'));
    writeFileSync(join(nodeDir, '97', 'bin', 'node'), '#!/bin/sh\necho "no such thing"; exit 3\n');
    chmodSync(join(nodeDir, '97', 'bin', 'node'), 0o755);
    const shelf = shelfOf({ nodeDir });
    expect(await shelf.provide(own[0]!)).toMatchObject({ version: own });
    const missing = async (major: number) => (await shelf.provide(major)) as { missing: string };
    expect((await missing(99)).missing).toMatch(
      /^there is no .*99\/bin\/node \(RUNSTEAD_NODE_DIR\); put Node 99/,
    );
    expect((await missing(98)).missing).toContain(`is Node ${process.versions.node}; put Node 98 there`);
    expect((await missing(97)).missing).toMatch(/does not run \(no such thing\)$/);
  });
});
