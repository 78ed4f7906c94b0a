/** A key as the server tells of it (`/runstead/v1/keys`). Secrets stand in the answer to its creation alone. */
export interface Key {
  keyId: string;
  role?: string;
  workspaces?: string[];
  credentialName?: string;
  headerName?: string;
  description?: string;
  createdAt?: string;
  expiresAt?: string;
  apiKey?: string;
  accessKeyId?: string;
  accessKeySecret?: string;
}

export const KEYS_PATH = '/runstead/v1/keys';

export const KEY_COLUMNS = ['KEY', 'ROLE', 'FOR', 'EXPIRES', 'DESCRIPTION'];

export function keyRow({ keyId, role, workspaces, credentialName, expiresAt, description }: Key): string[] {
  const reach = workspacesOf(workspaces);
  const scope = credentialName === undefined ? reach : `credential ${credentialName}, ${reach}`;
  return [keyId, role ?? '-', scope, expiresAt ?? 'never', description ?? ''];
}

/** None named means all. */
export function workspacesOf(workspaces: Key['workspaces']): string {
  return workspaces?.length ? workspaces.join(', ') : 'all workspaces';
}
