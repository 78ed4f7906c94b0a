import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { openDatabase } from '../../src/store/sqlite/open-database.ts';
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { testBox } from '../secret-box.ts';

const WRITER = fileURLToPath(new URL('./killed-writer.mjs', import.meta.url));
const ROUNDS = 12;

it('every write that was acknowledged is there after kill -9, and the file is sound', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'runstead-killed-'));
  try {
    const path = join(folder, 'db.sqlite');
    const acknowledged: string[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      // The moment is a number of writes and a spin too short for a timer, so that it falls anywhere within one.
      acknowledged.push(...(await writeUntilKilled(path, round, 1 + 7 * round, Math.random())));
      await verify(path, acknowledged);
    }
    expect(acknowledged.length).toBeGreaterThan(ROUNDS * 10);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

/** Starts a writer, kills it once it has acknowledged so many writes, and gives all that it acknowledged. */
async function writeUntilKilled(
  path: string,
  round: number,
  writes: number,
  spinMs: number,
): Promise<string[]> {
  const child = spawn(process.execPath, [WRITER, path, String(round)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    if (lines.length !== writes) continue;
    const until = performance.now() + spinMs;
    while (performance.now() < until);
    child.kill('SIGKILL');
  }
  expect(await exited).toEqual([null, 'SIGKILL']);
  return lines;
}

async function verify(path: string, acknowledged: readonly string[]): Promise<void> {
  const of = (what: string) =>
    acknowledged.filter((line) => line.startsWith(`${what} `)).map((line) => line.slice(what.length + 1));
  const removed = new Set(of('removed'));
  const store = openSqliteStore(path, testBox);
  try {
    const there = new Set(await store.runtimeIds());
    for (const id of of('removed')) expect(there.has(id)).toBe(false);
    for (const id of of('created')) {
      // The writer's last act may have been a removal whose acknowledgement did not get out.
      if (!removed.has(id) && there.has(id)) continue;
      if (!removed.has(id)) expect(id).toBe(lastCandidateForRemoval(of('created'), id));
    }
    for (const id of of('ready').filter((made) => there.has(made))) {
      expect(await store.getRuntime(id)).toMatchObject({ status: 'READY', headVersion: 1 });
      expect(await store.getVersion(id, 1)).toBeDefined();
    }
    for (const id of of('endpoint').filter((made) => there.has(made))) {
      expect(await store.getEndpoint(id, `${id}-e`)).toBeDefined();
    }
  } finally {
    await store.close();
  }
  const database = openDatabase(path);
  try {
    expect(database.pragma('integrity_check')).toBe('ok');
    expect(database.pragma('foreign_key_check')).toBeUndefined();
  } finally {
    database.close();
  }
}

/** The runtime that the writer of the same round was removing when it was killed: the last but one it made. */
function lastCandidateForRemoval(created: readonly string[], id: string): string | undefined {
  const round = id.slice(0, id.indexOf('-') + 1);
  return created.filter((other) => other.startsWith(round)).at(-2);
}
