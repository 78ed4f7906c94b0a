import type { Role, Workspaces } from './keys.ts';

/** Who calls the control plane, and what it may do. */
export interface Principal {
  keyId: string;
  role: Role;
  workspaces: Workspaces;
  /** Of a signed request: hex SHA-256 that its body must have. */
  bodySha256?: string | undefined;
}
