import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Language } from '@runstead/contract';
import { PhaseFailure } from '../../domain/failure.ts';
import type { DataFolders } from '../folders.ts';
import { runProgram } from '../run-program.ts';
import { installEnvironment } from './environment.ts';

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
  /** Added to the installer's environment. */
  marks: Readonly<Record<string, string>>;
  signal: AbortSignal;
}

/** The program that an agent of a language finds under the name `node` or `python`, or why there is none. */
export type FindInterpreter = (
  family: 'node' | 'python',
  language: Language,
) => Promise<InstallInterpreter | { missing: string }>;

export interface InstallInterpreter {
  path: string;
  /** Major, minor, patch. */
  version: readonly number[];
}

export interface InstallLimit {
  /** @returns what to call when the install is over */
  acquire(signal: AbortSignal): Promise<() => void>;
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
  /** Of its output, the lines that tell the fault. */
  decisive?: (lines: readonly string[]) => readonly string[];
  /** A better word than its exit code, where its output allows one. */
  explain?: (lines: readonly string[]) => string | undefined;
}

const LINES_READ = 300;
const LINES_SHOWN = 20;

/** Written last: a folder without it is half-made. */
const COMPLETE = 'complete';
/** There from the first moment on. */
const WORK = 'work';

/**
 * Finds or makes the install of these inputs, inside the runtime: no tenant's install is ever seen by another. Of
 * several who want the same at one time, one makes it. What a crash left half-made is made anew.
 * @returns the folder of the result
 */
export async function keptInstall(
  options: InstallOptions,
  inputs: readonly string[],
  make: (site: Site) => Promise<void>,
): Promise<string> {
  const { folders, runtimeId, limit, signal } = options;
  const target = join(folders.deps, runtimeId, keyOf(inputs));
  const tree = join(target, 'tree');
  const isComplete = () => existsSync(join(target, COMPLETE));
  if (isComplete()) return tree;
  await oneByOne(target, signal, async () => {
    if (isComplete()) return;
    const release = await limit.acquire(signal);
    const work = join(target, WORK);
    try {
      await removeAll(target);
      await mkdir(target, { recursive: true, mode: 0o700 });
      for (const folder of [work, join(work, 'home'), tree]) await mkdir(folder);
      await make(siteOf(options, tree, work));
      signal.throwIfAborted();
      await writeFile(join(target, COMPLETE), '');
      await removeAll(work);
    } catch (error) {
      // What cannot be removed now is not complete either, and goes before the next attempt.
      await removeAll(target).catch(() => {});
      throw error;
    } finally {
      release();
    }
  });
  return tree;
}

/** Whether a folder of the runtime's installs is one that a crash left behind. */
export function isHalfMade(folder: string): boolean {
  return existsSync(join(folder, WORK)) && !existsSync(join(folder, COMPLETE));
}

function siteOf(options: InstallOptions, tree: string, work: string): Site {
  const { folders, codeDir, timeoutMs, marks, signal } = options;
  const deadline = performance.now() + timeoutMs;
  // The author knows the package, not where things lie on the server.
  const places: [string, string][] = [
    [tree, '.'],
    [work, '.'],
    [codeDir, '/code'],
    [dirname(folders.deps), '…'],
    [homedir(), '~'],
  ];
  return {
    tree,
    work,
    async run({ file, args, name, cwd, toolFolders = [], settings, decisive = (lines) => lines, explain }) {
      const result = await runProgram(file, args, {
        cwd,
        env: { ...installEnvironment(join(work, 'home'), toolFolders), ...settings, ...marks },
        timeoutMs: Math.max(1, deadline - performance.now()),
        signal,
        linesKept: LINES_READ,
      });
      if (result.failure === undefined) return result.lastLines;
      const shown = (line: string) =>
        [[file, name] as const, ...places].reduce(
          (text, [path, word]) => (path.length > 1 ? text.replaceAll(path, word) : text),
          line,
        );
      const lines = decisive(result.lastLines).slice(-LINES_SHOWN).map(shown);
      const said = result.timedOut
        ? `${name} was stopped after ${Math.round(timeoutMs / 1000)} s`
        : (explain?.(result.lastLines) ?? shown(result.failure));
      throw new PhaseFailure('install', said, lines);
    },
  };
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

/** Whoever was killed a moment ago may still have been writing. */
function removeAll(folder: string): Promise<void> {
  return rm(folder, { recursive: true, force: true, maxRetries: 3 });
}
