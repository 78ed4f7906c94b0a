import { PhaseFailure } from '../../domain/failure.ts';
import { freeBytes, said, type Usage } from '../measure.ts';
import type { InstallRules } from './rules.ts';

/** The processes of an install, wherever they went; see `trackProgram` of the process driver. */
export interface ProgramFamily {
  /** Variables its programs bear, by which they are found. */
  marks: Readonly<Record<string, string>>;
  count(): Promise<number>;
  end(): Promise<void>;
  /**
   * Another way of starting a program, in which it sees and writes no more than it needs. Default: none is known, and it is
   * started as it is.
   */
  confine?(work: ConfinedWork): { file: string; args: readonly string[] };
}

/** A program that runs code of a package, and what it works with. */
export interface ConfinedWork {
  file: string;
  args: readonly string[];
  cwd: string;
  env: Readonly<Record<string, string>>;
  /** Folders that it may read. */
  readOnly: readonly string[];
  /** Folders that it may write to. */
  writable: readonly string[];
}

/** How installs find what they started. @param marks variables that programs carry anyway */
export type TrackProgram = (marks: Readonly<Record<string, string>>) => ProgramFamily;

/** Finds nobody: for where there is no way to look. */
export const trackNothing: TrackProgram = (marks) => ({
  marks,
  count: () => Promise.resolve(0),
  end: () => Promise.resolve(),
});

export interface GuardOptions {
  /** Exists; everything the install writes lies below it. */
  folder: string;
  /** What grows, in a sentence about its size: `the dependencies take`. */
  subject: string;
  rules: Readonly<InstallRules>;
  family: ProgramFamily;
  /** Must not hold up the event loop. */
  measure: (folder: string) => Promise<Usage>;
}

/** Watches over an install that is under way. */
export interface Guard {
  /** Aborts with a PhaseFailure as soon as a limit is seen to be passed. */
  halt: AbortSignal;
  /** Looks once more, at everything. @throws PhaseFailure */
  check(): Promise<void>;
  stop(): void;
}

/** Between two looks at what is quickly seen: free space and processes. */
const LOOK_MS = 250;
/** Looking takes at most this part of the time: large folders and long process lists are looked at less often. */
const SHARE = 10;

/**
 * The kernel's own limits go by process or by user; an install is neither. So its folder, its processes and the disk
 * are looked at from outside, at intervals: what is passed between two looks is noticed at the next, and at the end.
 */
export function watchInstall({ folder, subject, rules, family, measure }: GuardOptions): Guard {
  const controller = new AbortController();
  let stopped = false;

  const looks = [() => enoughSpace(folder, rules), () => fewEnough(family, rules)];
  const tooMuch = (what: string, setting: string) =>
    new PhaseFailure('install', `${subject} more than ${what}; that is the limit (${setting})`);
  const weigh = async () => {
    const { bytes, entries } = await measure(folder);
    if (bytes > rules.diskBytes)
      throw tooMuch(`${said(rules.diskBytes)} on the disk`, 'RUNSTEAD_INSTALL_DISK');
    if (entries > rules.diskEntries)
      throw tooMuch(`${rules.diskEntries} files and folders`, 'RUNSTEAD_INSTALL_ENTRIES');
  };

  const repeat = (look: () => Promise<void>) => {
    const again = (afterMs: number) => {
      if (stopped || controller.signal.aborted) return;
      setTimeout(() => {
        if (stopped) return;
        const begun = performance.now();
        look().then(
          () => again(Math.max(LOOK_MS, SHARE * (performance.now() - begun))),
          // What fails for another reason, such as a thread that is ending, is not the install's fault.
          (error: unknown) =>
            error instanceof PhaseFailure ? controller.abort(error) : again(SHARE * LOOK_MS),
        );
      }, afterMs).unref();
    };
    again(LOOK_MS);
  };
  for (const look of [...looks, weigh]) repeat(look);

  return {
    halt: controller.signal,
    async check() {
      controller.signal.throwIfAborted();
      for (const look of [...looks, weigh]) await look();
    },
    stop() {
      stopped = true;
    },
  };
}

/** @throws PhaseFailure when less is free than must stay so */
export async function enoughSpace(
  folder: string,
  { freeSpaceReserveBytes }: Pick<InstallRules, 'freeSpaceReserveBytes'>,
): Promise<void> {
  const free = await freeBytes(folder);
  if (free >= freeSpaceReserveBytes) return;
  throw new PhaseFailure(
    'install',
    `the disk of the data folder has ${said(free)} free, and ${said(freeSpaceReserveBytes)} must stay free; ` +
      'make room there, or lower RUNSTEAD_FREE_SPACE_RESERVE',
  );
}

async function fewEnough(family: ProgramFamily, { processes }: InstallRules): Promise<void> {
  const count = await family.count();
  if (count <= processes) return;
  throw new PhaseFailure(
    'install',
    `the install runs more than ${processes} processes at once; that is the limit (RUNSTEAD_INSTALL_PROCESSES)`,
  );
}
