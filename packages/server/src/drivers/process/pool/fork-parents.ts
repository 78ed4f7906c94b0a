import type { Log } from '../../../observe/log.ts';
import { type Fork, type ForkOrder, ForkRefused, type ParentPlan, ParentProcess } from './parent-process.ts';
import { PreparedProcess } from './prepared-process.ts';
import { readDifferently } from './starts-that-qualify.ts';
import type { WaitingProcess } from './waiting-process.ts';

/** A parent that has forked within this time is not ended to make room for another. */
const STAY_MS = 60_000;
/** What one that has not been measured yet is taken for: Python with a web framework. */
const USUAL_BYTES = 40 * 1024 * 1024;
/** Forks that may fail, each time with a new parent afterwards: a busy machine is no reason for good. */
const FAILURES_MAX = 3;
/** Of versions that nobody has asked for, for long. */
const REMEMBERED_MAX = 2000;

export interface ForkParentsOptions {
  /** Where their own goes. */
  folder: string;
  dataMark: string;
  /** Memory of all of them: proportional set size, in bytes. 0: there are none. */
  limitBytes: number;
  log: Log;
  now: () => number;
}

interface Version {
  runtimeId: string;
  parent?: ParentProcess | PreparedProcess;
  coming?: Promise<void>;
  /** Why it has none, for good. */
  refusal?: string;
  usedAt: number;
  bytes?: number;
  /** Forks that came to nothing, in a row. */
  failures: number;
}

/**
 * The parents that instances are forked from, in the sandbox those that become instances themselves: one a version, as
 * many as memory allows, those used last.
 */
export class ForkParents {
  readonly #options: ForkParentsOptions;
  readonly #versions = new Map<string, Version>();
  #isClosed = false;

  constructor(options: ForkParentsOptions) {
    this.#options = options;
  }

  /** Why instances of a version are not forked, if that is settled. */
  refusalOf(key: string): string | undefined {
    return this.#versions.get(key)?.refusal;
  }

  /** Those that are ready. */
  get ready(): { key: string; pid: number | undefined }[] {
    return [...this.#versions].flatMap(([key, { parent }]) =>
      parent?.isAlive ? [{ key, pid: parent.pid }] : [],
    );
  }

  /**
   * Has an instance forked.
   * @returns undefined when it is to be started in the ordinary way
   */
  async fork(key: string, order: ForkOrder): Promise<Fork | undefined> {
    const version = this.#versions.get(key);
    const parent = this.#fit(key, order.environment);
    if (!version || !(parent instanceof ParentProcess)) return undefined;
    try {
      const fork = await parent.fork(order);
      version.failures = 0;
      return fork;
    } catch (error) {
      if (!(error instanceof ForkRefused)) throw error;
      const { log } = this.#options;
      log.warn(
        { agentRuntimeId: version.runtimeId, reason: error.message },
        'an instance could not be forked',
      );
      if (++version.failures >= FAILURES_MAX) this.#refuse(key, version, error.message);
      return undefined;
    }
  }

  /** In the sandbox: the process that has imported ahead, which is the caller's from now on. */
  take(key: string, environment: Readonly<Record<string, string>>): PreparedProcess | undefined {
    const parent = this.#fit(key, environment);
    if (!(parent instanceof PreparedProcess)) return undefined;
    delete this.#versions.get(key)!.parent;
    return parent;
  }

  /** Ends one that has imported ahead in the sandbox, and has its version make no other. */
  refuse(waiting: WaitingProcess, reason: string): void {
    const found = [...this.#versions].find(
      ([, { parent }]) => parent instanceof PreparedProcess && parent.waiting === waiting,
    );
    if (found) this.#refuse(...found, reason);
    // On its way up still, which comes to the same.
    else void waiting.end(reason);
  }

  /** The parent of a version, if a start with these variables would come out as it has imported. */
  #fit(key: string, environment: Readonly<Record<string, string>>): Version['parent'] {
    const version = this.#versions.get(key);
    if (!version?.parent?.isAlive || version.refusal !== undefined) return undefined;
    const { parent } = version;
    version.usedAt = this.#options.now();
    const name = readDifferently(parent.read, parent.environment, environment);
    if (name === undefined) return parent;
    const what = name === '*' ? 'all variables' : `the variable ${name}, which is another for each start`;
    this.#refuse(key, version, `its imports read ${what}`);
    return undefined;
  }

  /** Makes a parent for a version in the background, if it has none, may have one, and there is room. */
  begin(key: string, runtimeId: string, plan: () => ParentPlan): void {
    const version = this.#versions.get(key) ?? { runtimeId, usedAt: this.#options.now(), failures: 0 };
    this.#versions.delete(key);
    this.#versions.set(key, version);
    this.#forgetOld();
    version.usedAt = this.#options.now();
    if (this.#isClosed || version.coming || version.parent?.isAlive || version.refusal !== undefined) return;
    version.coming = this.#start(key, version, plan()).finally(() => delete version.coming);
  }

  /** Resolves when no parent is on its way up. */
  async settled(): Promise<void> {
    await Promise.all([...this.#versions.values()].map(({ coming }) => coming));
  }

  async forget(runtimeId: string): Promise<void> {
    const leaving = [...this.#versions].filter(([, version]) => version.runtimeId === runtimeId);
    for (const [key] of leaving) this.#versions.delete(key);
    await Promise.all(leaving.map(([, version]) => this.#end(version)));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#versions.values()].map((version) => this.#end(version)));
    this.#versions.clear();
  }

  async #start(key: string, version: Version, plan: ParentPlan): Promise<void> {
    const { folder, dataMark, log } = this.#options;
    try {
      // Of one that has ended by itself, too.
      await version.parent?.end();
      delete version.parent;
      if (!(await this.#makeRoom(version.bytes ?? USUAL_BYTES, STAY_MS))) return;
      const parent = plan.confined
        ? await PreparedProcess.start(plan, { folder, dataMark })
        : await ParentProcess.start(plan, folder, dataMark);
      if (this.#isClosed || this.#versions.get(key) !== version) return await parent.end();
      version.parent = parent;
      version.bytes = parent.memoryBytes();
      log.debug(
        { agentRuntimeId: version.runtimeId, pid: parent.pid },
        'a version has a process to fork from',
      );
      if (version.bytes > this.#options.limitBytes) {
        this.#refuse(
          key,
          version,
          'the process to fork from takes more memory than there is for all of them',
        );
      } else {
        await this.#makeRoom(0, 0, version);
      }
    } catch (error) {
      if (!(error instanceof ForkRefused))
        log.error({ err: error }, 'a process to fork from could not be made');
      this.#refuse(key, version, (error as Error).message);
    }
  }

  /**
   * Ends parents, the one that was used longest ago first, until so much is free.
   * @param stayMs one that was used within this time stays
   * @returns whether there is room
   */
  async #makeRoom(bytes: number, stayMs: number, except?: Version): Promise<boolean> {
    const { limitBytes, now, log } = this.#options;
    const alive = [...this.#versions.values()].filter(({ parent }) => parent?.isAlive);
    for (const version of alive) version.bytes = version.parent!.memoryBytes();
    let taken = alive.reduce((sum, version) => sum + version.bytes!, 0);
    for (const version of alive.sort((a, b) => a.usedAt - b.usedAt)) {
      if (taken + bytes <= limitBytes) break;
      if (version === except) continue;
      if (stayMs > 0 && now() - version.usedAt < stayMs) return false;
      taken -= version.bytes!;
      log.debug(
        { agentRuntimeId: version.runtimeId },
        'the process to fork from is ended: its memory is needed',
      );
      await this.#end(version);
    }
    return taken + bytes <= limitBytes;
  }

  #refuse(key: string, version: Version, reason: string): void {
    if (this.#isClosed || this.#versions.get(key) !== version) return;
    version.refusal = reason;
    this.#options.log.info(
      { agentRuntimeId: version.runtimeId, reason },
      'no fork: instances of this version are started one by one',
    );
    void this.#end(version).catch((error: unknown) => {
      this.#options.log.error({ err: error }, 'a process to fork from could not be ended');
    });
  }

  async #end(version: Version): Promise<void> {
    const { parent, coming } = version;
    delete version.parent;
    await parent?.end();
    // One on its way up ends itself once it sees that it is not wanted.
    if (this.#isClosed) await coming;
  }

  #forgetOld(): void {
    for (const [key, version] of this.#versions) {
      if (this.#versions.size <= REMEMBERED_MAX) return;
      if (!version.parent && !version.coming) this.#versions.delete(key);
    }
  }
}
