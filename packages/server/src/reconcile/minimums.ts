import { type Minimum, minimumAt } from '../domain/schedule.ts';
import type { EndpointRecord } from '../store/store.ts';

export type Minimums = ReturnType<typeof createMinimums>;

/**
 * How many instances endpoints ask for now. What the clock changes is worked out again when it does, and not at every look.
 * @param wallNow ms since 1970
 */
export function createMinimums(wallNow: () => number) {
  /** Of endpoints with a schedule, by id. */
  const known = new Map<string, { revision: number; runtimeId: string; madeAt: number; minimum: Minimum }>();

  return {
    of({ id, runtimeId, revision, spec: { scalingConfig } }: EndpointRecord): Minimum {
      const nowMs = wallNow();
      if (!scalingConfig?.scheduledPolicies?.length) {
        known.delete(id);
        return minimumAt(scalingConfig, nowMs);
      }
      const before = known.get(id);
      // A clock that was put back makes what was found for later wrong.
      const isCurrent =
        before?.revision === revision &&
        nowMs >= before.madeAt &&
        nowMs < (before.minimum.until ?? Number.POSITIVE_INFINITY);
      if (isCurrent) return before.minimum;
      const minimum = minimumAt(scalingConfig, nowMs);
      known.set(id, { revision, runtimeId, madeAt: nowMs, minimum });
      return minimum;
    },

    /** Runtimes of which an endpoint asks for something else since it was asked last. */
    changed(): string[] {
      const nowMs = wallNow();
      return [...known.values()]
        .filter(({ madeAt, minimum: { until } }) => nowMs < madeAt || (until !== undefined && nowMs >= until))
        .map(({ runtimeId }) => runtimeId);
    },

    /** Endpoints of a runtime that are no longer there, or all of them. */
    forget(runtimeId: string, except: readonly EndpointRecord[] = []): void {
      for (const [id, entry] of known) {
        if (entry.runtimeId === runtimeId && !except.some((endpoint) => endpoint.id === id)) known.delete(id);
      }
    },
  };
}
