import { closeSync, existsSync, openSync, realpathSync, renameSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { delimiter, isAbsolute, join, resolve, sep } from 'node:path';
import type { Log } from '../../../observe/log.ts';
import type { InstanceSpec } from '../../instance-spec.ts';
import { PRELOADS, PYTHON_PRELOAD } from '../environment.ts';
import { type Ending, readEnding, writeRecord } from '../identity.ts';
import { openLog } from '../instance-log.ts';
import { type Launched, type LaunchInput, mendFolder } from '../launch.ts';
import type { Groups } from '../limits/control-groups.ts';
import { bootId, isAlive } from '../processes.ts';
import { fitsOnStage, stageMounts } from '../sandbox/stage.ts';
import { ForkParents } from './fork-parents.ts';
import { ImportRecords, startKey } from './import-record.ts';
import { NodePool } from './node-pool.ts';
import type { Fork, ParentPlan } from './parent-process.ts';
import { preloadsIn, whyNotForked, whyNotPooled } from './starts-that-qualify.ts';
import type { WaitingProcess } from './waiting-process.ts';

export interface QuickStartsOptions {
  dataDir: string;
  dataMark: string;
  /** Nodes that wait for a start, for each interpreter in use. 0: none. */
  pool: number;
  /** Memory of the processes that Python instances are forked from, in bytes. 0: there are none. */
  forkMemoryBytes: number;
  /** Makes the groups that hold a process that waits to its limits; of a spec, if it is for starts of that. */
  openGroups?: ((name: string, spec?: InstanceSpec) => Groups) | undefined;
  log: Log;
}

/** What will be an instance. */
export interface Born {
  /** The process that will be the agent. */
  pid: number;
  /** Those it is in already; undefined: it is to be put into the instance's. */
  groups?: Groups | undefined;
}

export interface QuickStartHooks {
  /** Called before anything of the agent runs, to hold the process to the instance's limits. */
  onBorn?: (born: Born) => void;
}

const LOOK_MS = 250;
/** Between the word of an end and the end of whoever said it. */
const SOON_MS = 2;
const RECORD_VARIABLE = 'RUNSTEAD_RECORD_IMPORTS';
const RECORD_FILE = 'runstead-imports';

/**
 * Starts that begin with a process that waits: a Node that has booted, a fork of a Python that has imported what the
 * version imports. What comes of them is what the ordinary start makes, in files, processes and meaning; whatever does
 * not qualify, or goes wrong before anything of the agent has run, is started in the ordinary way.
 *
 * In DATA: `run/pool` and `run/parents`, what belongs to those that wait; `imports/<runtime>`, what versions import.
 */
export class QuickStarts {
  readonly #options: QuickStartsOptions;
  readonly #folders: { pool: string; parents: string };
  readonly #records: ImportRecords;
  readonly #parents: ForkParents;
  readonly #pool: NodePool;
  /** In the sandbox: those in which code of a version runs, or has run, and that are no instances yet. */
  readonly #preparing = new Map<WaitingProcess, InstanceSpec>();
  /** Starts under way, by instance; what is to be done once one is ready, and in any case. */
  readonly #starting = new Map<string, { learn?: () => void; close?: () => void }>();

  constructor(options: QuickStartsOptions) {
    this.#options = options;
    const { dataDir, dataMark, log } = options;
    this.#folders = { pool: join(dataDir, 'run', 'pool'), parents: join(dataDir, 'run', 'parents') };
    this.#records = new ImportRecords(dataDir);
    const limitBytes = process.platform === 'linux' ? options.forkMemoryBytes : 0;
    this.#parents = new ForkParents({
      folder: this.#folders.parents,
      dataMark,
      limitBytes,
      log,
      now: () => performance.now(),
    });
    const { pool: size, openGroups } = options;
    this.#pool = new NodePool({ folder: this.#folders.pool, dataMark, size, log, openGroups });
  }

  /** For whoever looks from outside: tests, and what tells of the server's state. */
  get parents(): ForkParents {
    return this.#parents;
  }

  get pool(): NodePool {
    return this.#pool;
  }

  /** To be watched as instances are, each by the mark it bears: code of a version runs in them. */
  get preparing(): { waiting: WaitingProcess; spec: InstanceSpec }[] {
    return [...this.#preparing].map(([waiting, spec]) => ({ waiting, spec }));
  }

  /** Ends one of those for what it does. @returns false when there is none of this mark */
  endPreparing(bornAs: string, reason: string): boolean {
    const waiting = [...this.#preparing.keys()].find((it) => it.bornAs === bornAs);
    if (waiting) this.#parents.refuse(waiting, reason);
    return waiting !== undefined;
  }

  /**
   * Starts an instance by a process that waits. Its folder is there, and empty but for what `makeFolder` makes.
   * @returns undefined when it is to be started in the ordinary way; nothing is left of the try then
   */
  async launch(input: LaunchInput, hooks: QuickStartHooks = {}): Promise<Launched | undefined> {
    this.#starting.set(input.spec.instanceId, {});
    return (await this.#fromPool(input, hooks)) ?? (await this.#fromParent(input, hooks));
  }

  /** The environment for the ordinary start of an instance: with a recorder where there is something to be learnt. */
  observed(input: LaunchInput): Record<string, string> {
    const { spec, folder, environment, view } = input;
    const key = this.#forkKey(input);
    if (key === undefined || this.#parents.refusalOf(key) !== undefined) return environment;
    const known = this.#records.read(spec.runtimeId, key);
    if (known) {
      this.#starting.set(spec.instanceId, { learn: () => this.#begin(key, input, known) });
      return environment;
    }
    // In the sandbox an agent writes to its temporary files, and this file must be among them.
    const path = join(folder, ...(view.isConfined ? ['tmp'] : []), RECORD_FILE);
    const file = openSync(path, 'wx+', 0o600);
    this.#starting.set(spec.instanceId, {
      learn: () => {
        const record = this.#records.keep(spec.runtimeId, key, file);
        if (record) this.#begin(key, input, record);
      },
      close: () => {
        closeSync(file);
        // It writes for as long as the file is there.
        rmSync(path, { force: true });
      },
    });
    return { ...environment, [RECORD_VARIABLE]: view.isConfined ? join(view.tmp, RECORD_FILE) : path };
  }

  /** An instance has become ready, or is not going to be. What waits is made now: starts do not wait for it. */
  settled(instanceId: string, { isReady }: { isReady: boolean }): void {
    const starting = this.#starting.get(instanceId);
    if (!starting) return;
    this.#starting.delete(instanceId);
    try {
      if (isReady) starting.learn?.();
      starting.close?.();
    } catch (error) {
      this.#options.log.warn({ err: error, instanceId }, 'what a start imports could not be kept');
    }
    if (this.#starting.size === 0) this.#pool.fill(() => this.#starting.size === 0);
  }

  /** Removes what those of an earlier server left. Once none of them is left. */
  async sweep(): Promise<void> {
    for (const folder of Object.values(this.#folders)) await rm(folder, { recursive: true, force: true });
  }

  async forgetRuntime(runtimeId: string): Promise<void> {
    await this.#parents.forget(runtimeId);
    await this.#records.forget(runtimeId);
  }

  /** Ends what waits, not what has become an instance. */
  async close(): Promise<void> {
    // What waits keeps no server up, but its end has to be waited for.
    const up = setInterval(() => {}, 60_000);
    try {
      await Promise.all([this.#parents.close(), this.#pool.close()]);
    } finally {
      clearInterval(up);
    }
  }

  async #fromPool(input: LaunchInput, hooks: QuickStartHooks): Promise<Launched | undefined> {
    const { spec, command, environment, view } = input;
    const start = { command, environment };
    if (whyNotPooled(start, PRELOADS) !== undefined || !this.#isOfThisMachine(input.program))
      return undefined;
    const [program, file, ...rest] = command as [string, string, ...string[]];
    if (!existsSync(resolve(spec.codeDir, file))) return undefined;
    const parts = view.parts(input.shown);
    if (parts && !fitsOnStage(parts)) return undefined;
    const node = this.#pool.take({ program, sandboxed: parts });
    if (!node) return undefined;
    const prepare = async () => {
      if (parts) await node.mount(stageMounts(spec.codeDir, parts.late));
    };
    if (!(await this.#takeOver(node, input, hooks, prepare))) return undefined;
    const preloads = preloadsIn(environment.NODE_OPTIONS ?? '', PRELOADS) ?? [];
    const order = { environment, cwd: view.codeDir, words: [file, ...rest], preloads };
    node.become(`${JSON.stringify(order)}\n`, environment);
    return launchedBy(node);
  }

  /** Makes a process that waits the instance's, up to the moment that it is let go. @returns false when it cannot be used */
  async #takeOver(
    waiting: WaitingProcess,
    { folder, spec, record, log, box }: LaunchInput,
    { onBorn }: QuickStartHooks,
    prepare: () => Promise<void> = async () => {},
  ): Promise<boolean> {
    const { leader, bornAs, groups } = waiting;
    try {
      await prepare();
      // The log first: what is written from here on is the instance's.
      renameSync(waiting.logPath, log.path);
      closeSync(openLog(log, box));
      waiting.moveInto(folder);
      writeRecord(folder, { ...record, ...leader, bootId: bootId(), bornAs });
      onBorn?.({ pid: waiting.pids.at(-1)!, groups });
      return true;
    } catch (error) {
      this.#options.log.warn(
        { err: error, instanceId: spec.instanceId },
        'a process that waited could not be used',
      );
      await waiting.end();
      mendFolder(folder);
      return false;
    }
  }

  async #fromParent(input: LaunchInput, hooks: QuickStartHooks): Promise<Launched | undefined> {
    const key = this.#forkKey(input);
    if (key === undefined) return undefined;
    return input.view.isConfined ? this.#fromPrepared(key, input, hooks) : this.#fromFork(key, input, hooks);
  }

  async #fromPrepared(
    key: string,
    input: LaunchInput,
    hooks: QuickStartHooks,
  ): Promise<Launched | undefined> {
    const { spec, environment } = input;
    const prepared = this.#parents.take(key, environment);
    if (!prepared) return undefined;
    this.#preparing.delete(prepared.waiting);
    if (!(await this.#takeOver(prepared.waiting, input, hooks))) return undefined;
    prepared.become(environment);
    const known = this.#records.read(spec.runtimeId, key);
    // The next one takes its place.
    if (known) this.#starting.set(spec.instanceId, { learn: () => this.#begin(key, input, known) });
    return launchedBy(prepared.waiting);
  }

  async #fromFork(
    key: string,
    input: LaunchInput,
    { onBorn }: QuickStartHooks,
  ): Promise<Launched | undefined> {
    const { folder, spec, environment, record, log, box } = input;
    closeSync(openLog(log, box));
    const fork = await this.#parents.fork(key, {
      id: spec.instanceId,
      folder,
      log: log.path,
      record: JSON.stringify(record).slice(0, -1),
      environment,
    });
    if (!fork) return undefined;
    try {
      onBorn?.({ pid: fork.leader.pid });
    } catch (error) {
      this.#options.log.warn({ err: error, instanceId: spec.instanceId }, 'a fork could not be used');
      await fork.drop();
      return undefined;
    }
    const watch = watchEnd(fork, folder);
    fork.go();
    return { leader: fork.leader, ...watch };
  }

  /** Names the parent that an instance could be forked from; undefined when it cannot. */
  #forkKey({ spec, command, program, environment, view, box }: LaunchInput): string | undefined {
    if (this.#options.forkMemoryBytes === 0 || process.platform !== 'linux') return undefined;
    if (whyNotForked({ command, environment }) !== undefined || !this.#isOfThisMachine(program))
      return undefined;
    const variables = Object.entries(spec.environment).sort(([a], [b]) => (a < b ? -1 : 1));
    // A record names files as the agent sees them.
    const start = [spec.codeDir, view.isConfined, realpathSync(program), command, variables];
    return startKey(start, box.derive('imports'));
  }

  /** Whether a program is the machine's own, and not one that came with a package or was put there by an agent. */
  #isOfThisMachine(program: string): boolean {
    const { dataDir } = this.#options;
    const real = realpathSync(program);
    return !['code', 'deps', 'instances'].some((name) =>
      real.startsWith(join(realpathSync(dataDir), name) + sep),
    );
  }

  #begin(key: string, input: LaunchInput, record: readonly string[]): void {
    const { spec, command, environment, view } = input;
    const { openGroups } = this.#options;
    this.#parents.begin(key, spec.runtimeId, (): ParentPlan => {
      const entries = (environment.PYTHONPATH ?? '').split(delimiter).filter((it) => it !== PYTHON_PRELOAD);
      return {
        program: command[0]!,
        command,
        codeDir: spec.codeDir,
        preload: PYTHON_PRELOAD,
        pythonPath: entries.map((it) => (isAbsolute(it) ? it : resolve(view.codeDir, it))),
        dependencies: [join(view.codeDir, 'python'), '/opt/python'],
        record,
        confined: view.isConfined
          ? {
              boundary: (folder) => view.boundary([], folder),
              openGroups: openGroups && ((name) => openGroups(name, spec)),
              onBegun: (waiting) => {
                this.#preparing.set(waiting, spec);
                void waiting.ended.then(() => this.#preparing.delete(waiting));
              },
            }
          : undefined,
      };
    });
  }
}

function launchedBy(waiting: WaitingProcess): Launched {
  const { leader, bornAs, ended } = waiting;
  return { leader, bornAs, ended, detach: () => waiting.detach() };
}

/** A leader is no child of the server's; it says when it ends, and is looked at in case it could not. */
function watchEnd(
  { leader, ended: said }: Fork,
  folder: string,
): { ended: Promise<Ending>; detach: () => void } {
  let timer: NodeJS.Timeout | undefined;
  let isDetached = false;
  const ended = new Promise<Ending>((resolveEnd) => {
    const look = () => {
      if (isAlive(leader)) return;
      clearInterval(timer);
      resolveEnd(readEnding(folder) ?? {});
    };
    const lookEvery = (ms: number) => {
      clearInterval(timer);
      if (!isDetached) timer = setInterval(look, ms).unref();
    };
    lookEvery(LOOK_MS);
    void said.then((how) => {
      if (how === 'said') lookEvery(SOON_MS);
    });
  });
  const detach = () => {
    isDetached = true;
    clearInterval(timer);
  };
  return { ended, detach };
}
