import { type OperationName, RunsteadError } from '@runstead/contract';
import { includesRole, type Role } from './keys.ts';
import type { Principal } from './principal.ts';

/** Operations beyond the contract, under `/runstead/v1`. */
export type ExtensionName =
  | 'ListEvents'
  | 'ReadLogs'
  | 'ListInstances'
  | 'ListSessions'
  | 'EndSession'
  | 'CreateKey'
  | 'ListKeys'
  | 'RevokeKey'
  | 'SetSecret'
  | 'ListSecrets'
  | 'DeleteSecret'
  | 'ListAuditEvents'
  | 'ReadHealth'
  | 'ReadMetrics';

export interface Permission {
  /** The least role that may. */
  role: Role;
  /** Changes something, and so leaves an audit event. */
  writes: boolean;
  /** Not within one workspace: only keys for all of them may. */
  global?: true;
}

const read = (role: Role): Permission => ({ role, writes: false });
const write = (role: Role): Permission => ({ role, writes: true });

/** Who may do what: the one table, from which the documentation's is made. */
export const permissions: Readonly<Record<OperationName | ExtensionName, Permission>> = {
  CreateAgentRuntime: write('deploy'),
  GetAgentRuntime: read('invoke'),
  UpdateAgentRuntime: write('deploy'),
  DeleteAgentRuntime: write('deploy'),
  ListAgentRuntimes: read('invoke'),
  CreateAgentRuntimeEndpoint: write('deploy'),
  GetAgentRuntimeEndpoint: read('invoke'),
  UpdateAgentRuntimeEndpoint: write('deploy'),
  DeleteAgentRuntimeEndpoint: write('deploy'),
  ListAgentRuntimeEndpoints: read('invoke'),
  ListAgentRuntimeVersions: read('invoke'),
  PublishRuntimeVersion: write('deploy'),
  GetAccessToken: read('invoke'),
  CreateWorkspace: { ...write('admin'), global: true },
  ListWorkspaces: read('invoke'),
  GetWorkspace: read('invoke'),
  UpdateWorkspace: write('admin'),
  DeleteWorkspace: { ...write('admin'), global: true },

  ListEvents: read('deploy'),
  ReadLogs: read('deploy'),
  ListInstances: read('deploy'),
  ListSessions: read('deploy'),
  EndSession: write('deploy'),
  CreateKey: write('admin'),
  ListKeys: read('admin'),
  RevokeKey: write('admin'),
  // Whoever deploys reads by an agent of theirs whatever its workspace has.
  SetSecret: write('deploy'),
  ListSecrets: read('deploy'),
  DeleteSecret: write('deploy'),
  ListAuditEvents: { ...read('admin'), global: true },
  ReadHealth: read('invoke'),
  // What a monitor is given should open as little as can be; but it tells of runtimes in all workspaces.
  ReadMetrics: { ...read('invoke'), global: true },
};

/** @throws RunsteadError NoPermission */
export function requirePermission(principal: Principal, operation: OperationName | ExtensionName): void {
  const { role, global } = permissions[operation];
  if (!includesRole(principal.role, role)) {
    throw new RunsteadError(
      'NoPermission',
      `NoPermission: ${operation} needs a key of role ${role}; the one that was used has role ${principal.role}`,
    );
  }
  if (global && principal.workspaces !== 'all') {
    throw new RunsteadError(
      'NoPermission',
      `NoPermission: ${operation} needs a key for all workspaces; the one that was used is for some only`,
    );
  }
}
