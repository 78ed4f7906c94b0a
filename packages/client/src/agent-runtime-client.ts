import type {
  AgentRuntime,
  AgentRuntimeEndpoint,
  AgentRuntimeEndpointListInput,
  AgentRuntimeListInput,
  AgentRuntimeVersion,
  AgentRuntimeVersionListInput,
  UpdateAgentRuntimeEndpointInput,
  UpdateAgentRuntimeInput,
} from '@runstead/contract';
import type { ChatCompletion, ChatCompletionStream, InvokeOpenaiRequest } from './chat-completion.ts';
import type { Config } from './config/config.ts';
import { invokeOpenai } from './data-plane.ts';
import {
  type AgentRuntimeCreateInput,
  type AgentRuntimeEndpointCreateInput,
  withEndpointDefaults,
  withRuntimeDefaults,
} from './defaults.ts';
import { type ResourceReference, ValueError } from './errors.ts';
import { pathSegment } from './path-segment.ts';
import { callControl, callOperation, type ListResult, listResult } from './transport/send.ts';

/** Of a request to a path that has no method here. */
export interface RequestOptions {
  query?: object | undefined;
  /** Sent as JSON. */
  body?: object | undefined;
}

/** `get` takes the version beside the settings of the call. */
export interface GetAgentRuntimeConfig extends Config {
  /** `"1"`, `"2"` … or `LATEST`: that version as it is. Absent: the runtime as it is wanted now. */
  agentRuntimeVersion?: string | undefined;
}

/**
 * The agent-runtime API: twelve operations, each one request and one promise. `config` of a call is laid over the
 * client's, field by field.
 *
 * Every operation rejects with an `AgentRunError`; see `errors.ts`.
 *
 * @example
 * const client = new AgentRuntimeClient();
 * const runtime = await client.create({ agentRuntimeName: 'hello', codeConfiguration: await codeFromFile('./agent', { language: 'nodejs20' }) });
 * const answer = await client.invokeOpenai('hello', 'Default', { messages: [{ role: 'user', content: 'Hi' }] });
 */
export class AgentRuntimeClient {
  readonly #config: Config;

  constructor(config: Config = {}) {
    this.#config = config;
  }

  /** Answers at once, in `CREATING`. Left out: 2 vCPU, 4096 MiB, port 9000, network `PUBLIC`. */
  async create(input: AgentRuntimeCreateInput, config?: Config): Promise<AgentRuntime> {
    const call = { path: {}, body: withRuntimeDefaults(input), resource: runtime(input.agentRuntimeName) };
    return callOperation('CreateAgentRuntime', call, this.#config, config);
  }

  /** Deletes the runtime with everything under it. Answers at once; gone when `get` rejects. May be repeated. */
  async delete(id: string, config?: Config): Promise<AgentRuntime> {
    const call = { path: runtimePath(id), resource: runtime(id) };
    return callOperation('DeleteAgentRuntime', call, this.#config, config);
  }

  /** Merges onto what is wanted now; sends only what `input` has. Answers at once, in `UPDATING`. */
  async update(id: string, input: UpdateAgentRuntimeInput, config?: Config): Promise<AgentRuntime> {
    const call = { path: runtimePath(id), body: input, resource: runtime(id) };
    return callOperation('UpdateAgentRuntime', call, this.#config, config);
  }

  async get(id: string, config?: GetAgentRuntimeConfig): Promise<AgentRuntime> {
    const { agentRuntimeVersion, ...settings } = config ?? {};
    const call = { path: runtimePath(id), query: { agentRuntimeVersion }, resource: runtime(id) };
    return callOperation('GetAgentRuntime', call, this.#config, settings);
  }

  /** One page, newest first. Left out: page 1 of 50. */
  async list(input?: AgentRuntimeListInput, config?: Config): Promise<ListResult<AgentRuntime>> {
    return listResult(
      await callOperation('ListAgentRuntimes', { path: {}, query: input }, this.#config, config),
    );
  }

  /** Left out: `targetVersion` is `LATEST`, unless the weights leave nothing over for it. */
  async createEndpoint(
    agentRuntimeId: string,
    endpoint: AgentRuntimeEndpointCreateInput,
    config?: Config,
  ): Promise<AgentRuntimeEndpoint> {
    const path = runtimePath(agentRuntimeId);
    const resource = endpointOf(agentRuntimeId, endpoint.agentRuntimeEndpointName);
    const call = { path, body: withEndpointDefaults(endpoint), resource };
    return callOperation('CreateAgentRuntimeEndpoint', call, this.#config, config);
  }

  async deleteEndpoint(
    agentRuntimeId: string,
    endpointId: string,
    config?: Config,
  ): Promise<AgentRuntimeEndpoint> {
    const call = {
      path: endpointPath(agentRuntimeId, endpointId),
      resource: endpointOf(agentRuntimeId, endpointId),
    };
    return callOperation('DeleteAgentRuntimeEndpoint', call, this.#config, config);
  }

  /** Sends only what `endpoint` has. */
  async updateEndpoint(
    agentRuntimeId: string,
    endpointId: string,
    endpoint: UpdateAgentRuntimeEndpointInput,
    config?: Config,
  ): Promise<AgentRuntimeEndpoint> {
    const path = endpointPath(agentRuntimeId, endpointId);
    const call = { path, body: endpoint, resource: endpointOf(agentRuntimeId, endpointId) };
    return callOperation('UpdateAgentRuntimeEndpoint', call, this.#config, config);
  }

  async getEndpoint(
    agentRuntimeId: string,
    endpointId: string,
    config?: Config,
  ): Promise<AgentRuntimeEndpoint> {
    const call = {
      path: endpointPath(agentRuntimeId, endpointId),
      resource: endpointOf(agentRuntimeId, endpointId),
    };
    return callOperation('GetAgentRuntimeEndpoint', call, this.#config, config);
  }

  /** One page, newest first. */
  async listEndpoints(
    agentRuntimeId: string,
    input?: AgentRuntimeEndpointListInput,
    config?: Config,
  ): Promise<ListResult<AgentRuntimeEndpoint>> {
    const call = { path: runtimePath(agentRuntimeId), query: input, resource: runtime(agentRuntimeId) };
    return listResult(await callOperation('ListAgentRuntimeEndpoints', call, this.#config, config));
  }

  /** One page, newest first. */
  async listVersions(
    agentRuntimeId: string,
    input?: AgentRuntimeVersionListInput,
    config?: Config,
  ): Promise<ListResult<AgentRuntimeVersion>> {
    const call = { path: runtimePath(agentRuntimeId), query: input, resource: runtime(agentRuntimeId) };
    return listResult(await callOperation('ListAgentRuntimeVersions', call, this.#config, config));
  }

  /**
   * A chat completion from the agent itself. With `stream: true` the promise fulfils when the answer begins; leaving
   * the loop cancels the agent's work.
   * @param agentRuntimeName a name, not an id
   */
  async invokeOpenai(
    agentRuntimeName: string,
    agentRuntimeEndpointName: string | undefined,
    request: InvokeOpenaiRequest & { stream: true },
  ): Promise<ChatCompletionStream>;
  async invokeOpenai(
    agentRuntimeName: string,
    agentRuntimeEndpointName: string | undefined,
    request: InvokeOpenaiRequest & { stream?: false | undefined },
  ): Promise<ChatCompletion>;
  async invokeOpenai(
    agentRuntimeName: string,
    agentRuntimeEndpointName: string | undefined,
    request: InvokeOpenaiRequest,
  ): Promise<ChatCompletion | ChatCompletionStream>;
  async invokeOpenai(
    agentRuntimeName: string,
    agentRuntimeEndpointName: string | undefined,
    request: InvokeOpenaiRequest,
  ): Promise<ChatCompletion | ChatCompletionStream> {
    return invokeOpenai(agentRuntimeName, agentRuntimeEndpointName ?? 'Default', request, this.#config);
  }

  /**
   * Any other request to the control plane, such as `/runstead/v1/keys` of a Runstead server; gives the answer's `data`.
   * @param path percent-encoded, with its leading slash
   */
  async request<T = Record<string, unknown>>(
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    path: string,
    options: RequestOptions = {},
    config?: Config,
  ): Promise<T> {
    if (!path.startsWith('/')) throw new ValueError(`path must begin with "/": ${path}`);
    return (await callControl({ ...options, method, path }, this.#config, config)) as T;
  }
}

function runtime(id: string): ResourceReference {
  return { type: 'AgentRuntime', id };
}

function endpointOf(agentRuntimeId: string, endpoint: string): ResourceReference {
  return { type: 'AgentRuntimeEndpoint', id: `${agentRuntimeId}/${endpoint}` };
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
