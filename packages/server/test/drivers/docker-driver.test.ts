import { createReadStream, mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import pino from 'pino';
import { afterAll, beforeAll, describe } from 'vitest';
import { createDockerDriver, type DockerDriverOptions } from '../../src/drivers/docker/docker-driver.ts';
import { createImageStore } from '../../src/drivers/docker/image-store.ts';
import { dataMark } from '../../src/drivers/process/identity.ts';
import { driverCases } from '../driver-cases.ts';
import { engineMissing, nodeArchive, startPodman, type TestEngine } from '../engine/podman.ts';
import { testBox } from '../secret-box.ts';

const IMAGE = 'localhost/runstead-test-node:latest';
const missing = engineMissing();
if (missing !== undefined) console.warn(`skipped: ${missing}`);

let podman: TestEngine;

function makeDriver(dataDir: string, changes: Partial<DockerDriverOptions> = {}) {
  const log = pino({ level: 'silent' });
  const { engine } = podman;
  return createDockerDriver({
    dataDir,
    log,
    engine,
    images: createImageStore({ engine, mark: dataMark(dataDir), timeoutMs: 20_000, log }),
    box: () => testBox,
    logLimitBytes: 256 * 1024,
    accountId: '0000000000000000',
    region: 'cn-test',
    codeImages: { custom: IMAGE },
    portRange: { from: 15_000, to: 16_999 },
    ...changes,
  });
}

function newFolder(): string {
  return realpathSync(mkdtempSync(join(tmpdir(), 'runstead-docker-')));
}

async function leftoversOf(dataDir: string): Promise<string[]> {
  const filters = JSON.stringify({ label: [`runstead.data=${dataMark(dataDir)}`] });
  const [containers, networks] = await Promise.all([
    podman.engine.ask<{ Id: string }[]>('GET', '/containers/json', { query: { all: 'true', filters } }),
    podman.engine.ask<{ Name: string }[]>('GET', '/networks', { query: { filters } }),
  ]);
  return [
    ...containers.map((it) => `container ${it.Id}`),
    ...networks.map((it) => `network ${it.Name}`),
    ...readdirSync(join(dataDir, 'containers')).map((it) => `folder ${it}`),
  ];
}

describe.skipIf(missing !== undefined)('with an engine', () => {
  beforeAll(async () => {
    podman = await startPodman();
    const archive = await nodeArchive();
    await podman.engine.ask('POST', '/images/create', {
      query: { fromSrc: '-', repo: IMAGE.split(':')[0]!, tag: 'latest' },
      body: createReadStream(archive),
    });
    rmSync(dirname(archive), { recursive: true });
  }, 60_000);

  afterAll(() => podman?.dispose(), 60_000);

  driverCases(
    'docker',
    async () => {
      const dataDir = newFolder();
      const driver = makeDriver(dataDir);
      const dispose = async () => {
        await driver.close();
        rmSync(dataDir, { recursive: true, force: true });
      };
      return { driver, leftovers: () => leftoversOf(dataDir), dispose };
    },
    { processes: false, containers: true },
  );
});
