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
  /** Variables for programs that work for instances, such as installers: what bears them, `adopt` ends. */
  readonly marks: Readonly<Record<string, string>>;

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

  /** Forgets what is kept of a runtime's ended instances (logs, folders). */
  forgetRuntime(runtimeId: string): Promise<void>;

  /** Detaches from all instances without stopping them, and releases timers and handles. */
  close(): Promise<void>;
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

export interface InstanceExit {
  instanceId: string;
  /** Exit code, when it ended by itself. */
  code?: number;
  /** Name of the signal that ended it, such as `SIGKILL`. */
  signal?: string;
  /** Why, where more is known than that: `OOM: used 64 of 64 MiB`. */
  reason?: string;
  lastLines: string[];
}

export interface ProbeResult {
  ok: boolean;
  /** What was seen, for a person: `HTTP 503`, `connection refused`. */
  detail: string;
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
