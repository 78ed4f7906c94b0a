import { AgentRuntimeEndpoint } from './agent-runtime-endpoint.ts';
import { type Caller, type CallerMemory, callerOf, NO_CALLER } from './caller.ts';
import type { ChatCompletion, ChatCompletionStream, InvokeOpenaiRequest } from './chat-completion.ts';
import type { Config, CreateConfig } from './config/config.ts';
import { prepareInvocation, settingsOf } from './data-plane.ts';
import type { AgentRuntimeCreateInput, AgentRuntimeEndpointCreateInput } from './defaults.ts';
import type { ListAll, ListPromise } from './lists.ts';
import * as operations from './operations.ts';
import { Resource } from './resource.ts';
import { ApiPromise } from './transport/api-promise.ts';
import type {
  AgentRuntime as AgentRuntimeData,
  AgentRuntimeEndpointListInput,
  AgentRuntimeVersion,
  AgentRuntimeVersionListInput,
  PageInput,
  PublishRuntimeVersionInput,
  UpdateAgentRuntimeEndpointInput,
  UpdateAgentRuntimeInput,
} from './wire.ts';
import type { AgentRuntimeListFilter, AgentRuntimeListRequest, WorkspaceName } from './workspace-names.ts';

type EndpointFilter = Omit<AgentRuntimeEndpointListInput, keyof PageInput>;

export interface AgentRuntime extends AgentRuntimeData {}

/**
 * A runtime: its fields, and what can be done with it. Instance methods that change it or read it anew also bring the
 * object up to date.
 *
 * @example
 * const runtime = await AgentRuntime.create({ agentRuntimeName: 'hello', codeConfiguration });
 * await runtime.waitUntilReadyOrFailed();
 * await runtime.invokeOpenai('Default', { messages: [{ role: 'user', content: 'Hi' }] });
 */
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: every field is optional, so that none can be missing
export class AgentRuntime extends Resource {
  /**
   * @param data with `agentRuntimeId`, all that most calls need
   * @param config of the calls of this object
   */
  constructor(data: AgentRuntimeData, config?: Config, memory?: CallerMemory) {
    super(data, config, memory);
  }

  static create(
    input: AgentRuntimeCreateInput & WorkspaceName,
    config?: CreateConfig,
  ): ApiPromise<AgentRuntime> {
    return operations.createRuntime(NO_CALLER, input, config, made(config));
  }

  /** Deletes the runtime with its endpoints, also on servers that keep a runtime for as long as it has any. */
  static deleteById(id: string, config?: Config): ApiPromise<AgentRuntime> {
    const endpointsFirst = () => endpointsGo(NO_CALLER, id, config);
    return operations.deleteRuntime(NO_CALLER, id, config, made(config), endpointsFirst);
  }

  static updateById(id: string, input: UpdateAgentRuntimeInput, config?: Config): ApiPromise<AgentRuntime> {
    return operations.updateRuntime(NO_CALLER, id, input, config, made(config));
  }

  static getById(id: string, config?: operations.GetAgentRuntimeConfig): ApiPromise<AgentRuntime> {
    return operations.getRuntime(NO_CALLER, id, config, made(config));
  }

  static list(input?: AgentRuntimeListRequest, config?: Config): ListPromise<AgentRuntime> {
    return operations.listRuntimes(NO_CALLER, input, config, made(config));
  }

  static listAll(filter?: AgentRuntimeListFilter, config?: Config): ListAll<AgentRuntime> {
    return operations.listAllRuntimes(NO_CALLER, filter, config, made(config));
  }

  static createEndpointById(
    agentRuntimeId: string,
    endpoint: AgentRuntimeEndpointCreateInput,
    config?: CreateConfig,
  ): ApiPromise<AgentRuntimeEndpoint> {
    return AgentRuntimeEndpoint.createById(agentRuntimeId, endpoint, config);
  }

  static deleteEndpointById(
    agentRuntimeId: string,
    endpointId: string,
    config?: Config,
  ): ApiPromise<AgentRuntimeEndpoint> {
    return AgentRuntimeEndpoint.deleteById(agentRuntimeId, endpointId, config);
  }

  static updateEndpointById(
    agentRuntimeId: string,
    endpointId: string,
    endpoint: UpdateAgentRuntimeEndpointInput,
    config?: Config,
  ): ApiPromise<AgentRuntimeEndpoint> {
    return AgentRuntimeEndpoint.updateById(agentRuntimeId, endpointId, endpoint, config);
  }

  static getEndpointById(
    agentRuntimeId: string,
    endpointId: string,
    config?: Config,
  ): ApiPromise<AgentRuntimeEndpoint> {
    return AgentRuntimeEndpoint.getById(agentRuntimeId, endpointId, config);
  }

  static listEndpointsById(
    agentRuntimeId: string,
    input?: AgentRuntimeEndpointListInput,
    config?: Config,
  ): ListPromise<AgentRuntimeEndpoint> {
    return AgentRuntimeEndpoint.listById(agentRuntimeId, input, config);
  }

  static listAllEndpointsById(
    agentRuntimeId: string,
    filter?: EndpointFilter,
    config?: Config,
  ): ListAll<AgentRuntimeEndpoint> {
    return AgentRuntimeEndpoint.listAllById(agentRuntimeId, filter, config);
  }

  static listVersionsById(
    agentRuntimeId: string,
    input?: AgentRuntimeVersionListInput,
    config?: Config,
  ): ListPromise<AgentRuntimeVersion> {
    return operations.listVersions(NO_CALLER, agentRuntimeId, input, config);
  }

  static listAllVersionsById(agentRuntimeId: string, config?: Config): ListAll<AgentRuntimeVersion> {
    return operations.listAllVersions(NO_CALLER, agentRuntimeId, config);
  }

  static publishVersionById(
    agentRuntimeId: string,
    input: PublishRuntimeVersionInput = {},
    config?: CreateConfig,
  ): ApiPromise<AgentRuntimeVersion> {
    return operations.publishVersion(NO_CALLER, agentRuntimeId, input, config);
  }

  /** Deletes the runtime with its endpoints, also on servers that keep a runtime for as long as it has any. */
  override delete(config?: Config): ApiPromise<this> {
    const [caller, id] = [this._caller, this.#id];
    const endpointsFirst = () => endpointsGo(caller, id, config);
    return operations.deleteRuntime(caller, id, config, (data) => this._markDeleting(data), endpointsFirst);
  }

  /** Sends only what `input` has. */
  update(input: UpdateAgentRuntimeInput, config?: Config): ApiPromise<this> {
    return operations.updateRuntime(this._caller, this.#id, input, config, (data) => this._fill(data));
  }

  /** The same as `refresh`. */
  get(config?: Config): ApiPromise<this> {
    return this.refresh(config);
  }

  override refresh(config?: Config): ApiPromise<this> {
    return operations.getRuntime(this._caller, this.#id, config, (data) => this._fill(data));
  }

  createEndpoint(
    endpoint: AgentRuntimeEndpointCreateInput,
    config?: CreateConfig,
  ): ApiPromise<AgentRuntimeEndpoint> {
    return operations.createEndpoint(this._caller, this.#id, endpoint, config, this.#endpoint(config));
  }

  deleteEndpoint(endpointId: string, config?: Config): ApiPromise<AgentRuntimeEndpoint> {
    return operations.deleteEndpoint(this._caller, this.#id, endpointId, config, this.#endpoint(config));
  }

  /** Sends only what `endpoint` has. */
  updateEndpoint(
    endpointId: string,
    endpoint: UpdateAgentRuntimeEndpointInput,
    config?: Config,
  ): ApiPromise<AgentRuntimeEndpoint> {
    const make = this.#endpoint(config);
    return operations.updateEndpoint(this._caller, this.#id, endpointId, endpoint, config, make);
  }

  getEndpoint(endpointId: string, config?: Config): ApiPromise<AgentRuntimeEndpoint> {
    return operations.getEndpoint(this._caller, this.#id, endpointId, config, this.#endpoint(config));
  }

  listEndpoints(input?: AgentRuntimeEndpointListInput, config?: Config): ListPromise<AgentRuntimeEndpoint> {
    return operations.listEndpoints(this._caller, this.#id, input, config, this.#endpoint(config));
  }

  listAllEndpoints(filter?: EndpointFilter, config?: Config): ListAll<AgentRuntimeEndpoint> {
    return operations.listAllEndpoints(this._caller, this.#id, filter, config, this.#endpoint(config));
  }

  listVersions(input?: AgentRuntimeVersionListInput, config?: Config): ListPromise<AgentRuntimeVersion> {
    return operations.listVersions(this._caller, this.#id, input, config);
  }

  listAllVersions(config?: Config): ListAll<AgentRuntimeVersion> {
    return operations.listAllVersions(this._caller, this.#id, config);
  }

  /** Stamps a description and a publisher on the newest version. */
  publishVersion(
    input: PublishRuntimeVersionInput = {},
    config?: CreateConfig,
  ): ApiPromise<AgentRuntimeVersion> {
    return operations.publishVersion(this._caller, this.#id, input, config);
  }

  /** A chat completion from the agent; as `AgentRuntimeClient.invokeOpenai`. */
  invokeOpenai(
    agentRuntimeEndpointName: string | undefined,
    request: InvokeOpenaiRequest & { stream: true },
  ): ApiPromise<ChatCompletionStream>;
  invokeOpenai(
    agentRuntimeEndpointName: string | undefined,
    request: InvokeOpenaiRequest & { stream?: false | undefined },
  ): ApiPromise<ChatCompletion>;
  invokeOpenai(
    agentRuntimeEndpointName: string | undefined,
    request: InvokeOpenaiRequest,
  ): ApiPromise<ChatCompletion | ChatCompletionStream>;
  invokeOpenai(
    agentRuntimeEndpointName: string | undefined,
    request: InvokeOpenaiRequest,
  ): ApiPromise<ChatCompletion | ChatCompletionStream> {
    const copy = { ...request };
    return new ApiPromise(async (wanted) => {
      const { agentRuntimeName } = this.agentRuntimeName ? this : await this.refresh(settingsOf(copy));
      const endpointName = agentRuntimeEndpointName ?? 'Default';
      return prepareInvocation(this._caller, agentRuntimeName ?? '', endpointName, copy)(wanted);
    });
  }

  get #id(): string {
    return this.agentRuntimeId ?? '';
  }

  /** @internal */
  protected override get _reference() {
    return operations.runtime(this.#id);
  }

  /** @internal */
  protected override get _identifiers() {
    return ['agentRuntimeId'] as const;
  }

  #endpoint(config: Config | undefined) {
    return AgentRuntimeEndpoint.of(callerOf(this._caller, config), this.#id, this.agentRuntimeName);
  }

  /** @internal How runtimes of a client are made. */
  static of({ config, memory }: Caller): (data: AgentRuntimeData) => AgentRuntime {
    return (data) => new AgentRuntime(data, config, memory);
  }
}

function made(config: Config | undefined) {
  return AgentRuntime.of(callerOf(NO_CALLER, config));
}

async function endpointsGo(caller: Caller, id: string, config: Config | undefined): Promise<void> {
  const { deleteEndpointsOf } = await import('./delete-endpoints.ts');
  await deleteEndpointsOf(caller, id, config);
}
