import { createHash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import type { LimitsState } from '../../driver.ts';
import type { InstanceSpec } from '../../instance-spec.ts';
import { findPlaces, ownGroup, type Place, type Resource, type Share } from './control-groups.ts';

/** What holds an instance to what it was given, as far as this machine can. */
export interface Limits {
  places: Partial<Record<Resource, Place>>;
  /** See `easeJoining`. */
  ownGroup: string | undefined;
  /** Of one instance; also without a control group. */
  processes: number;
  /** Of its home and temporary files. */
  diskBytes: number;
  /** Between two looks at what no control group holds. */
  watchMs: number;
  state: LimitsState;
}

/** What is watched rather than held may go beyond its limit for so long. */
const WATCH_MS = 500;
/** Where no group shares out the processors, the server and the gateway come first. */
export const NICENESS = 5;

/**
 * @param dataMark names the data folder; its groups lie in a folder called after it
 * @param useGroups default: true. Tests are to see what is done without.
 */
export function openLimits(
  options: { dataMark: string; processes: number; diskBytes: number },
  useGroups = true,
  watchMs = WATCH_MS,
): Limits {
  const isLinux = process.platform === 'linux';
  const places = useGroups && isLinux ? findPlaces(`runstead-${options.dataMark}`) : {};
  const { processes, diskBytes } = options;
  const by = (resource: Resource, otherwise: string) => {
    const place = places[resource];
    if (place) return `control group (v${place.version})`;
    return isLinux ? otherwise : `not limited on ${process.platform}`;
  };
  const state = {
    memory: by('memory', `looked at every ${watchMs} ms, ended when over`),
    cpu: by('cpu', `niceness ${NICENESS} and processor affinity`),
    processes: by('processes', `counted every ${watchMs} ms, ended when over`),
  };
  return { places, ownGroup: ownGroup(places), processes, diskBytes, watchMs, state };
}

export function shareOf({ processes }: Limits, spec: Pick<InstanceSpec, 'cpu' | 'memoryMiB'>): Share {
  return { memoryBytes: spec.memoryMiB * 1024 * 1024, cpu: spec.cpu, processes };
}

/**
 * As `shareOf`, until it is ready: interpreters use several processors to load a program, and somebody waits for it.
 */
export function shareAtStart(limits: Limits, spec: Pick<InstanceSpec, 'cpu' | 'memoryMiB'>): Share {
  return { ...shareOf(limits, spec), cpu: Math.max(2, 2 * spec.cpu) };
}

/**
 * Of a process that waits for a start and is nobody's yet.
 * @param memoryMiB of the instances that it is for; undefined: of any, and an interpreter that has booted takes a tenth
 *   of what it is given then
 */
export function waitingShare({ processes }: Limits, memoryMiB = 512): Share {
  return { memoryBytes: memoryMiB * 1024 * 1024, cpu: 2, processes };
}

/**
 * The processors an instance is put on where no group limits its time: as many as it was given, another part of them
 * for each instance. Undefined: all.
 */
export function processorsFor(
  instanceId: string,
  cpu: number,
  all = availableParallelism(),
): number[] | undefined {
  const count = Math.max(1, Math.ceil(cpu));
  if (count >= all) return undefined;
  const first = createHash('sha256').update(instanceId).digest().readUInt32BE(0) % all;
  return Array.from({ length: count }, (_, i) => (first + i) % all).sort((a, b) => a - b);
}
