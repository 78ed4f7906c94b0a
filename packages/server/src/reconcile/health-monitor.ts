import { HEALTH_CHECK, type HealthCheckConfiguration } from '@runstead/contract';
import { isClockGap } from '../domain/clock-gap.ts';
import type { Driver } from '../drivers/driver.ts';
import type { InstanceSet } from './instance-set.ts';

/** A sick instance may finish what it can, but not for long. */
const SICK_DRAIN_MS = 10_000;

interface Watch {
  check: HealthCheckConfiguration;
  nextAt: number;
  failures: number;
  asking: boolean;
}

/**
 * Asks ready instances, after their first readiness, whether they are still well: those whose runtime configured a
 * health check, at its period. One that fails as often in a row as its threshold allows is replaced. Without a
 * configuration nobody is asked: an agent that is busy thinking must not be taken for a sick one.
 */
export class HealthMonitor {
  readonly #driver: Driver;
  readonly #instances: InstanceSet;
  readonly #watches = new Map<string, Watch>();

  readonly #now: () => number;

  /** @param now monotonic, in ms */
  constructor(driver: Driver, instances: InstanceSet, now: () => number) {
    this.#driver = driver;
    this.#instances = instances;
    this.#now = now;
  }

  /** Watches an instance from now on; one that is watched already stays as it is. */
  watch(instanceId: string, check: HealthCheckConfiguration | undefined, at: number): void {
    if (check?.httpGetUrl === undefined || this.#watches.has(instanceId)) return;
    this.#watches.set(instanceId, { check, nextAt: at + periodMs(check), failures: 0, asking: false });
  }

  /** @param floor verdicts count only from here: earlier silence may have been the machine's sleep */
  tick(at: number, floor: number): void {
    const ready = new Set(this.#instances.all().flatMap(({ id, state }) => (state === 'ready' ? id : [])));
    for (const [id, watch] of this.#watches) {
      if (!ready.has(id)) this.#watches.delete(id);
      else if (at - floor < periodMs(watch.check)) watch.failures = 0;
      else if (at >= watch.nextAt && !watch.asking) void this.#ask(id, watch, at);
    }
  }

  async #ask(id: string, watch: Watch, at: number): Promise<void> {
    watch.asking = true;
    watch.nextAt = at + periodMs(watch.check);
    const { ok, detail } = await this.#driver.probe(id);
    watch.asking = false;
    // An answer that took longer than asking may take: the machine slept in between, and says nothing of the instance.
    const longestMs = (watch.check.timeoutSeconds ?? HEALTH_CHECK.timeoutSeconds.default) * 1000;
    if (isClockGap(at + longestMs, this.#now())) return;
    watch.failures = ok ? 0 : watch.failures + 1;
    const threshold = watch.check.failureThreshold ?? HEALTH_CHECK.failureThreshold.default;
    if (watch.failures < threshold) return;
    this.#watches.delete(id);
    const reason = `health check ${watch.check.httpGetUrl} failed ${threshold} times: ${detail}`;
    this.#instances.drain(id, { deadlineMs: SICK_DRAIN_MS, reason });
  }
}

function periodMs(check: HealthCheckConfiguration): number {
  return (check.periodSeconds ?? HEALTH_CHECK.periodSeconds.default) * 1000;
}
