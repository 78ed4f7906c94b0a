import { spawn } from 'node:child_process';
import { StringDecoder } from 'node:string_decoder';

export interface ProgramOptions {
  cwd: string;
  /** The whole environment; nothing of the server's is added. */
  env: Record<string, string>;
  timeoutMs: number;
  signal: AbortSignal;
}

export interface ProgramResult {
  /** How it ended, for a person; undefined when it succeeded. */
  failure?: string;
  /** The newest lines of its output, stdout and stderr together. */
  lastLines: string[];
}

const LINES_KEPT = 20;
const LINE_MAX = 500;

/**
 * Runs a program to its end in a process group of its own, so that a timeout or an abort takes everything it started.
 * An abort rejects with the signal's reason once all is gone.
 */
export function runProgram(
  file: string,
  args: readonly string[],
  options: ProgramOptions,
): Promise<ProgramResult> {
  const { cwd, env, timeoutMs, signal } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    const tail = new LineTail();
    child.stdout.on('data', (chunk: Buffer) => tail.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => tail.push(chunk));
    const killGroup = () => {
      // The group is ours alone: it was made at spawn and its leader has not been waited for yet.
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
    };
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      killGroup();
    }, timeoutMs);
    signal.addEventListener('abort', killGroup);
    if (signal.aborted) killGroup();
    const finish = (failure: string | undefined) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', killGroup);
      if (signal.aborted) reject(signal.reason as Error);
      else resolve({ ...(failure !== undefined && { failure }), lastLines: tail.lines() });
    };
    child.once('error', (error) => finish(`${file} could not be started: ${error.message}`));
    child.once('close', (code, name) => {
      if (timedOut) finish(`${file} was stopped after ${Math.round(timeoutMs / 1000)} s`);
      else if (name) finish(`${file} was killed by ${name}`);
      else finish(code === 0 ? undefined : `${file} exited with code ${code}`);
    });
  });
}

/** Keeps the newest lines of a stream in bounded memory. */
class LineTail {
  readonly #decoder = new StringDecoder('utf8');
  #lines: string[] = [];
  #open = '';

  push(chunk: Buffer): void {
    const pieces = (this.#open + this.#decoder.write(chunk)).split('\n');
    this.#open = pieces.pop()!.slice(0, LINE_MAX);
    this.#lines = [...this.#lines, ...pieces.map((line) => line.slice(0, LINE_MAX))].slice(-LINES_KEPT);
  }

  lines(): string[] {
    return [...this.#lines, this.#open].filter((line) => line.trim() !== '').slice(-LINES_KEPT);
  }
}
