import type { ExitCode } from './exit-codes.ts';

/** What is typed or piped into a command. */
export interface StdIn extends AsyncIterable<Uint8Array | string> {
  /** Somebody sits there. */
  isTTY?: boolean;
  /** What is typed comes as it is typed, and does not show. */
  setRawMode?(on: boolean): unknown;
}

/** Where a command reads and writes; `process` has this shape, and tests bring their own. */
export interface Io {
  /** Absent: there is nothing to be read. */
  stdin?: StdIn | undefined;
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
  /** May be given several times; its value is then a list. */
  repeatable?: true;
}

/** Flags by their names in camel case. */
export type Flags = Record<string, string | boolean | string[] | undefined>;

/** A word that follows the command. */
export interface Argument {
  /** As commander writes it: `<key-id>`. */
  syntax: string;
  description: string;
}

/** A command is data and one handler; parsing, help and error output exist once, in the runner. */
export interface Command {
  name: string;
  description: string;
  flags: readonly Flag[];
  arguments?: readonly Argument[];
  examples: readonly string[];
  /** @throws CommandError for everything a user can mend */
  run(flags: Flags, io: Io, words: readonly string[]): Promise<ExitCode>;
}

/** A noun with its verbs: `runstead keys create`. */
export interface CommandGroup {
  name: string;
  description: string;
  commands: readonly Command[];
}

export interface CommandErrorOptions {
  /** The server's code for it, such as `ERR_NOT_FOUND`. */
  code?: string | undefined;
  /** What to do next; printed below the message. */
  hint?: string | undefined;
  /** Under which the server logged it. */
  requestId?: string | undefined;
  cause?: unknown;
}

/** A failure with what to do about it; printed without a stack trace. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly exitCode: ExitCode;
  readonly code: string | undefined;
  readonly hint: string | undefined;
  readonly requestId: string | undefined;

  constructor(exitCode: ExitCode, message: string, options: CommandErrorOptions = {}) {
    super(message, { cause: options.cause });
    this.exitCode = exitCode;
    this.code = options.code;
    this.hint = options.hint;
    this.requestId = options.requestId;
  }
}
