import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, realpathSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pino from 'pino';
import type { InstanceSpec } from '../../src/drivers/instance-spec.ts';
import { dataMark } from '../../src/drivers/process/identity.ts';
import { findPlaces, leavePlaces, sweepGroups } from '../../src/drivers/process/limits/control-groups.ts';
import { type Limits, openLimits } from '../../src/drivers/process/limits/limits.ts';
import { createProcessDriver, type ProcessDriverOptions } from '../../src/drivers/process/process-driver.ts';
import { killAll, listProcesses } from '../../src/drivers/process/processes.ts';
import { openSandbox } from '../../src/drivers/process/sandbox/sandbox.ts';
import type { DriverBench } from '../driver-cases.ts';
import { testBox } from '../secret-box.ts';

const SERVER = fileURLToPath(new URL('../../', import.meta.url));

/** The process driver on data folders of its own, and what it leaves on this machine. */

export function makeDriver(dataDir: string, changes: Partial<ProcessDriverOptions> = {}) {
  return createProcessDriver({
    box: () => testBox,
    dataDir,
    log: pino({ level: 'silent' }),
    logLimitBytes: 256 * 1024,
    accountId: '0000000000000000',
    region: 'cn-test',
    portRange: { from: 21_000, to: 21_999 },
    ...changes,
  });
}

export function newFolder(): string {
  return realpathSync(mkdtempSync(join(tmpdir(), 'runstead-driver-')));
}

/** Limits as a server has them; with `watched`, as one has them that may make no control groups. */
export function testLimits(
  dataDir: string,
  { watched = false, processes = 512, diskBytes = 1024 ** 3 } = {},
): Limits {
  return openLimits({ dataMark: dataMark(dataDir), processes, diskBytes }, !watched, 50);
}

export async function leftoversOf(dataDir: string): Promise<string[]> {
  const mark = dataMark(dataDir);
  const processes = (await listProcesses()).filter((it) => it.dataMark === mark);
  return [
    ...processes.map((it) => `process ${it.pid} of instance ${it.instanceId}`),
    ...readdirSync(join(dataDir, 'instances')).map((it) => `folder ${it}`),
    ...groupsOf(dataDir).map((it) => `control group ${it}`),
  ];
}

/** The instances' control groups there are. */
export function groupsOf(dataDir: string): string[] {
  const places = Object.values(findPlaces('runstead-test'));
  const folders = places.map(({ folder }) => join(dirname(folder), `runstead-${dataMark(dataDir)}`));
  return [...new Set(folders)].flatMap((folder) =>
    existsSync(folder)
      ? readdirSync(folder, { withFileTypes: true })
          .filter((it) => it.isDirectory())
          .map((it) => join(folder, it.name))
      : [],
  );
}

export async function removeFolder(dataDir: string): Promise<void> {
  const mark = dataMark(dataDir);
  await killAll((table) => table.filter((it) => it.dataMark === mark));
  // Of a test that failed; the next driver of the folder would do it.
  const places = testLimits(dataDir).places;
  await sweepGroups(places, () => false);
  leavePlaces(places);
  rmSync(dataDir, { recursive: true, force: true });
}

/** A driver as the suite of driver cases wants it. */
export async function benchOf(
  changes: (dataDir: string) => Partial<ProcessDriverOptions> = () => ({}),
): Promise<DriverBench> {
  const dataDir = newFolder();
  const open = () => makeDriver(dataDir, changes(dataDir));
  let driver = open();
  return {
    driver,
    leftovers: () => leftoversOf(dataDir),
    kill: async ({ pid }, signal) => void process.kill(pid!, signal),
    async reopen() {
      await driver.close();
      driver = open();
      return driver;
    },
    async dispose() {
      await driver.close();
      await removeFolder(dataDir);
    },
  };
}

const opened = await openSandbox('auto');

/** Undefined where there is none; then said once, and in CI a failure (`.ci/summary.mjs`). */
export const sandbox = opened.sandbox;
if (opened.state.kind === 'off') console.warn(`no sandbox here: ${opened.state.reason}`);

/** The killable server is plain Node, so it needs the driver built, and built from what is being tested. */
export function buildServer(): void {
  const newest = (folder: string, ending: string): number =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith(ending) && !name.includes('.test.'))
      .reduce((latest, name) => Math.max(latest, statSync(join(folder, name)).mtimeMs), 0);
  const dist = join(SERVER, 'dist', 'drivers');
  const builtAt = () => (existsSync(dist) ? newest(dist, '.js') : 0);
  const before = builtAt();
  if (before > newest(join(SERVER, 'src', 'drivers'), '.ts')) return;
  const root = join(SERVER, '..', '..');
  try {
    execFileSync(
      process.execPath,
      [
        join(root, 'node_modules', 'typescript', 'bin', 'tsc'),
        '-p',
        SERVER,
        '--incremental',
        'false',
        '--composite',
        'false',
      ],
      {
        cwd: root,
        stdio: 'pipe',
      },
    );
  } catch (error) {
    // Errors elsewhere in the package do not keep it from being written.
    if (builtAt() <= before) throw error;
  }
}

/** A server in a process of its own, which can be killed: it starts one agent, and says so. */
export function startKillable(work: {
  dataDir: string;
  spec: InstanceSpec;
  dieAt?: string;
  freeze?: boolean;
  sandboxed?: boolean;
}) {
  const args = [join(SERVER, 'test', 'drivers', 'server-process.mjs'), JSON.stringify(work)];
  const server = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  server.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  const instance = () =>
    output.endsWith('\n') ? (JSON.parse(output) as { pid: number; port: number }) : undefined;
  return { server, instance };
}

export async function killed(server: ChildProcess): Promise<void> {
  server.kill('SIGKILL');
  if (server.signalCode === null) await once(server, 'exit');
}
