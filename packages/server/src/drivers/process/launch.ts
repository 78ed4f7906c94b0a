import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { HealthCheckConfiguration } from '@runstead/contract';
import type { SecretBox } from '../../auth/secret-box.ts';
import { StartFailure } from '../driver.ts';
import type { InstanceSpec } from '../instance-spec.ts';
import { environmentScript, WRAPPER } from './environment.ts';
import { type Ending, endingOf, type InstanceRecord, readEnding } from './identity.ts';
import { type InstanceLog, openLog } from './instance-log.ts';
import type { Groups } from './limits/control-groups.ts';
import { DATA_MARK, INSTANCE_MARK, type ProcessId, RUNTIME_MARK, startTicksOf } from './processes.ts';
import { LAUNCHER_ENVIRONMENT } from './sandbox/sandbox.ts';
import type { View } from './sandbox/view.ts';

/** What a later server must know of an instance besides its record (`instance.json`). */
export interface KeptSpec {
  health: HealthCheckConfiguration;
  /** The port the agent believes it listens on. */
  agentPort: number;
  /** Absent in what a release before wrote. */
  isConfined?: boolean;
  memoryBytes?: number;
  groups?: Groups;
  /** Its share of the processors: a server may have ended while it was still allowed more. */
  cpu?: number;
}

export interface Launched {
  /** The wrapper: leader of the instance's session and process group. */
  leader: ProcessId;
  /** When the wrapper is gone, with the agent's ending. */
  ended: Promise<Ending>;
  /** The mark that its first processes bear for good, where that is not the instance's. */
  bornAs?: string;
  /** Hears no more of it. */
  detach(): void;
}

export interface LaunchInput {
  folder: string;
  spec: InstanceSpec;
  /** Program (absolute, as the agent sees it) and arguments. */
  command: string[];
  /** The program as the server sees it. */
  program: string;
  environment: Record<string, string>;
  /** What starts the sandbox, up to the agent's command; empty: there is none. */
  boundary: readonly string[];
  view: View;
  /** Further folders that the agent sees, read-only. */
  shown: readonly string[];
  /** Lists of processes that the agent is to be on before it begins. */
  doors: readonly string[];
  /** Where no control group shares out the processors. */
  niceness?: number | undefined;
  processors?: readonly number[] | undefined;
  record: Omit<InstanceRecord, 'bootId' | keyof ProcessId>;
  log: InstanceLog;
  box: SecretBox;
}

/** In the sandbox: what the wrapper does where there is none. The variables act from here on, and on nothing outside. */
const INSIDE_SCRIPT = 'unset PWD OLDPWD SHLVL; . /dev/fd/3; : > /dev/fd/3; exec "$@" 2>&1 3<&-';

const OWN_FOLDERS = ['home', 'tmp', 'shm'];

export function makeFolder(folder: string, kept: KeptSpec): void {
  mkdirSync(folder, { mode: 0o700 });
  for (const name of OWN_FOLDERS) mkdirSync(join(folder, name), { mode: 0o700 });
  keepSpec(folder, kept);
}

/** Makes of it again what `makeFolder` made, after a start that has come to nothing. What lies in its folders stays. */
export function mendFolder(folder: string): void {
  for (const name of ['wrapper', 'agent.pid', 'identity.json'])
    rmSync(join(folder, name), { recursive: true, force: true });
  for (const name of OWN_FOLDERS) mkdirSync(join(folder, name), { recursive: true, mode: 0o700 });
}

/** Replaces what is kept of it, whole. */
export function keepSpec(folder: string, kept: KeptSpec): void {
  const path = join(folder, 'instance.json');
  writeFileSync(`${path}.new`, JSON.stringify(kept), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/**
 * Starts the wrapper, which records itself and then starts the agent. Nothing of it is connected to this process:
 * its output goes to the log's file, its input is empty, and it leads a session of its own.
 * @throws StartFailure when the system refuses.
 */
export async function launch(input: LaunchInput): Promise<Launched> {
  const { folder, spec, command, environment, boundary, doors, niceness, processors, record, log, box } =
    input;
  const { script, prefix } = environmentScript(environment, spec.secretVariables);
  const opened: number[] = [];
  let child: ChildProcess;
  try {
    const output = openLog(log, box);
    opened.push(output);
    const variables = openNameless(join(folder, 'environment'), script);
    opened.push(variables);
    // The record lacks its closing brace: the wrapper adds what it alone knows.
    const partial = JSON.stringify(record).slice(0, -1);
    const limits = [
      ...doors.flatMap((door) => ['--join', door]),
      ...(niceness === undefined ? [] : ['--nice', String(niceness)]),
      ...(processors === undefined ? [] : ['--processors', processors.join(',')]),
    ];
    const program =
      boundary.length > 0
        ? ['--inside', ...boundary, '/bin/sh', '-c', INSIDE_SCRIPT, 'sh', ...prefix, ...command]
        : ['--', ...prefix, ...command];
    child = spawn('/bin/sh', [WRAPPER, folder, partial, ...limits, ...program], {
      cwd: spec.codeDir,
      // The marks are there from the first moment, record or not: whatever happens next, this process can be found.
      env: {
        ...LAUNCHER_ENVIRONMENT,
        [INSTANCE_MARK]: spec.instanceId,
        [RUNTIME_MARK]: spec.runtimeId,
        [DATA_MARK]: environment[DATA_MARK],
      },
      detached: true,
      stdio: ['ignore', output, output, variables],
    });
  } finally {
    for (const file of opened) closeSync(file);
  }
  if (child.pid === undefined) {
    const [error] = (await once(child, 'error')) as [Error];
    throw new StartFailure('start', 'cannot-start', `the process could not be started: ${error.message}`);
  }
  // Spawned and not waited for yet: the number is certainly still its own.
  const leader = { pid: child.pid, startTicks: startTicksOf(child.pid) ?? '' };
  const ended = new Promise<Ending>((resolve) => {
    child.once('exit', (code, signal) => {
      resolve(readEnding(folder) ?? (signal ? { signal } : endingOf(code ?? 0)));
    });
  });
  // The server may end before its agents.
  child.unref();
  return { leader, ended, detach: () => child.removeAllListeners() };
}

/** A descriptor of a file that holds `text` and is in no folder: it is gone with the processes that hold it. */
function openNameless(path: string, text: string): number {
  const file = openSync(path, 'wx+', 0o600);
  unlinkSync(path);
  // At a position: the descriptor's own stays at the start, where /dev/fd/3 begins to read on macOS.
  const bytes = Buffer.from(text);
  for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done, bytes.length - done, done);
  return file;
}
