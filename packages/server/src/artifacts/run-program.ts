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
  /** When it aborts, the program is ended and its reason's message becomes the failure. */
  halt?: AbortSignal;
  /** Held by the kernel, for every process of the program. Default: what holds for the server. */
  limits?: ProgramLimits;
  /**
   * Ends what left the process group; called once the program itself has ended, and waited for. It must not reject.
   * Default: nobody looks for those.
   */
  endStrays?: () => Promise<unknown>;
}

export interface ProgramLimits {
  /** No file may become larger. */
  fileBytes: number;
  /** Of each process. Where the system allows fewer already, that stays. */
  openFiles: number;
}

export interface ProgramResult {
  /** How it ended, for a person; undefined when it succeeded. */
  failure?: string;
  /** It took longer than it was given. */
  timedOut?: boolean;
  /** It was ended by `halt`. */
  halted?: boolean;
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
  const { cwd, env, timeoutMs, signal, halt, limits, linesKept = LINES_KEPT } = options;
  const endStrays = options.endStrays ?? (() => Promise.resolve());
  const [program, words] = limits ? limited(file, args, limits) : [file, args];
  return new Promise((resolve, reject) => {
    const child = spawn(program, words, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
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
    let strays: Promise<unknown> = Promise.resolve();
    child.once('exit', () => {
      // In the same turn as the waiting, so still the same group: what it left behind has nothing more to do.
      killGroup();
      ended = true;
      strays = endStrays();
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
    const isHalted = () => halt?.aborted === true;
    for (const it of [signal, halt]) {
      it?.addEventListener('abort', killGroup);
      if (it?.aborted) killGroup();
    }
    const finish = async (failure: string | undefined) => {
      clearTimeout(timer);
      clearTimeout(pipes);
      for (const it of [signal, halt]) it?.removeEventListener('abort', killGroup);
      await strays;
      if (signal.aborted) return reject(signal.reason as Error);
      resolve({
        ...(failure !== undefined && { failure }),
        ...(timedOut && { timedOut }),
        ...(isHalted() && { halted: true }),
        lastLines: tail.lines(),
      });
    };
    child.once('error', (error) => void finish(`${file} could not be started: ${error.message}`));
    child.once('close', (code, name) => {
      if (isHalted()) void finish((halt!.reason as Error).message);
      else if (timedOut) void finish(`${file} was stopped after ${Math.round(timeoutMs / 1000)} s`);
      else if (name) void finish(`${file} was killed by ${name}`);
      else void finish(code === 0 ? undefined : `${file} exited with code ${code}`);
    });
  });
}

/**
 * The program behind a shell that sets the limits and then becomes it. `ulimit -f` counts blocks of 512 bytes. The
 * number of processes is not among them: the kernel counts that by user, and for root not at all.
 */
function limited(
  file: string,
  args: readonly string[],
  { fileBytes, openFiles }: ProgramLimits,
): [string, readonly string[]] {
  const set = `ulimit -c 0; ulimit -f ${Math.ceil(fileBytes / 512)}; ulimit -n ${openFiles}`;
  return ['/bin/sh', ['-c', `{ ${set}; } 2>/dev/null; exec "$@"`, 'sh', file, ...args]];
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
