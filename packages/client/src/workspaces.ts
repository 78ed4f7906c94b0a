import type { Caller } from './caller.ts';
import type { Config, CreateConfig } from './config/config.ts';
import type { ResourceReference } from './errors.ts';
import { ListAll, ListPromise, type ListResult, listResult } from './lists.ts';
import { pathSegment } from './path-segment.ts';
import { isObject } from './transport/answer.ts';
import { ApiPromise, type Run } from './transport/api-promise.ts';
import { type ControlCall, controlCall, operation } from './transport/send.ts';
import type {
  CreateWorkspaceInput,
  PageInput,
  UpdateWorkspaceInput,
  Workspace,
  WorkspaceListInput,
  WorkspacePage,
} from './wire.ts';

/** The operations on workspaces. */

export function createWorkspace(
  caller: Caller,
  input: CreateWorkspaceInput,
  config: CreateConfig | undefined,
): ApiPromise<Workspace> {
  return one(caller, config, () =>
    operation('CreateWorkspace', {
      path: {},
      body: input,
      idempotencyKey: config?.idempotencyKey,
      resource: workspace(input.name),
    }),
  );
}

export function getWorkspace(caller: Caller, id: string, config: Config | undefined): ApiPromise<Workspace> {
  return one(caller, config, () => operation('GetWorkspace', workspaceCall(id)));
}

export function updateWorkspace(
  caller: Caller,
  id: string,
  input: UpdateWorkspaceInput,
  config: Config | undefined,
): ApiPromise<Workspace> {
  // Runstead's names are for good; another server may take a new one among the fields.
  caller.memory.workspaceIds.clear();
  return one(caller, config, () => operation('UpdateWorkspace', { ...workspaceCall(id), body: input }));
}

export function deleteWorkspace(
  caller: Caller,
  id: string,
  config: Config | undefined,
): ApiPromise<Workspace> {
  caller.memory.workspaceIds.clear();
  return one(caller, config, () => operation('DeleteWorkspace', workspaceCall(id)));
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
  filter: Omit<WorkspaceListInput, keyof PageInput> | undefined,
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
  query: WorkspaceListInput,
  config: Config | undefined,
): Run<ListResult<Workspace>> {
  const build = () => operation('ListWorkspaces', { path: {}, query });
  return controlCall(caller, config, build, (data) => {
    const { workspaces, ...numbers } = data as unknown as WorkspacePage<Workspace>;
    // What is no object is no row.
    const rows = (Array.isArray(workspaces) ? workspaces : []).filter(isObject);
    return listResult<Workspace>({ ...numbers, items: rows });
  });
}

function one(caller: Caller, config: Config | undefined, build: () => ControlCall): ApiPromise<Workspace> {
  return new ApiPromise(controlCall(caller, config, build, (data) => data as Workspace));
}

function workspaceCall(id: string) {
  return { path: { workspaceId: pathSegment('workspaceId', id) }, resource: workspace(id) };
}

function workspace(id: string): ResourceReference {
  return { type: 'Workspace', id };
}
