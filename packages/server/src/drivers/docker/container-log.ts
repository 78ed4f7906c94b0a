import {
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { SecretBox } from '../../auth/secret-box.ts';
import { type InstanceLog, openLog } from '../process/instance-log.ts';
import { type Engine, EngineRefusal } from './engine.ts';
import { FrameFilter, FrameReader, LOG_BEGIN, type LogCursor } from './log-frames.ts';

const RETRY_MS = [100, 500, 2000];
/** What a container writes beyond this in a second waits in the engine, which keeps the newest of it. */
const BYTES_PER_SECOND = 16 * 1024 * 1024;
const PAUSE_EVERY_BYTES = 1024 * 1024;
/** After its end, for the rest of what is being followed. */
const LAST_WORDS_MS = 1000;

/** What is known of the file: everything before `size` is in it for good, and what is after was not yet owned to. */
interface Mark extends LogCursor {
  size: number;
}

/**
 * Writes a container's output to its log's file. The engine keeps it meanwhile, within bounds, so that nothing is lost
 * while this server is not there; how far it has been written down stands in a file beside, with the size that the log
 * had: what a server that was killed had written beyond is cut off and written again.
 */
export class ContainerLog {
  readonly #engine: Engine;
  readonly #container: string;
  readonly #file: number;
  readonly #markPath: string;
  readonly #stopping = new AbortController();
  #cursor: LogCursor;
  #following: Promise<void> = Promise.resolve();
  #isOver = false;
  #bytes = 0;

  /** @param markPath where it is kept how far it is */
  constructor(input: {
    engine: Engine;
    container: string;
    log: InstanceLog;
    /** Seals what is to be masked; absent for a log that an earlier server has begun. */
    box: SecretBox | undefined;
    markPath: string;
  }) {
    this.#engine = input.engine;
    this.#container = input.container;
    this.#markPath = input.markPath;
    this.#file = input.box ? openLog(input.log, input.box) : openSync(input.log.path, 'a', 0o600);
    const mark = readMark(input.markPath);
    this.#cursor = mark ?? LOG_BEGIN;
    // Shorter: where blocks cannot be given back, a log that is too long begins anew.
    if (mark && fstatSync(this.#file).size > mark.size) ftruncateSync(this.#file, mark.size);
  }

  /** Follows until `end` or `close`. */
  follow(): void {
    this.#following = this.#followOn().catch(() => {});
  }

  /** The container has ended: resolves when all that it has written is in the file, or cannot be had. */
  async end(): Promise<void> {
    this.#isOver = true;
    const over = new AbortController();
    await Promise.race([
      this.#following,
      delay(LAST_WORDS_MS, undefined, { signal: over.signal }).catch(() => {}),
    ]);
    over.abort();
    this.#stopping.abort();
    await this.#following;
    await this.#read(false, AbortSignal.timeout(10_000)).catch(() => {});
    this.close();
  }

  /** Lets go of it. */
  close(): void {
    this.#stopping.abort();
    // Whoever is in the middle of a piece writes it first: both happen in one turn.
    void this.#following.then(() => {
      if (this.#isClosed) return;
      this.#isClosed = true;
      closeSync(this.#file);
    });
  }
  #isClosed = false;

  async #followOn(): Promise<void> {
    for (let failures = 0; !this.#stopping.signal.aborted; ) {
      const before = this.#cursor;
      await this.#read(true, this.#stopping.signal).catch((error: unknown) => {
        if (error instanceof EngineRefusal && error.status === 404) this.#isOver = true;
      });
      // The engine ends the stream with the container, and when it is itself restarted.
      if (this.#isOver || this.#stopping.signal.aborted) return;
      failures = this.#cursor === before ? failures + 1 : 0;
      const pauseMs = RETRY_MS[Math.min(failures, RETRY_MS.length - 1)]!;
      await delay(pauseMs, undefined, { signal: this.#stopping.signal }).catch(() => {});
    }
  }

  async #read(isFollowed: boolean, signal: AbortSignal): Promise<void> {
    const answer = await this.#engine.open('GET', `/containers/${this.#container}/logs`, {
      query: {
        stdout: 'true',
        stderr: 'true',
        timestamps: 'true',
        follow: String(isFollowed),
        since: this.#cursor.stamp || undefined,
      },
      signal,
      silenceMs: isFollowed ? 0 : 10_000,
    });
    await this.#write(answer, signal);
  }

  async #write(answer: IncomingMessage, signal: AbortSignal): Promise<void> {
    const reader = new FrameReader();
    const filter = new FrameFilter(this.#cursor);
    for await (const piece of answer as AsyncIterable<Buffer>) {
      if (signal.aborted) return;
      const fresh = reader.read(piece).filter((it) => filter.isNew(it));
      if (fresh.length === 0) continue;
      const bytes = Buffer.concat(fresh.map((it) => it.bytes));
      for (let done = 0; done < bytes.length; ) done += writeSync(this.#file, bytes, done);
      this.#cursor = filter.cursor;
      this.#saveMark();
      await this.#pace(bytes.length);
    }
  }

  /** In one write to the same place: a server that is killed has either written it or not. */
  #saveMark(): void {
    const mark: Mark = { ...this.#cursor, size: fstatSync(this.#file).size };
    writeFileSync(this.#markPath, JSON.stringify(mark).padEnd(128), { mode: 0o600, flag: 'r+' });
  }

  async #pace(bytes: number): Promise<void> {
    this.#bytes += bytes;
    if (this.#bytes < PAUSE_EVERY_BYTES) return;
    const pauseMs = (this.#bytes / BYTES_PER_SECOND) * 1000;
    this.#bytes = 0;
    // At once when it has ended: the rest is bounded.
    if (!this.#isOver) await delay(pauseMs);
  }
}

/** For a log that has not begun. */
export function writeFirstMark(path: string): void {
  writeFileSync(path, JSON.stringify({ ...LOG_BEGIN, size: 0 }).padEnd(128), { mode: 0o600 });
}

function readMark(path: string): Mark | undefined {
  try {
    const { stamp, count, size } = JSON.parse(readFileSync(path, 'latin1')) as Mark;
    return { stamp, count, size };
  } catch {
    return undefined;
  }
}
