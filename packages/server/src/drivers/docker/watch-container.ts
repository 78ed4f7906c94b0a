import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { SecretBox } from '../../auth/secret-box.ts';
import { type ContainerEnding, containerEnding } from './container-failure.ts';
import type { ContainerInstance } from './container-instance.ts';
import { ContainerLog, writeFirstMark } from './container-log.ts';
import { type Engine, EngineRefusal } from './engine.ts';
import type { EngineContainers } from './engine-containers.ts';
import { containerProcess } from './on-this-machine.ts';

/** After the engine was gone: between two tries to reach it. */
const RETRY_MS = [200, 1000, 5000];
/**
 * Between two looks whether the kernel has killed for want of memory. Shorter than an engine takes to clear the
 * control group away with the count in it.
 */
const KILLS_LOOK_MS = 25;
/** How long looks at the memory used are remembered. */
const MEMORY_MS = 3000;

/** Where it stands beside a container how far its log has been written down. */
export const markPathOf = ({ folder }: ContainerInstance): string => join(folder, 'log-mark');

export type WatchContainer = ReturnType<typeof createWatch>;

/** How containers that run are watched: what they write, what they take, and how they end. */
export function createWatch(engine: Engine, containers: EngineContainers) {
  /**
   * Has its output written down from now on, and waits for its end, until it is let go of.
   * @param id as the engine says
   * @param box seals what is to be masked; absent for one that an earlier server has begun
   */
  return async function watch(instance: ContainerInstance, id: string, box?: SecretBox): Promise<void> {
    const { container, log } = instance;
    const markPath = markPathOf(instance);
    if (box) writeFirstMark(markPath);
    instance.writing = new ContainerLog({ engine, container, log, box, markPath });
    instance.writing.follow();
    instance.ended = untilEnded(instance);
    const pid = (await containers.inspect(container).catch(() => undefined))?.State.Pid ?? 0;
    instance.onMachine = pid > 1 ? containerProcess(pid, id) : undefined;
    watchKills(instance, box !== undefined);
  };

  /** Never rejects; never resolves once it is let go of. The engine may come and go meanwhile. */
  async function untilEnded(instance: ContainerInstance): Promise<ContainerEnding> {
    const { signal } = instance.letGo;
    for (let tries = 0; ; tries++) {
      try {
        await engine.ask('POST', `/containers/${instance.container}/wait`, { signal, silenceMs: 0 });
        const found = await containers.inspect(instance.container);
        if (!found?.State.Running) {
          instance.ending = found
            ? containerEnding(found.State, instance.memoryMiB, shortlyBefore(instance))
            : {};
          return instance.ending;
        }
        tries = 0;
      } catch (error) {
        if (signal.aborted) return new Promise(() => {});
        if (error instanceof EngineRefusal && error.status === 404) {
          instance.ending = {};
          return instance.ending;
        }
      }
      const pauseMs = RETRY_MS[Math.min(tries, RETRY_MS.length - 1)]!;
      await delay(pauseMs, undefined, { signal }).catch(() => {});
      if (signal.aborted) return new Promise(() => {});
    }
  }
}

/**
 * Notes when the kernel kills for want of memory: the count goes with the container.
 * @param isNew whether what is counted already has just happened
 */
function watchKills(instance: ContainerInstance, isNew: boolean): void {
  let known = instance.onMachine?.memoryKills();
  if (known === undefined) return;
  const note = () => {
    const kills = instance.onMachine?.memoryKills();
    if (kills === undefined || kills === known) return;
    known = kills;
    instance.killedForMemoryAt = performance.now();
  };
  if (isNew) known = 0;
  note();
  const looking = setInterval(note, KILLS_LOOK_MS);
  looking.unref();
  instance.letGo.signal.addEventListener('abort', () => clearInterval(looking), { once: true });
}

/** Notes what memory it takes now. */
export function noteMemory(instance: ContainerInstance): void {
  const bytes = instance.onMachine?.memoryUsed();
  if (bytes === undefined) return;
  const at = performance.now();
  instance.memoryUsed = [...instance.memoryUsed.filter((look) => at - look.at < MEMORY_MS), { at, bytes }];
}

function shortlyBefore({ killedForMemoryAt = Number.NEGATIVE_INFINITY, memoryUsed }: ContainerInstance) {
  return {
    killedForMemory: performance.now() - killedForMemoryAt < MEMORY_MS,
    usedBytes: Math.max(0, ...memoryUsed.map(({ bytes }) => bytes)),
  };
}
