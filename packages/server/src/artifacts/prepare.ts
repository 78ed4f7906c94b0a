import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { PhaseFailure } from '../domain/failure.ts';
import { languageOf } from '../domain/language.ts';
import { checksumFault, type RuntimeSpec, startCommand } from '../domain/runtime.ts';
import { typescriptFile, typescriptProblem } from '../domain/typescript.ts';
import type { Log } from '../observe/log.ts';
import { blobFile, type DataFolders, renameOnce } from './folders.ts';
import { installDependencies } from './install/install-dependencies.ts';
import { type FindInterpreter, type InstallLimit, isHalfMade } from './install/kept-install.ts';
import type { PackageThread } from './package-thread.ts';
import { removeTree } from './remove-tree.ts';
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
  /** Variables that programs started on the way carry. */
  marks: Readonly<Record<string, string>>;
  /** Called as each phase begins. */
  onPhase: (phase: 'fetch' | 'unpack' | 'install') => void;
  signal: AbortSignal;
}

/**
 * Makes a version's package ready to be started: checksum verified, unpacked, dependencies in place. What was prepared
 * before is found again, and a crash at any point leaves nothing that looks complete and is not.
 * @returns the folder to start in
 * @throws PhaseFailure
 */
export async function prepare(options: PrepareOptions): Promise<string> {
  const { folders, runtimeId, spec, onPhase, signal } = options;
  onPhase('fetch');
  const { artifact } = spec;
  if (!artifact) throw new PhaseFailure('fetch', missingArtifact(spec));
  const fault = checksumFault(spec, artifact.crc64);
  if (fault !== undefined) throw new PhaseFailure('fetch', fault);
  const codeDir = join(folders.code, runtimeId, artifact.digest);
  if (!existsSync(codeDir)) {
    const packageFile = blobFile(folders, artifact.digest);
    if (!existsSync(packageFile)) {
      throw new PhaseFailure(
        'fetch',
        `the code package ${artifact.digest.slice(0, 12)} is no longer in the data folder`,
      );
    }
    signal.throwIfAborted();
    onPhase('unpack');
    await unpackTo(codeDir, packageFile, options);
  }
  signal.throwIfAborted();
  onPhase('install');
  const { findInterpreter, installLimit: limit, installTimeoutMs: timeoutMs, marks } = options;
  await refuseTypeScript(codeDir, options);
  const language = languageOf(spec, startCommand(spec) ?? []);
  await installDependencies({
    folders,
    runtimeId,
    codeDir,
    language,
    findInterpreter,
    limit,
    timeoutMs,
    marks,
    signal,
  });
  return codeDir;
}

/** Before anything is installed for it: a Node that does not read TypeScript would only say so after. */
async function refuseTypeScript(codeDir: string, { spec, findInterpreter }: PrepareOptions): Promise<void> {
  const command = startCommand(spec) ?? [];
  if (typescriptFile(command) === undefined) return;
  const node = await findInterpreter('node', languageOf(spec, command));
  // That there is none is for the driver to say.
  if ('missing' in node) return;
  const manifest = await readFile(join(codeDir, 'package.json'), 'utf8').catch(() => '');
  const problem = typescriptProblem({
    command,
    nodeVersion: node.version,
    nodeOptions: spec.environmentVariables?.NODE_OPTIONS,
    hasBuildScript: /"scripts"\s*:\s*\{[^}]*"build"\s*:/.test(manifest),
  });
  if (problem !== undefined) throw new PhaseFailure('install', problem);
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
    });
    await renameOnce(work, codeDir);
  } catch (error) {
    await rm(work, { recursive: true, force: true });
    if (error instanceof PackageRefused)
      throw new PhaseFailure('unpack', error.message, [], { cause: error });
    throw error;
  }
}

function missingArtifact(spec: RuntimeSpec): string {
  if (spec.artifactType === 'Container') {
    return 'this server has no container engine driver, so container images cannot be run; deploy the code as a package';
  }
  return 'codeConfiguration has no package: send it as codeConfiguration.zipFile, or name its bucket and object';
}

/** Removes all that was prepared for a runtime. */
export async function forgetPrepared(folders: DataFolders, runtimeId: string, log: Log): Promise<void> {
  for (const folder of [folders.code, folders.deps]) await removeTree(join(folder, runtimeId), log);
}

/** Removes what a crash left half-made, and what belongs to runtimes that are gone. Before anything is prepared. */
export async function sweepPrepared(
  folders: DataFolders,
  runtimeIds: ReadonlySet<string>,
  log: Log,
): Promise<void> {
  for (const folder of [folders.code, folders.deps]) {
    for (const runtimeId of await readdir(folder)) {
      const kept = runtimeIds.has(runtimeId);
      if (!kept) await removeTree(join(folder, runtimeId), log);
      for (const name of kept ? await readdir(join(folder, runtimeId)) : []) {
        const path = join(folder, runtimeId, name);
        if (name.endsWith('.tmp') || (folder === folders.deps && isHalfMade(path)))
          await removeTree(path, log);
      }
    }
  }
}
