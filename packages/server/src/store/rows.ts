import type { ResourceStatus } from '@runstead/contract';
import type { Generated, Selectable } from 'kysely';
import type { SecretBox } from '../auth/secret-box.ts';
import { fromSpecText } from './sealed-spec.ts';
import type {
  EndpointRecord,
  EndpointSpec,
  EventRecord,
  RuntimeRecord,
  VersionRecord,
  WorkspaceRecord,
} from './store.ts';

/** The tables as both databases hold them; JSON is text, times are ISO text, truth is 0 or 1. */
export interface Tables {
  workspaces: WorkspaceTable;
  runtimes: RuntimeTable;
  versions: VersionTable;
  endpoints: EndpointTable;
  events: EventTable;
  kept_answers: KeptAnswerTable;
  keys: KeyTable;
  nonces: NonceTable;
  audit_events: AuditEventTable;
  sessions: SessionTable;
  secrets: SecretTable;
}

interface WorkspaceTable {
  id: string;
  name: string;
  description: string | null;
  resource_group_id: string | null;
  is_default: number;
  created_at: string;
  updated_at: string;
}

interface RuntimeTable {
  id: string;
  name: string;
  workspace_id: string;
  revision: number;
  status: string;
  status_reason: string | null;
  /** With its secrets sealed: `sealed-spec.ts`. */
  spec: string;
  artifact_digest: string | null;
  head_version: number | null;
  force_evict: number;
  created_at: string;
  updated_at: string;
}

interface VersionTable {
  runtime_id: string;
  version: number;
  revision: number;
  /** With its secrets sealed: `sealed-spec.ts`. */
  spec: string;
  artifact_digest: string | null;
  description: string | null;
  publisher: string | null;
  created_at: string;
  updated_at: string;
}

interface EndpointTable {
  id: string;
  runtime_id: string;
  name: string;
  revision: number;
  status: string;
  status_reason: string | null;
  spec: string;
  created_at: string;
  updated_at: string;
}

interface EventTable {
  id: Generated<number>;
  runtime_id: string;
  revision: number;
  kind: string;
  phase: string;
  started_at: string;
  duration_ms: number;
  outcome: string;
  reason: string | null;
  output: string | null;
  instance_id: string | null;
  exit_code: number | null;
  exit_signal: string | null;
}

export interface KeyTable {
  id: string;
  kind: string;
  sha256: string;
  sealed_secret: string | null;
  role: string | null;
  workspaces: string;
  credential_name: string | null;
  header_name: string | null;
  description: string | null;
  created_by: string;
  created_at: string;
  expires_at: string | null;
}

export interface SessionTable {
  id: string;
  runtime_id: string;
  endpoint_name: string;
  key_id: string | null;
  version: number;
  instance_id: string;
  created_at: string;
  last_used_at: string;
}

export interface SecretTable {
  workspace_id: string;
  name: string;
  sealed: string;
  created_at: string;
  updated_at: string;
}

interface NonceTable {
  key_id: string;
  nonce: string;
  expires_ms: number;
}

interface AuditEventTable {
  id: Generated<number>;
  at: string;
  request_id: string;
  key_id: string;
  operation: string;
  resource: string;
  status: number | null;
}

interface KeptAnswerTable {
  scope: string;
  key: string;
  body_sha256: string;
  sealed_data: string;
  created_at: string;
}

/**
 * Text that others wrote, such as an agent's last lines, as both databases keep it: PostgreSQL refuses NUL, and of a
 * text with one SQLite's reader gives back only what stands before it.
 */
export function toText(value: string): string {
  return value.replaceAll('\0', '\ufffd');
}

export function toWorkspace(row: Selectable<WorkspaceTable>): WorkspaceRecord {
  return {
    id: row.id,
    name: row.name,
    description: row.description ?? undefined,
    resourceGroupId: row.resource_group_id ?? undefined,
    isDefault: row.is_default === 1,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

export function toRuntime(row: Selectable<RuntimeTable>, box: SecretBox): RuntimeRecord {
  return {
    id: row.id,
    name: row.name,
    workspaceId: row.workspace_id,
    revision: row.revision,
    status: row.status as ResourceStatus,
    statusReason: row.status_reason ?? undefined,
    spec: fromSpecText(box, row.id, row.spec),
    headVersion: row.head_version ?? undefined,
    forceEvict: row.force_evict === 1,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

export function toVersion(row: Selectable<VersionTable>, box: SecretBox): VersionRecord {
  return {
    runtimeId: row.runtime_id,
    version: row.version,
    revision: row.revision,
    spec: fromSpecText(box, row.runtime_id, row.spec),
    description: row.description ?? undefined,
    publisher: row.publisher ?? undefined,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

export function toEndpoint(row: Selectable<EndpointTable>): EndpointRecord {
  return {
    id: row.id,
    runtimeId: row.runtime_id,
    name: row.name,
    revision: row.revision,
    status: row.status as ResourceStatus,
    statusReason: row.status_reason ?? undefined,
    spec: JSON.parse(row.spec) as EndpointSpec,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

export function toEvent(row: Selectable<EventTable>): EventRecord {
  return {
    id: row.id,
    runtimeId: row.runtime_id,
    revision: row.revision,
    phase: row.phase,
    startedAt: row.started_at,
    durationMs: row.duration_ms,
    outcome: row.outcome as EventRecord['outcome'],
    reason: row.reason ?? undefined,
    output: row.output === null ? undefined : (JSON.parse(row.output) as string[]),
    ...(row.instance_id !== null && { instanceId: row.instance_id }),
    ...(row.exit_code !== null && { exitCode: row.exit_code }),
    ...(row.exit_signal !== null && { exitSignal: row.exit_signal }),
  };
}
