import type { HealthCheckConfiguration } from '@runstead/contract';
import type { InstanceExit, RunningInstance } from '../driver.ts';
import { type Ending, readAgentPid } from './identity.ts';
import type { InstanceLog } from './instance-log.ts';
import type { KeptSpec } from './launch.ts';
import { type Groups, memoryAtKill } from './limits/control-groups.ts';
import { outOfMemory } from './limits/usage.ts';
import type { LogTimes } from './log-times.ts';
import type { NodeStart } from './node-start/node-starts.ts';
import type { ProcessId } from './processes.ts';
import type { Host } from './readiness.ts';
import { agentInside } from './sandbox/agent-inside.ts';

/** An instance as processes of this machine, from the wish for it until nothing is left of it. */
export interface Instance {
  instanceId: string;
  runtimeId: string;
  revision: number;
  folder: string;
  log: InstanceLog;
  logTimes: LogTimes;
  health: HealthCheckConfiguration;
  agentPort: number;
  port: number | undefined;
  startedAt: string;
  isConfined: boolean;
  /** The most memory it may have; undefined: what there is. */
  memoryBytes: number | undefined;
  groups: Groups;
  /** Its share of the processors once it is ready. */
  cpu: number;
  /** The agent's number, once it was asked for; see `agentPidOf`. */
  agentPid: number | undefined;
  /** Why it is being ended, when it broke a limit. */
  verdict: string | undefined;
  /** The wrapper, once there is one. */
  leader: ProcessId | undefined;
  /** See `InstanceRecord`. */
  bornAs: string | undefined;
  ended: Promise<Ending>;
  /** Set when `ended` is. */
  ending: Ending | undefined;
  starting: Promise<RunningInstance>;
  running: RunningInstance | undefined;
  /** Of the last look at who holds its port. */
  links: RunningInstance['links'];
  /** What becomes of the record of its start; undefined: it starts plainly. */
  nodeStart: NodeStart | undefined;
  /** Gives up a start under way. */
  halt: AbortController;
  /** What a start that is given up has to end in. */
  haltGraceMs: number;
  /** Set from the moment it is being ended; resolves when nothing of it is left. */
  clearing: Promise<void> | undefined;
  onExit: ((exit: InstanceExit) => void) | undefined;
  /** Lets go of it without ending it. */
  detach: () => void;
}

/** The instances of one driver, by id. */
export type Instances = Map<string, Instance>;

/** One of which nothing runs yet, but for what is said of it. */
export function newInstance(
  facts: Pick<
    Instance,
    | 'instanceId'
    | 'runtimeId'
    | 'revision'
    | 'folder'
    | 'log'
    | 'logTimes'
    | 'health'
    | 'agentPort'
    | 'startedAt'
    | 'isConfined'
    | 'memoryBytes'
    | 'cpu'
    | 'haltGraceMs'
  > &
    Partial<Instance>,
): Instance {
  return {
    port: undefined,
    groups: {},
    agentPid: undefined,
    verdict: undefined,
    leader: undefined,
    bornAs: undefined,
    ended: new Promise(() => {}),
    ending: undefined,
    starting: new Promise(() => {}),
    running: undefined,
    links: undefined,
    nodeStart: undefined,
    halt: new AbortController(),
    clearing: undefined,
    onExit: undefined,
    detach: () => {},
    ...facts,
  };
}

/** What a later server is to know of it. */
export function keptOf({ health, agentPort, isConfined, memoryBytes, groups, cpu }: Instance): KeptSpec {
  return { health, agentPort, isConfined, groups, cpu, ...(memoryBytes !== undefined && { memoryBytes }) };
}

/** The agent's number as this machine counts; undefined while there is none. */
export async function agentPidOf(instance: Instance): Promise<number | undefined> {
  if (instance.agentPid === undefined) {
    const launched = readAgentPid(instance.folder);
    instance.agentPid =
      launched !== undefined && instance.isConfined ? await agentInside(launched) : launched;
  }
  return instance.agentPid;
}

/** An ending with its reason, where there is one besides the agent's own doing. */
export function explained({ verdict, groups, memoryBytes }: Instance, ending: Ending): Ending {
  if (verdict !== undefined) return { ...ending, reason: verdict };
  const used = ending.signal === 'SIGKILL' ? memoryAtKill(groups) : undefined;
  if (used === undefined || memoryBytes === undefined) return ending;
  return { ...ending, reason: outOfMemory(used, memoryBytes) };
}

export function isUp(instance: Instance): boolean {
  return instance.running !== undefined && instance.clearing === undefined;
}

export function hostIn(text: string): Host {
  return text === '::1' ? '::1' : '127.0.0.1';
}
