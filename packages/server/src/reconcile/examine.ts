import { setTimeout as delay } from 'node:timers/promises';
import type { Driver } from '../drivers/driver.ts';
import type { UpMessage } from '../feed/messages.ts';
import type { Log } from '../observe/log.ts';
import type { InstanceSet } from './instance-set.ts';

/** How long an agent that closed its port has to open it again; the end of one that died is heard of sooner. */
const REOPEN_MS = 1000;
const LOOK_AGAIN_MS = 20;

export interface ExamineOptions {
  driver: Driver;
  instances: InstanceSet;
  /** Sends a runtime's routes as they are now. */
  publish: (runtimeId: string) => void;
  stopGraceMs: number;
  log: Log;
}

/**
 * The gateway could not reach an instance and spares it until routes come. Is it well after all? Then they are sent;
 * else it is replaced.
 */
export function createExaminer({ driver, instances, publish, stopGraceMs, log }: ExamineOptions) {
  const find = (id: string) => instances.all().find((it) => it.id === id && it.state === 'ready');

  /** Waits for the port to be open again. */
  const holderOf = async (id: string) => {
    for (const startedAt = performance.now(); ; ) {
      const found = await driver.identify(id);
      const isLate = performance.now() - startedAt > REOPEN_MS;
      if (found.holder !== 'nobody' || isLate || !find(id)) return found;
      await delay(LOOK_AGAIN_MS, undefined, { ref: false });
    }
  };

  return async ({
    instanceId,
    reason,
    listenerInDoubt,
  }: Pick<Extract<UpMessage, { type: 'unreachable' }>, 'instanceId' | 'reason' | 'listenerInDoubt'>) => {
    if (!find(instanceId)) return;
    const found = await holderOf(instanceId);
    // An agent at work answers no health check. Where the doubt was about the listener, its being there settles it.
    const isItself = found.holder === 'instance' && listenerInDoubt === true && found.links !== undefined;
    const ok = isItself || (found.holder === 'instance' && (await driver.probe(instanceId)).ok);
    const instance = find(instanceId);
    if (!instance) return;
    log.warn({ instanceId, reason, holder: found.holder, ok }, 'the gateway could not reach an instance');
    if (ok) {
      instance.links = found.holder === 'instance' ? found.links : [];
      publish(instance.runtimeId);
    } else {
      instances.drain(instanceId, { deadlineMs: stopGraceMs, reason: `unreachable: ${reason}` });
    }
  };
}
