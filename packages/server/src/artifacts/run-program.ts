import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

export interface ProgramOptions {
  cwd: string;
  /** The whole environment; nothing of the server's is added. */
  env: Record<string, string>;
  timeoutMs: number;
  signal: AbortSignal;
  /** Default 20. */
  linesKept?: number;
}

export interface ProgramResult {
  /** How it ended, for a person; undefined when it succeeded. */
  failure?: string;
  /** It took longer than it was given. */
  timedOut?: boolean;
  /** The newest lines of its output, stdout and stderr together. */
  lastLines: string[];
}

const LINES_KEPT = 20;
const LINE_MAX = 500;
/** How long after a program's end its output is still read. */
const PIPES_GRACE_MS = 500;

/**
 * Runs a program to its end in a process group of its own, so that a timeout or an abort takes everything it started.
 * An abort rejects with the signal's reason once all is gone.
 */
export function runProgram(
  file: string,
  args: readonly string[],
  options: ProgramOptions,
): Promise<ProgramResult> {
  const { cwd, env, timeoutMs, signal, linesKept = LINES_KEPT } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    const tail = new LineTail(linesKept);
    tail.follow(child.stdout);
    tail.follow(child.stderr);
    let ended = false;
    const killGroup = () => {
      // While its leader has not been waited for, the number stands for this group and no other.
      if (ended || child.pid === undefined) return;
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        // Nobody is left in it.
      }
    };
    let pipes: NodeJS.Timeout | undefined;
    child.once('exit', () => {
      // In the same turn as the waiting, so still the same group: what it left behind has nothing more to do.
      killGroup();
      ended = true;
      // Whoever left the group may hold the pipes for ever.
      pipes = setTimeout(() => {
        child.stdout.destroy();
        child.stderr.destroy();
      }, PIPES_GRACE_MS);
    });
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      killGroup();
    }, timeoutMs);
    signal.addEventListener('abort', killGroup);
    if (signal.aborted) killGroup();
    const finish = (failure: string | undefined) => {
      clearTimeout(timer);
      clearTimeout(pipes);
      signal.removeEventListener('abort', killGroup);
      if (signal.aborted) reject(signal.reason as Error);
      else
        resolve({
          ...(failure !== undefined && { failure }),
          ...(timedOut && { timedOut }),
          lastLines: tail.lines(),
        });
    };
    child.once('error', (error) => finish(`${file} could not be started: ${error.message}`));
    child.once('close', (code, name) => {
      if (timedOut) finish(`${file} was stopped after ${Math.round(timeoutMs / 1000)} s`);
      else if (name) finish(`${file} was killed by ${name}`);
      else finish(code === 0 ? undefined : `${file} exited with code ${code}`);
    });
  });
}

/** Keeps the newest lines of some streams in bounded memory. */
class LineTail {
  readonly #kept: number;
  #lines: string[] = [];
  readonly #open: { text: string }[] = [];

  constructor(kept: number) {
    this.#kept = kept;
  }

  /** Follows one more stream; lines of different streams do not run into each other. */
  follow(stream: Readable): void {
    const decoder = new StringDecoder('utf8');
    const open = { text: '' };
    this.#open.push(open);
    stream.on('data', (chunk: Buffer) => {
      const pieces = (open.text + decoder.write(chunk)).split('\n');
      open.text = pieces.pop()!.slice(0, LINE_MAX);
      this.#lines = [...this.#lines, ...pieces.map((line) => line.slice(0, LINE_MAX))].slice(-this.#kept);
    });
  }

  lines(): string[] {
    return [...this.#lines, ...this.#open.map(({ text }) => text)]
      .filter((line) => line.trim() !== '')
      .slice(-this.#kept);
  }
}
