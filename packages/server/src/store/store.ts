import type { CreateAgentRuntimeEndpointInput, ResourceStatus } from '@runstead/contract';
import type { Key } from '../auth/keys.ts';
import type { EventKind } from '../domain/event-kind.ts';
import type { Artifact, RuntimeSpec } from '../domain/runtime.ts';

/**
 * What Runstead keeps: the queries it needs, by intent. SQLite now, PostgreSQL later; both pass `test/store-cases.ts`.
 *
 * A resolved promise means the write is durable. Writes that name a revision change nothing when the resource has
 * moved on, and say so by `false`: whoever worked for an older revision then leaves no trace.
 */
export interface Store {
  /** @throws NameTaken, NoSuchWorkspace */
  createRuntime(runtime: NewRuntime, keep?: AnswerToKeep<RuntimeRecord>): Promise<RuntimeRecord>;
  getRuntime(id: string): Promise<RuntimeRecord | undefined>;
  listRuntimes(filter: RuntimeFilter, page: PageRequest): Promise<PageResult<RuntimeRecord>>;
  /** Ids of all runtimes, and of those with work under way. */
  runtimeIds(filter?: { unsettled: boolean }): Promise<string[]>;
  /** Ids of runtimes with an endpoint that has work under way, or that may ask for instances whatever its calls. */
  runtimeIdsByEndpoints(): Promise<string[]>;
  /**
   * Replaces the desired configuration: revision + 1, status UPDATING.
   * @returns undefined when the runtime is gone, on its way out, or no longer at `change.expectedRevision`
   * @throws NameTaken, NoSuchWorkspace
   */
  updateRuntime(id: string, change: RuntimeChange): Promise<RuntimeRecord | undefined>;
  /** Status DELETING, revision + 1: a delete outranks every attempt under way. Asked again it changes nothing. */
  markRuntimeDeleting(id: string, at: string): Promise<RuntimeRecord | undefined>;
  /**
   * Says which package the desired configuration of `revision` stands for, once it has been fetched: from then on the
   * same, whatever becomes of the place it came from.
   * @returns false, and nothing has changed, when the runtime has moved on, or has no attempt under way
   */
  fixArtifact(id: string, revision: number, artifact: Artifact): Promise<boolean>;
  /**
   * Ends an attempt for `revision`: READY or a failed status. With `newVersion` the next version is numbered and
   * inserted in the same transaction and becomes the head.
   * @returns false, and nothing has changed, when the runtime has moved on, or has no attempt under way
   */
  settleRuntime(id: string, revision: number, outcome: AttemptOutcome): Promise<boolean>;
  /** Removes the runtime with its versions, endpoints and events. */
  removeRuntime(id: string): Promise<void>;

  getVersion(runtimeId: string, version: number): Promise<VersionRecord | undefined>;
  /** All versions of a runtime, oldest first. */
  versions(runtimeId: string): Promise<VersionRecord[]>;
  listVersions(runtimeId: string, page: PageRequest): Promise<PageResult<VersionRecord>>;
  /**
   * Removes versions, but for the head and those that an endpoint names by now, and adds what is told of it to the
   * runtime's history, in one transaction.
   * @param eventOf told of those that go; not called when there are none
   * @returns those that are gone
   */
  removeVersions(
    runtimeId: string,
    versions: readonly number[],
    eventOf: (removed: number[]) => NewEvent,
  ): Promise<number[]>;
  publishVersion(
    runtimeId: string,
    version: number,
    stamp: { description?: string | undefined; publisher?: string | undefined; at: string },
    keep?: AnswerToKeep<VersionRecord>,
  ): Promise<VersionRecord | undefined>;

  /** @throws NameTaken, VersionRemoved */
  createEndpoint(endpoint: NewEndpoint, keep?: AnswerToKeep<EndpointRecord>): Promise<EndpointRecord>;
  getEndpoint(runtimeId: string, id: string): Promise<EndpointRecord | undefined>;
  /** All endpoints of a runtime, oldest first. */
  endpoints(runtimeId: string): Promise<EndpointRecord[]>;
  listEndpoints(
    runtimeId: string,
    filter: EndpointFilter,
    page: PageRequest,
  ): Promise<PageResult<EndpointRecord>>;
  /**
   * Replaces the configuration: revision + 1, status UPDATING.
   * @returns undefined when the endpoint is gone or on its way out
   * @throws NameTaken, VersionRemoved
   */
  updateEndpoint(
    runtimeId: string,
    id: string,
    change: { name: string; spec: EndpointSpec; at: string },
  ): Promise<EndpointRecord | undefined>;
  /** As `markRuntimeDeleting`. */
  markEndpointDeleting(runtimeId: string, id: string, at: string): Promise<EndpointRecord | undefined>;
  /** @returns false, and nothing has changed, when the endpoint has moved on */
  settleEndpoint(
    id: string,
    revision: number,
    outcome: { status: ResourceStatus; statusReason?: string | undefined },
  ): Promise<boolean>;
  removeEndpoint(id: string): Promise<void>;

  /** @throws NameTaken */
  createWorkspace(workspace: NewWorkspace, keep?: AnswerToKeep<WorkspaceRecord>): Promise<WorkspaceRecord>;
  getWorkspace(id: string): Promise<WorkspaceRecord | undefined>;
  /** Where runtimes go whose creator names no workspace: always there, under one id for the life of the data. */
  defaultWorkspace(): Promise<WorkspaceRecord>;
  workspaceByName(name: string): Promise<WorkspaceRecord | undefined>;
  listWorkspaces(filter: WorkspaceFilter, page: PageRequest): Promise<PageResult<WorkspaceRecord>>;
  /** @returns undefined when there is no such workspace */
  updateWorkspace(
    id: string,
    change: { description?: string | undefined; at: string },
  ): Promise<WorkspaceRecord | undefined>;
  /** @returns false, and nothing has changed, when it holds a runtime, is the default one, or is not there */
  removeWorkspace(id: string): Promise<boolean>;

  /**
   * Adds to a runtime's history; of each kind only the newest stay, `EVENTS_KEPT` unless the store was opened otherwise,
   * so that what happens often does not push out the rest.
   */
  addEvent(event: NewEvent): Promise<void>;
  /** Newest first. With `afterId`, those that came next after it. */
  listEvents(runtimeId: string, limit: number, filter?: EventFilter): Promise<EventRecord[]>;
  /** Removes what began before an ISO time, of all runtimes. */
  removeEvents(before: string): Promise<void>;

  /** The answer kept for a key, unless it is older than `since` (ISO time). */
  keptAnswer(scope: string, key: string, since: string): Promise<KeptAnswer | undefined>;

  createKey(key: KeyRecord): Promise<void>;
  /** All of them, oldest first; also those that have expired. */
  keys(): Promise<KeyRecord[]>;
  /** @returns false when there is none */
  removeKey(id: string): Promise<boolean>;

  /**
   * Sets a secret of a workspace, new or anew.
   * @throws NoSuchWorkspace
   */
  setSecret(secret: { workspaceId: string; name: string; value: string; at: string }): Promise<SecretRecord>;
  /** By name, then workspace. @param workspaceIds any of them; none: all */
  listSecrets(workspaceIds: readonly string[]): Promise<SecretRecord[]>;
  /**
   * What is behind names, for an instance that is about to start; what is not there is left out.
   * @throws Error when one cannot be opened
   */
  secretValues(workspaceId: string, names: readonly string[]): Promise<Map<string, string>>;
  /** @returns what it was; undefined when there was none */
  removeSecret(workspaceId: string, name: string): Promise<SecretRecord | undefined>;

  /** Of signed requests, those that have not expired. */
  nonces(nowMs: number): Promise<NonceRecord[]>;
  addNonce(nonce: NonceRecord): Promise<void>;
  removeNonces(expiredBeforeMs: number): Promise<void>;

  /**
   * Says that a write begins; only the newest `AUDIT_EVENTS_KEPT` stay.
   * @returns under what to say how it ended
   */
  beginAuditEvent(event: Omit<AuditEventRecord, 'id' | 'status'>): Promise<number>;
  endAuditEvent(id: number, outcome: { status: number; resource?: string | undefined }): Promise<void>;
  /** Newest first. */
  listAuditEvents(limit: number): Promise<AuditEventRecord[]>;

  /**
   * Writes down where sessions are bound now, in place of what was known of them, and forgets those that have ended. What
   * belongs to a runtime that is gone is passed over.
   */
  saveSessions(changed: readonly SessionRecord[], endedIds: readonly string[]): Promise<void>;
  /** Forgets the sessions of all other instances. */
  keepSessionsOf(instanceIds: readonly string[]): Promise<void>;
  /** All of them, oldest first. */
  sessions(): Promise<SessionRecord[]>;
  getSession(id: string): Promise<SessionRecord | undefined>;
  listSessions(filter: SessionFilter, page: PageRequest): Promise<PageResult<SessionRecord>>;

  /** Digests of every code package that a runtime or a version refers to. */
  artifactDigests(): Promise<Set<string>>;

  close(): Promise<void>;
}

export const AUDIT_EVENTS_KEPT = 10_000;

/** Events kept per runtime and kind. */
export const EVENTS_KEPT = 500;

/** Answers are kept this long for those who send a request again. */
export const ANSWERS_KEPT_MS = 24 * 3_600_000;

/** The data cannot be brought to this release's schema; it is as it was. */
export class MigrationError extends Error {
  override readonly name = 'MigrationError';
}

/** The secrets in the data were sealed with another key than the one at hand; nothing was changed. */
export class SecretsKeyError extends Error {
  override readonly name = 'SecretsKeyError';
  /** The file that holds what cannot be opened. */
  readonly path: string;

  constructor(path: string, options: { message?: string; cause?: unknown } = {}) {
    super(options.message ?? `the secrets in ${path} were sealed with another key`, { cause: options.cause });
    this.path = path;
  }
}

export class NameTaken extends Error {
  override readonly name = 'NameTaken';
}

/** An endpoint was to name a version that is not there any more; nothing has changed. */
export class VersionRemoved extends Error {
  override readonly name = 'VersionRemoved';
  readonly version: number;

  constructor(version: number) {
    super(`version ${version} is not there any more`);
    this.version = version;
  }
}

/** A runtime was to be put into a workspace that is not there; nothing has changed. */
export class NoSuchWorkspace extends Error {
  override readonly name = 'NoSuchWorkspace';
}

/** A key with what is told of it. */
export type KeyRecord = Key & {
  sha256: string;
  description?: string | undefined;
  /** Id of the key that made it. */
  createdBy: string;
  createdAt: string;
};

/** A secret as lists show it. Its value is read for starts alone. */
export interface SecretRecord {
  workspaceId: string;
  name: string;
  createdAt: string;
  /** When its value was set last. */
  updatedAt: string;
}

export interface NonceRecord {
  keyId: string;
  nonce: string;
  /** ms since 1970. */
  expiresMs: number;
}

/** Who wrote what, when, and how it ended. */
export interface AuditEventRecord {
  id: number;
  at: string;
  requestId: string;
  keyId: string;
  operation: string;
  /** Ids that the path names, by slashes; for creates the id of what was created. */
  resource: string;
  /** Of the answer; undefined: the server ended before there was one. */
  status: number | undefined;
}

export interface NewRuntime {
  id: string;
  name: string;
  /** Default: the default workspace. */
  workspaceId?: string | undefined;
  spec: RuntimeSpec;
  at: string;
}

export interface RuntimeRecord {
  id: string;
  name: string;
  /** Where it is, not what it is: no part of the configuration, nor of any version. */
  workspaceId: string;
  /** Raised by every write of the desired configuration, from 1. */
  revision: number;
  status: ResourceStatus;
  statusReason: string | undefined;
  spec: RuntimeSpec;
  /** The newest version; undefined before the first healthy start. */
  headVersion: number | undefined;
  /** The newest write asked to cut running instances rather than drain them. */
  forceEvict: boolean;
  createdAt: string;
  updatedAt: string;
}

export interface RuntimeChange {
  name: string;
  /** Absent: it stays where it is. */
  workspaceId?: string | undefined;
  spec: RuntimeSpec;
  /** The revision the new configuration was merged onto; another one by now means a lost update. */
  expectedRevision: number;
  forceEvict: boolean;
  at: string;
}

export type AttemptOutcome =
  | { status: 'READY'; newVersion: boolean; at: string }
  | { status: 'CREATE_FAILED' | 'UPDATE_FAILED' | 'DELETE_FAILED'; statusReason: string; at: string };

export interface VersionRecord {
  runtimeId: string;
  /** From 1. */
  version: number;
  /** The runtime's revision whose configuration became this version. */
  revision: number;
  spec: RuntimeSpec;
  description: string | undefined;
  publisher: string | undefined;
  createdAt: string;
  updatedAt: string;
}

export type EndpointSpec = Omit<CreateAgentRuntimeEndpointInput, 'agentRuntimeEndpointName'>;

export interface NewEndpoint {
  id: string;
  runtimeId: string;
  name: string;
  spec: EndpointSpec;
  at: string;
}

export interface EndpointRecord {
  id: string;
  runtimeId: string;
  name: string;
  revision: number;
  status: ResourceStatus;
  statusReason: string | undefined;
  spec: EndpointSpec;
  createdAt: string;
  updatedAt: string;
}

export interface NewWorkspace {
  id: string;
  name: string;
  description?: string | undefined;
  resourceGroupId?: string | undefined;
  at: string;
}

export interface WorkspaceRecord {
  id: string;
  name: string;
  description: string | undefined;
  resourceGroupId: string | undefined;
  isDefault: boolean;
  createdAt: string;
  updatedAt: string;
}

/** One phase of an attempt, or one thing that happened to an instance. */
export interface NewEvent {
  runtimeId: string;
  revision: number;
  /** `fetch`, `unpack`, `install`, `start`, `ready`, `scale`, `stop`, `exit` … */
  phase: string;
  startedAt: string;
  durationMs: number;
  outcome: 'ok' | 'failed' | 'superseded';
  reason?: string | undefined;
  /** Last lines of what was run, fit to be shown. */
  output?: readonly string[] | undefined;
  /** Which it is about. */
  instanceId?: string | undefined;
  /** How that ended. */
  exitCode?: number | undefined;
  /** Such as `SIGKILL`. */
  exitSignal?: string | undefined;
}

export interface EventFilter {
  kind?: EventKind | undefined;
  /** Older than this one. */
  beforeId?: number | undefined;
  /** Newer than this one. */
  afterId?: number | undefined;
}

export interface EventRecord extends NewEvent {
  id: number;
}

/**
 * An answer to be kept in the transaction of the write it tells of: whatever happens to server and caller, either both
 * are there or neither. Older ones than `ANSWERS_KEPT_MS` go at the same time.
 */
export interface AnswerToKeep<R> {
  /** Who asked for what: the same key of others, or for something else, is another. */
  scope: string;
  key: string;
  /** Hex SHA-256. */
  bodySha256: string;
  at: string;
  /** What is answered, made from what was written. Kept sealed, as there are secrets in it. */
  data: (written: R) => unknown;
}

export interface KeptAnswer {
  bodySha256: string;
  data: unknown;
}

/** A session and the instance it is bound to; they go with their runtime. */
export interface SessionRecord {
  /** A hash of its name: the session's own id is nowhere kept. */
  id: string;
  runtimeId: string;
  endpointName: string;
  /** Undefined: anonymous. */
  keyId: string | undefined;
  version: number;
  instanceId: string;
  createdAt: string;
  lastUsedAt: string;
}

export interface SessionFilter {
  runtimeId?: string | undefined;
  endpointName?: string | undefined;
  /** Of the runtime; any of them, none: all. */
  workspaceIds?: readonly string[] | undefined;
}

export interface RuntimeFilter {
  /** `fuzzy`: somewhere in the name, whatever the case. */
  name?: { value: string; mode: 'exact' | 'fuzzy' } | undefined;
  statuses?: readonly string[] | undefined;
  /** All of them must be present. */
  systemTags?: readonly string[] | undefined;
  /** Any of them. */
  workspaceIds?: readonly string[] | undefined;
}

export interface EndpointFilter {
  endpointName?: string | undefined;
  /** Default: fuzzy. */
  searchMode?: 'exact' | 'fuzzy' | undefined;
}

export interface WorkspaceFilter {
  /** Somewhere in the name, whatever the case. */
  name?: string | undefined;
  resourceGroupId?: string | undefined;
  /** Any of them; none: all. */
  ids?: readonly string[] | undefined;
}

export interface PageRequest {
  /** From 1; not looked at when `after` is given. */
  pageNumber: number;
  pageSize: number;
  /**
   * The page begins behind this place, whatever has come and gone in front of it. Lists of versions, which grow in front
   * and lose the oldest, have no use for it.
   */
  after?: PagePlace | undefined;
}

/** A place in a list that is newest first, ties by id: that of the item with these values, be it there or gone. */
export interface PagePlace {
  createdAt: string;
  id: string;
}

export interface PageResult<T> {
  items: T[];
  /** On all pages together. */
  total: number;
}
