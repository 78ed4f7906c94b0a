import { grantByMemory, memoryReached } from '../domain/memory-budget.ts';
import { grantStarts, limitReached, pickToMakeRoom } from '../domain/scaling.ts';
import type { Idleness } from './idleness.ts';
import type { Instance, InstanceSet } from './instance-set.ts';
import type { MemoryRoom } from './memory-room.ts';

export interface RoomOptions {
  instances: InstanceSet;
  memory: MemoryRoom;
  idleness: Idleness;
  maxInstancesPerRuntime: number;
  maxInstances: number;
  drainTimeoutMs: number;
  /** Monotonic, in ms. */
  now: () => number;
}

/** An instance idle for so long may be let go early, when another version has none and there is no room for one. */
const SPARE_AFTER_MS = 1000;

/** What one version may have now. */
export interface RoomFor {
  /** Instances of its runtime that are or will be ready. */
  ofRuntime: number;
  /** Memory that its next instance takes, in bytes. */
  claim: number;
  /** How many more the runtime's own limit allows. */
  left: number;
  isMachineFull: boolean;
  isFull: boolean;
}

export type Room = ReturnType<typeof createRoom>;

/** The room that there is for instances, by number and by memory, and how it is shared out between runtimes. */
export function createRoom(options: RoomOptions) {
  const { instances, memory, idleness, now } = options;
  /** Runtimes that only the machine has no room for, with what they have and want. */
  const short = new Map<string, { has: number; holds: number; claim: number }>();
  /** Instances asked of each version whatever its calls, by runtime and revision. */
  const asked = new Map<string, number>();

  const key = (runtimeId: string, revision: number) => `${runtimeId}/${revision}`;

  const freeOfMemory = (): number =>
    memory.budget === undefined ? Number.POSITIVE_INFINITY : memory.budget - memory.taken();

  /** Ready instances beyond those that were asked for whatever the calls. */
  const spareOf = (all: readonly Instance[]): Instance[] => {
    const group = ({ runtimeId, revision }: Instance) => key(runtimeId, revision);
    const ready = all.filter(({ state }) => state === 'ready');
    const counts = new Map<string, number>();
    for (const instance of ready) counts.set(group(instance), (counts.get(group(instance)) ?? 0) + 1);
    // What has not been looked at yet may be asked for.
    return ready.filter(
      (instance) => counts.get(group(instance))! > (asked.get(group(instance)) ?? Number.POSITIVE_INFINITY),
    );
  };

  return {
    /** A version's instances are asked for whatever its calls; undefined: it has none. */
    ask(runtimeId: string, revision: number, count: number | undefined): void {
      if (count === undefined) asked.delete(key(runtimeId, revision));
      else asked.set(key(runtimeId, revision), count);
    },

    /** Runtimes that the machine has no room for. */
    short: (): string[] => [...short.keys()],

    /** It is looked at again. */
    settle: (runtimeId: string): void => void short.delete(runtimeId),

    forget(runtimeId: string): void {
      short.delete(runtimeId);
      for (const id of asked.keys()) if (id.startsWith(`${runtimeId}/`)) asked.delete(id);
    },

    for(runtimeId: string, revision: number, memoryMiB: number): RoomFor {
      const ofRuntime = instances
        .of(runtimeId)
        .filter(({ state }) => state === 'starting' || state === 'ready').length;
      const claim = memory.claimOfNext(runtimeId, revision, memoryMiB);
      const inAll = instances.all().length;
      const isMachineFull = inAll >= options.maxInstances || (freeOfMemory() < claim && inAll > 0);
      const left = Math.max(0, options.maxInstancesPerRuntime - ofRuntime);
      return { ofRuntime, claim, left, isMachineFull, isFull: isMachineFull || left === 0 };
    },

    /** How many of so many that are wanted may be started now. Who gets fewer is remembered as short of room. */
    grant(runtimeId: string, wanted: number, { ofRuntime, claim }: RoomFor): number {
      const inAll = instances.all().length;
      const holds = memory.takenBy(runtimeId);
      const others = [...short.values()];
      const byCount = grantStarts(
        wanted,
        ofRuntime,
        options.maxInstances - inAll,
        others.map(({ has }) => has),
      );
      const granted = grantByMemory(byCount, { holds, claim }, freeOfMemory(), others, inAll === 0);
      if (granted < wanted)
        short.set(runtimeId, { has: ofRuntime + granted, holds: holds + granted * claim, claim });
      return granted;
    },

    /** What keeps a runtime from having one more instance, in words; undefined when nothing does. */
    limitOf({ ofRuntime, claim }: RoomFor): string | undefined {
      const inAll = instances.all().length;
      const byCount = limitReached({ ...options, ofRuntime, inAll });
      if (byCount !== undefined || memory.budget === undefined || inAll === 0) return byCount;
      return freeOfMemory() < claim ? memoryReached(memory.taken(), memory.budget, claim) : undefined;
    },

    /**
     * For a version's first instance, where a limit is reached: one that has nothing to do is let go.
     * @returns false when there is none, and none on its way out: all have calls, and have had them for a while
     */
    make(runtimeId: string, { ofRuntime, claim }: RoomFor): boolean {
      const isOwnLimit = ofRuntime >= options.maxInstancesPerRuntime;
      const all = isOwnLimit ? instances.of(runtimeId) : instances.all();
      const going = all.filter(({ state }) => state === 'stopping' || state === 'draining');
      const soonGone = going.filter(({ state, inFlight }) => state === 'stopping' || inFlight === 0);
      const first = [...short.values()].filter(({ has }) => has === 0);
      const wanted = isOwnLimit ? 1 : Math.max(1, first.length);
      const missing = isOwnLimit
        ? 0
        : Math.max(
            claim,
            first.reduce((sum, other) => sum + other.claim, 0),
          ) - freeOfMemory();
      const isCountFull = isOwnLimit || instances.all().length >= options.maxInstances;
      const memoryComing = soonGone.reduce((sum, instance) => sum + memory.claim(instance), 0);
      if ((!isCountFull || soonGone.length >= wanted) && memoryComing >= missing) return true;
      const spare = spareOf(all);
      const idle = spare
        .filter((instance) => instance.inFlight === 0 && instance.sessions === 0)
        .filter((instance) => (idleness.idleMs(instance) ?? 0) >= SPARE_AFTER_MS);
      const known = new Map(idle.map((instance) => [instance.id, idleness.busyOf(instance)]));
      const id = pickToMakeRoom(
        idle
          .filter((instance) => known.get(instance.id) === 'free' || known.get(instance.id) === 'over')
          .map((instance) => ({ id: instance.id, idleMs: idleness.idleMs(instance) })),
        SPARE_AFTER_MS,
      );
      if (id !== undefined) {
        const reason = 'it had no call, and there was no room for what others call';
        instances.drain(id, { deadlineMs: options.drainTimeoutMs, reason });
        return true;
      }
      // It is being asked.
      if ([...known.values()].includes('unknown')) return true;
      const isLastinglyBusy = (instance: Instance) =>
        (instance.busySince !== undefined && now() - instance.busySince >= SPARE_AFTER_MS) ||
        known.get(instance.id) === 'busy';
      return (!isOwnLimit && going.length > 0) || !spare.every(isLastinglyBusy);
    },
  };
}
