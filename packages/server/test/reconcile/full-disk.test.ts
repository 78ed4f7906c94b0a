import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { waitFor } from '../wait-for.ts';
import { type TestServer, withServer } from './harness.ts';

/** A data folder on a disk of its own, of 64 MiB. */

const MIB = 1024 * 1024;

/** @returns why there can be no such disk here, else nothing */
function mountDisk(): { folder: string } | { missing: string } {
  const folder = mkdtempSync(join(tmpdir(), 'runstead-disk-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', folder], { stdio: 'pipe' });
  } catch (error) {
    rmdirSync(folder);
    return { missing: `a disk for this test cannot be mounted: ${(error as Error).message.trim()}` };
  }
  return { folder };
}

/** Fills the disk until so many bytes are left. */
function fill(folder: string, left: number): string {
  const file = join(folder, `ballast-${left}`);
  const { bavail, bsize } = statfsSync(folder);
  writeFileSync(file, Buffer.alloc(Math.max(0, bavail * bsize - left), 1));
  return file;
}

const deploy = (server: TestServer, name: string) =>
  server.create(name).then(
    (id) => ({ id, refused: undefined }),
    (error: Error) => ({ id: undefined, refused: error.message }),
  );

it('a server whose disk fills up crashes nowhere and loses nothing, and goes on when there is room', async (test) => {
  const disk = mountDisk();
  if ('missing' in disk) return test.skip(disk.missing);
  const { folder } = disk;
  // The server's folder is made where temporary ones are.
  const before = process.env.TMPDIR;
  process.env.TMPDIR = folder;
  onTestFinished(() => {
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
    execFileSync('umount', ['-l', folder]);
    rmdirSync(folder);
  });
  const unheard: unknown[] = [];
  const hear = (error: unknown) => void unheard.push(error);
  process.on('unhandledRejection', hear);
  onTestFinished(() => void process.off('unhandledRejection', hear));

  await withServer({ freeSpaceReserveBytes: 8 * MIB, idleStopMs: 50 }, async (server) => {
    const id = await server.create('agent');
    expect(await server.decided(id)).toMatchObject({ status: 'READY' });

    // Below the reserve: no deploys; agents sleep, wake and answer, and what is written stays so.
    const half = fill(folder, 6 * MIB);
    expect((await deploy(server, 'late')).refused).toMatch(
      /^There is no room for a deploy: .* 8 MiB must stay free/,
    );
    await waitFor('the agent to sleep', () => server.driver.instances.size === 0);
    expect((await server.invoke('agent')).status).toBe(200);
    const described = await server.call(
      'UpdateAgentRuntime',
      { agentRuntimeId: id },
      { description: 'full' },
    );
    expect(described.status).toBe(200);
    expect(await server.decided(id)).toMatchObject({ status: 'READY', description: 'full' });

    // Nothing is left at all: what cannot be written is refused by name, and changes nothing.
    const rest = fill(folder, 0);
    const codes = new Set<string>();
    const written = [];
    for (let turn = 0; turn < 30; turn++) {
      const name = `key-${turn}`;
      const { status, code } = await server.api('/runstead/v1/keys', 'POST', {
        role: 'invoke',
        description: name + 'x'.repeat(200),
      });
      codes.add(code);
      if (status === 200) written.push(name);
    }
    expect(codes).toContain('ERR_INSUFFICIENT_STORAGE');
    expect([...codes].filter((code) => code !== 'SUCCESS')).toEqual(['ERR_INSUFFICIENT_STORAGE']);
    expect((await server.call('GetAgentRuntime', { agentRuntimeId: id })).data.description).toBe('full');
    await waitFor('the agent to sleep', () => server.driver.instances.size === 0);
    expect((await server.invoke('agent')).status).toBe(200);

    // Room again: all of it is as it was said to be, also for the next server.
    rmSync(rest);
    rmSync(half);
    for (const restart of [false, true]) {
      if (restart) await server.restart();
      const { data } = await server.api('/runstead/v1/keys');
      const kept = data.items.map((key: { description: string }) => key.description.replace(/x+$/, ''));
      expect(kept.sort()).toEqual([...written].sort());
      expect((await server.invoke('agent')).status).toBe(200);
    }
    const late = await deploy(server, 'late');
    expect(await server.decided(late.id!)).toMatchObject({ status: 'READY' });
  });
  expect(unheard).toEqual([]);
});
