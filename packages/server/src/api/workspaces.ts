import { randomUUID } from 'node:crypto';
import {
  CreateWorkspaceInput,
  ListWorkspacesQuery,
  RunsteadError,
  UpdateWorkspaceInput,
  type Workspace,
  type WorkspacePage,
} from '@runstead/contract';
import { reaches } from '../auth/keys.ts';
import { workspaceArn } from '../domain/names.ts';
import { defined } from '../domain/runtime.ts';
import { NameTaken, type WorkspaceRecord } from '../store/store.ts';
import type { Call } from './call.ts';
import { type Keep, once } from './idempotency.ts';
import { idParameter, withinReach } from './ids.ts';
import { pageRequest, readPage, toPage } from './page.ts';
import { parse, parseQuery, warnOfUnknown } from './parse.ts';

export async function createWorkspace(call: Call): Promise<Workspace> {
  return once(call, (keep) => create(call, keep));
}

async function create(call: Call, keep: Keep<Workspace>): Promise<Workspace> {
  const body = await call.json();
  const input = parse(CreateWorkspaceInput, body);
  warnOfUnknown(call, CreateWorkspaceInput, body);
  const workspace = await call.deps.store
    .createWorkspace(
      { id: randomUUID(), ...input, at: new Date().toISOString() },
      keep((created: WorkspaceRecord) => toWire(call, created)),
    )
    .catch((error: unknown) => {
      if (!(error instanceof NameTaken)) throw error;
      throw new RunsteadError('ERR_ALREADY_EXISTS', `Workspace '${input.name}' already exists`);
    });
  return toWire(call, workspace);
}

export async function getWorkspace(call: Call): Promise<Workspace> {
  return toWire(call, await requireWorkspace(call));
}

/** A list like the others, but for the name of its array (contract: envelopes). */
export async function listWorkspaces(call: Call): Promise<WorkspacePage<Workspace>> {
  const { name, resourceGroupId, ...query } = parseQuery(ListWorkspacesQuery, call.query);
  const page = pageRequest(query, call);
  const reachable = withinReach(call, []);
  if (reachable === 'none') return { workspaces: [], total: 0, ...page };
  const filter = { name, resourceGroupId, ids: reachable };
  const result = await readPage(call, 'ListWorkspaces', filter, page, (request) =>
    call.deps.store.listWorkspaces(filter, request),
  );
  const { items, ...place } = toPage(result, page, (workspace) => toWire(call, workspace));
  return { workspaces: items, ...place };
}

export async function updateWorkspace(call: Call): Promise<Workspace> {
  const { id } = await requireWorkspace(call);
  const body = await call.json();
  const { description } = parse(UpdateWorkspaceInput, body);
  warnOfUnknown(call, UpdateWorkspaceInput, body);
  const workspace = await call.deps.store.updateWorkspace(id, { description, at: new Date().toISOString() });
  if (!workspace) throw noSuchWorkspace(id);
  return toWire(call, workspace);
}

export async function deleteWorkspace(call: Call): Promise<Workspace> {
  const { store } = call.deps;
  const workspace = await requireWorkspace(call);
  if (workspace.isDefault) {
    throw new RunsteadError(
      'ERR_WORKSPACE_IN_USE',
      `Workspace '${workspace.name}' is the default one, where runtimes go whose creator names none: it stays`,
    );
  }
  if (await store.removeWorkspace(workspace.id)) return toWire(call, workspace);
  const contents = await describeContents(call, workspace);
  // The last runtime left, or another caller was quicker, since the attempt: the next look tells which.
  if (contents === undefined) return deleteWorkspace(call);
  throw new RunsteadError('ERR_WORKSPACE_IN_USE', contents);
}

/** So many are told by name. */
const NAMED = 5;

async function describeContents(
  { deps: { store } }: Call,
  { id, name }: WorkspaceRecord,
): Promise<string | undefined> {
  const page = { pageNumber: 1, pageSize: NAMED };
  const { items, total } = await store.listRuntimes({ workspaceIds: [id] }, page);
  if (total === 0) return undefined;
  const names = items.map((runtime) => `${runtime.name} (${runtime.status})`).join(', ');
  const more = total > items.length ? ` and ${total - items.length} more` : '';
  return `Workspace '${name}' still holds ${total} runtime${total === 1 ? '' : 's'}: ${names}${more}. Delete them, or move them by UpdateAgentRuntime with another workspaceId`;
}

async function requireWorkspace(call: Call): Promise<WorkspaceRecord> {
  const id = idParameter(call, 'workspaceId');
  const workspace = await call.deps.store.getWorkspace(id);
  if (!workspace || !reaches(call.principal.workspaces, workspace.id)) throw noSuchWorkspace(id);
  return workspace;
}

function noSuchWorkspace(id: string): RunsteadError {
  return new RunsteadError('ERR_NOT_FOUND', `Workspace '${id}' does not exist (not found)`);
}

function toWire(call: Call, workspace: WorkspaceRecord): Workspace {
  const { id, name, description, resourceGroupId, isDefault, createdAt, updatedAt } = workspace;
  return defined({
    workspaceId: id,
    workspaceArn: workspaceArn(call.deps.identity, id),
    name,
    description,
    isDefault,
    resourceGroupId,
    createdAt,
    updatedAt,
  });
}
