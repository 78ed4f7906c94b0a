import { readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '../../observe/log.ts';
import { LABEL } from './container-body.ts';
import type { ContainerInstances } from './container-instance.ts';
import type { EngineContainers } from './engine-containers.ts';
import type { Networks } from './networks.ts';

export type Strays = ReturnType<typeof createStrays>;

/** What may be in the engine of ours though nobody here knows of it, and how it is removed. */
export function createStrays(parts: {
  containers: EngineContainers;
  networks: Networks;
  instances: ContainerInstances;
  /** Of what is kept of each instance. */
  folder: string;
  log: Log;
}) {
  const { containers, networks, instances, folder, log } = parts;
  let areSuspected = false;
  let sweeping: Promise<void> | undefined;

  return {
    /** From now on there may be some. */
    suspect(): void {
      areSuspected = true;
    },

    /** Removes containers, networks and folders of ours that nobody here knows of, if there may be any. @throws EngineAbsent */
    sweep(): Promise<void> {
      if (!areSuspected) return Promise.resolve();
      sweeping ??= (async () => {
        for (const { Id: id, Labels: labels } of await containers.list())
          if (!instances.has(labels[LABEL.instance] ?? '')) await containers.remove(id);
        await networks.sweep();
        for (const name of readdirSync(folder))
          if (!instances.has(name)) await removeFolder(join(folder, name), log);
        areSuspected = false;
      })().finally(() => {
        sweeping = undefined;
      });
      return sweeping;
    },

    /** Resolves when nothing is being removed. */
    settled: async (): Promise<void> => sweeping?.catch(() => {}),
  };
}

/** What cannot be removed now is for the next sweep; the end of an instance must not fail over it. */
export async function removeFolder(folder: string, log: Log): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 3 }).catch((error: unknown) => {
    log.warn({ err: error, folder }, "an ended instance's folder could not be removed");
  });
}
