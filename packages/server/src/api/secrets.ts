import { RunsteadError } from '@runstead/contract';
import { z } from 'zod';
import { isSecret } from '../auth/key-secrets.ts';
import { reaches } from '../auth/keys.ts';
import { isUuid } from '../domain/names.ts';
import { SECRET_NAME_FORM, SECRET_NAME_PATTERN, secretReferences } from '../domain/secret-references.ts';
import { NoSuchWorkspace, type SecretRecord, type Store, type WorkspaceRecord } from '../store/store.ts';
import type { Call } from './call.ts';
import { withinReach } from './ids.ts';
import { parse, parseQuery, shortened, warnOfUnknown } from './parse.ts';

/** Secrets that variables of agents refer to by `secret://name`. Values go in and never come out again. */

/** What the kernel takes for one variable is 128 KiB, on the systems that take least. */
const VALUE_MAX_BYTES = 64 * 1024;
/** What is shorter is not masked in logs: it would stand in every other line. */
const VALUE_MIN = 4;

const SetSecretInput = z.object({
  value: z
    .string()
    .regex(/^[^\0]*$/, 'must not contain NUL')
    .refine((value) => value.trim().length >= VALUE_MIN, {
      message: `must have at least ${VALUE_MIN} characters: shorter values could not be masked in logs`,
    })
    .refine((value) => Buffer.byteLength(value) <= VALUE_MAX_BYTES, {
      message: `must have at most ${VALUE_MAX_BYTES} bytes`,
    }),
});

const WorkspaceQuery = z.object({
  /** Id or name. */
  workspace: z.string().max(128).optional(),
});

/** A secret as lists show it. */
export interface SecretInfo {
  secretName: string;
  workspaceId: string;
  createdAt: string;
  /** When its value was set last; instances that started before have the one before. */
  updatedAt: string;
}

/** New or anew. Instances that run keep the value they started with. */
export async function setSecret(call: Call): Promise<SecretInfo> {
  const name = secretName(call);
  const { workspace } = parseQuery(WorkspaceQuery, call.query);
  const { id: workspaceId } = await workspaceOf(call, workspace);
  const body = await call.json();
  // Said here, without what was seen: a value that stands alone is the secret itself.
  if (body === null || typeof body !== 'object' || Array.isArray(body))
    throw new RunsteadError('ERR_VALIDATION_FAILED', 'The body must be a JSON object such as {"value":"…"}');
  const { value } = parse(SetSecretInput, body);
  warnOfUnknown(call, SetSecretInput, body);
  const at = new Date().toISOString();
  const secret = await call.deps.store.setSecret({ workspaceId, name, value, at }).catch((error: unknown) => {
    throw error instanceof NoSuchWorkspace ? noSuchWorkspace(workspace ?? workspaceId) : error;
  });
  return toWire(secret);
}

export async function listSecrets(call: Call): Promise<{ items: SecretInfo[] }> {
  const { workspace } = parseQuery(WorkspaceQuery, call.query);
  const asked = workspace === undefined ? [] : [(await workspaceOf(call, workspace)).id];
  const reachable = withinReach(call, asked);
  if (reachable === 'none') return { items: [] };
  return { items: (await call.deps.store.listSecrets(reachable)).map(toWire) };
}

/**
 * Removes a secret, also one that is in use: what has leaked must be removable at once. Instances that run keep it; who
 * cannot be started any more without it is told.
 */
export async function deleteSecret(call: Call): Promise<SecretInfo & { usedBy: string[] }> {
  const name = secretName(call);
  const { workspace } = parseQuery(WorkspaceQuery, call.query);
  const { id: workspaceId, name: workspaceName } = await workspaceOf(call, workspace);
  const secret = await call.deps.store.removeSecret(workspaceId, name);
  if (!secret) {
    throw new RunsteadError(
      'ERR_NOT_FOUND',
      `Secret '${name}' of workspace '${workspaceName}' does not exist (not found)`,
    );
  }
  const usedBy = await runtimesUsing(call.deps.store, workspaceId, name);
  if (usedBy.length > 0) {
    const more = usedBy.length > NAMED ? ` and ${usedBy.length - NAMED} more` : '';
    call.warn(
      `runtimes that refer to this secret cannot be started any more until it is set again: ${usedBy.slice(0, NAMED).join(', ')}${more}`,
    );
  }
  return { ...toWire(secret), usedBy };
}

/** So many are told by name in a warning. */
const NAMED = 10;
const PAGE_SIZE = 100;

/** Names of runtimes of which the desired configuration or a version refers to the secret. */
async function runtimesUsing(store: Store, workspaceId: string, name: string): Promise<string[]> {
  const using: string[] = [];
  let after: { createdAt: string; id: string } | undefined;
  for (;;) {
    const page = { pageNumber: 1, pageSize: PAGE_SIZE, after };
    const { items } = await store.listRuntimes({ workspaceIds: [workspaceId] }, page);
    for (const runtime of items) {
      const specs = [runtime.spec, ...(await store.versions(runtime.id)).map(({ spec }) => spec)];
      const refers = specs.some(({ environmentVariables = {} }) =>
        [...secretReferences(environmentVariables).values()].includes(name),
      );
      if (refers) using.push(runtime.name);
    }
    if (items.length < PAGE_SIZE) return using.sort();
    after = items.at(-1);
  }
}

/**
 * Of a configuration, the secrets it refers to that its workspace does not have: no fault yet, as they may be set before
 * anything starts.
 */
export async function warnOfMissingSecrets(
  call: Call,
  workspaceId: string,
  variables: Readonly<Record<string, string>> | undefined,
): Promise<void> {
  const names = new Set(secretReferences(variables ?? {}).values());
  if (names.size === 0) return;
  const known = new Set((await call.deps.store.listSecrets([workspaceId])).map(({ name }) => name));
  const missing = [...names].filter((name) => !known.has(name)).sort();
  if (missing.length === 0) return;
  call.warn(
    `environmentVariables refer to secrets that the runtime's workspace does not have yet: ${missing.join(', ')}; without them it cannot start`,
  );
}

/** @throws RunsteadError ERR_BAD_REQUEST; the text is not shown, as it may be the secret, put in the wrong place */
function secretName({ parameters }: Call): string {
  const name = parameters.secretName ?? '';
  if (SECRET_NAME_PATTERN.test(name) && !isSecret(name)) return name;
  throw new RunsteadError(
    'ERR_BAD_REQUEST',
    `secretName must be ${SECRET_NAME_FORM} (got ${name.length} characters that are not shown)`,
  );
}

/**
 * The workspace that is named by id or name; without one, the only one of the caller's key, else the default one.
 * @throws RunsteadError ERR_VALIDATION_FAILED
 */
async function workspaceOf({ deps, principal }: Call, named: string | undefined): Promise<WorkspaceRecord> {
  const { workspaces } = principal;
  const [only, ...others] = workspaces === 'all' ? [] : workspaces;
  const wanted = named ?? (others.length === 0 ? only : undefined);
  if (wanted === undefined) {
    const workspace = await deps.store.defaultWorkspace();
    if (reaches(workspaces, workspace.id)) return workspace;
    throw new RunsteadError(
      'ERR_VALIDATION_FAILED',
      'workspace is required: the key that was used is for several workspaces, and the default one is none of them',
    );
  }
  const workspace = isUuid(wanted)
    ? await deps.store.getWorkspace(wanted.toLowerCase())
    : await deps.store.workspaceByName(wanted);
  if (!workspace || !reaches(workspaces, workspace.id)) throw noSuchWorkspace(wanted);
  return workspace;
}

/** As with keys: one beyond the caller's reach reads the same. */
function noSuchWorkspace(named: string): RunsteadError {
  return new RunsteadError(
    'ERR_VALIDATION_FAILED',
    `workspace names no workspace; ListWorkspaces has those there are (got ${shortened(JSON.stringify(named))})`,
  );
}

function toWire({ name, workspaceId, createdAt, updatedAt }: SecretRecord): SecretInfo {
  return { secretName: name, workspaceId, createdAt, updatedAt };
}
