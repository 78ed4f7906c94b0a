import type { ScalingStatus } from '@runstead/contract';
import type { DataFolders } from '../artifacts/folders.ts';
import type { PackageIntake } from '../artifacts/intake.ts';
import type { Authentication } from '../auth/authenticate.ts';
import type { Identity } from '../domain/names.ts';
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
  /** What is counted, as Prometheus reads it. */
  metrics(): Promise<string>;
  sessions: {
    /** As the gateway has counted; up to a second ago. */
    openCallsOf(id: string): number;
    /** Resolves when it has ended, and lists no longer show it. */
    end(id: string): Promise<void>;
  };
}

/** An instance as the control process knows it. */
export interface RunningNow {
  id: string;
  runtimeId: string;
  revision: number;
  state: 'starting' | 'ready' | 'draining' | 'stopping';
  pid: number | undefined;
  port: number;
  startedAt: string;
  inFlight: number;
  /** Why it runs on without a call, or is to be replaced, in words. */
  keptBecause: string | undefined;
  sick: string | undefined;
}
