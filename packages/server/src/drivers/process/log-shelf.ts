import { readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { SecretBox } from '../../auth/secret-box.ts';
import type { KeptLog } from '../driver.ts';
import {
  findLog,
  type InstanceLog,
  LOG_COMPANIONS,
  logExtent,
  readLogBytes,
  sealLogSecrets,
} from './instance-log.ts';
import { LogTimes } from './log-times.ts';

/** Whose a log is (`x.log.about`). */
interface About {
  revision?: number;
  openedAt: number;
}

/** The log of an instance that runs, as its driver knows it. */
export interface OpenLog {
  log: InstanceLog;
  times: LogTimes;
}

type ClosedLog = OpenLog & { about: About };

/** Of so many runtimes it is remembered what their ended logs are; followers ask again and again. */
const REMEMBERED = 8;

/** Where the logs are, those of ended instances included: `<runtime>/<instance>.log`. */
export class LogShelf {
  readonly folder: string;
  readonly #box: () => SecretBox;
  /** When the newest log of a runtime was begun. */
  readonly #newest = new Map<string, number>();
  /** Logs that grow no more, by runtime and file. */
  readonly #closed = new Map<string, Map<string, ClosedLog>>();

  /** @param box for what is to be masked in them */
  constructor(folder: string, box: () => SecretBox) {
    this.folder = folder;
    this.#box = box;
  }

  path(runtimeId: string, instanceId: string): string {
    return join(this.folder, pathSegment(runtimeId), `${pathSegment(instanceId)}.log`);
  }

  /**
   * Writes down whose a log is that is about to be begun: later ones of the runtime have a later time, whatever the
   * clock does. Its runtime's folder must be there.
   */
  begin({
    runtimeId,
    instanceId,
    revision,
  }: {
    runtimeId: string;
    instanceId: string;
    revision: number;
  }): void {
    const openedAt = Math.max(Date.now(), this.#newestOf(runtimeId) + 1);
    this.#newest.set(runtimeId, openedAt);
    const path = `${this.path(runtimeId, instanceId)}.about`;
    writeFileSync(`${path}.new`, JSON.stringify({ revision, openedAt } satisfies About), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }

  #newestOf(runtimeId: string): number {
    const known = this.#newest.get(runtimeId);
    if (known !== undefined) return known;
    const paths = this.#pathsOf(runtimeId);
    return Math.max(0, ...paths.map((path) => readAbout(path).openedAt));
  }

  /**
   * All logs of a runtime as they are now.
   * @param openLog what is known of one whose instance runs
   * @param isElsewhere whether it is to be left out, as somebody else knows of it
   */
  logsOf(
    runtimeId: string,
    openLog: (instanceId: string) => OpenLog | undefined,
    isElsewhere: (instanceId: string) => boolean = () => false,
  ): KeptLog[] {
    const before = this.#closed.get(runtimeId);
    const closed = new Map<string, ClosedLog>();
    const paths = this.#pathsOf(runtimeId).filter((path) => !isElsewhere(instanceOf(path)));
    const logs = paths.map((path): KeptLog => {
      const instanceId = instanceOf(path);
      const open = openLog(instanceId);
      if (open) return keptLog(instanceId, { ...open, about: readAbout(path) }, false);
      const found = before?.get(path) ?? {
        log: findLog(path, this.#box()),
        times: new LogTimes(path),
        about: readAbout(path),
      };
      closed.set(path, found);
      return keptLog(instanceId, found, true);
    });
    this.#closed.delete(runtimeId);
    if (closed.size > 0) this.#closed.set(runtimeId, closed);
    if (this.#closed.size > REMEMBERED) this.#closed.delete(this.#closed.keys().next().value!);
    return logs;
  }

  #pathsOf(runtimeId: string): string[] {
    const folder = join(this.folder, pathSegment(runtimeId));
    try {
      // Known before its first byte: what was begun later must not be seen before it.
      const names = readdirSync(folder).flatMap((name) => /^(.*\.log)(?:\.about)?$/.exec(name)?.[1] ?? []);
      return [...new Set(names)].map((name) => join(folder, name));
    } catch {
      return []; // It never had any.
    }
  }

  /** The log of an instance of which nothing else is known any more. */
  find(instanceId: string): InstanceLog | undefined {
    for (const runtimeId of readdirSync(this.folder)) {
      const path = join(this.folder, runtimeId, `${pathSegment(instanceId)}.log`);
      if (statSync(path, { throwIfNoEntry: false })) return findLog(path, this.#box());
    }
    return undefined;
  }

  /** Seals what a release before sealing left in the plain beside logs. */
  sealEarlier(): void {
    for (const entry of readdirSync(this.folder, { recursive: true, encoding: 'utf8' })) {
      const path = /^(.*\.log)\.secrets$/.exec(entry)?.[1];
      if (path !== undefined) sealLogSecrets(join(this.folder, path), this.#box());
    }
  }

  /** Removes a log with all that is beside it. */
  async remove(path: string): Promise<void> {
    for (const suffix of ['', ...LOG_COMPANIONS]) await rm(`${path}${suffix}`, { force: true });
  }

  /** Removes a runtime's logs but for those in use and the newest `keep` of the others. */
  async clear(runtimeId: string, keep: number, isInUse: (instanceId: string) => boolean): Promise<void> {
    const paths = this.#pathsOf(runtimeId);
    const ended = paths
      .filter((path) => !isInUse(instanceOf(path)))
      .sort((a, b) => modifiedAt(b) - modifiedAt(a));
    for (const path of ended.slice(keep)) await this.remove(path);
    if (keep > 0 || ended.length < paths.length) return;
    this.#newest.delete(runtimeId);
    this.#closed.delete(runtimeId);
    await rm(join(this.folder, pathSegment(runtimeId)), { recursive: true, force: true });
  }
}

function keptLog(instanceId: string, { log, times, about }: ClosedLog, isOver: boolean): KeptLog {
  const extent = logExtent(log.path);
  // What nobody looked at in time had been written when the file was last changed.
  const writtenMs = Math.max(times.lastMs, times.end < extent.end ? Math.floor(extent.writtenMs) : 0);
  return {
    instanceId,
    revision: about.revision,
    openedAt: about.openedAt,
    start: extent.start,
    end: extent.end,
    writtenMs,
    isOver,
    secrets: log.secrets,
    read: async (position, limit) => readLogBytes(log.path, position, limit),
    timeAt: (position) => times.at(position) ?? writtenMs,
    positionAt: (timeMs) => times.positionAt(timeMs),
  };
}

function instanceOf(path: string): string {
  return basename(path, '.log');
}

/** One of an earlier release has none; its age then is that of its file. */
function readAbout(path: string): About {
  try {
    return JSON.parse(readFileSync(`${path}.about`, 'utf8')) as About;
  } catch {
    return { openedAt: Math.max(1, Math.floor(statSync(path, { throwIfNoEntry: false })?.birthtimeMs ?? 0)) };
  }
}

function modifiedAt(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/** Ids come from the store, but they become paths: what could leave its folder is refused. */
export function pathSegment(id: string): string {
  if (!/^[A-Za-z0-9_-][A-Za-z0-9._-]*$/.test(id)) throw new Error(`not an id: ${JSON.stringify(id)}`);
  return id;
}
