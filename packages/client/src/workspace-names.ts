import type { Caller } from './caller.ts';
import type { Config } from './config/config.ts';
import { ResourceNotExistError, ValueError } from './errors.ts';
import { ALL_PAGE_SIZE } from './lists.ts';
import type { Run } from './transport/api-promise.ts';
import { ApiPromise } from './transport/api-promise.ts';
import { identityOf, resolveCall } from './transport/call-settings.ts';
import { callDeadline } from './transport/deadline.ts';
import type { AgentRuntimeListInput, PageInput } from './wire.ts';
import { workspacePage } from './workspaces.ts';

/** A workspace by its name, in place of `workspaceId`; looked up before the call (contract: workspace names). */
export interface WorkspaceName {
  workspaceName?: string | undefined;
}

export interface AgentRuntimeListRequest extends AgentRuntimeListInput, WorkspaceName {
  /** Several, joined by commas, in place of `workspaceIds`. */
  workspaceNames?: string | undefined;
}

export type AgentRuntimeListFilter = Omit<AgentRuntimeListRequest, keyof PageInput>;

/** Pages of workspaces that are looked through for a name. */
const MAX_PAGES = 20;

/** Puts the id in the place of the name; both lookup and call have to fit into the call's time. */
export function withWorkspaceId<Input extends WorkspaceName & { workspaceId?: string | undefined }, T>(
  caller: Caller,
  input: Input,
  config: Config | undefined,
  run: (input: Omit<Input, 'workspaceName'>, config: Config | undefined) => Run<T>,
): Run<T> {
  const { workspaceName, ...rest } = input ?? {};
  if (!workspaceName) return run(rest, config);
  return lookedUp(caller, config, async (timed) => {
    refuseBoth('workspaceName', 'workspaceId', input.workspaceId);
    const workspaceId = await workspaceIdOf(caller, workspaceName, timed());
    return run({ ...rest, workspaceId }, timed());
  });
}

export function withWorkspaceIds<T>(
  caller: Caller,
  input: AgentRuntimeListRequest | undefined,
  config: Config | undefined,
  run: (input: AgentRuntimeListInput | undefined, config: Config | undefined) => Run<T>,
): Run<T> {
  const { workspaceNames, ...rest } = input ?? {};
  const names = (workspaceNames ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
  if (names.length === 0) return withWorkspaceId(caller, rest, config, run);
  return lookedUp(caller, config, async (timed) => {
    refuseBoth('workspaceNames', 'workspaceIds', rest.workspaceIds);
    const ids: string[] = [];
    for (const name of names) ids.push(await workspaceIdOf(caller, name, timed()));
    return withWorkspaceId(caller, { ...rest, workspaceIds: ids.join(',') }, timed(), run);
  });
}

function lookedUp<T>(
  caller: Caller,
  config: Config | undefined,
  prepare: (timed: () => Config) => Promise<Run<T>>,
): Run<T> {
  return async (wanted) => {
    const run = await prepare(callDeadline(caller, config));
    return run(wanted);
  };
}

function refuseBoth(name: string, id: string, given: unknown): void {
  if (given) throw new ValueError(`${name} and ${id} cannot be given together`);
}

/**
 * Exact match, done here: servers may match parts of names.
 * @throws ResourceNotExistError, ValueError where several workspaces have the name
 */
async function workspaceIdOf(caller: Caller, name: string, config: Config): Promise<string> {
  const { memory } = caller;
  const key = `${identityOf(resolveCall('control', caller.config, config))} ${name}`;
  const known = memory.workspaceIds.get(key);
  if (known !== undefined) return known;
  const ids = new Set<string>();
  for (let pageNumber = 1; pageNumber <= MAX_PAGES; pageNumber++) {
    const query = { name, pageNumber, pageSize: ALL_PAGE_SIZE };
    const page = await new ApiPromise(workspacePage(caller, query, config));
    for (const workspace of page) {
      if (workspace.name === name && workspace.workspaceId) ids.add(workspace.workspaceId);
    }
    if (page.length < ALL_PAGE_SIZE) break;
  }
  const [id, another] = ids;
  if (id === undefined) {
    throw new ResourceNotExistError(`Workspace '${name}' does not exist`, { type: 'Workspace', id: name });
  }
  if (another !== undefined) {
    throw new ValueError(
      `${ids.size} workspaces are called '${name}': give workspaceId (${[...ids].join(', ')})`,
    );
  }
  memory.workspaceIds.set(key, id);
  return id;
}
