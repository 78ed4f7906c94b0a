import { claimOf } from '../domain/memory-budget.ts';
import type { Driver } from '../drivers/driver.ts';
import type { Instance, InstanceSet } from './instance-set.ts';

/** Measured in a round: looking at a process costs the kernel a walk through its memory. */
const AT_ONCE = 4;
/** What was measured is measured again after so long. */
const AGAIN_MS = 20_000;

export type MemoryRoom = ReturnType<typeof createMemoryRoom>;

/** What instances take of the memory that there is for all of them, as it was last measured. */
export function createMemoryRoom(options: {
  driver: Pick<Driver, 'usageOf'>;
  instances: Pick<InstanceSet, 'all'>;
  /** Bytes for all instances together; undefined: as many as they like. */
  budget: number | undefined;
  /** Monotonic, in ms. */
  now: () => number;
}) {
  const { driver, instances, budget, now } = options;
  const measured = new Map<string, { bytes: number; at: number }>();
  /** What an instance of a version took last, by runtime and revision; only of those that have been measured. */
  const ofVersion = new Map<string, number>();
  let isMeasuring = false;

  const claim = ({ id, runtimeId, revision, memoryMiB }: Instance): number =>
    claimOf({
      measured: measured.get(id)?.bytes,
      ofVersion: ofVersion.get(`${runtimeId}/${revision}`),
      memoryMiB,
    });

  return {
    budget,

    /** What those take that are there, and those that are being started. */
    taken: (): number => instances.all().reduce((sum, instance) => sum + claim(instance), 0),

    takenBy: (runtimeId: string): number =>
      instances
        .all()
        .filter((instance) => instance.runtimeId === runtimeId)
        .reduce((sum, instance) => sum + claim(instance), 0),

    claim,

    /** What another instance of a version would take. */
    claimOfNext: (runtimeId: string, revision: number, memoryMiB: number): number =>
      claimOf({ ofVersion: ofVersion.get(`${runtimeId}/${revision}`), memoryMiB }),

    /** Measures some of those that are due, the new ones first. */
    async tick(): Promise<void> {
      if (budget === undefined || !driver.usageOf || isMeasuring) return;
      const all = instances.all();
      const there = new Set(all.map(({ id }) => id));
      for (const id of measured.keys()) if (!there.has(id)) measured.delete(id);
      const due = all
        .filter(({ id, state }) => {
          const at = measured.get(id)?.at;
          return state !== 'starting' && (at === undefined || now() - at >= AGAIN_MS);
        })
        .sort((a, b) => (measured.get(a.id)?.at ?? 0) - (measured.get(b.id)?.at ?? 0))
        .slice(0, AT_ONCE);
      if (due.length === 0) return;
      isMeasuring = true;
      try {
        const found = await driver.usageOf(due.map(({ id }) => id));
        for (const { id, runtimeId, revision } of due) {
          const bytes = found.get(id)?.memoryBytes;
          if (bytes === undefined || bytes === 0) continue;
          measured.set(id, { bytes, at: now() });
          ofVersion.set(`${runtimeId}/${revision}`, bytes);
        }
      } finally {
        isMeasuring = false;
      }
    },

    forgetRuntime(runtimeId: string): void {
      for (const id of ofVersion.keys()) if (id.startsWith(`${runtimeId}/`)) ofVersion.delete(id);
    },
  };
}
