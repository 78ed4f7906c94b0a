import { createHash } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import type { Language } from '@runstead/contract';
import { PhaseFailure } from '../../domain/failure.ts';
import { flushFolder } from '../flush.ts';
import type { DataFolders } from '../folders.ts';
import { said } from '../measure.ts';
import type { PackageThread } from '../package-thread.ts';
import { removeAll } from '../remove-tree.ts';
import { runProgram } from '../run-program.ts';
import { ownCache } from './caches.ts';
import { fitForStrangers, installEnvironment } from './environment.ts';
import {
  type ConfinedWork,
  type Guard,
  type ProgramFamily,
  type TrackProgram,
  watchInstall,
} from './guard.ts';
import type { InstallRules } from './rules.ts';

export interface InstallOptions {
  folders: DataFolders;
  runtimeId: string;
  /** The unpacked package. Its last part says which it is. */
  codeDir: string;
  language: Language;
  findInterpreter: FindInterpreter;
  /** Lets so many installs run at once, first come first served. */
  limit: InstallLimit;
  timeoutMs: number;
  rules: Readonly<InstallRules>;
  thread: PackageThread;
  track: TrackProgram;
  /** Added to the installer's environment. */
  marks: Readonly<Record<string, string>>;
  /** Texts that appear in nothing that is shown. */
  secrets: readonly string[];
  /** Hears the last lines of what was run, fit to be shown, whether it succeeded or not. */
  onOutput: (lines: readonly string[]) => void;
  signal: AbortSignal;
}

/** The program that an agent of a language finds under the name `node` or `python`, or why there is none. */
export type FindInterpreter = (
  family: 'node' | 'python',
  language: Language,
  options?: { signal?: AbortSignal; onDoing?: (what: string) => void },
) => Promise<InstallInterpreter | { missing: string }>;

export interface InstallInterpreter {
  path: string;
  /** Major, minor, patch. */
  version: readonly number[];
}

export interface InstallLimit {
  /**
   * @param owner the runtime it is for
   * @returns what to call when the install is over
   */
  acquire(signal: AbortSignal, owner: string): Promise<() => void>;
}

/** Where an install is made. */
export interface Site {
  /** Its result, at the final path: virtual environments cannot be moved. */
  tree: string;
  /** For what is needed on the way; gone in the end. */
  work: string;
  /**
   * Runs one of its programs.
   * @returns its last lines
   * @throws PhaseFailure with what it said, when it fails
   */
  run(step: Step): Promise<readonly string[]>;
}

export interface Step {
  file: string;
  args: readonly string[];
  /** What it is called in front of people, such as `npm ci`. */
  name: string;
  cwd: string;
  /** Folders that its PATH starts with. */
  toolFolders?: readonly string[];
  /** Added to its environment. */
  settings: Readonly<Record<string, string>>;
  /** It runs code that came with the package or its dependencies. */
  runsStrangers?: boolean;
  /** Of its output, the lines that tell the fault. */
  decisive?: (lines: readonly string[]) => readonly string[];
  /** A better word than its exit code, where its output allows one. */
  explain?: (lines: readonly string[]) => string | undefined;
}

/** What of a result depends on how it is made. */
export interface Making {
  /** What it is in a sentence about its size: `the dependencies take`. */
  subject: string;
  /** Nobody is to write into it any more. */
  readOnly: boolean;
  /** The one package it is made of, by digest; absent for what several may share. */
  of?: string;
}

const INSTALL: Making = { subject: 'the dependencies take', readOnly: true };

const OPEN_FILES = 4096;
const LINES_READ = 300;
const LINES_SHOWN = 20;

/** Written last: a folder without it is half-made. */
const COMPLETE = 'complete';
/** There from the first moment on. */
const WORK = 'work';
/** Names the package it is made of. */
const OF = 'of';

/**
 * Finds or makes the install of these inputs, inside the runtime: no tenant's install is ever seen by another. Of
 * several who want the same at one time, one makes it. What a crash left half-made is made anew.
 * @returns the folder of the result
 */
export async function keptInstall(
  options: InstallOptions,
  inputs: readonly string[],
  make: (site: Site) => Promise<void>,
  making: Making = INSTALL,
): Promise<string> {
  const { folders, runtimeId, limit, signal } = options;
  const target = join(folders.deps, runtimeId, keyOf(inputs));
  const tree = join(target, 'tree');
  const isComplete = () => existsSync(join(target, COMPLETE));
  if (isComplete()) return tree;
  await oneByOne(target, signal, async () => {
    if (isComplete()) return;
    const release = await limit.acquire(signal, runtimeId);
    try {
      await removeAll(target);
      await makeGuarded(options, target, make, making);
    } catch (error) {
      // What cannot be removed now is not complete either, and goes before the next attempt.
      await removeAll(target).catch(() => {});
      throw isFull(error) ? new PhaseFailure('install', DISK_FULL, [], { cause: error }) : error;
    } finally {
      release();
    }
  });
  return tree;
}

/** The package that a folder of the runtime's installs is made of, if it is of one alone; see `Making.of`. */
export async function madeOf(folder: string): Promise<string | undefined> {
  return readFile(join(folder, OF), 'utf8').catch(() => undefined);
}

/** Where the result of an install lies in its folder. */
export function treeOf(folder: string): string {
  return join(folder, 'tree');
}

/** When the install in a folder was finished, in ms since the epoch; undefined when it was not. */
export function completedAt(folder: string): number | undefined {
  return statSync(join(folder, COMPLETE), { throwIfNoEntry: false })?.mtimeMs;
}

/** Of a folder of the runtime's installs, what a crash left behind: all of it, its working place, or nothing. */
export function leftOf(folder: string): string | undefined {
  const work = join(folder, WORK);
  if (!existsSync(work)) return undefined;
  return existsSync(join(folder, COMPLETE)) ? work : folder;
}

async function makeGuarded(
  options: InstallOptions,
  target: string,
  make: (site: Site) => Promise<void>,
  { subject, readOnly, of }: Making,
): Promise<void> {
  const { thread, rules, signal } = options;
  const [tree, work] = [join(target, 'tree'), join(target, WORK)];
  await mkdir(target, { recursive: true, mode: 0o700 });
  for (const folder of [work, join(work, 'home'), tree]) await mkdir(folder);
  if (of !== undefined) await writeFile(join(target, OF), of, { flush: true });
  const family = options.track(options.marks);
  const guard = watchInstall({
    folder: target,
    subject,
    rules,
    family,
    measure: (folder) => thread.run('measure', folder),
  });
  try {
    await guard.check();
    await make(siteOf(options, { tree, work, family, guard }));
    signal.throwIfAborted();
    await guard.check();
  } finally {
    guard.stop();
  }
  await boundCache(options);
  await thread.run('settle', { folder: tree, readOnly });
  signal.throwIfAborted();
  // From here on it counts, also after the power has failed.
  const marker = await open(join(target, COMPLETE), 'w');
  await marker.sync().finally(() => marker.close());
  await flushFolder(target);
  await removeAll(work);
}

/** A cache saves time, not more: one that outgrows what an install may take is begun anew. */
async function boundCache({ folders, runtimeId, rules, thread }: InstallOptions): Promise<void> {
  const cache = ownCache(folders, runtimeId);
  const { bytes, entries } = await thread.run('measure', cache);
  if (bytes > rules.diskBytes || entries > rules.diskEntries) await removeAll(cache);
}

interface Surroundings {
  tree: string;
  work: string;
  family: ProgramFamily;
  guard: Guard;
}

function siteOf(options: InstallOptions, { tree, work, family, guard }: Surroundings): Site {
  const { timeoutMs, rules, signal } = options;
  const deadline = performance.now() + timeoutMs;
  const show = shownTo(options, tree, work);
  const confined = async (program: Pick<ConfinedWork, 'file' | 'args' | 'cwd' | 'env'>) => {
    if (!family.confine) return program;
    const { folders, runtimeId, codeDir } = options;
    const cache = ownCache(folders, runtimeId);
    await mkdir(cache, { recursive: true, mode: 0o700 });
    const writable = [dirname(tree), cache];
    return family.confine({ ...program, writable, readOnly: [join(folders.deps, runtimeId), codeDir] });
  };
  return {
    tree,
    work,
    async run({ file, args, name, cwd, toolFolders = [], settings, decisive = (lines) => lines, ...step }) {
      const environment = { ...installEnvironment(join(work, 'home'), toolFolders), ...settings };
      const env = { ...(step.runsStrangers ? fitForStrangers(environment) : environment), ...family.marks };
      const started = step.runsStrangers ? await confined({ file, args, cwd, env }) : { file, args };
      const result = await runProgram(started.file, started.args, {
        cwd,
        env,
        timeoutMs: Math.max(1, deadline - performance.now()),
        signal,
        linesKept: LINES_READ,
        halt: guard.halt,
        limits: { fileBytes: rules.diskBytes, openFiles: OPEN_FILES },
        endStrays: () => family.end(),
      });
      const { failure, lastLines } = result;
      options.onOutput(lastLines.map(show));
      if (failure === undefined) return lastLines;
      const lines = decisive(lastLines)
        .slice(-LINES_SHOWN)
        .map((line) => show(line.replaceAll(file, name)));
      const fault = failure.replaceAll(started.file, name).replaceAll(file, name);
      if (result.halted) throw new PhaseFailure('install', failure, lines, { cause: guard.halt.reason });
      const said = result.timedOut
        ? `${name} was stopped after ${Math.round(timeoutMs / 1000)} s`
        : (fullOf(lastLines, rules) ?? step.explain?.(lastLines) ?? show(fault));
      throw new PhaseFailure('install', said, lines);
    },
  };
}

/** Lines as others may see them: the author knows the package, not where things lie on the server. */
function shownTo({ folders, codeDir, secrets }: InstallOptions, tree: string, work: string) {
  const places = [
    [tree, '.'],
    [work, '.'],
    [codeDir, '/code'],
    [dirname(folders.deps), '…'],
    [homedir(), '~'],
    ...secrets.map((secret) => [secret, '***'] as const),
  ] as const;
  return (line: string) =>
    places
      .reduce(
        (text, [path, word]) => (path.length > 1 ? text.replaceAll(path, word) : text),
        stripVTControlCharacters(line),
      )
      // The name and password of an address, whoever wrote them there.
      .replace(/:\/\/[^/\s@]+@/g, '://***@');
}

const DISK_FULL =
  'no space is left on the disk of the data folder; make room there, or raise RUNSTEAD_FREE_SPACE_RESERVE to keep some';

function isFull(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException).code ?? '');
}

/** What a program ran into that says it in many words. */
function fullOf(lines: readonly string[], { diskBytes }: InstallRules): string | undefined {
  if (lines.some((line) => /\bENOSPC\b(?!.*watchers)|No space left on device/i.test(line))) return DISK_FULL;
  return lines.some((line) => /\bEFBIG\b|File (?:size limit exceeded|too large)/i.test(line))
    ? `a file was to become larger than ${said(diskBytes)}; that is the limit (RUNSTEAD_INSTALL_DISK)`
    : undefined;
}

/** Everything the result depends on. */
function keyOf(inputs: readonly string[]): string {
  const hash = createHash('sha256');
  for (const part of [...inputs, process.platform, process.arch]) {
    hash.update(`${Buffer.byteLength(part)}:`).update(part);
  }
  return hash.digest('hex').slice(0, 32);
}

const underWay = new Map<string, Promise<void>>();

/** One at a time for each folder; whoever is aborted while waiting leaves. */
async function oneByOne(folder: string, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  for (let other = underWay.get(folder); other; other = underWay.get(folder)) {
    await settledOrAborted(other, signal);
    signal.throwIfAborted();
  }
  const mine = work();
  underWay.set(folder, mine);
  try {
    await mine;
  } finally {
    underWay.delete(folder);
  }
}

function settledOrAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      signal.removeEventListener('abort', done);
      resolve();
    };
    signal.addEventListener('abort', done);
    if (signal.aborted) done();
    promise.then(done, done);
  });
}
