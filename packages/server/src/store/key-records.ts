import type { Selectable } from 'kysely';
import type { Role, Workspaces } from '../auth/keys.ts';
import type { SecretBox } from '../auth/secret-box.ts';
import type { KeyTable } from './rows.ts';
import type { KeyRecord } from './store.ts';

/** A key as its row has it: the secret sealed, for this key alone. */
export function toKeyRow(key: KeyRecord, box: SecretBox): Selectable<KeyTable> {
  const isPlatform = key.kind === 'platform';
  return {
    id: key.id,
    kind: key.kind,
    sha256: key.sha256,
    sealed_secret: isPlatform ? box.seal(key.accessKeySecret, purposeOf(key.id)) : null,
    role: isPlatform ? key.role : null,
    workspaces: JSON.stringify(key.workspaces),
    credential_name: isPlatform ? null : key.credentialName,
    header_name: isPlatform ? null : (key.headerName ?? null),
    description: key.description ?? null,
    created_by: key.createdBy,
    created_at: key.createdAt,
    expires_at: key.expiresAt ?? null,
  };
}

/** @throws Error when the secret was sealed with another key */
export function toKey(row: Selectable<KeyTable>, box: SecretBox): KeyRecord {
  const shared = {
    id: row.id,
    sha256: row.sha256,
    workspaces: JSON.parse(row.workspaces) as Workspaces,
    description: row.description ?? undefined,
    createdBy: row.created_by,
    createdAt: row.created_at,
    expiresAt: row.expires_at ?? undefined,
  };
  if (row.kind === 'credential') {
    return {
      ...shared,
      kind: 'credential',
      credentialName: row.credential_name!,
      headerName: row.header_name ?? undefined,
    };
  }
  return {
    ...shared,
    kind: 'platform',
    accessKeyId: row.id,
    accessKeySecret: box.open(row.sealed_secret!, purposeOf(row.id)),
    role: row.role as Role,
  };
}

const purposeOf = (id: string) => `key ${id}`;
