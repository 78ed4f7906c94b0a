import { createHash, randomUUID } from 'node:crypto';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import pino from 'pino';
import { openDataFolders } from '../../src/artifacts/folders.ts';
import { packageFilesOf } from '../../src/artifacts/package-files.ts';
import type { RunningInstance } from '../../src/drivers/driver.ts';
import type { InstanceSpec } from '../../src/drivers/instance-spec.ts';
import type { Interpreter } from '../../src/drivers/process/interpreters.ts';
import { createNodeStarts } from '../../src/drivers/process/node-start/node-starts.ts';
import { createProcessDriver } from '../../src/drivers/process/process-driver.ts';
import { packageOf } from '../artifacts/bench.ts';
import { agentSpec, get } from '../driver-cases.ts';
import { testBox } from '../secret-box.ts';

const FIXTURE = fileURLToPath(new URL('../fixtures/node-start/', import.meta.url));

/** A data folder with a driver that records, and one that does not. */
export async function openStartBench(node: Interpreter) {
  const dataDir = realpathSync(mkdtempSync(join(tmpdir(), 'runstead-start-')));
  const folders = openDataFolders(dataDir);
  const warnings: string[] = [];
  const log = pino({ level: 'warn' }, { write: (line: string) => void warnings.push(line) });
  const starts = createNodeStarts({
    folder: folders.starts,
    packageFiles: (folder) => packageFilesOf(folders, folder),
    log,
  });
  const options = {
    box: () => testBox,
    dataDir,
    log,
    logLimitBytes: 256 * 1024,
    accountId: '0000000000000000',
    region: 'cn-test',
    // Beside the default one, in which every other server on this machine looks for ports.
    portRange: { from: 32_001, to: 32_700 },
    findInterpreter: async () => node,
  };
  const plain = createProcessDriver(options);
  const recording = createProcessDriver({ ...options, nodeStarts: starts });

  return {
    dataDir,
    folders,
    starts,
    warnings,

    /** Prepares a package for a runtime as a deploy would: the fixture, with what is added or changed. */
    async prepare(runtimeId: string, changes: Record<string, string | Buffer> = {}) {
      const files: Record<string, string | Buffer> = { ...filesOf(join(FIXTURE, 'package')), ...changes };
      const zip = await packageOf(files);
      const digest = createHash('sha256').update(zip).digest('hex');
      writeFileSync(join(folders.blobs, `${digest}.zip`), zip);
      const codeDir = join(folders.code, runtimeId, digest);
      for (const [path, content] of Object.entries(files)) {
        mkdirSync(join(codeDir, path, '..'), { recursive: true });
        writeFileSync(join(codeDir, path), content);
      }
      const install = join(folders.deps, runtimeId, 'an-install');
      const modules = join(install, 'tree', 'node_modules');
      cpSync(join(FIXTURE, 'modules'), modules, { recursive: true });
      rmSync(join(modules, 'linked'), { force: true });
      symlinkSync('linked-real', join(modules, 'linked'));
      writeFileSync(join(install, 'complete'), '');
      symlinkSync(modules, join(codeDir, 'node_modules'));
      return { codeDir, modules };
    },

    /** Starts an instance, asks it for `/`, and stops it again. */
    async ask(spec: Partial<InstanceSpec>, how: 'plain' | 'recording' = 'recording') {
      const driver = how === 'plain' ? plain : recording;
      const full = agentSpec(['node', 'agent.mjs'], {
        instanceId: randomUUID(),
        language: 'nodejs24',
        ...spec,
      });
      const instance = await driver.start(full, { signal: new AbortController().signal, onExit: () => {} });
      try {
        return { text: await (await get(instance)).text(), mode: modeOf(instance) };
      } finally {
        await driver.stop(full.instanceId, { graceMs: 2000 });
        await starts.settled();
      }
    },

    async dispose() {
      for (const driver of [plain, recording]) await driver.close();
      for (const runtimeId of readdirSync(folders.starts)) await starts.forget(runtimeId);
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

/** What the process was told at its start; it takes the variable away. */
function modeOf({ pid }: RunningInstance): string {
  const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
  return environment.find((it) => it.startsWith('RUNSTEAD_NODE_START='))?.split(/[=:]/)[1] ?? 'plain';
}

function filesOf(folder: string): Record<string, string> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return Object.fromEntries(
    entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => [relative(folder, path), readFileSync(path, 'utf8')]),
  );
}
