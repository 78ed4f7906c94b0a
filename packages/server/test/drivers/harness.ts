import { existsSync, mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import pino from 'pino';
import { dataMark } from '../../src/drivers/process/identity.ts';
import { findPlaces } from '../../src/drivers/process/limits/control-groups.ts';
import { type Limits, openLimits } from '../../src/drivers/process/limits/limits.ts';
import { createProcessDriver, type ProcessDriverOptions } from '../../src/drivers/process/process-driver.ts';
import { killAll, listProcesses } from '../../src/drivers/process/processes.ts';
import { openSandbox } from '../../src/drivers/process/sandbox/sandbox.ts';
import type { DriverBench } from '../driver-cases.ts';
import { testBox } from '../secret-box.ts';

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
