import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, unlinkSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { HealthCheckConfiguration } from '@runstead/contract';
import type { SecretBox } from '../../auth/secret-box.ts';
import { StartFailure } from '../driver.ts';
import type { InstanceSpec } from '../instance-spec.ts';
import { environmentScript, WRAPPER } from './environment.ts';
import { type Ending, endingOf, type InstanceRecord, readEnding } from './identity.ts';
import { type InstanceLog, openLog } from './instance-log.ts';
import { DATA_MARK, INSTANCE_MARK, type ProcessId, RUNTIME_MARK, startTicksOf } from './processes.ts';

/** What a later server must know of an instance besides its record (`instance.json`). */
export interface KeptSpec {
  health: HealthCheckConfiguration;
  /** The port the agent believes it listens on. */
  agentPort: number;
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
  /** Program (absolute) and arguments. */
  command: string[];
  environment: Record<string, string>;
  record: Omit<InstanceRecord, 'bootId' | keyof ProcessId>;
  log: InstanceLog;
  box: SecretBox;
}

export function makeFolder(folder: string, spec: InstanceSpec): void {
  for (const path of [folder, join(folder, 'home'), join(folder, 'tmp')]) mkdirSync(path, { mode: 0o700 });
  const kept: KeptSpec = { health: spec.healthCheck, agentPort: spec.port };
  writeFileSync(join(folder, 'instance.json'), JSON.stringify(kept), { mode: 0o600 });
}

/**
 * Starts the wrapper, which records itself and then starts the agent. Nothing of it is connected to this process:
 * its output goes to the log's file, its input is empty, and it leads a session of its own.
 * @throws StartFailure when the system refuses.
 */
export async function launch(input: LaunchInput): Promise<Launched> {
  const { folder, spec, command, environment, record, log, box } = input;
  const { script, prefix } = environmentScript(environment);
  const opened: number[] = [];
  let child: ChildProcess;
  try {
    const output = openLog(log, box);
    opened.push(output);
    const variables = openNameless(join(folder, 'environment'), script);
    opened.push(variables);
    // The record lacks its closing brace: the wrapper adds what it alone knows.
    const partial = JSON.stringify(record).slice(0, -1);
    child = spawn('/bin/sh', [WRAPPER, folder, partial, '--', ...prefix, ...command], {
      cwd: spec.codeDir,
      // The marks are there from the first moment, record or not: whatever happens next, this process can be found.
      env: {
        PATH: '/usr/bin:/bin',
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
