import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { type Ending, endingOf, readEnding } from '../identity.ts';
import { closeGroups, doorsOf, type Groups } from '../limits/control-groups.ts';
import {
  DATA_MARK,
  INSTANCE_MARK,
  killAll,
  type ProcessId,
  signalGroup,
  startTicksOf,
} from '../processes.ts';
import { agentInside } from '../sandbox/agent-inside.ts';
import { INSIDE } from '../sandbox/confinement.ts';
import { inOwnMounts, STAGE_FOLDERS, WAITING_WRAPPER } from '../sandbox/stage.ts';
import { showEnvironment } from './show-environment.ts';
import { ENVIRONMENT_ROOM } from './starts-that-qualify.ts';

const MOUNTED_WITHIN_MS = 3000;
const LAST_WORD_MS = 500;

export interface WaitingPlan {
  /** Names what it is in its mark: `pool`, `parent`. */
  kind: string;
  /** Command and environment, which has nothing of any runtime's, given the folders that are its own as it sees them. */
  program: (own: { home: string; tmp: string }) => {
    command: readonly string[];
    environment: Readonly<Record<string, string>>;
  };
  /** Puts into its folder what it needs. */
  arrange?: ((folder: string) => void) | undefined;
  /** What starts the sandbox around it, given its folder; undefined: there is none. */
  boundary?: ((folder: string) => string[]) | undefined;
  /** Whether that shows the code only once it is mounted. */
  hasStage?: boolean;
}

export interface WaitingPlace {
  /** Where its own goes: on the file system of logs and instances. */
  folder: string;
  dataMark: string;
  /** Makes the groups that hold it to its limits, and later the instance; undefined: there are none. */
  openGroups?: ((name: string) => Groups) | undefined;
}

/**
 * A process that waits to become an instance, with the wrapper that instances have, in a sandbox if instances are. It
 * hears orders over a socket of which nobody else has the other end, and ends when that ends.
 */
export class WaitingProcess {
  /** The mark that it and its wrapper bear for good: what it becomes is known by this, too. */
  readonly bornAs: string;
  readonly leader: ProcessId;
  /** Where it writes. */
  readonly logPath: string;
  readonly groups: Groups;
  /** When the wrapper is gone. */
  readonly ended: Promise<Ending>;
  readonly #plan: WaitingPlan;
  readonly #program: ReturnType<WaitingPlan['program']>;
  readonly #child: ChildProcess;
  readonly #orders: Socket;
  readonly #dataMark: string;
  readonly #folder: string;
  #instanceFolder: string | undefined;
  #endedFor: string | undefined;
  /** By the time the process has said anything. */
  #pids: number[] = [];
  #text = '';
  #hear: () => void = () => {};

  constructor(plan: WaitingPlan, { folder, dataMark, openGroups }: WaitingPlace) {
    this.bornAs = `${plan.kind}-${randomUUID()}`;
    this.#plan = plan;
    this.#dataMark = dataMark;
    this.#folder = join(folder, this.bornAs);
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    for (const name of STAGE_FOLDERS) mkdirSync(join(this.#folder, name), { mode: 0o700 });
    plan.arrange?.(this.#folder);
    const [home, tmp] = ['home', 'tmp'].map((name) => join(this.#folder, name)) as [string, string];
    this.#program = plan.program(plan.boundary ? INSIDE : { home, tmp });
    this.logPath = join(folder, `${this.bornAs}.log`);
    this.groups = openGroups?.(this.bornAs) ?? {};
    const output = openSync(this.logPath, 'a+', 0o600);
    const [program = '', ...words] = this.#words();
    try {
      this.#child = spawn(program, words, {
        cwd: this.#folder,
        // Fixed, and the launcher's in the sandbox as well: others there can read it.
        env: { ...this.environment, RUNSTEAD_ROOM: ' '.repeat(ENVIRONMENT_ROOM) },
        detached: true,
        stdio: ['ignore', output, output, 'pipe', ...(plan.hasStage ? (['pipe'] as const) : [])],
      });
    } finally {
      closeSync(output);
    }
    const { pid } = this.#child;
    this.leader = { pid: pid ?? 0, startTicks: pid === undefined ? '' : (startTicksOf(pid) ?? '') };
    this.#orders = this.#child.stdio[3] as Socket;
    this.#orders.setEncoding('utf8').on('data', (piece: string) => {
      this.#text += piece;
      this.#hear();
    });
    for (const it of [this.#orders, this.#mounter]) {
      // It ends, or has ended: that is heard of elsewhere. And the server may end before it.
      it?.on('error', () => {});
      it?.unref();
    }
    this.#child.unref();
    this.ended = new Promise((resolve) => {
      this.#child.once('error', () => resolve({}));
      this.#child.once('exit', (code, signal) => {
        const written = this.#instanceFolder === undefined ? undefined : readEnding(this.#instanceFolder);
        resolve(written ?? (signal ? { signal } : endingOf(code ?? 0)));
      });
    });
  }

  get isAlive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** What it may write into, in the sandbox; of one that is no instance yet. */
  get folders(): string[] {
    return ['home', 'tmp', 'shm'].map((name) => join(this.#folder, name));
  }

  /** What it was begun with, its marks among it. */
  get environment(): Readonly<Record<string, string>> {
    const marks = { [INSTANCE_MARK]: this.bornAs, [DATA_MARK]: this.#dataMark };
    return { ...this.#program.environment, ...marks };
  }

  /** Removes what `arrange` put there. */
  tidy(name: string): void {
    rmSync(join(this.#folder, name), { recursive: true, force: true });
  }

  /** The process that will be the agent, and what is around it. */
  get pids(): readonly number[] {
    return this.#pids;
  }

  /**
   * The next line that it says.
   * @throws Error when it ends, or says nothing for so long
   */
  async nextLine(withinMs: number): Promise<string> {
    let late: NodeJS.Timeout | undefined;
    const line = new Promise<string | undefined>((resolve) => {
      this.#hear = () => {
        const end = this.#text.indexOf('\n');
        if (end < 0) return;
        resolve(this.#text.slice(0, end));
        this.#text = this.#text.slice(end + 1);
        this.#hear = () => {};
      };
      late = setTimeout(() => resolve(undefined), withinMs).unref();
      // What it said last may be on its way still.
      void this.ended.then(() => setTimeout(() => resolve(undefined), LAST_WORD_MS).unref());
      this.#hear();
    });
    const said = await line;
    clearTimeout(late);
    if (said === undefined) {
      if (this.#endedFor !== undefined) throw new Error(this.#endedFor);
      if (this.isAlive) throw new Error(`it said nothing for ${withinMs / 1000} s`);
      const last = readText(this.logPath).trimEnd().split('\n').at(-1);
      const how = this.#child.signalCode ?? `code ${this.#child.exitCode}`;
      throw new Error(`it ended (${how})${last ? `: ${last}` : ''}`);
    }
    if (this.#pids.length === 0) await this.#findPids();
    return said;
  }

  /** Has folders mounted where it will see them. @throws Error when it cannot be done */
  async mount(mounts: string): Promise<void> {
    const mounter = this.#mounter!;
    writeFileSync(join(this.#folder, 'mounts'), mounts, { mode: 0o600 });
    const timer = new AbortController();
    const late = setTimeout(() => timer.abort(), MOUNTED_WITHIN_MS).unref();
    mounter.ref();
    try {
      const said = once(mounter, 'data', { signal: timer.signal }) as Promise<[Buffer]>;
      mounter.write('mount\n');
      const answer = said.then(
        ([it]) => it.toString(),
        () => '',
      );
      const text = await Promise.race([answer, this.ended.then(() => '')]);
      const reason = () => readText(join(this.#folder, 'mounts.said')).split('\n')[0] || 'no answer';
      if (text !== 'mounted\n') throw new Error(`its folders could not be mounted: ${reason()}`);
    } finally {
      clearTimeout(late);
      timer.abort();
      mounter.destroy();
    }
  }

  /** Puts its folder into that of an instance, where the wrapper will write how it ended, and what is the agent's beside it. */
  moveInto(instanceFolder: string): void {
    if (this.#plan.boundary) {
      for (const name of ['home', 'tmp', 'shm']) {
        const [waiting, own] = [join(this.#folder, name), join(instanceFolder, name)];
        // The folders that the sandbox shows are these, whatever they are called.
        for (const entry of readdirSync(own)) renameSync(join(own, entry), join(waiting, entry));
        rmdirSync(own);
        renameSync(waiting, own);
      }
    }
    const launched = readText(join(this.#folder, 'agent.pid'));
    renameSync(this.#folder, join(instanceFolder, 'wrapper'));
    this.#instanceFolder = instanceFolder;
    writeFileSync(join(instanceFolder, 'agent.pid'), launched);
  }

  /** Tells it something. */
  send(text: string | Buffer): void {
    this.#orders.write(text);
  }

  /** Sends it its last order: it is an agent afterwards. @param environment shown as its own to those who look from outside */
  become(order: string | Buffer, environment: Readonly<Record<string, string>>): void {
    showEnvironment(this.#pids.at(-1)!, environment);
    this.#orders.end(order);
  }

  /** Ends it unused, with all that bears its mark. @param reason told to whoever waits for its next line */
  async end(reason?: string): Promise<void> {
    this.#endedFor ??= reason;
    this.#orders.destroy();
    this.#mounter?.destroy();
    signalGroup(this.leader, 'SIGKILL');
    await this.ended;
    const { bornAs } = this;
    await killAll((table) =>
      table.filter((it) => it.dataMark === this.#dataMark && it.instanceId === bornAs),
    );
    await closeGroups(this.groups);
    // Not what has been put into an instance's folder: that one is cleared by whoever starts it.
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 3 });
    await rm(this.logPath, { force: true });
  }

  detach(): void {
    this.#child.removeAllListeners();
  }

  get #mounter(): Socket | undefined {
    return (this.#child.stdio[4] as Socket | null) ?? undefined;
  }

  #words(): string[] {
    const { boundary, hasStage } = this.#plan;
    const { command } = this.#program;
    const doors = doorsOf(this.groups).flatMap((door) => ['--join', door]);
    const wrapped = ['/bin/sh', WAITING_WRAPPER, ...doors, ...(hasStage ? ['--stage'] : []), '--'];
    if (!boundary) return [...wrapped, ...command];
    return [...(hasStage ? inOwnMounts() : []), ...wrapped, ...boundary(this.#folder), ...command];
  }

  async #findPids(): Promise<void> {
    const launched = Number(readText(join(this.#folder, 'agent.pid')));
    if (!(launched > 1)) throw new Error('its number is not to be found');
    const agent = this.#plan.boundary ? await agentInside(launched) : launched;
    if (agent === undefined) throw new Error('its number is not to be found');
    this.#pids = agent === launched ? [agent] : [launched, agent];
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
