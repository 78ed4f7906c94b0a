import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { LogShelf } from './log-shelf.ts';

export interface LogLimits {
  /** What logs may take up on the disk: those of one runtime, and all. */
  runtimeBytes: number;
  totalBytes: number;
}

interface EndedLog {
  path: string;
  bytes: number;
  modifiedMs: number;
}

/** When all logs are too many, so much is made room for that it is not to be done again soon. */
const LEFT = 0.9;
const BLOCK_BYTES = 512;

/**
 * Keeps logs within what they may take up in all. Those of instances that have ended go, the oldest first; those that
 * are being written are shortened by their owner, as `limitOfOne` says.
 */
export class LogBounds {
  readonly #shelf: LogShelf;
  readonly #limits: LogLimits;
  readonly #isInUse: (instanceId: string) => boolean;
  /** What each runtime's logs take up, as last seen; undefined: they have not all been looked at. */
  readonly #bytes = new Map<string, number>();
  #isMeasured = false;
  #work: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(shelf: LogShelf, limits: LogLimits, isInUse: (instanceId: string) => boolean) {
    this.#shelf = shelf;
    this.#limits = limits;
    this.#isInUse = isInUse;
  }

  /** What one of the logs that are being written may keep: it may grow to twice that before it is shortened. */
  limitOfOne(limitBytes: number, running: { ofRuntime: number; inAll: number }): number {
    const { runtimeBytes, totalBytes } = this.#limits;
    const share = Math.min(
      runtimeBytes / Math.max(1, running.ofRuntime),
      totalBytes / Math.max(1, running.inAll),
    );
    return Math.max(BLOCK_BYTES, Math.min(limitBytes, Math.floor(share / 2)));
  }

  /** Looks at all there is, and makes room. */
  begin(): Promise<void> {
    return this.#inTurn(async () => {
      for (const runtimeId of await this.#runtimes()) {
        if (this.#isClosed) return;
        await this.#boundRuntime(runtimeId);
      }
      this.#isMeasured = true;
      await this.#boundAll();
    });
  }

  /** A runtime's logs have grown, or one more is over. */
  settle(runtimeId: string): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#isClosed) return;
      await this.#boundRuntime(runtimeId);
      await this.#boundAll();
    });
  }

  /** Resolves when nothing is under way. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#work;
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#work.then(work);
    this.#work = done.catch(() => {});
    return done;
  }

  async #runtimes(): Promise<string[]> {
    return readdir(this.#shelf.folder);
  }

  async #boundRuntime(runtimeId: string): Promise<void> {
    const { bytes, ended } = await this.#measure(runtimeId);
    const left = await this.#remove(ended, bytes - this.#limits.runtimeBytes);
    if (bytes - left === 0) this.#bytes.delete(runtimeId);
    else this.#bytes.set(runtimeId, bytes - left);
  }

  async #boundAll(): Promise<void> {
    const { totalBytes } = this.#limits;
    const before = [...this.#bytes.values()].reduce((sum, bytes) => sum + bytes, 0);
    if (!this.#isMeasured || before <= totalBytes) return;
    const ended: EndedLog[] = [];
    let bytes = 0;
    for (const runtimeId of this.#bytes.keys()) {
      if (this.#isClosed) return;
      const measured = await this.#measure(runtimeId);
      this.#bytes.set(runtimeId, measured.bytes);
      bytes += measured.bytes;
      ended.push(...measured.ended);
    }
    if (bytes <= totalBytes) return;
    await this.#remove(ended, bytes - LEFT * totalBytes);
    for (const runtimeId of this.#bytes.keys())
      this.#bytes.set(runtimeId, (await this.#measure(runtimeId)).bytes);
  }

  async #measure(runtimeId: string): Promise<{ bytes: number; ended: EndedLog[] }> {
    const names = await readdir(join(this.#shelf.folder, runtimeId)).catch(() => []);
    const logs = new Map<string, EndedLog>();
    for (const name of names) {
      const [, log] = /^(.*\.log)(?:\..*)?$/.exec(name) ?? [];
      const path = join(this.#shelf.folder, runtimeId, name);
      const found = log === undefined ? undefined : await stat(path).catch(() => undefined);
      if (log === undefined || !found) continue;
      const sum = logs.get(log) ?? {
        path: join(this.#shelf.folder, runtimeId, log),
        bytes: 0,
        modifiedMs: 0,
      };
      // What a file takes up, not how long it is: its head may be a hole.
      sum.bytes += found.blocks * BLOCK_BYTES;
      if (name === log) sum.modifiedMs = found.mtimeMs;
      logs.set(log, sum);
    }
    const all = [...logs.entries()];
    return {
      bytes: all.reduce((sum, [, { bytes }]) => sum + bytes, 0),
      ended: all.filter(([log]) => !this.#isInUse(log.slice(0, -'.log'.length))).map(([, log]) => log),
    };
  }

  /** @returns how many bytes are free now */
  async #remove(ended: EndedLog[], wantedBytes: number): Promise<number> {
    let freed = 0;
    for (const { path, bytes } of ended.sort((a, b) => a.modifiedMs - b.modifiedMs)) {
      if (freed >= wantedBytes) break;
      await this.#shelf.remove(path);
      freed += bytes;
    }
    return freed;
  }
}
