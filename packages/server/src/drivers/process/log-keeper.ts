import type { Log } from '../../observe/log.ts';
import { watchFile } from './file-watch.ts';
import { boundLog, cutLog, type InstanceLog, logExtent } from './instance-log.ts';
import type { LogBounds } from './log-bounds.ts';
import type { LogTimes } from './log-times.ts';

/** The log of an instance that may write to it. */
export interface GrowingLog {
  instanceId: string;
  runtimeId: string;
  log: InstanceLog;
  logTimes: LogTimes;
}

export interface LogKeeperOptions {
  /** All there are. */
  growing: () => readonly GrowingLog[];
  bounds: LogBounds;
  /** Kept of each; it may grow to twice that. */
  limitBytes: number;
  /** Between two looks at all: how large they are, and when they were written. Default: 250 ms. */
  everyMs?: number | undefined;
  log: Log;
}

const EVERY_MS = 250;
/** Between two looks at one that is being written: an agent can write 30 MB in that time. */
const WRITTEN_EVERY_MS = 10;
/** One that is looked at so often may grow by so much more: small ones are not to be shortened a hundred times a second. */
const SPARE_BYTES = 1024 * 1024;
/**
 * Who writes so many bytes a second would fill the disk while the head of its log is given back, and who is so far beyond
 * its limit has begun to: such a log is cut. It is a flood until it has not been cut for a while.
 */
const FLOOD_PACE = 256 * 1024 * 1024;
const FLOOD_BYTES = 16 * 1024 * 1024;
const FLOOD_MS = 1000;
/** What logs take up in all is looked at less often: each is bounded, and so grows slowly or not at all. */
const BOUND_EVERY_LOOKS = 120;

/** Keeps the logs that agents write within their limits, and notes when what is in them was written. */
export class LogKeeper {
  readonly #options: LogKeeperOptions;
  readonly #watches = new Map<string, () => void>();
  /** Where what is kept of a log begins, as of when it was last shortened. */
  readonly #begins = new Map<string, number>();
  readonly #shortening = new Map<string, Promise<void>>();
  /** When logs were last cut, on the monotonic clock. */
  readonly #cuts = new Map<string, number>();
  #looks = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: LogKeeperOptions) {
    this.#options = options;
    this.#lookLater();
  }

  /** An instance writes, or is about to. */
  begin(growing: GrowingLog): void {
    const { instanceId, log } = growing;
    this.#watches.get(instanceId)?.();
    const look = async (size: number, pace: number) => {
      const begin = this.#begins.get(instanceId);
      // What an earlier server left is looked at with all others first.
      if (begin === undefined) return;
      const over = size - begin - 2 * this.#limitOf(growing) - SPARE_BYTES;
      if (over <= 0) return;
      if (pace < FLOOD_PACE && over < FLOOD_BYTES && !this.#isFlood(instanceId)) return this.shorten(growing);
      this.#cuts.set(instanceId, performance.now());
      await this.#inTurn(growing, cutLog);
    };
    this.#watches.set(instanceId, watchFile(log.path, WRITTEN_EVERY_MS, look));
    void this.shorten(growing);
  }

  /** It writes no more. */
  async end(growing: GrowingLog): Promise<void> {
    const { instanceId } = growing;
    this.#watches.get(instanceId)?.();
    this.#watches.delete(instanceId);
    await this.#inTurn(growing, boundLog);
    this.#begins.delete(instanceId);
    this.#cuts.delete(instanceId);
  }

  /** Brings one within its limit; one that is being shortened, or is cut again and again, is left alone. */
  async shorten(growing: GrowingLog): Promise<void> {
    const { instanceId } = growing;
    if (this.#shortening.has(instanceId) || this.#isFlood(instanceId)) return;
    await this.#inTurn(growing, boundLog);
  }

  #isFlood(instanceId: string): boolean {
    const cutAt = this.#cuts.get(instanceId);
    return cutAt !== undefined && performance.now() - cutAt < FLOOD_MS;
  }

  /** Looks when the newest lines were written. */
  noteTime({ instanceId, log: { path }, logTimes }: GrowingLog): void {
    try {
      const { end, writtenMs } = logExtent(path);
      logTimes.note(end, writtenMs);
    } catch (error) {
      // A full disk: the times are kept in memory, and it is tried again with the next ones.
      this.#options.log.debug({ err: error, instanceId }, 'when lines were written could not be noted');
    }
  }

  /** What a runtime's logs take up in all. What fails is tried again with the next. */
  bound(runtimeId: string): void {
    const { bounds, log } = this.#options;
    bounds
      .settle(runtimeId)
      .catch((error: unknown) =>
        log.warn({ err: error, agentRuntimeId: runtimeId }, 'logs could not be removed'),
      );
  }

  /** Resolves when nothing is under way. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const leave of this.#watches.values()) leave();
    this.#watches.clear();
    await Promise.all(this.#shortening.values());
    await this.#options.bounds.close();
  }

  #lookLater(): void {
    this.#timer = setTimeout(() => void this.#look(), this.#options.everyMs ?? EVERY_MS).unref();
  }

  async #look(): Promise<void> {
    const all = this.#options.growing();
    await Promise.all(all.map((growing) => this.shorten(growing)));
    if (++this.#looks % BOUND_EVERY_LOOKS === 0)
      for (const runtimeId of new Set(all.map((it) => it.runtimeId))) this.bound(runtimeId);
    if (this.#timer !== undefined) this.#lookLater();
  }

  /** Shortens one after whoever is at it. */
  async #inTurn(growing: GrowingLog, shorten: typeof cutLog): Promise<void> {
    const { instanceId, log } = growing;
    const before = this.#shortening.get(instanceId);
    const done = (async () => {
      await before;
      // First: what gives blocks back counts as a change of the file.
      this.noteTime(growing);
      try {
        this.#begins.set(instanceId, await shorten(log.path, this.#limitOf(growing)));
      } catch (error) {
        this.#options.log.warn({ err: error, instanceId }, 'a log could not be shortened');
      }
    })();
    this.#shortening.set(instanceId, done);
    await done;
    if (this.#shortening.get(instanceId) === done) this.#shortening.delete(instanceId);
  }

  #limitOf({ runtimeId }: GrowingLog): number {
    const { growing, bounds, limitBytes } = this.#options;
    const all = growing();
    const ofRuntime = all.filter((it) => it.runtimeId === runtimeId).length;
    return bounds.limitOfOne(limitBytes, { ofRuntime, inAll: all.length });
  }
}
