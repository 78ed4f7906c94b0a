import type { Key } from '../auth/keys.ts';
import type { Affinity } from '../domain/affinity.ts';
import type { GatewayCounts } from '../observe/call-counts.ts';

/**
 * What crosses between the control process and a gateway: small plain messages, nothing else.
 * Down go routes, keys and drains; up go demand, usage and what the gateway saw of instances.
 *
 * Routes are level-based: each message replaces all that was known of one runtime, `null` removes it. A gateway that
 * has just connected gets a `snapshot` and needs no history. Every message with a `sequence` is answered with
 * `installed`, so that the control process can tell "written" from "in force".
 */

/** A symbolic link of the kernel that reads like this for as long as an instance's listening socket is open. */
export interface SocketLink {
  /** `/proc/4711/fd/20` */
  path: string;
  /** `socket:[81543]` */
  target: string;
}

export interface InstanceRoute {
  id: string;
  /** Always a loopback address for process instances. */
  host: string;
  port: number;
  /** `ready` takes new calls; `draining` only finishes what it has. */
  state: 'ready' | 'draining';
  /** Which of its drains this is: one may be taken back, and begun again. `drained` repeats it. */
  drain?: number;
  /**
   * While one of them reads as given, the instance itself listens on its port, and nobody else can have taken
   * a connection. None does: it is not to be called. Absent: the system does not say.
   */
  links?: readonly SocketLink[];
}

export interface VersionRoute {
  version: number;
  /** Sessions, and calls without one, that an instance takes at the same time, 1–200. */
  slotsPerInstance: number;
  /** A session without a call for this long ends. Absent: an hour. */
  sessionIdleSeconds?: number;
  /** An instance serves one session, or one call without a session, and is then stopped. */
  isolated?: true;
  /** There will be no further instance for now: sessions make room for others. */
  atCap?: true;
  instances: InstanceRoute[];
  /** Why the version cannot be started at present; waiting calls are answered 503 with it. */
  failure?: string;
  /** Why no instance of it may be started at present, though it could be; the same becomes of waiting calls. */
  noRoom?: string;
}

export interface EndpointRoute {
  name: string;
  /** Shares of new sessions, each > 0, summing to 1. Empty: the runtime has no version to serve. */
  weights: { version: number; share: number }[];
  disablePublicNetworkAccess: boolean;
  /** How calls say which session they belong to. Absent: `DEFAULT_AFFINITY`. */
  affinity?: Affinity;
}

export interface RuntimeRoute {
  runtimeId: string;
  name: string;
  /** Absent in releases before there were workspaces. */
  workspaceId?: string;
  /** Calls need a key of this credential, or one of the platform's. */
  credentialName?: string;
  /** `deleting`: new calls stop at once. */
  state: 'serving' | 'deleting';
  /** Why nothing is served yet, when no version exists (still creating, or the create failed). */
  unavailableReason?: string;
  /** Only these endpoints exist; `Default` and `default` are listed even when no resource of that name exists. */
  endpoints: EndpointRoute[];
  /** Every version that a weight names or that still has instances. */
  versions: VersionRoute[];
}

/** A key the gateway recognises. Bearers travel as hashes; what signatures are checked with, as it is. */
export type KeyRoute = Key;

/** A session that is bound to an instance. Of its id only the hash leaves the gateway. */
export interface SessionRoute {
  hash: string;
  runtimeId: string;
  endpointName: string;
  /** Of its principal; absent: anonymous. */
  keyId?: string;
  version: number;
  instanceId: string;
  /** ms since 1970. */
  createdMs: number;
  /** ms since 1970: when its last call ended, or the time of the message if one is open. */
  lastUsedMs: number;
}

export type DownMessage =
  | {
      type: 'snapshot';
      sequence: number;
      runtimes: RuntimeRoute[];
      keys: KeyRoute[];
      /** Bound by a gateway before this one, to instances that still run. */
      sessions?: SessionRoute[];
      /** What session ids are hashed and cookies signed with, base64url. */
      sessionSecret?: string;
    }
  | { type: 'routes'; sequence: number; runtimeId: string; runtime: RuntimeRoute | null }
  | { type: 'keys'; sequence: number; keys: KeyRoute[] }
  /** Answered with `counts`. */
  | { type: 'count' }
  /** To one that was just started: bind the address, say `listening` or `listen-failed`. */
  | { type: 'listen' }
  /**
   * An instance is about to be stopped: it takes no call any more, and what is still open on it is to end now. It is
   * stopped at its `drained`, or shortly afterwards. `reason` is a sentence for those who are cut off.
   */
  | { type: 'cut'; instanceId: string; reason: string }
  /** The session ends now; its open calls finish. */
  | { type: 'endSession'; sequence: number; hash: string }
  /** Stop listening, say `released`, finish open calls within the time, then say `closed`. */
  | { type: 'shutdown'; graceMs: number };

export type UpMessage =
  /** As bound; `tls` if that is on. Said to every control process that comes. */
  | { type: 'listening'; host: string; port: number; tls?: { host: string; port: number } }
  /** The public address could not be bound, or is not listened on any more. */
  | { type: 'listen-failed'; reason: string }
  /** After `shutdown`: the public address is free for another. */
  | { type: 'released' }
  | { type: 'installed'; sequence: number }
  /**
   * Sent at once when calls begin to wait, then at most every 50 ms while the numbers change. Calls of one session wait
   * for one slot and count once; while some wait, `inFlight` is the number of slots taken.
   */
  | {
      type: 'demand';
      runtimeId: string;
      version: number;
      queued: number;
      inFlight: number;
      /** One of those counted was refused and waits no more; it is to be started for all the same. */
      turnedAway?: true;
    }
  /**
   * Every second, for every instance known: what it is doing, how long it has had nothing to do, how many sessions are
   * bound to it (absent: none), and how many slots calls and sessions take (absent: as many as there are calls).
   */
  | {
      type: 'usage';
      instances: { id: string; inFlight: number; idleMs: number; sessions?: number; taken?: number }[];
    }
  /** Sessions that were bound, used or moved, and those that are bound no more; at most 1 s behind. */
  | { type: 'sessions'; changed: (SessionRoute & { openCalls: number })[]; ended: string[] }
  /** An isolated instance has served what it was for: it takes no further call and is to be stopped. */
  | { type: 'spent'; instanceId: string }
  /** A draining instance has no call and no session left; repeated after a reconnect. */
  | { type: 'drained'; instanceId: string; drain?: number }
  /**
   * A dial was refused or reset before anything was sent; the instance gets no new calls until routes say otherwise.
   * `listenerInDoubt`: because nobody listened there, or perhaps somebody else.
   */
  | { type: 'unreachable'; instanceId: string; reason: string; listenerInDoubt?: true }
  /** When it is asked for, and every few seconds while there are calls. */
  | { type: 'counts'; counts: GatewayCounts }
  | { type: 'closed' }
  /** One line of the gateway's log. */
  | { type: 'log'; line: string };
