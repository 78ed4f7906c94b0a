import { StartFailure } from '../driver.ts';
import type { InstanceSpec } from '../instance-spec.ts';
import { readTail } from '../process/instance-log.ts';
import { type Seen, waitUntilHealthy } from '../process/readiness.ts';
import { endedEarly, notReadyInTime } from './container-failure.ts';
import type { ContainerInstance } from './container-instance.ts';
import { EngineAbsent } from './engine.ts';
import type { EngineContainers } from './engine-containers.ts';

/** Of a log, with the end of an instance. */
export const LAST_LINES = 20;

/**
 * Waits until a container that was started is ready.
 * @param startedAt ms of the monotonic clock
 * @param onProbe called once when its port accepts connections
 * @throws StartFailure the moment it is certain that it will not be ready; the halt's reason.
 */
export async function untilReady(
  containers: EngineContainers,
  instance: ContainerInstance,
  spec: InstanceSpec,
  startedAt: number,
  onProbe: () => void = () => {},
): Promise<void> {
  const { halt, health, port, agentPort } = instance;
  const over = new AbortController();
  const seen: Seen = { attempts: 0, lastOpen: undefined };
  void instance.ended.then(() => over.abort());
  const timeoutMs = spec.startTimeoutMs;
  let isProbed = false;
  try {
    const attempt = await waitUntilHealthy({
      port,
      health,
      timeoutMs,
      signal: AbortSignal.any([over.signal, halt.signal]),
      seen,
      onOpen() {
        if (!isProbed) onProbe();
        isProbed = true;
      },
      confirm: async () => (await containers.inspect(instance.container))?.State.Running === true,
    });
    if (attempt) return;
  } catch (error) {
    halt.signal.throwIfAborted();
    if (error instanceof EngineAbsent) throw new StartFailure('probe', 'cannot-start', error.message);
    if (!instance.ending) throw error;
    const afterMs = performance.now() - startedAt;
    await instance.writing?.end();
    throw endedEarly(instance.ending, spec.command[0], afterMs, seen, readTail(instance.log, LAST_LINES));
  }
  const opened = instance.onMachine?.listeners();
  throw notReadyInTime({ agentPort, health, timeoutMs }, seen, opened, readTail(instance.log, LAST_LINES));
}
