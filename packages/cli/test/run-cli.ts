import { EventEmitter } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { StdIn } from '../src/command.ts';
import type { ExitCode } from '../src/exit-codes.ts';
import { main } from '../src/main.ts';

export interface CliResult {
  exitCode: ExitCode;
  stdout: string;
  stderr: string;
}

export interface RunningCli {
  /** What it has written to stderr so far. */
  stderr(): string;
  /** What `process` would hear: SIGINT or SIGTERM. */
  signal(name: 'SIGINT' | 'SIGTERM'): void;
  result: Promise<CliResult>;
}

/** Below a file: no folder can be made there. */
const NOWHERE = join(fileURLToPath(import.meta.url), 'data');

/** Starts a command line in this process, with streams, variables and signals of its own. */
export function startCli(
  argv: string[],
  variables: Record<string, string> = {},
  onStderr: (text: string, signal: RunningCli['signal']) => void = () => {},
  stdin?: StdIn,
): RunningCli {
  // Never the user's own folder: a command line that should have been refused may come that far.
  const env = { RUNSTEAD_DATA: NOWHERE, ...variables };
  let stdout = '';
  let stderr = '';
  const signals = new EventEmitter();
  const result = main(argv, {
    stdin,
    stdout: {
      write: (text) => {
        stdout += text;
      },
    },
    stderr: {
      write: (text) => {
        stderr += text;
        onStderr(text, (name) => signals.emit(name));
      },
    },
    env,
    on: (signal, listener) => signals.on(signal, listener),
  }).then((exitCode) => ({ exitCode, stdout, stderr }));
  return { stderr: () => stderr, signal: (name) => signals.emit(name), result };
}

/** Runs a command line to its end. */
export function runCli(argv: string[], env: Record<string, string> = {}): Promise<CliResult> {
  return startCli(argv, env).result;
}
