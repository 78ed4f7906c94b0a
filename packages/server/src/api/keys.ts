import { CREDENTIAL_NAME_PATTERN, RunsteadError } from '@runstead/contract';
import { z } from 'zod';
import { hashKey } from '../auth/key-ring.ts';
import { isSecret, newAccessKeyId, newCredentialKey, newKeySecrets } from '../auth/key-secrets.ts';
import { includesRole, ROLES, type Workspaces } from '../auth/keys.ts';
import { isUuid } from '../domain/names.ts';
import { defined } from '../domain/runtime.ts';
import type { KeyRecord } from '../store/store.ts';
import type { Call } from './call.ts';
import { parse, shortened, warnOfUnknown } from './parse.ts';

/** Keys for people, scripts and clients that sign, and keys behind a runtime's `credentialName`. */

/** Ten years; longer is for ever, which is said by leaving it out. */
const EXPIRES_MAX_SECONDS = 315_360_000;

const CreateKeyInput = z.object({
  role: z.enum(ROLES).optional(),
  /** Ids or names; absent: all. */
  workspaces: z.array(z.string().min(1).max(128)).min(1).max(100).optional(),
  credential: z
    .string()
    .regex(CREDENTIAL_NAME_PATTERN, `must match ${CREDENTIAL_NAME_PATTERN.source}`)
    .optional(),
  /** In which the credential's key is sent; absent: `Authorization: Bearer`. */
  header: z
    .string()
    .max(64)
    .regex(
      /^(?!(?:host|cookie|content-length|content-type|connection|transfer-encoding|upgrade)$)(?!x-(?:runstead|acs|forwarded|fc)-)(?!agentrun-)[!#$%&'*+\-.^`|~0-9a-z]+$/i,
      'must be the name of a header field that has no other meaning here, such as X-API-Key',
    )
    .optional(),
  description: z.string().max(256).optional(),
  expiresInSeconds: z.int().min(1).max(EXPIRES_MAX_SECONDS).optional(),
});

/** A key as lists show it: without what it proves itself by. */
export interface KeyInfo {
  keyId: string;
  role?: string;
  /** Ids; absent: all. */
  workspaces?: readonly string[];
  credentialName?: string;
  headerName?: string;
  description?: string;
  createdBy: string;
  createdAt: string;
  expiresAt?: string;
}

/** Its secrets are in this answer and in no other. */
export async function createKey(call: Call): Promise<KeyInfo & Record<string, unknown>> {
  const body = await call.json();
  const input = parse(CreateKeyInput, body, faults);
  warnOfUnknown(call, CreateKeyInput, body);
  const now = Date.now();
  const shared = {
    workspaces: await workspacesOf(call, input.workspaces),
    description: input.description,
    createdBy: call.principal.keyId,
    createdAt: new Date(now).toISOString(),
    expiresAt: endOf(call, now, input.expiresInSeconds),
  };
  const { record, secrets } =
    input.credential === undefined
      ? newPlatformKey(input.role ?? 'deploy', shared)
      : newKeyOf(input.credential, input.header?.toLowerCase(), shared);
  await call.deps.store.createKey(record);
  await call.deps.keysChanged();
  const warning = call.deps.namedKeyWarning();
  if (warning !== undefined) call.warn(warning);
  return { ...toWire(record), ...secrets };
}

export async function listKeys(call: Call): Promise<{ items: KeyInfo[] }> {
  const keys = await call.deps.store.keys();
  return { items: keys.filter((key) => isManagedBy(call, key)).map(toWire) };
}

export async function revokeKey(call: Call): Promise<KeyInfo> {
  const id = call.parameters.keyId ?? '';
  if (isSecret(id)) {
    throw new RunsteadError(
      'ERR_BAD_REQUEST',
      'keyId must be a key id such as rak…, as ListKeys has it, not the key itself',
    );
  }
  if (call.deps.givenKeys.includes(id)) {
    throw new RunsteadError(
      'ERR_BAD_REQUEST',
      `Key '${id}' comes with this server: to replace the local one, remove local-key.json from the data folder and start again; the configured one is what RUNSTEAD_ACCESS_KEY_ID says`,
    );
  }
  const key = (await call.deps.store.keys()).find((candidate) => candidate.id === id);
  if (!key || !isManagedBy(call, key) || !(await call.deps.store.removeKey(id))) {
    throw new RunsteadError('ERR_NOT_FOUND', `Key '${shortened(id)}' does not exist (not found)`);
  }
  await call.deps.keysChanged();
  return toWire(key);
}

/** When a new key ends: as it is told to, but not after the key that makes it. */
function endOf({ deps, principal }: Call, nowMs: number, seconds: number | undefined): string | undefined {
  const asked = seconds === undefined ? undefined : new Date(nowMs + seconds * 1000).toISOString();
  const makers = deps.authentication.keys.byId(principal.keyId)?.expiresAt;
  if (asked === undefined || makers === undefined) return asked ?? makers;
  return asked < makers ? asked : makers;
}

type Shared = Pick<KeyRecord, 'workspaces' | 'description' | 'createdBy' | 'createdAt' | 'expiresAt'>;
type Made = { record: KeyRecord; secrets: Record<string, string> };

function newPlatformKey(role: (typeof ROLES)[number], shared: Shared): Made {
  const secrets = newKeySecrets();
  const { apiKey, accessKeyId, accessKeySecret } = secrets;
  const own = { id: accessKeyId, sha256: hashKey(apiKey), accessKeyId, accessKeySecret, role };
  return { record: { kind: 'platform', ...own, ...shared }, secrets: { ...secrets } };
}

function newKeyOf(credentialName: string, headerName: string | undefined, shared: Shared): Made {
  const apiKey = newCredentialKey();
  const own = { id: newAccessKeyId(), sha256: hashKey(apiKey), credentialName, headerName };
  return { record: { kind: 'credential', ...own, ...shared }, secrets: { apiKey } };
}

function faults({ credential, role, header }: Record<string, unknown>): string[] {
  return [
    ...(credential !== undefined && role !== undefined
      ? ['role must be left out beside credential: such a key calls the runtimes that name the credential']
      : []),
    ...(credential === undefined && header !== undefined
      ? ['header is for keys of a credential: credential is required beside it']
      : []),
  ];
}

/**
 * The workspaces a new key reaches: those named, none beyond its maker's own.
 * @throws RunsteadError ERR_VALIDATION_FAILED
 */
async function workspacesOf(
  { deps: { store }, principal }: Call,
  named: readonly string[] | undefined,
): Promise<Workspaces> {
  if (named === undefined) return principal.workspaces;
  const ids: string[] = [];
  for (const text of named) {
    const workspace = isUuid(text)
      ? await store.getWorkspace(text.toLowerCase())
      : await store.workspaceByName(text);
    const reachable =
      principal.workspaces === 'all' || (workspace && principal.workspaces.includes(workspace.id));
    if (!workspace || !reachable) {
      throw new RunsteadError(
        'ERR_VALIDATION_FAILED',
        `workspaces names no workspace; ListWorkspaces has those there are (got ${shortened(JSON.stringify(text))})`,
      );
    }
    ids.push(workspace.id);
  }
  return [...new Set(ids)];
}

/** An administrator of some workspaces sees the keys that reach nothing beyond them. */
function isManagedBy({ principal }: Call, { workspaces }: KeyRecord): boolean {
  if (!includesRole(principal.role, 'admin')) return false;
  const own = principal.workspaces;
  return own === 'all' || (workspaces !== 'all' && workspaces.every((id) => own.includes(id)));
}

function toWire(key: KeyRecord): KeyInfo {
  const { id, workspaces, description, createdBy, createdAt, expiresAt } = key;
  const own =
    key.kind === 'platform'
      ? { role: key.role }
      : { credentialName: key.credentialName, headerName: key.headerName };
  return defined({
    keyId: id,
    ...own,
    workspaces: workspaces === 'all' ? undefined : workspaces,
    description,
    createdBy,
    createdAt,
    expiresAt,
  }) as KeyInfo;
}
