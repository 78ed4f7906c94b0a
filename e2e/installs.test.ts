import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { codeFromFile } from '@runstead/client/code';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import {
  create,
  createInput,
  deploy,
  fixture,
  type Runtime,
  untilGone,
  untilSettled,
} from './harness/deploy.ts';
import { hasProc, isAlive } from './harness/processes.ts';
import { type Server, startServer, startServerForTest } from './harness/server.ts';
import { waitFor } from './harness/wait-for.ts';

/** Dependencies and builds as a whole server handles them; the package registry is one of ours, on loopback. */

type Files = Record<string, string | Buffer>;
const json = (value: unknown) => JSON.stringify(value, null, 2);

/** Files as a package for npm, by the system's tar. */
async function tarball(files: Files): Promise<Buffer> {
  return inFolder(
    Object.fromEntries(Object.entries(files).map(([name, it]) => [`package/${name}`, it])),
    (folder) => {
      spawnSync('tar', ['-czf', 'archive.tgz', 'package'], { cwd: folder });
      return Promise.resolve(readFileSync(join(folder, 'archive.tgz')));
    },
  );
}

/** A temporary folder with files in it, for the time of some work. */
async function inFolder<T>(files: Files, work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'runstead-e2e-'));
  try {
    for (const [name, content] of Object.entries(files)) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), content);
    }
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A registry with one package, `thing`. While it is held it begins to answer and goes no further. */
async function openRegistry(files: Files) {
  const archive = await tarball({ 'package.json': json({ name: 'thing', version: '1.0.0' }), ...files });
  const waiting = new Set<ServerResponse>();
  let isHeld = false;
  let asked = 0;
  const server = createServer((_request, response) => {
    asked++;
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': archive.length });
    if (!isHeld) return void response.end(archive);
    response.write(archive.subarray(0, 100));
    waiting.add(response);
    response.on('close', () => waiting.delete(response));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const manifest = { name: 'agent', version: '1.0.0', dependencies: { thing: '1.0.0' } };
  const integrity = `sha512-${createHash('sha512').update(archive).digest('base64')}`;
  return {
    asked: () => asked,
    /** How many are being kept waiting. */
    held: () => waiting.size,
    hold: () => {
      isHeld = true;
    },
    /** Answers whoever asks from now on; those who wait go on waiting. */
    release: () => {
      isHeld = false;
    },
    /** An agent that needs the package and answers with what it says. */
    agent: (more: Files = {}): Files => ({
      'package.json': json(manifest),
      'package-lock.json': json({
        ...manifest,
        lockfileVersion: 3,
        requires: true,
        packages: {
          '': manifest,
          'node_modules/thing': { version: '1.0.0', resolved: `${url}/thing.tgz`, integrity },
        },
      }),
      'index.js': `
        const thing = require('thing');
        require('node:http').createServer((_, response) => response.end(thing)).listen(process.env.PORT);
      `,
      ...more,
    }),
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

type Registry = Awaited<ReturnType<typeof openRegistry>>;

async function registryForTest(
  files: Files = { 'index.js': 'module.exports = "the thing"' },
): Promise<Registry> {
  const registry = await openRegistry(files);
  onTestFinished(() => registry.close());
  return registry;
}

const answer = async (server: Server, { agentRuntimeName }: Runtime): Promise<string> =>
  (await fetch(server.invocationUrl(agentRuntimeName))).text();

/** Names below `deps/<runtime>`. */
function installsOf(server: Server, id: string): string[] {
  try {
    return readdirSync(join(server.data, 'deps', id));
  } catch {
    return [];
  }
}

/** Sends a create and does not wait for what becomes of it. */
async function begin(server: Server, files: Files, name: string): Promise<string> {
  const input = await inFolder(files, (folder) =>
    createInput({ folder, agentRuntimeName: name, command: ['node', 'index.js'] }),
  );
  return (await server.client().create(input)).agentRuntimeId!;
}

describe.skipIf(!hasProc)('the control process is killed during an install', () => {
  test('the next one sweeps what was left, takes the attempt up again and completes it', async () => {
    const registry = await registryForTest();
    const server = await startServerForTest();
    registry.hold();
    const id = await begin(server, registry.agent(), 'resumed');
    await waitFor('npm to ask for the package', () => registry.held() > 0);
    const before = server.agentProcesses();
    expect(before.length).toBeGreaterThan(0);
    const [halfMade] = installsOf(server, id);
    expect(readdirSync(join(server.data, 'deps', id, halfMade!))).not.toContain('complete');

    await server.kill();
    registry.release();
    await server.start();
    const runtime = await untilSettled(server.client(), id);
    expect(runtime).toMatchObject({ status: 'READY', agentRuntimeVersion: '1' });
    expect(await answer(server, runtime)).toBe('the thing');
    expect(registry.asked()).toBeGreaterThan(1);
    expect(before.filter(isAlive)).toEqual([]);
    // The same key, made anew: nothing else is left of the first.
    expect(installsOf(server, id)).toEqual([halfMade]);
    expect(readdirSync(join(server.data, 'deps', id, halfMade!)).sort()).toEqual(['complete', 'tree']);
  });
});

describe('an install under way', () => {
  test.skipIf(!hasProc)(
    'ends with everything it started before the attempt that supersedes it is through',
    async () => {
      const registry = await registryForTest();
      const server = await startServerForTest();
      registry.hold();
      const id = await begin(server, registry.agent(), 'superseded');
      await waitFor('npm to ask for the package', () => registry.held() > 0);
      const before = server.agentProcesses();
      expect(before.length).toBeGreaterThan(0);
      await server.client().update(id, {
        codeConfiguration: await codeFromFile(fixture('chat-node'), { language: 'nodejs20' }),
      });
      const runtime = await untilSettled(server.client(), id);
      expect(runtime.status).toBe('READY');
      const left = new Set(server.agentProcesses());
      expect(before.filter((pid) => left.has(pid))).toEqual([]);
      expect(installsOf(server, id)).toEqual([]);
      const outcomes = (await server.events(id))
        .filter(({ phase }) => phase === 'install')
        .map(({ outcome }) => outcome);
      expect(outcomes).toEqual(['ok', 'superseded']);
    },
  );

  test.skipIf(!hasProc)('ends with everything it started when its runtime is deleted', async () => {
    const registry = await registryForTest();
    const server = await startServerForTest();
    registry.hold();
    const id = await begin(server, registry.agent(), 'deleted');
    await waitFor('npm to ask for the package', () => registry.held() > 0);
    await server.client().delete(id);
    await untilGone('the runtime', () => server.client().get(id));
    expect(server.agentProcesses()).toEqual([]);
    expect(readdirSync(join(server.data, 'deps'))).toEqual([]);
  });
});

describe('the history of a deploy', () => {
  let server: Server;
  beforeAll(async () => {
    server = await startServer();
  });
  afterAll(() => server.dispose());

  const installEvent = async (id: string) =>
    (await server.events(id)).find(({ phase }) => phase === 'install')!;

  test('tells what the install said, also when all went well, without the server’s folders', async () => {
    const registry = await registryForTest();
    const runtime = await inFolder(registry.agent(), (folder) => deploy(server.client(), { folder }));
    expect(await answer(server, runtime)).toBe('the thing');
    const { outcome, output } = await installEvent(runtime.agentRuntimeId);
    expect(outcome).toBe('ok');
    expect(output!.join('\n')).toMatch(/added 1 package/);
    expect(output!.join('\n')).not.toContain(server.data);
  });

  test('tells a build, and keeps more of one that failed than the reason has room for', async () => {
    const source = (build: string) => ({
      'package.json': json({ name: 'a', version: '1.0.0', main: 'dist/index.js', scripts: { build } }),
      'make.js': `
        for (let i = 1; i <= 150; i++) console.log('line ' + i + ' ' + process.cwd());
        if (process.argv[2]) process.exit(3);
        require('node:fs').mkdirSync('dist');
        require('node:fs').writeFileSync('dist/index.js', "require('node:http').createServer((_, r) => r.end('built')).listen(process.env.PORT)");
      `,
    });
    const built = await inFolder(source('node make.js'), (folder) => deploy(server.client(), { folder }));
    expect(await answer(server, built)).toBe('built');
    const good = await installEvent(built.agentRuntimeId);
    expect(good.output).toHaveLength(20);
    expect(good.output!.at(-1)).toBe('line 150 .');

    const failed = await inFolder(source('node make.js fail'), (folder) =>
      create(server.client(), { folder }),
    );
    expect(failed.status).toBe('CREATE_FAILED');
    expect(failed.statusReason).toMatch(
      /^install: npm run build exited with code 3; last lines: .*line 150 \./,
    );
    const bad = await installEvent(failed.agentRuntimeId);
    expect(bad.output).toEqual(expect.arrayContaining(['line 1 .', 'line 150 .']));
  });
});

/** A file system of its own for a data folder; undefined, with the reason printed, where none can be had. */
function smallDisk(mebibytes: number): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'runstead-disk-'));
  const options = ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', folder];
  const mounted = spawnSync('mount', options, { encoding: 'utf8' });
  if (mounted.status === 0) return folder;
  rmSync(folder, { recursive: true });
  console.warn(
    `skipped: no small file system can be mounted here (${(mounted.stderr ?? String(mounted.error)).trim()})`,
  );
  return undefined;
}

const disk = smallDisk(96);
afterAll(() => {
  if (disk === undefined) return;
  spawnSync('umount', [disk]);
  rmSync(disk, { recursive: true });
});

describe.skipIf(disk === undefined)('a package that fills the disk', () => {
  test('fails with the reason; agents, the database and other deploys go on, and the space comes back', async () => {
    const noise = Buffer.alloc(1024 * 1024);
    for (let at = 0; at < noise.length; at += 4096) noise.write(`${at}`, at);
    const parts = Object.fromEntries(Array.from({ length: 150 }, (_, i) => [`part${i}.bin`, noise]));
    const registry = await registryForTest(parts);
    const server = await startServerForTest({
      data: join(disk!, 'data'),
      env: { RUNSTEAD_FREE_SPACE_RESERVE: '16MiB' },
    });
    const free = () => statfsSync(disk!).bavail * statfsSync(disk!).bsize;
    const before = await deploy(server.client(), { folder: fixture('chat-node') });
    const freeBefore = free();

    const failed = await inFolder(registry.agent(), (folder) => create(server.client(), { folder }));
    expect(failed.status).toBe('CREATE_FAILED');
    expect(failed.statusReason).toMatch(
      /^install: (?:the disk of the data folder has .* must stay free|no space is left on the disk)/,
    );

    expect((await fetch(`${server.invocationUrl(before.agentRuntimeName)}/who`)).status).toBe(200);
    await deploy(server.client(), { folder: fixture('chat-node') });
    expect(installsOf(server, failed.agentRuntimeId)).toEqual([]);
    expect(free()).toBeGreaterThan(freeBefore - 8 * 1024 * 1024);
  });
});
