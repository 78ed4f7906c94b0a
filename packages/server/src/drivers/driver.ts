import type { InstanceSpec } from './instance-spec.ts';

/**
 * A way of running instances: processes, containers, pods. Every driver passes the one suite in
 * `test/driver-cases.ts`.
 *
 * An instance is identified by its id alone. `start` with an id that exists and `stop` of one that does not are safe.
 * No instance outlives its record: what a driver has started, its `list` finds again after the server was killed.
 */
export interface Driver {
  readonly name: string;
  /** Of several drivers in one, that of an instance. Absent: there is only this one. */
  nameOf?(instanceId: string): string;
  /** Variables for programs that work for instances, such as installers: what bears them, `adopt` ends. */
  readonly marks: Readonly<Record<string, string>>;

  /** Whether agents are kept to themselves; absent where they always are, or run nowhere. */
  readonly sandboxState?: SandboxState;
  /** By what their limits are held. */
  readonly limits?: LimitsState;

  /**
   * Starts an instance and resolves when it is ready to take calls.
   * @throws StartFailure when it is not going to be: it exited, never opened its port, never answered its probe. The
   *   instance is gone then. An abort stops it and rejects with the signal's reason.
   */
  start(spec: InstanceSpec, options: StartOptions): Promise<RunningInstance>;

  /** Ends the instance and everything it started: first politely, after `graceMs` by force. Resolves when all is gone. */
  stop(instanceId: string, options: { graceMs: number }): Promise<void>;

  /**
   * What an earlier server left behind, settled: instances that still run and can be taken over, after clearing away
   * everything else that bears this data folder's mark. Called once, before anything is started.
   */
  adopt(): Promise<RunningInstance[]>;

  /** The instances that run now. */
  list(): RunningInstance[];

  /**
   * Looks again at who listens on a running instance's port; `links` of the running instance are as found from then
   * on. Never throws.
   */
  identify(instanceId: string): Promise<PortHolder>;

  /** Asks a running instance whether it is well, by its health check. Never throws: a failure is `ok: false`. */
  probe(instanceId: string): Promise<ProbeResult>;

  /** The newest lines an instance has written, stdout and stderr in order, secrets masked; also after its end. */
  logTail(instanceId: string, options: { maxLines: number }): Promise<string[]>;

  /**
   * The logs kept of a runtime's instances, of those that have ended, too, in no order; as they are now. Absent: what
   * instances wrote cannot be read again, but for its end.
   */
  logsOf?(runtimeId: string): KeptLog[];

  /** What running instances use now, or did a second ago. Absent, or without an entry: that is not known. */
  usageOf?(instanceIds: readonly string[]): Promise<ReadonlyMap<string, ResourceUse>>;

  /** Forgets what is kept of a runtime's ended instances (logs, folders). */
  forgetRuntime(runtimeId: string): Promise<void>;

  /** Detaches from all instances without stopping them, and releases timers and handles. */
  close(): Promise<void>;
}

export type SandboxState = { kind: 'bubblewrap' } | { kind: 'off' /** For a person. */; reason: string };

/** For each resource, what holds agents to their share of it, for a person. */
export interface LimitsState {
  memory: string;
  cpu: string;
  processes: string;
}

export interface StartOptions {
  signal: AbortSignal;
  /** Called once when it accepts connections and only its health is still awaited. */
  onProbe?: () => void;
  /** Called once if the instance ends after it became ready, unless `stop` ended it. */
  onExit: (exit: InstanceExit) => void;
}

export interface RunningInstance {
  instanceId: string;
  runtimeId: string;
  revision: number;
  host: string;
  port: number;
  /** ISO 8601. */
  startedAt: string;
  /** The agent's process id, where there is one. */
  pid?: number;
  /** Spawn → first healthy answer; absent for adopted instances. */
  startMs?: number;
  /**
   * By these it can be told at any moment whether the instance itself listens on its port. Empty: it certainly does
   * not. Absent: the system does not say.
   */
  links?: readonly SocketLink[];
  /** Hears of the end of an instance taken over by `adopt`; set by its new owner. */
  onExit?: (exit: InstanceExit) => void;
}

/**
 * A symbolic link of the kernel that reads like this for exactly as long as a process keeps a socket open. The number
 * in `target` names one socket of the machine and is not given to another while that one is open.
 */
export interface SocketLink {
  /** `/proc/4711/fd/20` */
  path: string;
  /** `socket:[81543]` */
  target: string;
}

/** Who listens on an instance's port. */
export type PortHolder =
  /** What is not known counts as the instance, without `links`. */
  { holder: 'instance'; links?: readonly SocketLink[] } | { holder: 'stranger' | 'nobody' };

/** Of all processes of an instance together. */
export interface ResourceUse {
  memoryBytes?: number;
  /** `pss`: what is shared counts in parts; `rss`: what is shared counts for each that shares it. */
  memoryMeasure?: 'pss' | 'rss';
  /** Processor time since the start. */
  cpuMs?: number;
  /** Of one processor, between this measurement and the one before. */
  cpuShare?: number;
}

/**
 * What one instance has written, as bytes. A position counts all bytes ever written, freed ones included: it means the
 * same for ever.
 */
export interface KeptLog {
  readonly instanceId: string;
  /** Of the runtime; undefined: of a release that did not write it down. */
  readonly revision: number | undefined;
  /** When it was begun, ms since 1970: of all logs that this runtime ever had, later ones have more. */
  readonly openedAt: number;
  /** The first byte that is still there, and behind the last one that can be read. */
  readonly start: number;
  readonly end: number;
  /** Of the last write, ms since 1970. */
  readonly writtenMs: number;
  /** Its instance is gone: nothing is added any more. */
  readonly isOver: boolean;
  /** What must not be shown of it, longest first. */
  readonly secrets: readonly string[];
  /** At most `limit` bytes from a position on; fewer at an end. What was freed is passed over: `from` says. */
  read(position: number, limit: number): Promise<{ from: number; bytes: Buffer }>;
  /** When the byte before `position` had certainly been written, ms since 1970. Never falls as positions rise. */
  timeAt(position: number): number;
  /** Before this position nothing was written at `timeMs` or later. */
  positionAt(timeMs: number): number;
}

export interface InstanceExit {
  instanceId: string;
  /** Exit code, when it ended by itself. */
  code?: number;
  /** Name of the signal that ended it, such as `SIGKILL`. */
  signal?: string;
  /** Why it was ended, where that is known: `OOM: used 512 of 512 MiB`. */
  reason?: string;
  lastLines: string[];
}

export interface ProbeResult {
  ok: boolean;
  /** What was seen, for a person: `HTTP 503`, `connection refused`. */
  detail: string;
  /** It is well, and at work without a call: `{"status":"HealthyBusy"}`. */
  busy?: true;
}

export type StartPhase = 'start' | 'probe';

/** Why an instance did not become ready. `kind` tells the cases apart; `message` is what a person reads. */
export class StartFailure extends Error {
  override readonly name = 'StartFailure';
  readonly phase: StartPhase;
  readonly kind: /** The program could not be started at all: no interpreter, no such file. */
  'cannot-start' | 'exited' | 'killed-by-signal' | 'port-never-opened' | 'probe-failing';
  readonly lastLines: string[];

  constructor(phase: StartPhase, kind: StartFailure['kind'], message: string, lastLines: string[] = []) {
    super(message);
    this.phase = phase;
    this.kind = kind;
    this.lastLines = lastLines;
  }
}
