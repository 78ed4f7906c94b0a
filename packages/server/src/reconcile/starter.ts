import type { DataFolders } from '../artifacts/folders.ts';
import type { TrackProgram } from '../artifacts/install/guard.ts';
import type { FindInterpreter, InstallLimit } from '../artifacts/install/kept-install.ts';
import type { InstallRules } from '../artifacts/install/rules.ts';
import type { PackageThread } from '../artifacts/package-thread.ts';
import { prepare } from '../artifacts/prepare.ts';
import type { PreparedTrees } from '../artifacts/prepared-trees.ts';
import { type Phase, PhaseFailure } from '../domain/failure.ts';
import { languageOf } from '../domain/language.ts';
import { unmappedMount, wantedMounts } from '../domain/mounts.ts';
import type { RuntimeSpec } from '../domain/runtime.ts';
import { StartFailure } from '../drivers/driver.ts';
import type { Instance, InstanceSet } from './instance-set.ts';
import type { ResolveSecrets } from './resolve-secrets.ts';

export interface StarterOptions {
  folders: DataFolders;
  thread: PackageThread;
  prepared: PreparedTrees;
  instances: InstanceSet;
  unpackedLimitBytes: number;
  unpackedLimitEntries: number;
  installTimeoutMs: number;
  findInterpreter: FindInterpreter;
  installLimit: InstallLimit;
  installRules: Readonly<InstallRules>;
  trackProgram: TrackProgram;
  /** For programs that work for an instance; see `Driver.marks`. */
  marks: Readonly<Record<string, string>>;
  startTimeoutMs: number;
  /** Directories that agents may want mounted and that are there. */
  mounts: readonly string[];
  resolveSecrets: ResolveSecrets;
  /** Whether the runtime is there, and not on its way out. */
  isWanted: (runtimeId: string) => Promise<boolean>;
}

/** What was to be started for is being deleted. */
export class RuntimeLeaving extends Error {
  override readonly name = 'RuntimeLeaving';
  constructor() {
    super('the runtime is being deleted');
  }
}

export interface StartRequest {
  runtimeId: string;
  runtimeName: string;
  revision: number;
  spec: RuntimeSpec;
  signal: AbortSignal;
  /** Called as each phase begins. */
  onPhase?: (phase: Phase) => void;
  /** Hears what is being done in the phase under way, where that may take long. */
  onDoing?: (what: string) => void;
  /** Hears the last lines of what was run in the phase under way. */
  onOutput?: (lines: readonly string[]) => void;
}

export type Starter = (request: StartRequest) => Promise<Instance>;

/**
 * From a configuration to a ready instance: prepared if it is not yet, then started and probed.
 * The promise rejects with a PhaseFailure naming the phase, a RuntimeLeaving, or the signal's reason.
 */
export function createStarter(options: StarterOptions): Starter {
  return async ({
    runtimeId,
    runtimeName,
    revision,
    spec,
    signal,
    onPhase = () => {},
    onOutput,
    onDoing,
  }) => {
    const missing = unmappedMount(spec, options.mounts);
    if (missing !== undefined) {
      onPhase('start');
      throw new PhaseFailure('start', missing);
    }
    let codeDir = '';
    try {
      return await options.instances.start(
        { runtimeId, revision, memoryMiB: spec.memory },
        async (instanceId, ownSignal) => {
          // Asked once the instance is counted: either a delete sees it, or it sees the delete.
          if (!(await options.isWanted(runtimeId))) throw new RuntimeLeaving();
          // Asked before anything is installed for what could not be started; what counts is the answer after that.
          const resolve = () => options.resolveSecrets(runtimeId, spec.environmentVariables ?? {});
          const first = await resolve().catch((error: unknown) => {
            onPhase('start');
            throw error;
          });
          if (spec.artifactType === 'Container') {
            onPhase('start');
            return {
              instanceId,
              runtimeId,
              runtimeName,
              revision,
              ...imageOf(spec),
              ...environmentOf(first),
              ...sharesOf(spec, options),
            };
          }
          await options.prepared.atRest(runtimeId);
          const prepared = await prepare({
            folders: options.folders,
            thread: options.thread,
            runtimeId,
            spec,
            limitBytes: options.unpackedLimitBytes,
            limitEntries: options.unpackedLimitEntries,
            installTimeoutMs: options.installTimeoutMs,
            findInterpreter: options.findInterpreter,
            installLimit: options.installLimit,
            installRules: options.installRules,
            trackProgram: options.trackProgram,
            marks: options.marks,
            onPhase,
            ...(onOutput && { onOutput }),
            ...(onDoing && { onDoing }),
            signal: ownSignal,
          });
          if (spec.artifact) options.prepared.used(instanceId, runtimeId, spec.artifact.digest);
          onPhase('start');
          codeDir = prepared.codeDir;
          const { command } = prepared;
          if (!command)
            throw new PhaseFailure('start', 'no command was given and none was found in the package');
          const environment = environmentOf(await resolve());
          return {
            instanceId,
            runtimeId,
            runtimeName,
            revision,
            codeDir,
            language: languageOf(spec, command),
            command,
            port: spec.port,
            ...environment,
            ...sharesOf(spec, options),
          };
        },
        signal,
        () => onPhase('probe'),
      );
    } catch (error) {
      if (!(error instanceof StartFailure)) throw error;
      const { phase, message, lastLines } = error;
      // The author knows the package, not where it was put.
      const shown = (text: string) => (codeDir === '' ? text : text.replaceAll(codeDir, '/code'));
      throw new PhaseFailure(phase, shown(message), lastLines.map(shown), { cause: error });
    }
  };
}

function environmentOf({ variables, secretVariables }: Awaited<ReturnType<ResolveSecrets>>) {
  return { environment: variables, ...(secretVariables.length > 0 && { secretVariables }) };
}

/** What an instance may take, and how it is to answer, whatever it runs in. */
function sharesOf(spec: RuntimeSpec, { startTimeoutMs }: StarterOptions) {
  return {
    mounts: wantedMounts(spec),
    cpu: spec.cpu,
    memoryMiB: spec.memory,
    healthCheck: spec.healthCheckConfiguration ?? {},
    startTimeoutMs,
  };
}

/** What is run of a configuration that names an image. */
function imageOf(spec: RuntimeSpec) {
  const { artifact, containerConfiguration = {} } = spec;
  if (artifact?.image === undefined)
    throw new PhaseFailure('fetch', 'it is not known which image this version stands for; deploy it again');
  const { registryConfig: registry, command = [], port = spec.port } = containerConfiguration;
  return {
    image: { digest: artifact.digest, image: artifact.image, registry },
    codeDir: '',
    language: 'custom' as const,
    command,
    port,
  };
}
