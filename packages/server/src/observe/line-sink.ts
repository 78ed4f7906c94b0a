import { close, fstat, open, type Stats, stat, write } from 'node:fs';
import { promisify } from 'node:util';
import type { Log } from './log.ts';

const openFile = promisify(open);
const closeFile = promisify(close);
const statFile = promisify(stat);
const statOpen = promisify(fstat);

export interface LineSinkOptions {
  /** A file, appended to, readable by its owner alone if it is made here; or a descriptor that is open. */
  target: { path: string } | { fd: number };
  /** Told once of each time that lines begin to be lost. */
  log: Pick<Log, 'warn'>;
  limits?: Partial<typeof LIMITS>;
}

const LIMITS = {
  /** How long a line may wait for others. */
  flushMs: 200,
  /** With this much to write, nothing waits any more. */
  flushBytes: 64 * 1024,
  /** With this much not yet written, further lines are lost, and counted. */
  pendingBytes: 4 * 1024 * 1024,
  /** How often it is looked whether the path still leads to the file. */
  lookMs: 1000,
  /** Before a full pipe or disk is tried again. */
  againMs: 100,
  /** How long `close` waits for what is left. */
  closeMs: 1000,
};

/**
 * Writes lines behind those who have them: whatever becomes of the file, or of who reads the pipe, costs a caller
 * neither time nor an error. Writes happen in Node's threads, one after the other.
 *
 * A file that was moved away, or removed, is followed by a new one under its path (rotation).
 */
export class LineSink {
  readonly #options: LineSinkOptions;
  readonly #limits: typeof LIMITS;
  #text = '';
  #lines = 0;
  #writing: Promise<void> | undefined;
  #writingBytes = 0;
  #timer: NodeJS.Timeout | undefined;
  #lost = 0;
  #fd: number | undefined;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #isFailing = false;
  #isOver = false;

  constructor(options: LineSinkOptions) {
    this.#options = options;
    this.#limits = { ...LIMITS, ...options.limits };
    if ('fd' in options.target) this.#fd = options.target.fd;
  }

  /** @param line without its end */
  write(line: string): void {
    if (this.#isOver || this.#text.length + this.#writingBytes + line.length > this.#limits.pendingBytes) {
      this.#lost++;
      return;
    }
    this.#text += `${line}\n`;
    this.#lines++;
    if (this.#writing !== undefined) return;
    if (this.#text.length >= this.#limits.flushBytes) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), this.#limits.flushMs).unref();
  }

  /** Writes what is left, if that can be done soon. */
  async close(): Promise<void> {
    this.#flush();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#limits.closeMs);
    });
    await Promise.race([this.#writing, late]);
    clearTimeout(timer);
    this.#isOver = true;
    // Under a write that hangs it stays open until the process ends.
    if (this.#writing === undefined) await this.#closeFile();
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined;
      this.#writingBytes = 0;
    });
  }

  async #writeAll(): Promise<void> {
    while (this.#text !== '' && !this.#isOver) {
      const lost = this.#lost;
      const lines = this.#lines;
      const note =
        lost === 0 ? '' : `${JSON.stringify({ time: new Date().toISOString(), lostLines: lost })}\n`;
      const bytes = Buffer.from(note + this.#text);
      this.#text = '';
      this.#lines = 0;
      this.#writingBytes = bytes.length;
      this.#lost = 0;
      try {
        await this.#writeWhole(await this.#file(), bytes);
        this.#isFailing = false;
      } catch (error) {
        this.#lost += lost + lines;
        await this.#failed(error as NodeJS.ErrnoException);
      }
    }
  }

  async #writeWhole(fd: number, bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const length = 'fd' in this.#options.target ? unsplit(bytes, at) : bytes.length - at;
      try {
        at += await new Promise<number>((resolve, reject) =>
          write(fd, bytes, at, length, (error, written) => (error ? reject(error) : resolve(written))),
        );
      } catch (error) {
        // A pipe that is full, where somebody has made it not wait.
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || this.#isOver) throw error;
        await this.#pause();
      }
    }
  }

  /** The descriptor to write to: of the file that its path leads to now. */
  async #file(): Promise<number> {
    const { target } = this.#options;
    if ('fd' in target) return target.fd;
    const nowMs = performance.now();
    if (this.#fd !== undefined && nowMs - this.#lookedMs >= this.#limits.lookMs) {
      this.#lookedMs = nowMs;
      const [there, ours] = await Promise.all([
        statFile(target.path).catch(() => undefined),
        statOpen(this.#fd),
      ]);
      if (!isSame(there, ours)) await this.#closeFile();
    }
    this.#fd ??= await openFile(target.path, 'a', 0o600);
    return this.#fd;
  }

  async #failed(error: NodeJS.ErrnoException): Promise<void> {
    if (!this.#isFailing) this.#options.log.warn({ err: error }, 'lines cannot be written and are lost');
    this.#isFailing = true;
    // Nobody will read that pipe again.
    if ('fd' in this.#options.target) this.#isOver = true;
    else {
      await this.#closeFile();
      await this.#pause();
    }
  }

  async #closeFile(): Promise<void> {
    const fd = this.#fd;
    if (fd === undefined || 'fd' in this.#options.target) return;
    this.#fd = undefined;
    await closeFile(fd).catch(() => {});
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, this.#limits.againMs).unref());
  }
}

/** What a pipe takes in one piece on every system that we know (PIPE_BUF of Linux). */
const PIECE = 4096;

/** How much to write at once, so that the lines of others who write there come between ours and not into them. */
function unsplit(bytes: Buffer, at: number): number {
  if (bytes.length - at <= PIECE) return bytes.length - at;
  const end = bytes.lastIndexOf('\n', at + PIECE - 1);
  return end < at ? PIECE : end + 1 - at;
}

function isSame(one: Stats | undefined, other: Stats): boolean {
  return one?.ino === other.ino && one.dev === other.dev;
}
