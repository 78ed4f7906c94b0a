import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { basename, delimiter, dirname, isAbsolute, join, resolve, sep } from 'node:path';
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
import { type Fork, framed, listed, orderToBecome, type ParentPlan } from './parent-process.ts';
import { preloadsIn, readDifferently, whyNotForked, whyNotPooled } from './starts-that-qualify.ts';
import { type NodeOrder, type PoolKind, type Waiting, WaitingPool } from './waiting-pool.ts';
import type { WaitingProcess } from './waiting-process.ts';

export interface QuickStartsOptions {
  dataDir: string;
  dataMark: string;
  /** Processes that wait for a start of any agent, for each interpreter in use. 0: none. */
  pool: number;
  /** Memory of the processes that Python instances are forked from, in bytes. 0: there are none. */
  forkMemoryBytes: number;
  /** Makes the groups that hold a process that waits, and later the instance; of instances with so much memory, or of any. */
  openGroups?: ((name: string, memoryMiB?: number) => Groups) | undefined;
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
/** Whoever waited for a start is to have their answer first: what is made for the next one wants the same processors. */
const FILL_AFTER_MS = 100;
/** Between the word of an end and the end of whoever said it. */
const SOON_MS = 2;
const FITS_WITHIN_MS = 3000;
/** Of a virtual environment's pyvenv.cfg, in bytes. */
const SETTINGS_MAX = 16 * 1024;
/** Starts that are remembered not to fit. */
const UNFIT_MAX = 2000;
const RECORD_VARIABLE = 'RUNSTEAD_RECORD_IMPORTS';
const RECORD_FILE = 'runstead-imports';

/**
 * Starts that begin with a process that waits: a Node that has booted; a Python that has imported what the version
 * imports, forked or, in the sandbox, itself; a Python that has imported what most do. What comes of them is what the
 * ordinary start makes, in files, processes, boundaries and meaning; whatever does not qualify, or goes wrong before
 * anything of the agent has run, is started in the ordinary way.
 *
 * In DATA: `run/pool` and `run/parents`, what belongs to those that wait; `imports/<runtime>`, what versions import.
 */
export class QuickStarts {
  readonly #options: QuickStartsOptions;
  readonly #folders: { pool: string; parents: string };
  readonly #records: ImportRecords;
  readonly #parents: ForkParents;
  readonly #pool: WaitingPool;
  /** In the sandbox: those in which code of a version runs, or has run, and that are no instances yet. */
  readonly #preparing = new Map<WaitingProcess, InstanceSpec>();
  /** Starts, by their keys, that do not fit a Python that has imported what most do. */
  readonly #unfit = new Set<string>();
  /** Starts under way, by instance; what is to be done once one is ready, and in any case. */
  readonly #starting = new Map<string, { learn?: () => void; close?: () => void }>();
  #fillTimer: NodeJS.Timeout | undefined;

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
    this.#pool = new WaitingPool({ folder: this.#folders.pool, dataMark, size, log, openGroups });
  }

  /** For whoever looks from outside: tests, and what tells of the server's state. */
  get parents(): ForkParents {
    return this.#parents;
  }

  get pool(): WaitingPool {
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
    return (
      (await this.#fromNode(input, hooks)) ??
      (await this.#fromParent(input, hooks)) ??
      (await this.#fromStandBy(input, hooks))
    );
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
    this.#fillTimer ??= setTimeout(() => {
      this.#fillTimer = undefined;
      if (this.#starting.size === 0) this.#pool.fill(() => this.#starting.size === 0);
    }, FILL_AFTER_MS).unref();
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
    clearTimeout(this.#fillTimer);
    // What waits keeps no server up, but its end has to be waited for.
    const up = setInterval(() => {}, 60_000);
    try {
      await Promise.all([this.#parents.close(), this.#pool.close()]);
    } finally {
      clearInterval(up);
    }
  }

  async #fromNode(input: LaunchInput, hooks: QuickStartHooks): Promise<Launched | undefined> {
    const { spec, command, environment, view } = input;
    if (whyNotPooled({ command, environment }, PRELOADS) !== undefined) return undefined;
    if (!this.#isOfThisMachine(input.program)) return undefined;
    const [program, file, ...rest] = command as [string, string, ...string[]];
    if (!existsSync(resolve(spec.codeDir, file))) return undefined;
    const { memoryMiB } = spec;
    const taken = this.#take({ family: 'node', program, memoryMiB }, input);
    if (!taken || !(await this.#takeOver(taken.process, input, hooks, () => mounted(taken.process, input))))
      return undefined;
    const preloads = preloadsIn(environment.NODE_OPTIONS ?? '', PRELOADS) ?? [];
    const order: NodeOrder = { environment, cwd: view.codeDir, words: [file, ...rest], preloads };
    taken.process.become(`${JSON.stringify(order)}\n`, environment);
    return launchedBy(taken.process);
  }

  /** For a Python of which nothing more is to be learnt, or which there is no process of its own for. */
  async #fromStandBy(input: LaunchInput, hooks: QuickStartHooks): Promise<Launched | undefined> {
    const { command, environment, view } = input;
    if (process.platform !== 'linux' || this.#options.pool === 0) return undefined;
    if (whyNotForked({ command, environment }) !== undefined) return undefined;
    if (!this.#isOfThisMachine(input.program)) return undefined;
    const key = this.#startKey(input);
    if (this.#unfit.has(key) || this.#isToBeLearnt(input)) return undefined;
    const [program = ''] = command;
    const venv = venvOf(input.program);
    if (venv === 'unknown' || (venv && !this.#isOfThisMachine(venv.home))) return undefined;
    // All virtual environments of an interpreter begin alike.
    const kind = { family: 'python' as const, program: venv ? basename(program) : program, venv };
    const taken = this.#take(kind, input);
    if (!taken) return undefined;
    if (readDifferently(taken.read, taken.process.environment, environment) !== undefined) {
      this.#unfits(key);
      await taken.process.end();
      return undefined;
    }
    const fit = async () => {
      await mounted(taken.process, input);
      const path = pythonPathOf(input);
      const inVenv = venv ? dirname(dirname(program)) : '';
      taken.process.send(framed(['fit', view.codeDir, inVenv, ...listed(path), ...listed(command)]));
      const [word, reason] = (await taken.process.nextLine(FITS_WITHIN_MS)).split('\t');
      if (word === 'fits') return;
      this.#unfits(key);
      throw new Unfit(reason);
    };
    if (!(await this.#takeOver(taken.process, input, hooks, fit))) return undefined;
    taken.process.become(orderToBecome(environment), environment);
    this.#learnAgain(input);
    return launchedBy(taken.process);
  }

  #unfits(key: string): void {
    if (this.#unfit.size >= UNFIT_MAX) this.#unfit.clear();
    this.#unfit.add(key);
  }

  /** One that waits, in the sandbox if the instance is to be there. */
  #take(kind: PoolKind, { view, shown }: LaunchInput): Waiting | undefined {
    const sandboxed = view.parts(shown);
    if (sandboxed && !fitsOnStage(sandboxed)) return undefined;
    return this.#pool.take({ ...kind, sandboxed });
  }

  /** Makes a process that waits the instance's, up to the moment that it is let go. @returns false when it cannot be used */
  async #takeOver(
    waiting: WaitingProcess,
    { folder, spec, record, log: instanceLog, box }: LaunchInput,
    { onBorn }: QuickStartHooks,
    prepare: () => Promise<void> = async () => {},
  ): Promise<boolean> {
    const { leader, bornAs, groups } = waiting;
    try {
      await prepare();
      // The log first: what is written from here on is the instance's.
      renameSync(waiting.logPath, instanceLog.path);
      closeSync(openLog(instanceLog, box));
      waiting.moveInto(folder);
      writeRecord(folder, { ...record, ...leader, bootId: bootId(), bornAs });
      onBorn?.({ pid: waiting.pids.at(-1)!, groups });
      return true;
    } catch (error) {
      const about = { agentRuntimeId: spec.runtimeId, instanceId: spec.instanceId };
      const { log } = this.#options;
      if (error instanceof Unfit)
        log.info({ ...about, reason: error.message }, 'no process that waits fits this version');
      else log.warn({ ...about, err: error }, 'a process that waited could not be used');
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
    const { environment } = input;
    const prepared = this.#parents.take(key, environment);
    if (!prepared) return undefined;
    this.#preparing.delete(prepared.waiting);
    if (!(await this.#takeOver(prepared.waiting, input, hooks))) return undefined;
    prepared.become(environment);
    this.#learnAgain(input);
    return launchedBy(prepared.waiting);
  }

  /** Once it is ready, its version is to have a process of its own that has imported. */
  #learnAgain(input: LaunchInput): void {
    const { runtimeId, instanceId } = input.spec;
    const key = this.#forkKey(input);
    const known = key === undefined ? undefined : this.#records.read(runtimeId, key);
    if (known) this.#starting.set(instanceId, { learn: () => this.#begin(key!, input, known) });
  }

  /** Whether what its version imports is to be written down still, by an ordinary start. */
  #isToBeLearnt(input: LaunchInput): boolean {
    const key = this.#forkKey(input);
    if (key === undefined || this.#parents.refusalOf(key) !== undefined) return false;
    return this.#records.read(input.spec.runtimeId, key) === undefined;
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
  #forkKey(input: LaunchInput): string | undefined {
    if (this.#options.forkMemoryBytes === 0 || process.platform !== 'linux') return undefined;
    if (whyNotForked(input) !== undefined || !this.#isOfThisMachine(input.program)) return undefined;
    return this.#startKey(input);
  }

  /** The same for starts that are the same. */
  #startKey({ spec, command, program, view, box }: LaunchInput): string {
    const variables = Object.entries(spec.environment).sort(([a], [b]) => (a < b ? -1 : 1));
    // A record names files as the agent sees them.
    const start = [spec.codeDir, view.isConfined, realpathSync(program), command, variables];
    return startKey(start, box.derive('imports'));
  }

  /** Whether a program or folder is the machine's own, and did not come with a package nor was put there by an agent. */
  #isOfThisMachine(path: string): boolean {
    const { dataDir } = this.#options;
    const real = realpathSync(path);
    return !['code', 'deps', 'instances'].some((name) =>
      real.startsWith(join(realpathSync(dataDir), name) + sep),
    );
  }

  #begin(key: string, input: LaunchInput, record: readonly string[]): void {
    const { spec, command, view } = input;
    const { openGroups } = this.#options;
    this.#parents.begin(key, spec.runtimeId, (): ParentPlan => {
      return {
        program: command[0]!,
        command,
        codeDir: spec.codeDir,
        preload: PYTHON_PRELOAD,
        pythonPath: pythonPathOf(input),
        dependencies: [join(view.codeDir, 'python'), '/opt/python'],
        record,
        confined: view.isConfined
          ? {
              boundary: (folder) => view.boundary([], folder),
              openGroups: openGroups && ((name) => openGroups(name, spec.memoryMiB)),
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

/** What its PYTHONPATH holds besides our own, as the agent sees it. */
function pythonPathOf({ environment, view }: LaunchInput): string[] {
  const entries = (environment.PYTHONPATH ?? '').split(delimiter).filter((it) => it !== PYTHON_PRELOAD);
  return entries.map((it) => (isAbsolute(it) ? it : resolve(view.codeDir, it)));
}

/** Has a process that waits in the sandbox see what the agent is to see. */
async function mounted(waiting: WaitingProcess, { spec, view, shown }: LaunchInput): Promise<void> {
  const parts = view.parts(shown);
  if (parts) await waiting.mount(stageMounts(spec.codeDir, parts.late));
}

/**
 * What decides how Python begins in the virtual environment that a program lies in; undefined when it lies in none.
 * `unknown`: one that shows more than what it holds, or cannot be understood.
 */
function venvOf(program: string): PoolKind['venv'] | 'unknown' {
  const path = join(dirname(dirname(program)), 'pyvenv.cfg');
  if (!existsSync(path)) return undefined;
  const text = readSmallFile(path);
  if (text === undefined) return 'unknown';
  const settingOf = (name: string) => new RegExp(`^${name}\\s*=\\s*(.*?)\\s*$`, 'im').exec(text)?.[1];
  const home = settingOf('home');
  if (home === undefined || settingOf('include-system-site-packages')?.toLowerCase() !== 'false')
    return 'unknown';
  const base = realpathSync(program);
  // As the tools that make them leave it: the program is a link to the one in that folder.
  if (!existsSync(join(home, basename(base))) || realpathSync(join(home, basename(base))) !== base)
    return 'unknown';
  return { base, home };
}

/** A package may have put anything there, such as a pipe that nobody writes to. */
function readSmallFile(path: string): string | undefined {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const about = fstatSync(file);
    return about.isFile() && about.size <= SETTINGS_MAX ? readFileSync(file, 'utf8') : undefined;
  } finally {
    closeSync(file);
  }
}

/** Why a start cannot be made by a process that has imported what most do. */
class Unfit extends Error {
  override readonly name = 'Unfit';
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
