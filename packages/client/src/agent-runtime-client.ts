import { type AccessToken, type AccessTokenInput, getAccessToken } from './access-token.ts';
import { AgentRuntime } from './agent-runtime.ts';
import { AgentRuntimeEndpoint } from './agent-runtime-endpoint.ts';
import { type Caller, CallerMemory, callerOf } from './caller.ts';
import type { ChatCompletion, ChatCompletionStream, InvokeOpenaiRequest } from './chat-completion.ts';
import { type Config, type CreateConfig, mergeConfigs } from './config/config.ts';
import { invokeOpenai } from './data-plane.ts';
import type { AgentRuntimeCreateInput, AgentRuntimeEndpointCreateInput } from './defaults.ts';
import { ValueError } from './errors.ts';
import type { ListAll, ListPromise } from './lists.ts';
import { type OpenaiOptions, openaiOptions } from './openai-options.ts';
import * as operations from './operations.ts';
import { ApiPromise } from './transport/api-promise.ts';
import { controlCall } from './transport/send.ts';
import type {
  AgentRuntimeEndpointListInput,
  AgentRuntimeVersion,
  AgentRuntimeVersionListInput,
  CreateWorkspaceInput,
  PageInput,
  PublishRuntimeVersionInput,
  UpdateAgentRuntimeEndpointInput,
  UpdateAgentRuntimeInput,
  UpdateWorkspaceInput,
  Workspace,
  WorkspaceListInput,
} from './wire.ts';
import type { AgentRuntimeListFilter, AgentRuntimeListRequest, WorkspaceName } from './workspace-names.ts';
import * as workspaces from './workspaces.ts';

/** Of a request to a path that has no method here. */
export interface RequestOptions {
  query?: object | undefined;
  /** Sent as JSON. */
  body?: object | undefined;
}

/**
 * The agent-runtime API: each operation one method and one promise, whose `withResponse()` also gives the HTTP answer.
 * `config` of a call is laid over the client's, field by field.
 *
 * Every operation rejects with an `AgentRunError`; see `errors.ts`.
 *
 * @example
 * const client = new AgentRuntimeClient();
 * const runtime = await client.create({ agentRuntimeName: 'hello', codeConfiguration: await codeFromFile('./agent', { language: 'nodejs20' }) });
 * await runtime.waitUntilReadyOrFailed();
 * const answer = await client.invokeOpenai('hello', 'Default', { messages: [{ role: 'user', content: 'Hi' }] });
 */
export class AgentRuntimeClient {
  #caller: Caller;

  constructor(config: Config = {}) {
    refuseKeyForAll(config);
    this.#caller = { config, memory: new CallerMemory() };
  }

  /** This client with other settings laid over its own. */
  withConfig(config: Config): AgentRuntimeClient {
    refuseKeyForAll(config);
    const client = new AgentRuntimeClient();
    client.#caller = { ...this.#caller, config: mergeConfigs(this.#caller.config, config) };
    return client;
  }

  /** Answers at once, in `CREATING`. Left out: 2 vCPU, 4096 MiB, port 9000, network `PUBLIC`. */
  create(input: AgentRuntimeCreateInput & WorkspaceName, config?: CreateConfig): ApiPromise<AgentRuntime> {
    return operations.createRuntime(this.#caller, input, config, this.#runtime(config));
  }

  /**
   * Answers at once; gone when `get` rejects. May be repeated. Runstead deletes what lies under the runtime with it; where
   * a server does not, `AgentRuntime.deleteById` does.
   */
  delete(id: string, config?: Config): ApiPromise<AgentRuntime> {
    return operations.deleteRuntime(this.#caller, id, config, this.#runtime(config));
  }

  /** Merges onto what is wanted now; sends only what `input` has. Answers at once, in `UPDATING`. */
  update(id: string, input: UpdateAgentRuntimeInput, config?: Config): ApiPromise<AgentRuntime> {
    return operations.updateRuntime(this.#caller, id, input, config, this.#runtime(config));
  }

  get(id: string, config?: operations.GetAgentRuntimeConfig): ApiPromise<AgentRuntime> {
    return operations.getRuntime(this.#caller, id, config, this.#runtime(config));
  }

  /** Awaited: one page, newest first; left out: page 1 of 50. In `for await`: every runtime from that page on. */
  list(input?: AgentRuntimeListRequest, config?: Config): ListPromise<AgentRuntime> {
    return operations.listRuntimes(this.#caller, input, config, this.#runtime(config));
  }

  /** Every runtime, on whatever number of pages: an array when awaited, or `for await`. */
  listAll(filter?: AgentRuntimeListFilter, config?: Config): ListAll<AgentRuntime> {
    return operations.listAllRuntimes(this.#caller, filter, config, this.#runtime(config));
  }

  /** Left out: `targetVersion` is `LATEST`, unless the weights leave nothing over for it. */
  createEndpoint(
    agentRuntimeId: string,
    endpoint: AgentRuntimeEndpointCreateInput,
    config?: CreateConfig,
  ): ApiPromise<AgentRuntimeEndpoint> {
    const make = this.#endpoint(agentRuntimeId, config);
    return operations.createEndpoint(this.#caller, agentRuntimeId, endpoint, config, make);
  }

  deleteEndpoint(
    agentRuntimeId: string,
    endpointId: string,
    config?: Config,
  ): ApiPromise<AgentRuntimeEndpoint> {
    const make = this.#endpoint(agentRuntimeId, config);
    return operations.deleteEndpoint(this.#caller, agentRuntimeId, endpointId, config, make);
  }

  /** Sends only what `endpoint` has. */
  updateEndpoint(
    agentRuntimeId: string,
    endpointId: string,
    endpoint: UpdateAgentRuntimeEndpointInput,
    config?: Config,
  ): ApiPromise<AgentRuntimeEndpoint> {
    const make = this.#endpoint(agentRuntimeId, config);
    return operations.updateEndpoint(this.#caller, agentRuntimeId, endpointId, endpoint, config, make);
  }

  getEndpoint(agentRuntimeId: string, endpointId: string, config?: Config): ApiPromise<AgentRuntimeEndpoint> {
    const make = this.#endpoint(agentRuntimeId, config);
    return operations.getEndpoint(this.#caller, agentRuntimeId, endpointId, config, make);
  }

  /** As `list`. */
  listEndpoints(
    agentRuntimeId: string,
    input?: AgentRuntimeEndpointListInput,
    config?: Config,
  ): ListPromise<AgentRuntimeEndpoint> {
    const make = this.#endpoint(agentRuntimeId, config);
    return operations.listEndpoints(this.#caller, agentRuntimeId, input, config, make);
  }

  /** As `listAll`. */
  listAllEndpoints(
    agentRuntimeId: string,
    filter?: Omit<AgentRuntimeEndpointListInput, keyof PageInput>,
    config?: Config,
  ): ListAll<AgentRuntimeEndpoint> {
    const make = this.#endpoint(agentRuntimeId, config);
    return operations.listAllEndpoints(this.#caller, agentRuntimeId, filter, config, make);
  }

  /** As `list`. */
  listVersions(
    agentRuntimeId: string,
    input?: AgentRuntimeVersionListInput,
    config?: Config,
  ): ListPromise<AgentRuntimeVersion> {
    return operations.listVersions(this.#caller, agentRuntimeId, input, config);
  }

  /** As `listAll`. */
  listAllVersions(agentRuntimeId: string, config?: Config): ListAll<AgentRuntimeVersion> {
    return operations.listAllVersions(this.#caller, agentRuntimeId, config);
  }

  /** Stamps a description and a publisher on the newest version. */
  publishVersion(
    agentRuntimeId: string,
    input: PublishRuntimeVersionInput = {},
    config?: CreateConfig,
  ): ApiPromise<AgentRuntimeVersion> {
    return operations.publishVersion(this.#caller, agentRuntimeId, input, config);
  }

  createWorkspace(input: CreateWorkspaceInput, config?: CreateConfig): ApiPromise<Workspace> {
    return workspaces.createWorkspace(this.#caller, input, config);
  }

  getWorkspace(workspaceId: string, config?: Config): ApiPromise<Workspace> {
    return workspaces.getWorkspace(this.#caller, workspaceId, config);
  }

  updateWorkspace(workspaceId: string, input: UpdateWorkspaceInput, config?: Config): ApiPromise<Workspace> {
    return workspaces.updateWorkspace(this.#caller, workspaceId, input, config);
  }

  deleteWorkspace(workspaceId: string, config?: Config): ApiPromise<Workspace> {
    return workspaces.deleteWorkspace(this.#caller, workspaceId, config);
  }

  /** As `list`. */
  listWorkspaces(input?: WorkspaceListInput, config?: Config): ListPromise<Workspace> {
    return workspaces.listWorkspaces(this.#caller, input, config);
  }

  /** As `listAll`. */
  listAllWorkspaces(filter?: Omit<WorkspaceListInput, keyof PageInput>, config?: Config): ListAll<Workspace> {
    return workspaces.listAllWorkspaces(this.#caller, filter, config);
  }

  /** A token that opens one runtime to whoever has it: the setting `token`. */
  getAccessToken(input: AccessTokenInput, config?: Config): ApiPromise<AccessToken> {
    return getAccessToken(this.#caller, input, config);
  }

  /**
   * A chat completion from the agent itself. With `stream: true` the promise fulfils when the answer begins; leaving
   * the loop cancels the agent's work.
   * @param agentRuntimeName a name, not an id
   */
  invokeOpenai(
    agentRuntimeName: string,
    agentRuntimeEndpointName: string | undefined,
    request: InvokeOpenaiRequest & { stream: true },
  ): ApiPromise<ChatCompletionStream>;
  invokeOpenai(
    agentRuntimeName: string,
    agentRuntimeEndpointName: string | undefined,
    request: InvokeOpenaiRequest & { stream?: false | undefined },
  ): ApiPromise<ChatCompletion>;
  invokeOpenai(
    agentRuntimeName: string,
    agentRuntimeEndpointName: string | undefined,
    request: InvokeOpenaiRequest,
  ): ApiPromise<ChatCompletion | ChatCompletionStream>;
  invokeOpenai(
    agentRuntimeName: string,
    agentRuntimeEndpointName: string | undefined,
    request: InvokeOpenaiRequest,
  ): ApiPromise<ChatCompletion | ChatCompletionStream> {
    return invokeOpenai(this.#caller, agentRuntimeName, agentRuntimeEndpointName ?? 'Default', request);
  }

  /**
   * What clients of the OpenAI API need to call an agent: `new OpenAI(client.openai('hello'))`.
   * @throws ValueError
   */
  openai(agentRuntimeName: string, agentRuntimeEndpointName = 'Default', config?: Config): OpenaiOptions {
    return openaiOptions(this.#caller, agentRuntimeName, agentRuntimeEndpointName, config);
  }

  /**
   * Any other request to the control plane, such as `/runstead/v1/keys` of a Runstead server; gives the answer's `data`.
   * @param path percent-encoded, with its leading slash
   */
  request<T = Record<string, unknown>>(
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    path: string,
    options: RequestOptions = {},
    config?: CreateConfig,
  ): ApiPromise<T> {
    const build = () => {
      if (!path.startsWith('/')) throw new ValueError(`path must begin with "/": ${path}`);
      return { ...options, method, path, idempotencyKey: config?.idempotencyKey };
    };
    return new ApiPromise(controlCall(this.#caller, config, build, (data) => data as T));
  }

  #runtime(config: Config | undefined) {
    return AgentRuntime.of(callerOf(this.#caller, config));
  }

  #endpoint(agentRuntimeId: string, config: Config | undefined) {
    return AgentRuntimeEndpoint.of(callerOf(this.#caller, config), agentRuntimeId);
  }
}

/** One key for all creates would make all of them the first. */
function refuseKeyForAll(config: CreateConfig): void {
  if (config.idempotencyKey === undefined) return;
  throw new ValueError('idempotencyKey belongs to one call: give it to the call that it is for');
}
