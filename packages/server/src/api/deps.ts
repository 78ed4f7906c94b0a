import type { ScalingStatus } from '@runstead/contract';
import type { DataFolders } from '../artifacts/folders.ts';
import type { PackageIntake } from '../artifacts/intake.ts';
import type { Authentication } from '../auth/authenticate.ts';
import type { Identity } from '../domain/names.ts';
import type { AgentLogs } from '../logs/agent-logs.ts';
import type { Log } from '../observe/log.ts';
import type { EndpointRecord, RuntimeRecord, Store, VersionRecord } from '../store/store.ts';
import type { Walks } from './walks.ts';

/** What the control plane's API is given; `compose.ts` fills it in. */
export interface ApiDeps {
  store: Store;
  /** How far callers have come in lists. */
  walks: Walks;
  intake: PackageIntake;
  folders: DataFolders;
  identity: Identity;
  log: Log;
  bodyLimitBytes: number;
  /** Stays free on the disk of the data folder: no deploy begins below. */
  freeSpaceReserveBytes: number;
  maxInstancesPerRuntime: number;
  /** Lists show no values of variables and no passwords. */
  redactLists: boolean;
  authentication: Authentication;
  /** Ids of keys that nobody made and nobody can revoke. */
  givenKeys: readonly string[];
  /** Keys were made or revoked; resolves when that is in force everywhere. */
  keysChanged(): Promise<void>;
  /** Under what callers reach the gateway, without a trailing slash. */
  publicUrl(): string;
  /** How agents are kept apart and held to their share; absent where the driver does not say. */
  containment(): Containment;
  /** What whoever makes a named key is to be told; undefined: nothing. */
  namedKeyWarning(): string | undefined;
  /** The desired state of a runtime, or of one of its endpoints, was written. */
  runtimeChanged(runtimeId: string): void;
  endpointsChanged(runtimeId: string): void;
  /** Resolves when the gateway follows what the store says, so that a READY that is read is true. */
  routesSettled(runtimeId?: string): Promise<void>;
  /** What the attempt under way is doing, for a person. */
  progress(runtimeId: string): string | undefined;
  scalingStatus(of: {
    endpoint: EndpointRecord;
    runtime: RuntimeRecord;
    /** All of the runtime. */
    versions: readonly VersionRecord[];
  }): ScalingStatus;
  instances(): readonly RunningNow[];
  /** Of those instances that it is known of. */
  usageOf(instanceIds: readonly string[]): Promise<ReadonlyMap<string, UsedNow>>;
  logs: AgentLogs;
  /** What is counted, as Prometheus reads it. */
  metrics(): Promise<string>;
  sessions: {
    /** As the gateway has counted; up to a second ago. */
    openCallsOf(id: string): number;
    /** Resolves when it has ended, and lists no longer show it. */
    end(id: string): Promise<void>;
  };
}

export interface Containment {
  sandbox: { kind: string; reason?: string } | undefined;
  limits: { memory: string; cpu: string; processes: string } | undefined;
}

/** An instance as the control process knows it. */
export interface RunningNow {
  id: string;
  runtimeId: string;
  revision: number;
  state: 'starting' | 'ready' | 'draining' | 'stopping';
  pid: number | undefined;
  /** Such as `process`. */
  driver: string;
  /** Empty, and 0, while it has none. */
  host: string;
  port: number;
  startedAt: string;
  inFlight: number;
  sessions: number;
  /** ISO 8601: since when it has no call; undefined while it has, or that is not known. */
  idleSince?: string | undefined;
  /** Why it counts as busy, in words. */
  busyReason?: string | undefined;
  /** Why it is to be replaced, in words. */
  sick?: string | undefined;
}

/** What an instance uses, as far as that is known. */
export interface UsedNow {
  memoryBytes?: number;
  memoryMeasure?: 'pss' | 'rss';
  cpuMs?: number;
  cpuShare?: number;
}
