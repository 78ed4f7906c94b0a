import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '../../observe/log.ts';
import { LABEL } from './container-body.ts';
import type { ContainerInstances } from './container-instance.ts';
import type { EngineContainers } from './engine-containers.ts';
import type { Networks } from './networks.ts';

/**
 * An engine goes on with what a server that was killed had asked it for: containers and networks may come up after all
 * that were there have been looked at. So long after that it is looked again, in ms.
 */
const LATE_LOOKS_MS = [1000, 5000, 20_000, 60_000];

export type Strays = ReturnType<typeof createStrays>;

/** What may be in the engine of ours though nobody here knows of it, and how it is removed. */
export function createStrays(parts: {
  containers: EngineContainers;
  networks: Networks;
  instances: ContainerInstances;
  /** Of what is kept of each instance. */
  folder: string;
  /** A file that is there for as long as something may come up late: the next server is to look for that as well. */
  unsettledPath: string;
  /** Default: several within a minute. */
  lateLooksMs?: readonly number[] | undefined;
  log: Log;
}) {
  const { containers, networks, instances, folder, unsettledPath, log } = parts;
  let areSuspected = false;
  let sweeping: Promise<void> | undefined;
  const lateLooks = new Set<NodeJS.Timeout>();

  return {
    /** Whether an earlier server may have left any. Where none ran containers, there may be no engine to ask. */
    mayBeThere: () => readdirSync(folder).length > 0 || existsSync(unsettledPath),

    /** From now on there may be some. */
    suspect(): void {
      areSuspected = true;
    },

    /** The engine may be at work on something that nobody waits for any more: it may come up yet. */
    expectLateOnes(): void {
      writeFileSync(unsettledPath, '', { mode: 0o600 });
      for (const ms of parts.lateLooksMs ?? LATE_LOOKS_MS) {
        const look = setTimeout(() => {
          lateLooks.delete(look);
          areSuspected = true;
        }, ms);
        lateLooks.add(look.unref());
      }
    },

    /**
     * Removes containers, networks and folders of ours that nobody here knows of, if there may be any. Calls share one.
     * @throws EngineAbsent, EngineRefusal: it is tried again
     */
    async sweep(): Promise<void> {
      if (!areSuspected && sweeping === undefined) return;
      sweeping ??= removeAll().finally(() => {
        sweeping = undefined;
      });
      await sweeping;
    },

    /** Looks no more; resolves when nothing is being removed. */
    async close(): Promise<void> {
      for (const it of lateLooks) clearTimeout(it);
      await sweeping?.catch(() => {});
    },
  };

  async function removeAll(): Promise<void> {
    // What is suspected from now on is looked for once more.
    areSuspected = false;
    const isLast = lateLooks.size === 0;
    try {
      for (const { Id: id, Labels: labels } of await containers.list())
        if (!instances.has(labels[LABEL.instance] ?? '')) await containers.remove(id);
      await networks.sweep();
    } catch (error) {
      areSuspected = true;
      throw error;
    }
    for (const name of readdirSync(folder))
      if (!instances.has(name)) await removeFolder(join(folder, name), log);
    if (isLast) rmSync(unsettledPath, { force: true });
  }
}

/** What cannot be removed now is for the next sweep; the end of an instance must not fail over it. */
export async function removeFolder(folder: string, log: Log): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 3 }).catch((error: unknown) => {
    log.warn({ err: error, folder }, "an ended instance's folder could not be removed");
  });
}
