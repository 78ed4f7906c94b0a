import { existsSync } from 'node:fs';
import type { SecretBox } from '../../auth/secret-box.ts';
import type { Log } from '../../observe/log.ts';
import type { RunningInstance } from '../driver.ts';
import { findLog } from '../process/instance-log.ts';
import type { PortPool } from '../process/port-pool.ts';
import { LABEL } from './container-body.ts';
import {
  type ContainerInstance,
  type ContainerInstances,
  isUp,
  type Kept,
  readKept,
} from './container-instance.ts';
import { ContainerLog } from './container-log.ts';
import { type Engine, EngineAbsent, EngineRefusal } from './engine.ts';
import type { EngineContainers } from './engine-containers.ts';
import type { Networks } from './networks.ts';
import type { Strays } from './sweep-containers.ts';
import { markPathOf, type WatchContainer } from './watch-container.ts';

/** How what an earlier server left in the engine is settled. */
export function createAdoption(parts: {
  engine: Engine;
  containers: EngineContainers;
  networks: Networks;
  ports: PortPool;
  instances: ContainerInstances;
  strays: Strays;
  watch: WatchContainer;
  /** Of what is kept of each instance. */
  folder: string;
  box: () => SecretBox;
  log: Log;
  instanceOf: (instanceId: string, runtimeId: string, revision: number, kept: Kept) => ContainerInstance;
  nowRunning: (instance: ContainerInstance) => RunningInstance;
}) {
  const { engine, containers, networks, ports, instances, strays, folder, log } = parts;

  /** Takes over what runs, writes down what the others had still to say, and removes all that is not taken over. */
  return async function adopt(): Promise<RunningInstance[]> {
    const adopted: RunningInstance[] = [];
    // Whoever runs no containers may have no engine, or one that is not to be woken.
    if (!strays.mayBeThere()) return adopted;
    strays.expectLateOnes();
    try {
      for (const found of await containers.list()) {
        const { [LABEL.instance]: id, [LABEL.runtime]: runtimeId, [LABEL.revision]: revision } = found.Labels;
        if (id === undefined || runtimeId === undefined || instances.has(id)) continue;
        const kept = readKept(folder, id);
        const state = kept && (await containers.inspect(found.Id));
        if (!kept || !state) continue;
        const instance = parts.instanceOf(id, runtimeId, Number(revision), kept);
        instance.log = findLog(instance.log.path, parts.box());
        instance.mayExist = true;
        if (state.State.Running) adopted.push(await takeOver(instance, state.Id));
        else await readOut(instance);
      }
      // Not before all are known: whoever looks for strays meanwhile would take them for some.
      strays.suspect();
      await strays.sweep();
    } catch (error) {
      strays.suspect();
      if (!(error instanceof EngineAbsent || error instanceof EngineRefusal)) throw error;
      log.warn(`containers of an earlier server may still run: ${error.message}`);
    }
    return adopted.filter(({ instanceId }) => {
      const instance = instances.get(instanceId);
      return instance !== undefined && isUp(instance);
    });
  };

  async function takeOver(instance: ContainerInstance, id: string): Promise<RunningInstance> {
    ports.hold(instance.port);
    networks.hold(instance.runtimeId);
    instance.hasNetwork = true;
    instances.set(instance.instanceId, instance);
    await parts.watch(instance, id);
    const running = parts.nowRunning(instance);
    instance.starting = Promise.resolve(running);
    return running;
  }

  /** The rest of what one has written that ended while no server was there. */
  async function readOut(instance: ContainerInstance): Promise<void> {
    const markPath = markPathOf(instance);
    if (!existsSync(markPath)) return;
    const { container, log: file } = instance;
    await new ContainerLog({ engine, container, log: file, box: undefined, markPath }).end();
  }
}
