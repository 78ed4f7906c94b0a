import type { Caller } from './caller.ts';
import type { Config, CreateConfig } from './config/config.ts';
import type { ResourceReference } from './errors.ts';
import { ListAll, ListPromise, type ListResult, listResult } from './lists.ts';
import { pathSegment } from './path-segment.ts';
import { ApiPromise, type Run } from './transport/api-promise.ts';
import { controlCall } from './transport/send.ts';

/** Workspaces (contract: operations, data models). */

export interface Workspace {
  workspaceId?: string;
  workspaceArn?: string;
  name?: string;
  description?: string;
  /** Whether runtimes that name no workspace go here. */
  isDefault?: boolean;
  /** ISO 8601 with fractional seconds and a zone. */
  createdAt?: string;
  updatedAt?: string;
  resourceGroupId?: string;
}

export interface WorkspaceCreateInput {
  name: string;
  description?: string | undefined;
  resourceGroupId?: string | undefined;
}

export interface WorkspaceUpdateInput {
  name?: string | undefined;
  description?: string | undefined;
}

export interface WorkspaceListInput {
  name?: string | undefined;
  pageNumber?: number | undefined;
  pageSize?: number | undefined;
  resourceGroupId?: string | undefined;
}

const WORKSPACES = '/2025-09-10/workspaces';

export function createWorkspace(
  caller: Caller,
  input: WorkspaceCreateInput,
  config: CreateConfig | undefined,
): ApiPromise<Workspace> {
  const build = () => ({
    method: 'POST',
    path: WORKSPACES,
    action: 'CreateWorkspace',
    body: input,
    idempotencyKey: config?.idempotencyKey,
    makesKey: true,
    resource: workspace(input.name),
  });
  return new ApiPromise(controlCall(caller, config, build, (data) => data as Workspace));
}

export function getWorkspace(caller: Caller, id: string, config: Config | undefined): ApiPromise<Workspace> {
  return one(caller, 'GET', 'GetWorkspace', id, undefined, config);
}

export function updateWorkspace(
  caller: Caller,
  id: string,
  input: WorkspaceUpdateInput,
  config: Config | undefined,
): ApiPromise<Workspace> {
  caller.memory.workspaceIds.clear();
  return one(caller, 'PUT', 'UpdateWorkspace', id, input, config);
}

export function deleteWorkspace(
  caller: Caller,
  id: string,
  config: Config | undefined,
): ApiPromise<Workspace> {
  caller.memory.workspaceIds.clear();
  return one(caller, 'DELETE', 'DeleteWorkspace', id, undefined, config);
}

export function listWorkspaces(
  caller: Caller,
  input: WorkspaceListInput | undefined,
  config: Config | undefined,
): ListPromise<Workspace> {
  const given = { ...input };
  return new ListPromise(workspacePage(caller, given, config), {
    page: (pageNumber) => new ApiPromise(workspacePage(caller, { ...given, pageNumber }, config)),
    firstPage: given.pageNumber ?? 1,
    pageSize: given.pageSize,
    idOf: ({ workspaceId }) => workspaceId,
  });
}

export function listAllWorkspaces(
  caller: Caller,
  filter: Omit<WorkspaceListInput, 'pageNumber' | 'pageSize'> | undefined,
  config: Config | undefined,
): ListAll<Workspace> {
  const given = { ...filter };
  return new ListAll(
    given,
    (pageNumber, pageSize) => listWorkspaces(caller, { ...given, pageNumber, pageSize }, config),
    ({ workspaceId }) => workspaceId,
  );
}

/** Unlike other lists, this one is called `workspaces` in the answer. */
export function workspacePage(
  caller: Caller,
  query: object,
  config: Config | undefined,
): Run<ListResult<Workspace>> {
  const build = () => ({ method: 'GET', path: WORKSPACES, action: 'ListWorkspaces', query });
  return controlCall(caller, config, build, ({ workspaces, ...numbers }) =>
    listResult<Workspace>({ ...numbers, items: objects(workspaces) }),
  );
}

function objects(rows: unknown): Workspace[] {
  return (Array.isArray(rows) ? rows : []).filter((row) => typeof row === 'object' && row !== null);
}

function one(
  caller: Caller,
  method: string,
  action: string,
  id: string,
  body: object | undefined,
  config: Config | undefined,
): ApiPromise<Workspace> {
  const build = () => ({
    method,
    action,
    path: `${WORKSPACES}/${encodeURIComponent(pathSegment('workspaceId', id))}`,
    body,
    resource: workspace(id),
  });
  return new ApiPromise(controlCall(caller, config, build, (data) => data as Workspace));
}

function workspace(id: string): ResourceReference {
  return { type: 'Workspace', id };
}
