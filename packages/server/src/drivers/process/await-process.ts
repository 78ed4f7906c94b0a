import type { InstanceSpec } from '../instance-spec.ts';
import { readTail } from './instance-log.ts';
import { listenersOf } from './port-owner.ts';
import type { Instance } from './process-instance.ts';
import type { ProcessInfo } from './processes.ts';
import { type Attempt, type Host, type Seen, waitUntilHealthy } from './readiness.ts';
import { endedEarly, notReadyInTime } from './start-failure.ts';

/** Of a log, with the end of an instance. */
export const LAST_LINES = 20;

/**
 * Waits until an instance whose processes were started is ready.
 * @param spawnedAt ms of the monotonic clock
 * @param onProbe called once when its port accepts connections
 * @returns the address that it answers on
 * @throws StartFailure the moment it is certain that it will not be ready; the halt's reason.
 */
export async function untilReady(
  {
    members,
    confirmOwner,
  }: {
    members: (instance: Instance) => Promise<ProcessInfo[]>;
    confirmOwner: (instance: Instance, host: Host) => Promise<boolean>;
  },
  instance: Instance,
  spec: InstanceSpec,
  spawnedAt: number,
  onProbe: () => void = () => {},
): Promise<Host> {
  const { halt, health } = instance;
  const port = instance.port!;
  const looking = new AbortController();
  const seen: Seen = { attempts: 0, lastOpen: undefined };
  void instance.ended.then(() => looking.abort());
  halt.signal.addEventListener('abort', () => looking.abort(), { once: true });
  if (halt.signal.aborted) looking.abort();
  const timeoutMs = spec.startTimeoutMs;
  try {
    const confirm = (attempt: Attempt) => confirmOwner(instance, attempt.host);
    const attempt = await waitUntilHealthy({
      port,
      health,
      timeoutMs,
      signal: looking.signal,
      seen,
      onOpen: once(onProbe),
      confirm,
    });
    if (attempt) return attempt.host;
  } catch (error) {
    halt.signal.throwIfAborted();
    if (!instance.ending) throw error;
    const lines = readTail(instance.log, LAST_LINES);
    throw endedEarly(instance.ending, performance.now() - spawnedAt, seen, lines);
  }
  const opened = listenersOf(await members(instance));
  throw notReadyInTime({ ...instance, port, timeoutMs }, seen, opened, readTail(instance.log, LAST_LINES));
}

function once(call: () => void): () => void {
  let called = false;
  return () => {
    if (!called) call();
    called = true;
  };
}
