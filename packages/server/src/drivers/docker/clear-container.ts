import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../../observe/log.ts';
import type { PortPool } from '../process/port-pool.ts';
import type { ContainerInstance, ContainerInstances } from './container-instance.ts';
import type { EngineContainers } from './engine-containers.ts';
import type { LogKeeping } from './log-keeping.ts';
import type { Networks } from './networks.ts';
import { removeFolder, type Strays } from './sweep-containers.ts';

export type ClearContainer = ReturnType<typeof createClear>;

/** How an instance is ended, and everything that was made for it is given back. */
export function createClear(parts: {
  containers: EngineContainers;
  networks: Networks;
  ports: PortPool;
  instances: ContainerInstances;
  strays: Strays;
  logKeeping: LogKeeping;
  /** Removes the oldest of what a runtime's ended instances wrote. */
  clearLogs: (runtimeId: string) => Promise<void>;
  log: Log;
}) {
  const { containers, networks, ports, instances, strays, log } = parts;

  /** Ends a container, then forgets it but for its log. Calls share one end. */
  return function clear(instance: ContainerInstance, graceMs: number): Promise<void> {
    instance.clearing ??= clearNow(instance, graceMs);
    return instance.clearing;
  };

  async function clearNow(instance: ContainerInstance, graceMs: number): Promise<void> {
    const { instanceId, runtimeId } = instance;
    let isLeft = false;
    try {
      if (instance.mayExist) await endContainer(instance, graceMs);
    } catch (error) {
      // Not to be reached: what is left of it goes when the engine is back.
      log.warn({ err: error, instanceId }, 'a container could not be removed now; it will be tried again');
      isLeft = true;
      strays.suspect();
    }
    instance.letGo.abort();
    instance.writing?.close();
    await parts.logKeeping.keepSmall(instance);
    if (instance.port > 0) ports.release(instance.port);
    if (instance.hasNetwork)
      await networks.release(runtimeId).catch(() => {
        isLeft = true;
        strays.suspect();
      });
    // As long as there is a folder, there may be a container or its network: so a server knows whether to ask the
    // engine at all.
    if (!isLeft) await removeFolder(instance.folder, log);
    if (instances.get(instanceId) === instance) instances.delete(instanceId);
    await parts.clearLogs(runtimeId);
  }

  async function endContainer(instance: ContainerInstance, graceMs: number): Promise<void> {
    const { container } = instance;
    if (graceMs > 0 && !instance.ending && (await containers.signal(container, 'SIGTERM'))) {
      const over = new AbortController();
      const patience = delay(graceMs, undefined, { signal: over.signal }).catch(() => {});
      await Promise.race([instance.ended, patience]);
      over.abort();
    }
    if (!instance.ending && (await containers.signal(container, 'SIGKILL')) && instance.writing)
      await instance.ended;
    await instance.writing?.end();
    await containers.remove(container);
  }
}
