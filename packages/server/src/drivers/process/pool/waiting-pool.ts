import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Log } from '../../../observe/log.ts';
import { PYTHON_PRELOAD } from '../environment.ts';
import type { Groups } from '../limits/control-groups.ts';
import type { Sandbox } from '../sandbox/sandbox.ts';
import { stageBoundary, whyNoStage } from '../sandbox/stage.ts';
import type { ViewParts } from '../sandbox/view.ts';
import { framed, importingEnvironment, PYTHON_PARENT } from './parent-process.ts';
import { WAITING_LANG } from './starts-that-qualify.ts';
import { type WaitingPlace, type WaitingPlan, WaitingProcess } from './waiting-process.ts';

const NODE_PROGRAM = fileURLToPath(
  new URL('../../../../assets/preload/pool/node-waiting.cjs', import.meta.url),
);
/** Interpreters that processes wait for, at most: of more, those used last. */
const PROGRAMS_MAX = 4;
const READY_WITHIN_MS = 30_000;
const EMPTY_VENV = 'runstead-python';
/** In a row. */
const FAILURES_MAX = 3;

/** What a waiting Node becomes, as JSON on a line. */
export interface NodeOrder {
  environment: Readonly<Record<string, string>>;
  cwd: string;
  /** The file and its arguments. */
  words: readonly string[];
  /** CommonJS files that are loaded before it. */
  preloads: readonly string[];
}

/** What processes wait for. */
export interface PoolKind {
  family: 'node' | 'python';
  /** As the agent is started by it: in the sandbox, by its name there. In a virtual environment: without its folder. */
  program: string;
  /** Of a Python in a virtual environment: the interpreter that it is a link to, and the folder its settings name. */
  venv?: { base: string; home: string } | undefined;
  /** Of the instances, in MiB: Node sizes its heap by it as it begins to live. A Python does not look. */
  memoryMiB?: number | undefined;
  /** What all sandboxed agents of these interpreters see; undefined: there is no sandbox. */
  sandboxed?: (Pick<ViewParts, 'early'> & { sandbox: Sandbox }) | undefined;
}

export interface WaitingPoolOptions extends Omit<WaitingPlace, 'openGroups'> {
  /** As `WaitingPlace.openGroups`; of instances with so much memory, or of any. */
  openGroups?: ((name: string, memoryMiB?: number) => Groups) | undefined;
  /** Processes that wait, for each interpreter in use. 0: none. */
  size: number;
  log: Log;
}

interface Kept {
  kind: PoolKind;
  waiting: Waiting[];
}

/** One that is ready. */
export interface Waiting {
  process: WaitingProcess;
  /** Variables that it has read. */
  read: ReadonlySet<string>;
}

/** Keeps processes that wait. Each serves one start; the next is made when nothing else is being started. */
export class WaitingPool {
  readonly #options: WaitingPoolOptions;
  /** By what they wait for; what was used last comes last. */
  readonly #kept = new Map<string, Kept>();
  #filling: Promise<void> | undefined;
  /** Whether they can wait in the sandbox, once that was found out. */
  #hasStages: boolean | undefined;
  #failures = 0;
  #isClosed = false;

  constructor(options: WaitingPoolOptions) {
    this.#options = options;
  }

  /** One that is ready, if there is one. From now on some are kept for starts of this kind. */
  take(kind: PoolKind): Waiting | undefined {
    if (this.#options.size === 0 || this.#isClosed) return undefined;
    const key = JSON.stringify([kind.program, kind.venv, kind.memoryMiB, kind.sandboxed?.early]);
    const kept = this.#kept.get(key) ?? { kind, waiting: [] };
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    for (let next = kept.waiting.shift(); next; next = kept.waiting.shift()) {
      if (next.process.isAlive) return next;
      void next.process.end();
    }
    return undefined;
  }

  /** How many wait. */
  get count(): number {
    return [...this.#kept.values()].reduce((sum, { waiting }) => sum + waiting.length, 0);
  }

  /** Makes what is missing, one after another. @param mayGoOn asked before each */
  fill(mayGoOn: () => boolean): void {
    this.#filling ??= this.#fill(mayGoOn).finally(() => {
      this.#filling = undefined;
    });
  }

  async #fill(mayGoOn: () => boolean): Promise<void> {
    const keys = [...this.#kept.keys()].reverse();
    for (const key of keys.slice(PROGRAMS_MAX)) {
      const { waiting } = this.#kept.get(key)!;
      this.#kept.delete(key);
      await Promise.all(waiting.map((it) => it.process.end()));
    }
    for (const key of keys.slice(0, PROGRAMS_MAX)) {
      const { kind, waiting } = this.#kept.get(key)!;
      for (const it of waiting.filter(({ process }) => !process.isAlive)) {
        waiting.splice(waiting.indexOf(it), 1);
        await it.process.end();
      }
      while (waiting.length < this.#options.size && this.#failures < FAILURES_MAX) {
        if (this.#isClosed || !mayGoOn() || !(await this.#canWait(kind))) return;
        try {
          const made = await begin(kind, this.#options);
          this.#failures = 0;
          // It may not have been known while it was on its way.
          if (this.#isClosed) return made.process.end();
          waiting.push(made);
          this.#options.log.debug(
            { program: kind.program, pid: made.process.pids.at(-1) },
            'a process waits for a start',
          );
        } catch (error) {
          this.#failures++;
          this.#options.log.warn(
            { err: error, program: kind.program },
            'a process that waits for a start could not be made',
          );
        }
      }
    }
  }

  async #canWait({ sandboxed }: PoolKind): Promise<boolean> {
    if (!sandboxed) return true;
    if (this.#hasStages === undefined) {
      const reason = await whyNoStage(sandboxed.sandbox);
      this.#hasStages = reason === undefined;
      if (reason !== undefined)
        this.#options.log.info({ reason }, 'no process can wait in the sandbox here: each start begins anew');
    }
    return this.#hasStages;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#filling;
    await Promise.all(
      [...this.#kept.values()].flatMap(({ waiting }) => waiting.map((it) => it.process.end())),
    );
    this.#kept.clear();
  }
}

/** @returns when it waits */
async function begin(kind: PoolKind, place: WaitingPoolOptions): Promise<Waiting> {
  const { family, venv, sandboxed } = kind;
  const plan: WaitingPlan = {
    kind: 'pool',
    program: family === 'node' ? nodeProgram(kind) : pythonProgram(kind),
    arrange: venv && ((folder) => makeVenv(join(folder, 'tmp', EMPTY_VENV), venv, kind)),
    boundary: sandboxed && ((folder) => stageBoundary(sandboxed.sandbox, folder, sandboxed.early)),
    hasStage: sandboxed !== undefined,
  };
  const openGroups = place.openGroups && ((name: string) => place.openGroups!(name, kind.memoryMiB));
  const made = new WaitingProcess(plan, { ...place, openGroups });
  try {
    if (family === 'python') made.send(framed(['stand-by']));
    const [word, ...read] = (await made.nextLine(READY_WITHIN_MS)).split('\t');
    if (word !== 'ready') throw new Error([word, ...read].join(' '));
    if (venv) made.tidy(join('tmp', EMPTY_VENV));
    return { process: made, read: new Set(read.filter(Boolean)) };
  } catch (error) {
    await made.end();
    throw error;
  }
}

function nodeProgram({ program }: PoolKind): WaitingPlan['program'] {
  const environment = {
    PATH: '/usr/bin:/bin',
    LANG: WAITING_LANG,
    ...(process.env.TZ ? { TZ: process.env.TZ } : {}),
  };
  return () => ({ command: [program, NODE_PROGRAM], environment });
}

function pythonProgram({ program, venv }: PoolKind): WaitingPlan['program'] {
  return ({ home, tmp }) => ({
    command: [venv ? join(tmp, EMPTY_VENV, 'bin', program) : program, PYTHON_PARENT],
    environment: importingEnvironment({ preload: PYTHON_PRELOAD, home, tmp }),
  });
}

/** A virtual environment with nothing in it: Python then begins as in the one that it will be in. */
function makeVenv(
  folder: string,
  { base, home }: NonNullable<PoolKind['venv']>,
  { program }: PoolKind,
): void {
  mkdirSync(join(folder, 'bin'), { recursive: true, mode: 0o700 });
  symlinkSync(base, join(folder, 'bin', program));
  writeFileSync(join(folder, 'pyvenv.cfg'), `home = ${home}\ninclude-system-site-packages = false\n`);
}
