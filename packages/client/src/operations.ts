import type { Caller } from './caller.ts';
import type { Config, CreateConfig } from './config/config.ts';
import {
  type AgentRuntimeCreateInput,
  type AgentRuntimeEndpointCreateInput,
  withEndpointDefaults,
  withRuntimeDefaults,
} from './defaults.ts';
import type { ResourceReference } from './errors.ts';
import { ListAll, ListPromise, type ListResult, listResult } from './lists.ts';
import { pathSegment } from './path-segment.ts';
import { ApiPromise, type Run } from './transport/api-promise.ts';
import { type ControlCall, controlCall, operation } from './transport/send.ts';
import type {
  AgentRuntime as AgentRuntimeData,
  AgentRuntimeEndpoint as AgentRuntimeEndpointData,
  AgentRuntimeEndpointListInput,
  AgentRuntimeVersion,
  AgentRuntimeVersionListInput,
  Page,
  PageInput,
  PublishRuntimeVersionInput,
  UpdateAgentRuntimeEndpointInput,
  UpdateAgentRuntimeInput,
} from './wire.ts';
import {
  type AgentRuntimeListFilter,
  type AgentRuntimeListRequest,
  type WorkspaceName,
  withWorkspaceId,
  withWorkspaceIds,
} from './workspace-names.ts';

/**
 * The operations on runtimes, endpoints and versions, each once: clients and resource objects only say what their answers
 * are made into. Inputs are copied when the call is made.
 */

type Make<Data, T> = (data: Data) => T;

export interface GetAgentRuntimeConfig extends Config {
  /** `"1"`, `"2"` … or `LATEST`: that version as it is. Absent: the runtime as it is wanted now. */
  agentRuntimeVersion?: string | undefined;
}

export function createRuntime<T>(
  caller: Caller,
  input: AgentRuntimeCreateInput & WorkspaceName,
  config: CreateConfig | undefined,
  make: Make<AgentRuntimeData, T>,
): ApiPromise<T> {
  const run = withWorkspaceId(caller, input, config, (named, settings) =>
    controlCall(
      caller,
      settings,
      () =>
        operation('CreateAgentRuntime', {
          path: {},
          body: withRuntimeDefaults(named),
          idempotencyKey: config?.idempotencyKey,
          resource: runtime(named.agentRuntimeName),
        }),
      (data) => make(data as AgentRuntimeData),
    ),
  );
  return new ApiPromise(run);
}

/** @param before what has to be done first */
export function deleteRuntime<T>(
  caller: Caller,
  id: string,
  config: Config | undefined,
  make: Make<AgentRuntimeData, T>,
  before?: () => Promise<void>,
): ApiPromise<T> {
  const run = controlCall(
    caller,
    config,
    () => operation('DeleteAgentRuntime', { path: runtimePath(id), resource: runtime(id) }),
    (data) => make(data as AgentRuntimeData),
  );
  return new ApiPromise(async (wanted) => {
    await before?.();
    return run(wanted);
  });
}

export function updateRuntime<T>(
  caller: Caller,
  id: string,
  input: UpdateAgentRuntimeInput,
  config: Config | undefined,
  make: Make<AgentRuntimeData, T>,
): ApiPromise<T> {
  return call(caller, config, make, () =>
    operation('UpdateAgentRuntime', { path: runtimePath(id), body: input, resource: runtime(id) }),
  );
}

export function getRuntime<T>(
  caller: Caller,
  id: string,
  config: GetAgentRuntimeConfig | undefined,
  make: Make<AgentRuntimeData, T>,
): ApiPromise<T> {
  const { agentRuntimeVersion, ...settings } = config ?? {};
  return call(caller, settings, make, () =>
    operation('GetAgentRuntime', {
      path: runtimePath(id),
      query: { agentRuntimeVersion },
      resource: runtime(id),
    }),
  );
}

export function listRuntimes<T extends AgentRuntimeData>(
  caller: Caller,
  input: AgentRuntimeListRequest | undefined,
  config: Config | undefined,
  make: Make<AgentRuntimeData, T>,
): ListPromise<T> {
  const send = (request: AgentRuntimeListRequest | undefined) =>
    withWorkspaceIds(caller, request, config, (query, settings) =>
      page(caller, settings, make, () => operation('ListAgentRuntimes', { path: {}, query })),
    );
  return pages(input, send, runtimeId);
}

export function listAllRuntimes<T extends AgentRuntimeData>(
  caller: Caller,
  filter: AgentRuntimeListFilter | undefined,
  config: Config | undefined,
  make: Make<AgentRuntimeData, T>,
): ListAll<T> {
  return all(filter, (input) => listRuntimes(caller, input, config, make), runtimeId);
}

export function createEndpoint<T>(
  caller: Caller,
  agentRuntimeId: string,
  endpoint: AgentRuntimeEndpointCreateInput,
  config: CreateConfig | undefined,
  make: Make<AgentRuntimeEndpointData, T>,
): ApiPromise<T> {
  return call(caller, config, make, () =>
    operation('CreateAgentRuntimeEndpoint', {
      path: runtimePath(agentRuntimeId),
      body: withEndpointDefaults(endpoint),
      idempotencyKey: config?.idempotencyKey,
      resource: endpointOf(agentRuntimeId, endpoint.agentRuntimeEndpointName),
    }),
  );
}

export function deleteEndpoint<T>(
  caller: Caller,
  agentRuntimeId: string,
  endpointId: string,
  config: Config | undefined,
  make: Make<AgentRuntimeEndpointData, T>,
): ApiPromise<T> {
  return call(caller, config, make, () =>
    operation('DeleteAgentRuntimeEndpoint', endpointCall(agentRuntimeId, endpointId)),
  );
}

export function updateEndpoint<T>(
  caller: Caller,
  agentRuntimeId: string,
  endpointId: string,
  endpoint: UpdateAgentRuntimeEndpointInput,
  config: Config | undefined,
  make: Make<AgentRuntimeEndpointData, T>,
): ApiPromise<T> {
  return call(caller, config, make, () =>
    operation('UpdateAgentRuntimeEndpoint', { ...endpointCall(agentRuntimeId, endpointId), body: endpoint }),
  );
}

export function getEndpoint<T>(
  caller: Caller,
  agentRuntimeId: string,
  endpointId: string,
  config: Config | undefined,
  make: Make<AgentRuntimeEndpointData, T>,
): ApiPromise<T> {
  return call(caller, config, make, () =>
    operation('GetAgentRuntimeEndpoint', endpointCall(agentRuntimeId, endpointId)),
  );
}

export function listEndpoints<T extends AgentRuntimeEndpointData>(
  caller: Caller,
  agentRuntimeId: string,
  input: AgentRuntimeEndpointListInput | undefined,
  config: Config | undefined,
  make: Make<AgentRuntimeEndpointData, T>,
): ListPromise<T> {
  const send = (query: AgentRuntimeEndpointListInput | undefined) =>
    page(caller, config, make, () =>
      operation('ListAgentRuntimeEndpoints', {
        path: runtimePath(agentRuntimeId),
        query,
        resource: runtime(agentRuntimeId),
      }),
    );
  return pages(input, send, (endpoint) => endpoint.agentRuntimeEndpointId);
}

export function listAllEndpoints<T extends AgentRuntimeEndpointData>(
  caller: Caller,
  agentRuntimeId: string,
  filter: Omit<AgentRuntimeEndpointListInput, keyof PageInput> | undefined,
  config: Config | undefined,
  make: Make<AgentRuntimeEndpointData, T>,
): ListAll<T> {
  return all(
    filter,
    (input) => listEndpoints(caller, agentRuntimeId, input, config, make),
    (endpoint) => endpoint.agentRuntimeEndpointId,
  );
}

export function listVersions(
  caller: Caller,
  agentRuntimeId: string,
  input: AgentRuntimeVersionListInput | undefined,
  config: Config | undefined,
): ListPromise<AgentRuntimeVersion> {
  const send = (query: AgentRuntimeVersionListInput | undefined) =>
    page<AgentRuntimeVersion, AgentRuntimeVersion>(caller, config, asItIs, () =>
      operation('ListAgentRuntimeVersions', {
        path: runtimePath(agentRuntimeId),
        query,
        resource: runtime(agentRuntimeId),
      }),
    );
  return pages(input, send, (version) => version.agentRuntimeVersion);
}

export function listAllVersions(
  caller: Caller,
  agentRuntimeId: string,
  config: Config | undefined,
): ListAll<AgentRuntimeVersion> {
  return all(
    undefined,
    (input) => listVersions(caller, agentRuntimeId, input, config),
    (version) => version.agentRuntimeVersion,
  );
}

export function publishVersion(
  caller: Caller,
  agentRuntimeId: string,
  input: PublishRuntimeVersionInput,
  config: CreateConfig | undefined,
): ApiPromise<AgentRuntimeVersion> {
  return call<AgentRuntimeVersion, AgentRuntimeVersion>(caller, config, asItIs, () =>
    operation('PublishRuntimeVersion', {
      path: runtimePath(agentRuntimeId),
      body: input,
      idempotencyKey: config?.idempotencyKey,
      resource: runtime(agentRuntimeId),
    }),
  );
}

export function runtime(id: string): ResourceReference {
  return { type: 'AgentRuntime', id };
}

export function endpointOf(agentRuntimeId: string, endpoint: string): ResourceReference {
  return { type: 'AgentRuntimeEndpoint', id: `${agentRuntimeId}/${endpoint}` };
}

function endpointCall(agentRuntimeId: string, endpointId: string) {
  return { path: endpointPath(agentRuntimeId, endpointId), resource: endpointOf(agentRuntimeId, endpointId) };
}

function runtimePath(agentRuntimeId: string): { agentRuntimeId: string } {
  return { agentRuntimeId: pathSegment('agentRuntimeId', agentRuntimeId) };
}

function endpointPath(agentRuntimeId: string, agentRuntimeEndpointId: string) {
  return {
    ...runtimePath(agentRuntimeId),
    agentRuntimeEndpointId: pathSegment('agentRuntimeEndpointId', agentRuntimeEndpointId),
  };
}

function runtimeId(data: AgentRuntimeData): string | undefined {
  return data.agentRuntimeId;
}

function asItIs<T>(data: T): T {
  return data;
}

function call<Data, T>(
  caller: Caller,
  config: Config | undefined,
  make: Make<Data, T>,
  build: () => ControlCall,
): ApiPromise<T> {
  return new ApiPromise(controlCall(caller, config, build, (data) => make(data as Data)));
}

function page<Data, T>(
  caller: Caller,
  config: Config | undefined,
  make: Make<Data, T>,
  build: () => ControlCall,
): Run<ListResult<T>> {
  return controlCall(caller, config, build, (data) => {
    const { items, ...numbers } = data as unknown as Page<Data>;
    // What is no object is no row.
    const rows = (Array.isArray(items) ? items : []).filter((row) => typeof row === 'object' && row !== null);
    return listResult<T>({ ...numbers, items: rows.map(make) });
  });
}

function pages<Input extends PageInput, T>(
  input: Input | undefined,
  send: (input: Input | undefined) => Run<ListResult<T>>,
  idOf: (row: T) => string | undefined,
): ListPromise<T> {
  const given = input && { ...input };
  return new ListPromise(send(given), {
    page: (pageNumber) => new ApiPromise(send({ ...given, pageNumber } as Input)),
    firstPage: given?.pageNumber ?? 1,
    pageSize: given?.pageSize,
    idOf,
  });
}

function all<Input extends PageInput, T>(
  filter: Omit<Input, keyof PageInput> | undefined,
  list: (input: Input) => ListPromise<T>,
  idOf: (row: T) => string | undefined,
): ListAll<T> {
  const given = filter && { ...filter };
  return new ListAll(
    given,
    (pageNumber, pageSize) => list({ ...given, pageNumber, pageSize } as Input),
    idOf,
  );
}
