import { HEALTH_CHECK, type HealthCheckConfiguration } from '@runstead/contract';
import { isClockGap } from '../domain/clock-gap.ts';
import type { Driver } from '../drivers/driver.ts';
import type { InstanceSet } from './instance-set.ts';

interface Watch {
  check: HealthCheckConfiguration;
  nextAt: number;
  /** In a row. */
  failures: number;
  successes: number;
  asking: boolean;
}

export interface HealthMonitorOptions {
  driver: Driver;
  instances: InstanceSet;
  /** Monotonic, in ms. */
  now: () => number;
  /** It failed as often in a row as its threshold allows. @param reason in words */
  onSick: (instanceId: string, reason: string) => void;
  /** One that was sick has answered as often in a row as its threshold asks. */
  onWell: (instanceId: string) => void;
}

/**
 * Asks ready instances, after their first readiness, whether they are still well: those whose runtime configured a
 * health check, at its period. Without a configuration nobody is asked: an agent that is busy thinking must not be taken
 * for a sick one.
 */
export class HealthMonitor {
  readonly #options: HealthMonitorOptions;
  readonly #watches = new Map<string, Watch>();

  constructor(options: HealthMonitorOptions) {
    this.#options = options;
  }

  /** Watches an instance from now on; one that is watched already stays as it is. */
  watch(instanceId: string, check: HealthCheckConfiguration | undefined, at: number): void {
    if (check?.httpGetUrl === undefined || this.#watches.has(instanceId)) return;
    this.#watches.set(instanceId, {
      check,
      nextAt: at + periodMs(check),
      failures: 0,
      successes: 0,
      asking: false,
    });
  }

  /** @param floor verdicts count only from here: earlier silence may have been the machine's sleep */
  tick(at: number, floor: number): void {
    const ready = new Set(
      this.#options.instances.all().flatMap(({ id, state }) => (state === 'ready' ? id : [])),
    );
    for (const [id, watch] of this.#watches) {
      if (!ready.has(id)) this.#watches.delete(id);
      else if (at - floor < periodMs(watch.check)) watch.failures = 0;
      else if (at >= watch.nextAt && !watch.asking) void this.#ask(id, watch, at);
    }
  }

  async #ask(id: string, watch: Watch, at: number): Promise<void> {
    watch.asking = true;
    watch.nextAt = at + periodMs(watch.check);
    const { ok, detail } = await this.#options.driver.probe(id);
    watch.asking = false;
    // An answer that took longer than asking may take: the machine slept in between, and says nothing of the instance.
    const longestMs = (watch.check.timeoutSeconds ?? HEALTH_CHECK.timeoutSeconds.default) * 1000;
    if (isClockGap(at + longestMs, this.#options.now())) return;
    watch.failures = ok ? 0 : watch.failures + 1;
    watch.successes = ok ? watch.successes + 1 : 0;
    const { failureThreshold, successThreshold } = HEALTH_CHECK;
    const mostFailures = watch.check.failureThreshold ?? failureThreshold.default;
    if (watch.failures === mostFailures) {
      const times = mostFailures === 1 ? '' : ` ${mostFailures} times`;
      this.#options.onSick(id, `health check ${watch.check.httpGetUrl} failed${times}: ${detail}`);
    } else if (watch.successes === (watch.check.successThreshold ?? successThreshold.default)) {
      this.#options.onWell(id);
    }
  }
}

function periodMs(check: HealthCheckConfiguration): number {
  return (check.periodSeconds ?? HEALTH_CHECK.periodSeconds.default) * 1000;
}
