import { readFile } from 'node:fs/promises';
import type { ResourceUse } from '../driver.ts';
import type { ProcessId } from './processes.ts';

/** Whoever asks again sooner gets what was measured: a measurement costs a walk through the pages of each process. */
const GOOD_FOR_MS = 1000;
/** More processes than this are measured the cheap way, by what they have in memory, shared or not. */
const PROPORTIONAL_MAX = 256;
const AT_ONCE = 4;
/** The unit of times in /proc/PID/stat, 1/100 s on all systems that Node runs on. */
const MS_A_TICK = 10;

interface Measured extends ResourceUse {
  atMs: number;
}

/**
 * What instances use: proportional memory of all their processes, where the system says (`smaps_rollup`), and processor
 * time, of processes that have ended and were waited for as well. Only on systems with /proc.
 */
export class UsageMeter {
  readonly #processesOf: (instanceIds: readonly string[]) => Promise<Map<string, ProcessId[]>>;
  readonly #now: () => number;
  readonly #known = new Map<string, Measured>();
  #under: Promise<void> = Promise.resolve();

  /** @param now monotonic, in ms */
  constructor(
    processesOf: (instanceIds: readonly string[]) => Promise<Map<string, ProcessId[]>>,
    now: () => number = () => performance.now(),
  ) {
    this.#processesOf = processesOf;
    this.#now = now;
  }

  /** Of those that are there; without what cannot be found out. Calls take turns, and share what was measured. */
  async of(instanceIds: readonly string[]): Promise<Map<string, ResourceUse>> {
    const turn = this.#under.then(() => this.#measure(instanceIds));
    this.#under = turn.catch(() => {});
    await turn;
    const found = new Map<string, ResourceUse>();
    for (const id of instanceIds) {
      const { atMs: _atMs, ...use } = this.#known.get(id) ?? { atMs: 0 };
      found.set(id, use);
    }
    return found;
  }

  forget(instanceId: string): void {
    this.#known.delete(instanceId);
  }

  async #measure(instanceIds: readonly string[]): Promise<void> {
    const due = instanceIds.filter(
      (id) => this.#now() - (this.#known.get(id)?.atMs ?? -Infinity) >= GOOD_FOR_MS,
    );
    if (due.length === 0) return;
    let proportional = PROPORTIONAL_MAX;
    for (const [id, processes] of await this.#processesOf(due)) {
      const isProportional = processes.length <= proportional;
      if (isProportional) proportional -= processes.length;
      const each = await inBatches(processes, (process) => measure(process, isProportional));
      const seen = each.filter((it) => it !== undefined);
      if (seen.length === 0) continue;
      const atMs = this.#now();
      const cpuMs = sum(seen.map((it) => it.cpuMs));
      const before = this.#known.get(id);
      this.#known.set(id, {
        atMs,
        memoryBytes: sum(seen.map((it) => it.memoryBytes)),
        memoryMeasure: seen.every((it) => it.isProportional) ? 'pss' : 'rss',
        cpuMs,
        // A process that ended unseen takes its time along.
        ...(before?.cpuMs !== undefined && {
          cpuShare: Math.max(0, cpuMs - before.cpuMs) / (atMs - before.atMs),
        }),
      });
    }
  }
}

async function measure(
  { pid, startTicks }: ProcessId,
  isProportional: boolean,
): Promise<{ memoryBytes: number; isProportional: boolean; cpuMs: number } | undefined> {
  const pss = isProportional ? await kibIn(`/proc/${pid}/smaps_rollup`, 'Pss') : undefined;
  const memory = pss ?? (await kibIn(`/proc/${pid}/status`, 'VmRSS'));
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '');
  // The second field is the program's name in brackets and may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  // Read last: what was read before is then of this process, too, and of no other that has its number now.
  if (memory === undefined || fields[19] !== startTicks) return undefined;
  const ticks = sum(fields.slice(11, 15).map(Number));
  return { memoryBytes: memory * 1024, isProportional: pss !== undefined, cpuMs: ticks * MS_A_TICK };
}

async function kibIn(file: string, name: string): Promise<number | undefined> {
  const text = await readFile(file, 'latin1').catch(() => '');
  const found = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1];
  return found === undefined ? undefined : Number(found);
}

async function inBatches<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const done: R[] = [];
  for (let at = 0; at < items.length; at += AT_ONCE)
    done.push(...(await Promise.all(items.slice(at, at + AT_ONCE).map(work))));
  return done;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
