import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { HealthCheckConfiguration } from '@runstead/contract';
import type { InstanceExit, RunningInstance } from '../driver.ts';
import type { InstanceLog } from '../process/instance-log.ts';
import { pathSegment } from '../process/log-shelf.ts';
import type { LogTimes } from '../process/log-times.ts';
import type { ContainerEnding } from './container-failure.ts';
import type { ContainerLog } from './container-log.ts';
import type { ContainerProcess } from './on-this-machine.ts';

/** What a later server must know of an instance besides its container's labels. */
export interface Kept {
  port: number;
  agentPort: number;
  memoryMiB: number;
  health: HealthCheckConfiguration;
  startedAt: string;
}

/** An instance in a container, from the wish for it until nothing is left of it. */
export interface ContainerInstance extends Kept {
  instanceId: string;
  runtimeId: string;
  revision: number;
  folder: string;
  /** The container's name; it has one from the moment that it may be there. */
  container: string;
  mayExist: boolean;
  log: InstanceLog;
  /** When its lines were written. */
  logTimes: LogTimes;
  writing: ContainerLog | undefined;
  onMachine: ContainerProcess | undefined;
  /** In bytes, by the newest looks: a container that is being killed gives back what it had. */
  memoryUsed: { at: number; bytes: number }[];
  /** When the kernel was last seen to have killed for want of memory, in ms of the monotonic clock. */
  killedForMemoryAt: number | undefined;
  hasNetwork: boolean;
  ended: Promise<ContainerEnding>;
  ending: ContainerEnding | undefined;
  starting: Promise<RunningInstance>;
  running: RunningInstance | undefined;
  halt: AbortController;
  haltGraceMs: number;
  clearing: Promise<void> | undefined;
  onExit: ((exit: InstanceExit) => void) | undefined;
  /** Ends what waits for the container's end. */
  letGo: AbortController;
}

/** The instances of one driver, by id: nobody else in the engine bears its data folder's mark. */
export type ContainerInstances = Map<string, ContainerInstance>;

/** One that has not even been asked for. */
export function newInstance(
  facts: Pick<
    ContainerInstance,
    | 'instanceId'
    | 'runtimeId'
    | 'revision'
    | 'folder'
    | 'container'
    | 'log'
    | 'logTimes'
    | 'haltGraceMs'
    | keyof Kept
  >,
): ContainerInstance {
  return {
    ...facts,
    mayExist: false,
    writing: undefined,
    onMachine: undefined,
    memoryUsed: [],
    killedForMemoryAt: undefined,
    hasNetwork: false,
    ended: new Promise(() => {}),
    ending: undefined,
    starting: new Promise(() => {}),
    running: undefined,
    halt: new AbortController(),
    clearing: undefined,
    onExit: undefined,
    letGo: new AbortController(),
  };
}

export function isUp(instance: ContainerInstance): boolean {
  return instance.running !== undefined && instance.clearing === undefined;
}

export function writeKept({
  folder,
  port,
  agentPort,
  memoryMiB,
  health,
  startedAt,
}: ContainerInstance): void {
  const kept: Kept = { port, agentPort, memoryMiB, health, startedAt };
  writeFileSync(join(folder, 'instance.json'), JSON.stringify(kept), { mode: 0o600 });
}

/** @param folder that of all instances */
export function readKept(folder: string, instanceId: string): Kept | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, pathSegment(instanceId), 'instance.json'), 'utf8')) as Kept;
  } catch {
    return undefined;
  }
}
