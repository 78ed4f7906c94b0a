import type { ExitCode } from './exit-codes.ts';

/** Where a command reads and writes; `process` has this shape, and tests bring their own. */
export interface Io {
  stdout: { write(text: string): unknown };
  stderr: { write(text: string): unknown };
  env: Record<string, string | undefined>;
  on(signal: 'SIGINT' | 'SIGTERM', listener: () => void): unknown;
}

/** A flag as the user types it. */
export interface Flag {
  /** As commander writes it: `--port <number>`. */
  syntax: string;
  description: string;
}

/** A command is data and one handler; parsing, help and error output exist once, in the runner. */
export interface Command {
  name: string;
  description: string;
  flags: readonly Flag[];
  examples: readonly string[];
  /** @throws CommandError for everything a user can mend */
  run(flags: Record<string, string | boolean | undefined>, io: Io): Promise<ExitCode>;
}

/** A failure with what to do about it; printed without a stack trace. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}
