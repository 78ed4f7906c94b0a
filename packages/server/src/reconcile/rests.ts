import { type Crashes, crashesAfter, isForgotten, restAfterMs } from '../domain/crash-loop.ts';
import { startBackoffMs } from '../domain/scaling.ts';

interface Rest {
  reason: string;
  /** Starts that failed, one after the other. */
  count: number;
  /** Until then it is not started again. */
  isResting: boolean;
  timer: NodeJS.Timeout | undefined;
}

export interface RestsOptions {
  /** Monotonic, in ms. */
  now: () => number;
  /** Why a version is not started, or that it may be, is different now. */
  changed: (runtimeId: string) => void;
}

export type Rests = ReturnType<typeof createRests>;

/**
 * Versions that rest before they are started again: starts failed, or what was started ended again and again. Callers are
 * refused with the reason meanwhile; the first one afterwards makes the next try.
 */
export function createRests({ now, changed }: RestsOptions) {
  /** By runtime and version; also those that have rested, until a start succeeds. */
  const rests = new Map<string, Rest>();
  const crashes = new Map<string, Crashes>();

  const key = (runtimeId: string, version: number) => `${runtimeId}/${version}`;

  const rest = (runtimeId: string, id: string, reason: string, count: number, forMs: number) => {
    clearTimeout(rests.get(id)?.timer);
    const entry: Rest = { reason, count, isResting: true, timer: undefined };
    entry.timer = setTimeout(() => {
      entry.isResting = false;
      changed(runtimeId);
    }, forMs);
    rests.set(id, entry);
    changed(runtimeId);
  };

  const clear = (id: string) => {
    clearTimeout(rests.get(id)?.timer);
    rests.delete(id);
  };

  return {
    /** Why it is not started now. */
    reasonOf(runtimeId: string, version: number): string | undefined {
      const entry = rests.get(key(runtimeId, version));
      return entry?.isResting ? entry.reason : undefined;
    },

    /** Why it could not be started last, or did not stay; also while it is tried again. */
    lastFaultOf: (runtimeId: string, version: number): string | undefined =>
      rests.get(key(runtimeId, version))?.reason,

    startFailed(runtimeId: string, version: number, reason: string): void {
      const id = key(runtimeId, version);
      const count = (rests.get(id)?.count ?? 0) + 1;
      rest(runtimeId, id, reason, count, startBackoffMs(count));
    },

    /** What crashed before is not forgotten by that: it has to stay up. */
    started(runtimeId: string, version: number): void {
      const id = key(runtimeId, version);
      if (!crashes.has(id)) clear(id);
    },

    /**
     * An instance that was ready ended, and nobody had stopped it.
     * @param ranMs since it was ready
     * @param how it ended, in words
     * @returns that it has to rest, and why, in words; undefined: it may be started again at once
     */
    ended(runtimeId: string, version: number, ranMs: number, how: string): string | undefined {
      const id = key(runtimeId, version);
      const after = crashesAfter(crashes.get(id), { atMs: now(), ranMs });
      if (after === undefined) {
        crashes.delete(id);
        return undefined;
      }
      crashes.set(id, after);
      const forMs = restAfterMs(after);
      if (forMs === 0) return undefined;
      const ran = ranMs < 10_000 ? `${(ranMs / 1000).toFixed(1)} s` : `${Math.round(ranMs / 1000)} s`;
      const reason = `it ended ${after.count} times in a row soon after it was ready, the last time after ${ran}, and is started again after a rest of ${forMs / 1000} s: ${how}`;
      rest(runtimeId, id, reason, rests.get(id)?.count ?? 0, forMs);
      return reason;
    },

    /** It has been up for long enough: what was before says nothing any more. */
    stayed(runtimeId: string, version: number): void {
      const id = key(runtimeId, version);
      crashes.delete(id);
      clear(id);
    },

    /** Runtimes of which a version has crashed lately. */
    crashing(): string[] {
      for (const [id, crash] of crashes) if (isForgotten(crash, now())) crashes.delete(id);
      return [...crashes.keys()].map((id) => id.slice(0, id.lastIndexOf('/')));
    },

    /** A new version serves, or the runtime is gone: what was before says nothing any more. */
    forget(runtimeId: string): void {
      for (const id of rests.keys()) if (id.startsWith(`${runtimeId}/`)) clear(id);
      for (const id of crashes.keys()) if (id.startsWith(`${runtimeId}/`)) crashes.delete(id);
    },

    close(): void {
      for (const { timer } of rests.values()) clearTimeout(timer);
    },
  };
}
