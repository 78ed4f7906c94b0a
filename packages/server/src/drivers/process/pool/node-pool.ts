import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, renameSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Log } from '../../../observe/log.ts';
import { type Ending, endingOf, readEnding } from '../identity.ts';
import {
  DATA_MARK,
  INSTANCE_MARK,
  killAll,
  type ProcessId,
  signalGroup,
  startTicksOf,
} from '../processes.ts';
import { ENVIRONMENT_ROOM, WAITING_LANG } from './starts-that-qualify.ts';

const asset = (name: string) => fileURLToPath(new URL(`../../../../assets/pool/${name}`, import.meta.url));
const PROGRAM = asset('node-waiting.cjs');
const WRAPPER = asset('waiting-wrapper.sh');
/** Interpreters that processes wait for, at most: of more, those used last. */
const PROGRAMS_MAX = 4;
const READY_WITHIN_MS = 30_000;

/** What a waiting process becomes. */
export interface StartOrder {
  environment: Readonly<Record<string, string>>;
  cwd: string;
  /** The file and its arguments. */
  words: readonly string[];
  /** CommonJS files that are loaded before it. */
  preloads: readonly string[];
}

/** A Node that waits, with its wrapper. */
export interface WaitingNode {
  /** The mark that it and its wrapper bear for good: what it becomes is known by this, too. */
  bornAs: string;
  leader: ProcessId;
  /** The Node itself. */
  pid: number;
  /** Where it writes. */
  logPath: string;
  /** Puts its folder into that of an instance, where the wrapper will write how it ended. */
  moveInto(instanceFolder: string): void;
  /** Sends it its one order. */
  order(order: StartOrder): void;
  /** When the wrapper is gone. */
  ended: Promise<Ending>;
  /** Ends it unused. */
  end(): Promise<void>;
  detach(): void;
}

export interface NodePoolOptions {
  /** Where its own goes: on the file system of logs and instances. */
  folder: string;
  dataMark: string;
  /** Processes that wait, for each interpreter in use. 0: none. */
  size: number;
  log: Log;
}

/** Keeps processes that wait. Each serves one start; the next is made when nothing else is being started. */
export class NodePool {
  readonly #options: NodePoolOptions;
  /** By interpreter; the one used last comes last. */
  readonly #waiting = new Map<string, Waiting[]>();
  #filling: Promise<void> | undefined;
  #failures = 0;
  #isClosed = false;

  constructor(options: NodePoolOptions) {
    this.#options = options;
  }

  /** One that is ready, if there is one. From now on some are kept for this interpreter. */
  take(program: string): WaitingNode | undefined {
    if (this.#options.size === 0 || this.#isClosed) return undefined;
    const kept = this.#waiting.get(program) ?? [];
    this.#waiting.delete(program);
    this.#waiting.set(program, kept);
    for (let next = kept.shift(); next; next = kept.shift()) if (next.isAlive) return next;
    return undefined;
  }

  /** How many wait. */
  get count(): number {
    return [...this.#waiting.values()].reduce((sum, kept) => sum + kept.length, 0);
  }

  /** Makes what is missing, one after another. @param mayGoOn asked before each */
  fill(mayGoOn: () => boolean): void {
    this.#filling ??= this.#fill(mayGoOn).finally(() => {
      this.#filling = undefined;
    });
  }

  async #fill(mayGoOn: () => boolean): Promise<void> {
    const programs = [...this.#waiting.keys()].reverse();
    for (const program of programs.slice(PROGRAMS_MAX)) {
      const kept = this.#waiting.get(program)!;
      this.#waiting.delete(program);
      await Promise.all(kept.map((it) => it.end()));
    }
    for (const program of programs.slice(0, PROGRAMS_MAX)) {
      const kept = this.#waiting.get(program)!;
      for (const it of kept.filter(({ isAlive }) => !isAlive)) kept.splice(kept.indexOf(it), 1);
      while (kept.length < this.#options.size && this.#failures < 3) {
        if (this.#isClosed || !mayGoOn()) return;
        try {
          const made = await Waiting.start(program, this.#options);
          this.#failures = 0;
          // It may not have been known while it was on its way.
          if (this.#isClosed) return made.end();
          kept.push(made);
          this.#options.log.debug({ program, pid: made.pid }, 'a process waits for a start');
        } catch (error) {
          this.#failures++;
          this.#options.log.warn(
            { err: error, program },
            'a process that waits for a start could not be made',
          );
        }
      }
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#filling;
    await Promise.all([...this.#waiting.values()].flat().map((it) => it.end()));
    this.#waiting.clear();
  }
}

class Waiting implements WaitingNode {
  readonly bornAs: string;
  readonly leader: ProcessId;
  readonly logPath: string;
  readonly ended: Promise<Ending>;
  readonly #child: ChildProcess;
  readonly #orders: Socket;
  readonly #dataMark: string;
  #folder: string;
  #instanceFolder: string | undefined;
  #pid = 0;

  private constructor(program: string, { folder, dataMark }: NodePoolOptions) {
    this.bornAs = `pool-${randomUUID()}`;
    this.#dataMark = dataMark;
    this.#folder = join(folder, this.bornAs);
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    this.logPath = join(folder, `${this.bornAs}.log`);
    const output = openSync(this.logPath, 'a', 0o600);
    try {
      this.#child = spawn('/bin/sh', [WRAPPER, program, PROGRAM], {
        cwd: this.#folder,
        // Nothing of any runtime's.
        env: {
          PATH: '/usr/bin:/bin',
          LANG: WAITING_LANG,
          ...(process.env.TZ ? { TZ: process.env.TZ } : {}),
          [INSTANCE_MARK]: this.bornAs,
          [DATA_MARK]: dataMark,
          RUNSTEAD_ROOM: ' '.repeat(ENVIRONMENT_ROOM),
        },
        detached: true,
        stdio: ['ignore', output, output, 'pipe'],
      });
    } finally {
      closeSync(output);
    }
    const { pid } = this.#child;
    this.leader = { pid: pid ?? 0, startTicks: pid === undefined ? '' : (startTicksOf(pid) ?? '') };
    this.#orders = this.#child.stdio[3] as Socket;
    this.#orders.on('error', () => {});
    this.ended = new Promise((resolve) => {
      this.#child.once('error', () => resolve({}));
      this.#child.once('exit', (code, signal) => {
        const written = this.#instanceFolder === undefined ? undefined : readEnding(this.#instanceFolder);
        resolve(written ?? (signal ? { signal } : endingOf(code ?? 0)));
      });
    });
    // The server may end before it.
    this.#child.unref();
    this.#orders.unref();
  }

  /** @returns when it waits */
  static async start(program: string, options: NodePoolOptions): Promise<Waiting> {
    const made = new Waiting(program, options);
    const timer = new AbortController();
    try {
      const said = once(made.#orders, 'data', { signal: timer.signal }) as Promise<[Buffer]>;
      const late = setTimeout(() => timer.abort(), READY_WITHIN_MS).unref();
      const text = await Promise.race([said.then(([piece]) => piece.toString()), made.ended.then(() => '')]);
      clearTimeout(late);
      const pid = /^ready (\d+)\n$/.exec(text)?.[1];
      if (pid === undefined) throw new Error(`${program} did not come to wait for a start`);
      made.#pid = Number(pid);
      return made;
    } catch (error) {
      await made.end();
      throw error;
    } finally {
      timer.abort();
    }
  }

  get pid(): number {
    return this.#pid;
  }

  get isAlive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  moveInto(instanceFolder: string): void {
    renameSync(this.#folder, join(instanceFolder, 'wrapper'));
    this.#instanceFolder = instanceFolder;
    writeFileSync(join(instanceFolder, 'agent.pid'), `${this.pid}\n`);
  }

  order(order: StartOrder): void {
    this.#orders.end(`${JSON.stringify(order)}\n`);
  }

  /** Ends it without its having been used. */
  async end(): Promise<void> {
    this.#orders.destroy();
    signalGroup(this.leader, 'SIGKILL');
    await this.ended;
    await killAll((table) =>
      table.filter((it) => it.dataMark === this.#dataMark && it.instanceId === this.bornAs),
    );
    await rm(this.#folder, { recursive: true, force: true });
    await rm(this.logPath, { force: true });
  }

  detach(): void {
    this.#child.removeAllListeners();
  }
}
