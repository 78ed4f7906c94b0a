import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DATA_MARK, INSTANCE_MARK, killAll, type ProcessId } from '../processes.ts';
import { ENVIRONMENT_ROOM, WAITING_LANG } from './starts-that-qualify.ts';
import type { WaitingPlace, WaitingProcess } from './waiting-process.ts';

export const PYTHON_PARENT = fileURLToPath(
  new URL('../../../../assets/preload/pool/python-parent.py', import.meta.url),
);
export const READY_WITHIN_MS = 60_000;
const FORK_WITHIN_MS = 3000;
const LAST_WORD_MS = 500;

/** What a parent imports ahead, and for what command. */
export interface ParentPlan {
  /** The interpreter, as the agent would be started by it. */
  program: string;
  /** All words, the interpreter's included. */
  command: readonly string[];
  codeDir: string;
  /** The folder that makes Python's `bind` the instance's. */
  preload: string;
  /** What follows that on the agent's PYTHONPATH. */
  pythonPath: readonly string[];
  /** Those of it that hold dependencies, not the package's own code. */
  dependencies: readonly string[];
  /** What an agent of the version has looked for; see `ImportRecords`. */
  record: readonly string[];
  /** In the sandbox: it serves one start, and waits as `WaitingProcess` does. */
  confined?:
    | {
        boundary: (folder: string) => string[];
        openGroups: WaitingPlace['openGroups'];
        /** Hears of it before anything is imported. */
        onBegun: (waiting: WaitingProcess) => void;
      }
    | undefined;
}

export interface ForkOrder {
  id: string;
  /** The instance's. */
  folder: string;
  log: string;
  /** The identity record as JSON, without what only the leader knows and without the closing brace. */
  record: string;
  environment: Readonly<Record<string, string>>;
}

/** An instance that has its leader and waits to be let go. */
export interface Fork {
  leader: ProcessId;
  /** The leader has written down how the agent ended and is about to end; or nobody is left who could say so. */
  ended: Promise<'said' | 'lost'>;
  /** Lets the agent begin. */
  go(): void;
  /** Has the leader end, with nothing of the agent having run. Resolves when it is gone. */
  drop(): Promise<void>;
}

/** Why instances are not forked from a parent. */
export class ForkRefused extends Error {
  override readonly name = 'ForkRefused';
}

/** A process that has imported a version's dependencies and forks its instances. See assets/preload/pool/python-parent.py. */
export class ParentProcess {
  /** What it was started with. */
  readonly environment: Readonly<Record<string, string>>;
  /** Variables that its imports have read; `*` for all. */
  readonly read: ReadonlySet<string>;
  readonly #child: ChildProcess;
  readonly #control: Socket;
  readonly #folder: string;
  readonly #marks: { instanceId: string; dataMark: string };
  readonly #forks = new Map<
    string,
    { forked: (answer: string[]) => void; ended: (how: 'said' | 'lost') => void }
  >();
  #ending: Promise<void> | undefined;

  private constructor(born: Born, read: ReadonlySet<string>) {
    this.#child = born.child;
    this.#control = born.control;
    this.#folder = born.folder;
    this.#marks = born.marks;
    this.environment = born.environment;
    this.read = read;
    born.onLine((line) => this.#hear(line));
    this.#child.once('exit', () => this.#lost());
  }

  /**
   * Starts one and has it import.
   * @param folder where its own goes
   * @throws ForkRefused with the reason for which the version is better started in the ordinary way
   */
  static async start(plan: ParentPlan, folder: string, dataMark: string): Promise<ParentProcess> {
    const born = bear(plan, folder, dataMark);
    try {
      const { child, onLine } = born;
      const answer = await new Promise<string[]>((resolve, reject) => {
        const fail = (message: string) => reject(new ForkRefused(message));
        const timer = setTimeout(
          () => fail(`imports took more than ${READY_WITHIN_MS / 1000} s`),
          READY_WITHIN_MS,
        );
        timer.unref();
        onLine((line) => {
          clearTimeout(timer);
          resolve(line.split('\t'));
        });
        child.once('error', (error) => fail(error.message));
        const gone = () => {
          clearTimeout(timer);
          const lines = readText(join(born.folder, 'output')).trimEnd().split('\n');
          const how = child.signalCode ?? `code ${child.exitCode}`;
          fail(`the process that imports ahead ended (${how}): ${lines.at(-1)}`);
        };
        // What it said last may be on its way still.
        child.once('close', gone);
        child.once('exit', () => setTimeout(gone, LAST_WORD_MS).unref());
        born.send(orderToPrepare('prepare', plan));
      });
      if (answer[0] !== 'ready') throw new ForkRefused(answer.slice(1).join(' '));
      return new ParentProcess(born, new Set(answer.slice(1).filter(Boolean)));
    } catch (error) {
      await endBorn(born);
      throw error;
    }
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get isAlive(): boolean {
    return this.#ending === undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Proportional set size, in bytes: what it has for itself, and its part of what it shares with its forks. */
  memoryBytes(): number {
    return proportionalBytes(this.#child.pid);
  }

  /**
   * Makes the leader of an instance, with its record on disk. Nothing of the agent runs before `go`.
   * @throws ForkRefused; nothing of the instance is left then
   */
  async fork(order: ForkOrder): Promise<Fork> {
    let ended: (how: 'said' | 'lost') => void = () => {};
    const end = new Promise<'said' | 'lost'>((resolve) => {
      ended = resolve;
    });
    const answer = await new Promise<string[]>((resolve) => {
      const timer = setTimeout(() => resolve(['failed', order.id, 'it took too long']), FORK_WITHIN_MS);
      const forked = (fields: string[]) => {
        clearTimeout(timer);
        resolve(fields);
      };
      this.#forks.set(order.id, { forked, ended });
      const pairs = Object.entries(order.environment).map(([name, value]) => `${name}=${value}`);
      if (this.isAlive)
        send(this.#control, ['fork', order.id, order.folder, order.log, order.record, ...pairs]);
      else forked(['failed', order.id, 'it has ended']);
    });
    const [word, , pid, startTicks] = answer;
    if (word === 'forked' && startTicks !== undefined) {
      return {
        leader: { pid: Number(pid), startTicks },
        ended: end,
        go: () => send(this.#control, ['go', order.id]),
        drop: async () => {
          this.#forks.delete(order.id);
          send(this.#control, ['drop', order.id]);
          await this.#killForked(order.id);
        },
      };
    }
    this.#forks.delete(order.id);
    await this.end();
    // The instance's own leader, if there is one, ends with the parent; it must not write into the folder any more.
    await this.#killForked(order.id);
    throw new ForkRefused(`forking failed: ${pid}`);
  }

  async #killForked(instanceId: string): Promise<void> {
    const { dataMark } = this.#marks;
    await killAll((table) => table.filter((it) => it.dataMark === dataMark && it.instanceId === instanceId));
  }

  /** Ends it, not what it has forked. */
  end(): Promise<void> {
    this.#ending ??= endBorn({
      child: this.#child,
      control: this.#control,
      folder: this.#folder,
      marks: this.#marks,
    });
    return this.#ending;
  }

  #hear(line: string): void {
    const fields = line.split('\t');
    const fork = this.#forks.get(fields[1] ?? '');
    if (fields[0] === 'ended') {
      this.#forks.delete(fields[1]!);
      fork?.ended('said');
    } else {
      fork?.forked(fields);
    }
  }

  #lost(): void {
    for (const [id, fork] of this.#forks) {
      fork.forked(['failed', id, 'the parent has ended']);
      fork.ended('lost');
    }
    this.#forks.clear();
  }
}

interface Born {
  child: ChildProcess;
  control: Socket;
  folder: string;
  marks: { instanceId: string; dataMark: string };
  environment: Record<string, string>;
  send(fields: readonly string[]): void;
  /** Replaces who hears what it says. */
  onLine(hear: (line: string) => void): void;
}

function bear({ program, codeDir, preload }: ParentPlan, parents: string, dataMark: string): Born {
  const instanceId = `parent-${randomUUID()}`;
  const folder = join(parents, instanceId);
  for (const path of [folder, join(folder, 'home'), join(folder, 'tmp')]) {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  }
  const environment = {
    ...importingEnvironment({ preload, home: join(folder, 'home'), tmp: join(folder, 'tmp') }),
    [INSTANCE_MARK]: instanceId,
    [DATA_MARK]: dataMark,
  };
  const output = openSync(join(folder, 'output'), 'a+', 0o600);
  let child: ChildProcess;
  try {
    child = spawn(program, [PYTHON_PARENT], {
      cwd: codeDir,
      env: { ...environment, RUNSTEAD_ROOM: ' '.repeat(ENVIRONMENT_ROOM) },
      detached: true,
      stdio: ['ignore', output, output, 'pipe'],
    });
  } finally {
    closeSync(output);
  }
  const control = child.stdio[3] as Socket;
  let hear: (line: string) => void = () => {};
  let text = '';
  control.setEncoding('utf8');
  control.on('data', (piece: string) => {
    const lines = (text + piece).split('\n');
    text = lines.pop()!;
    for (const line of lines) hear(line);
  });
  // It ends, or has ended: that is heard of elsewhere.
  control.on('error', () => {});
  child.on('error', () => {});
  // The server may end before it.
  child.unref();
  control.unref();
  return {
    child,
    control,
    folder,
    marks: { instanceId, dataMark },
    environment,
    send: (fields) => send(control, fields),
    onLine: (next) => {
      hear = next;
    },
  };
}

async function endBorn({
  child,
  control,
  folder,
  marks,
}: Pick<Born, 'child' | 'control' | 'folder' | 'marks'>) {
  const isOver = child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
  const over = isOver ? Promise.resolve() : once(child, 'exit');
  control.destroy();
  if (!isOver) child.kill('SIGKILL');
  await over;
  // And what its imports have started, wherever that went. Not what descends from it: those are instances.
  await killAll((table) =>
    table.filter((it) => it.dataMark === marks.dataMark && it.instanceId === marks.instanceId),
  );
  await rm(folder, { recursive: true, force: true, maxRetries: 3 });
}

/** Nothing of the runtime's: what acts on a process that imports acts on all instances of the version. */
export function importingEnvironment({ preload, home, tmp }: { preload: string; home: string; tmp: string }) {
  return {
    PATH: '/usr/bin:/bin',
    LANG: WAITING_LANG,
    ...(process.env.TZ ? { TZ: process.env.TZ } : {}),
    PYTHONUNBUFFERED: '1',
    PYTHONPATH: preload,
    HOME: home,
    TMPDIR: tmp,
  };
}

export function orderToPrepare(word: 'prepare' | 'prepare-alone', plan: ParentPlan): string[] {
  const { dependencies, pythonPath, command, record } = plan;
  return [word, ...listed(dependencies), ...listed(pythonPath), ...listed(command), ...listed(record)];
}

export function orderToBecome(environment: Readonly<Record<string, string>>): Buffer {
  return framed(['become', ...Object.entries(environment).map(([name, value]) => `${name}=${value}`)]);
}

/** An order as python-parent.py reads it. */
export function framed(fields: readonly string[]): Buffer {
  const payload = Buffer.from(fields.join('\0'));
  return Buffer.concat([Buffer.from(payload.length.toString(16).padStart(8, '0')), payload]);
}

function send(control: Socket, fields: readonly string[]): void {
  control.write(framed(fields));
}

export function proportionalBytes(pid: number | undefined): number {
  const kib = /^Pss:\s+(\d+)/m.exec(readText(`/proc/${pid}/smaps_rollup`))?.[1];
  return Number(kib ?? 0) * 1024;
}

export function listed(items: readonly string[]): string[] {
  return [String(items.length), ...items];
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
