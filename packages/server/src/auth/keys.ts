/** What a key allows, from least to most: each includes the ones before it. */
export const ROLES = ['invoke', 'deploy', 'admin'] as const;
export type Role = (typeof ROLES)[number];

export function includesRole(has: Role, needed: Role): boolean {
  return ROLES.indexOf(has) >= ROLES.indexOf(needed);
}

/** Ids of the workspaces that a key reaches. */
export type Workspaces = 'all' | readonly string[];

/** Whether a key reaches a workspace; what lies in none (rows of earlier releases) only those for all reach. */
export function reaches(workspaces: Workspaces, workspaceId: string | undefined): boolean {
  return workspaces === 'all' || (workspaceId !== undefined && workspaces.includes(workspaceId));
}

/** A key for people, scripts and clients that sign. Plain JSON: it crosses to the gateway. */
export interface PlatformKey {
  kind: 'platform';
  id: string;
  /** Hex SHA-256 of the `rsk_…` form; absent for a pair that was given by configuration. */
  sha256?: string | undefined;
  accessKeyId: string;
  accessKeySecret: string;
  role: Role;
  workspaces: Workspaces;
  /** ISO 8601; absent: until it is revoked. */
  expiresAt?: string | undefined;
}

/** A key for the callers of the runtimes whose `credentialName` it stands behind. */
export interface CredentialKey {
  kind: 'credential';
  id: string;
  sha256: string;
  credentialName: string;
  /** Lower case. Absent: `Authorization: Bearer`. */
  headerName?: string | undefined;
  workspaces: Workspaces;
  expiresAt?: string | undefined;
}

export type Key = PlatformKey | CredentialKey;
