import { readdirSync, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { SecretBox } from '../../auth/secret-box.ts';
import { findLog, type InstanceLog, LOG_COMPANIONS, sealLogSecrets } from './instance-log.ts';

/** Where the logs are, those of ended instances included: `<runtime>/<instance>.log`. */
export class LogShelf {
  readonly #folder: string;
  readonly #box: () => SecretBox;

  /** @param box for what is to be masked in them */
  constructor(folder: string, box: () => SecretBox) {
    this.#folder = folder;
    this.#box = box;
  }

  path(runtimeId: string, instanceId: string): string {
    return join(this.#folder, pathSegment(runtimeId), `${pathSegment(instanceId)}.log`);
  }

  /** The log of an instance of which nothing else is known any more. */
  find(instanceId: string): InstanceLog | undefined {
    for (const runtimeId of readdirSync(this.#folder)) {
      const path = join(this.#folder, runtimeId, `${pathSegment(instanceId)}.log`);
      if (statSync(path, { throwIfNoEntry: false })) return findLog(path, this.#box());
    }
    return undefined;
  }

  /** Seals what a release before sealing left in the plain beside logs. */
  sealEarlier(): void {
    for (const entry of readdirSync(this.#folder, { recursive: true, encoding: 'utf8' })) {
      const path = /^(.*\.log)\.secrets$/.exec(entry)?.[1];
      if (path !== undefined) sealLogSecrets(join(this.#folder, path), this.#box());
    }
  }

  /** Removes a runtime's logs but for those in use and the newest `keep` of the others. */
  async clear(runtimeId: string, keep: number, isInUse: (instanceId: string) => boolean): Promise<void> {
    const folder = join(this.#folder, pathSegment(runtimeId));
    let names: string[];
    try {
      names = readdirSync(folder).filter((name) => name.endsWith('.log'));
    } catch {
      return; // It never had any.
    }
    const ended = names
      .filter((name) => !isInUse(name.slice(0, -'.log'.length)))
      .map((name) => join(folder, name))
      .sort((a, b) => modifiedAt(b) - modifiedAt(a));
    for (const path of ended.slice(keep)) {
      for (const suffix of ['', ...LOG_COMPANIONS]) await rm(`${path}${suffix}`, { force: true });
    }
    if (keep === 0 && ended.length === names.length) await rm(folder, { recursive: true, force: true });
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
