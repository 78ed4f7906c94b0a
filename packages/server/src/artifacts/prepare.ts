import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Language } from '@runstead/contract';
import { PhaseFailure } from '../domain/failure.ts';
import { languageOf } from '../domain/language.ts';
import { checksumFault, type RuntimeSpec, startCommand } from '../domain/runtime.ts';
import type { Log } from '../observe/log.ts';
import { secretsIn } from '../observe/secrets.ts';
import { compileBytecode } from './bytecode.ts';
import { blobFile, type DataFolders, renameOnce } from './folders.ts';
import { build, planBuild } from './install/build.ts';
import { ownCache, ownCaches } from './install/caches.ts';
import { type TrackProgram, trackNothing } from './install/guard.ts';
import { installDependencies, linkDependencies, rootOf } from './install/install-dependencies.ts';
import {
  type FindInterpreter,
  type InstallLimit,
  type InstallOptions,
  leftOf,
} from './install/kept-install.ts';
import type { InstallRules } from './install/rules.ts';
import type { PackageThread } from './package-thread.ts';
import { removeAll, removeTree } from './remove-tree.ts';
import { PackageRefused } from './unpack.ts';

export interface PrepareOptions {
  folders: DataFolders;
  thread: PackageThread;
  runtimeId: string;
  spec: RuntimeSpec;
  limitBytes: number;
  limitEntries: number;
  installTimeoutMs: number;
  findInterpreter: FindInterpreter;
  /** Shared by all installs of the server. */
  installLimit: InstallLimit;
  installRules: Readonly<InstallRules>;
  /** How what installs leave running is found. Default: nobody looks for it. */
  trackProgram?: TrackProgram;
  /** Variables that programs started on the way carry. */
  marks: Readonly<Record<string, string>>;
  /** Hears the last lines of what was run in the phase under way, fit to be shown. */
  onOutput?: (lines: readonly string[]) => void;
  /** Hears what is being done in the phase under way, where that may take long. */
  onDoing?: (what: string) => void;
  /** Called as each phase begins. */
  onPhase: (phase: 'fetch' | 'unpack' | 'install') => void;
  signal: AbortSignal;
}

/** A package that can be started. */
export interface Prepared {
  /** The folder to start in. */
  codeDir: string;
  /** What starts it; undefined when nothing says so. */
  command: string[] | undefined;
}

/**
 * Makes a version's package ready to be started: checksum verified, unpacked, dependencies in place, built where it
 * has to be. What was prepared before is found again, and a crash at any point leaves nothing that looks complete and
 * is not.
 * @throws PhaseFailure
 */
export async function prepare(options: PrepareOptions): Promise<Prepared> {
  const { folders, runtimeId, spec, onPhase, signal } = options;
  onPhase('fetch');
  const { artifact } = spec;
  if (!artifact) throw new PhaseFailure('fetch', NO_PACKAGE);
  const fault = checksumFault(spec, artifact.crc64);
  if (fault !== undefined) throw new PhaseFailure('fetch', fault);
  const codeDir = join(folders.code, runtimeId, artifact.digest);
  if (!existsSync(codeDir)) {
    const packageFile = blobFile(folders, artifact.digest);
    if (!existsSync(packageFile)) {
      throw new PhaseFailure(
        'fetch',
        `the code package ${artifact.digest.slice(0, 12)} is no longer in the data folder; deploy that package again, or have the endpoint name another version`,
      );
    }
    signal.throwIfAborted();
    onPhase('unpack');
    await unpackTo(codeDir, packageFile, options);
  }
  signal.throwIfAborted();
  onPhase('install');
  return installInto(codeDir, options);
}

async function installInto(codeDir: string, options: PrepareOptions): Promise<Prepared> {
  const { spec } = options;
  const command = startCommand(spec);
  const { environmentVariables = {} } = spec;
  const install: InstallOptions = {
    folders: options.folders,
    runtimeId: options.runtimeId,
    codeDir,
    language: languageOf(spec, command ?? []),
    findInterpreter: options.findInterpreter,
    limit: options.installLimit,
    timeoutMs: options.installTimeoutMs,
    rules: options.installRules,
    thread: options.thread,
    track: options.trackProgram ?? trackNothing,
    marks: options.marks,
    secrets: [
      ...secretsIn(environmentVariables),
      // Short values of the server's, such as `true`, are words of any text.
      ...secretsIn(process.env).filter((value) => value.length >= 8),
    ],
    onOutput: options.onOutput ?? (() => {}),
    signal: options.signal,
  };
  await haveNode(install.language, options);
  const root = await rootOf(codeDir);
  // Before anything is installed for it: what cannot be started or built would only say so after.
  const plan =
    command && root.get('package.json') === 'file'
      ? await planBuild(install, { command, root, nodeOptions: environmentVariables.NODE_OPTIONS })
      : undefined;
  const dependencies = await installDependencies(install, root, { development: plan !== undefined });
  if (!plan) {
    await linkDependencies(codeDir, dependencies);
    return { codeDir, command };
  }
  const built = await build(install, plan, dependencies.nodeModules);
  // Node's are there already, in the way that the build found them.
  await linkDependencies(built.codeDir, { venv: dependencies.venv });
  return built;
}

/** A Node that has to be got for the agent is got before anything is installed for it. @throws PhaseFailure */
async function haveNode(language: Language, options: PrepareOptions): Promise<void> {
  if (!language.startsWith('nodejs')) return;
  const { signal, findInterpreter, onDoing } = options;
  let tried = false;
  const node = await findInterpreter('node', language, {
    signal,
    onDoing: (what) => {
      tried = true;
      onDoing?.(what);
    },
  });
  // One that is only not there is for the driver to tell of.
  if (tried && 'missing' in node) throw new PhaseFailure('install', node.missing);
}

async function unpackTo(codeDir: string, packageFile: string, options: PrepareOptions): Promise<void> {
  const work = `${codeDir}.${randomUUID()}.tmp`;
  await mkdir(work, { recursive: true, mode: 0o700 });
  try {
    await options.thread.run('unpack', {
      packageFile,
      targetDir: work,
      limitBytes: options.limitBytes,
      limitEntries: options.limitEntries,
      freeSpaceReserveBytes: options.installRules.freeSpaceReserveBytes,
    });
    const compiled = await compileBytecode({
      folder: work,
      codeDir,
      language: languageOf(options.spec, startCommand(options.spec) ?? []),
      findInterpreter: options.findInterpreter,
      track: options.trackProgram ?? trackNothing,
      marks: options.marks,
      signal: options.signal,
    });
    // Half a file of it, after a loss of power, would be a fault at the agent's start.
    if (compiled) await options.thread.run('settle', { folder: work, readOnly: false });
    await renameOnce(work, codeDir);
  } catch (error) {
    await removeAll(work);
    if (error instanceof PackageRefused)
      throw new PhaseFailure('unpack', error.message, [], { cause: error });
    throw error;
  }
}

const NO_PACKAGE =
  'codeConfiguration has no package: send it as codeConfiguration.zipFile, or name its bucket and object';

/** Removes all that was prepared for a runtime. */
export async function forgetPrepared(folders: DataFolders, runtimeId: string, log: Log): Promise<void> {
  for (const folder of [folders.code, folders.deps]) await removeTree(join(folder, runtimeId), log);
  await removeTree(ownCache(folders, runtimeId), log);
}

/** Removes what a crash left half-made, and what belongs to runtimes that are gone. Before anything is prepared. */
export async function sweepPrepared(
  folders: DataFolders,
  runtimeIds: ReadonlySet<string>,
  log: Log,
): Promise<void> {
  const caches = ownCaches(folders);
  for (const runtimeId of existsSync(caches) ? await readdir(caches) : []) {
    if (!runtimeIds.has(runtimeId)) await removeTree(ownCache(folders, runtimeId), log);
  }
  for (const folder of [folders.code, folders.deps]) {
    for (const runtimeId of await readdir(folder)) {
      const kept = runtimeIds.has(runtimeId);
      if (!kept) await removeTree(join(folder, runtimeId), log);
      for (const name of kept ? await readdir(join(folder, runtimeId)) : []) {
        const path = join(folder, runtimeId, name);
        const left = folder === folders.deps ? leftOf(path) : undefined;
        if (name.endsWith('.tmp')) await removeTree(path, log);
        else if (left !== undefined) await removeTree(left, log);
      }
    }
  }
}
