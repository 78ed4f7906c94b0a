import { type Caller, type CallerMemory, callerOf, NO_CALLER } from './caller.ts';
import type { ChatCompletion, ChatCompletionStream, InvokeOpenaiRequest } from './chat-completion.ts';
import type { Config, CreateConfig } from './config/config.ts';
import { prepareInvocation, settingsOf } from './data-plane.ts';
import type { AgentRuntimeEndpointCreateInput } from './defaults.ts';
import type { ListAll, ListPromise } from './lists.ts';
import * as operations from './operations.ts';
import { Resource } from './resource.ts';
import { ApiPromise } from './transport/api-promise.ts';
import type {
  AgentRuntimeEndpoint as AgentRuntimeEndpointData,
  AgentRuntimeEndpointListInput,
  PageInput,
  UpdateAgentRuntimeEndpointInput,
} from './wire.ts';

export interface AgentRuntimeEndpoint extends AgentRuntimeEndpointData {}

/** An endpoint of a runtime: its fields, and what can be done with it. */
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: every field is optional, so that none can be missing
export class AgentRuntimeEndpoint extends Resource {
  #runtimeName: string | undefined;

  /**
   * @param data with `agentRuntimeId` and `agentRuntimeEndpointId`, all that calls need
   * @param config of the calls of this object
   */
  constructor(data: AgentRuntimeEndpointData, config?: Config, memory?: CallerMemory) {
    super(data, config, memory);
  }

  static createById(
    agentRuntimeId: string,
    endpoint: AgentRuntimeEndpointCreateInput,
    config?: CreateConfig,
  ): ApiPromise<AgentRuntimeEndpoint> {
    return operations.createEndpoint(
      NO_CALLER,
      agentRuntimeId,
      endpoint,
      config,
      made(agentRuntimeId, config),
    );
  }

  static deleteById(
    agentRuntimeId: string,
    endpointId: string,
    config?: Config,
  ): ApiPromise<AgentRuntimeEndpoint> {
    return operations.deleteEndpoint(
      NO_CALLER,
      agentRuntimeId,
      endpointId,
      config,
      made(agentRuntimeId, config),
    );
  }

  static updateById(
    agentRuntimeId: string,
    endpointId: string,
    endpoint: UpdateAgentRuntimeEndpointInput,
    config?: Config,
  ): ApiPromise<AgentRuntimeEndpoint> {
    return operations.updateEndpoint(
      NO_CALLER,
      agentRuntimeId,
      endpointId,
      endpoint,
      config,
      made(agentRuntimeId, config),
    );
  }

  static getById(
    agentRuntimeId: string,
    endpointId: string,
    config?: Config,
  ): ApiPromise<AgentRuntimeEndpoint> {
    return operations.getEndpoint(
      NO_CALLER,
      agentRuntimeId,
      endpointId,
      config,
      made(agentRuntimeId, config),
    );
  }

  static listById(
    agentRuntimeId: string,
    input?: AgentRuntimeEndpointListInput,
    config?: Config,
  ): ListPromise<AgentRuntimeEndpoint> {
    return operations.listEndpoints(NO_CALLER, agentRuntimeId, input, config, made(agentRuntimeId, config));
  }

  static listAllById(
    agentRuntimeId: string,
    filter?: Omit<AgentRuntimeEndpointListInput, keyof PageInput>,
    config?: Config,
  ): ListAll<AgentRuntimeEndpoint> {
    return operations.listAllEndpoints(
      NO_CALLER,
      agentRuntimeId,
      filter,
      config,
      made(agentRuntimeId, config),
    );
  }

  override delete(config?: Config): ApiPromise<this> {
    const [caller, runtimeId, endpointId] = [this._caller, this.#runtimeId, this.#endpointId];
    return operations.deleteEndpoint(caller, runtimeId, endpointId, config, (data) =>
      this._markDeleting(data),
    );
  }

  /** Sends only what `endpoint` has. */
  update(endpoint: UpdateAgentRuntimeEndpointInput, config?: Config): ApiPromise<this> {
    const [caller, runtimeId, endpointId] = [this._caller, this.#runtimeId, this.#endpointId];
    return operations.updateEndpoint(caller, runtimeId, endpointId, endpoint, config, (data) =>
      this._fill(data),
    );
  }

  /** The same as `refresh`. */
  get(config?: Config): ApiPromise<this> {
    return this.refresh(config);
  }

  override refresh(config?: Config): ApiPromise<this> {
    const [caller, runtimeId, endpointId] = [this._caller, this.#runtimeId, this.#endpointId];
    return operations.getEndpoint(caller, runtimeId, endpointId, config, (data) => this._fill(data));
  }

  /** A chat completion from the agent, by this endpoint. The runtime's name is looked up once where it is not known. */
  invokeOpenai(request: InvokeOpenaiRequest & { stream: true }): ApiPromise<ChatCompletionStream>;
  invokeOpenai(request: InvokeOpenaiRequest & { stream?: false | undefined }): ApiPromise<ChatCompletion>;
  invokeOpenai(request: InvokeOpenaiRequest): ApiPromise<ChatCompletion | ChatCompletionStream>;
  invokeOpenai(request: InvokeOpenaiRequest): ApiPromise<ChatCompletion | ChatCompletionStream> {
    const copy = { ...request };
    return new ApiPromise(async (wanted) => {
      const runtimeName = await this.#nameOfRuntime(settingsOf(copy));
      const { agentRuntimeEndpointName = '' } = this.agentRuntimeEndpointName
        ? this
        : await this.refresh(settingsOf(copy));
      return prepareInvocation(this._caller, runtimeName, agentRuntimeEndpointName, copy)(wanted);
    });
  }

  async #nameOfRuntime(config: Config | undefined): Promise<string> {
    if (this.#runtimeName === undefined) {
      const runtime = await operations.getRuntime(this._caller, this.#runtimeId, config, (data) => data);
      this.#runtimeName = runtime.agentRuntimeName;
    }
    return this.#runtimeName ?? '';
  }

  get #runtimeId(): string {
    return this.agentRuntimeId ?? '';
  }

  get #endpointId(): string {
    return this.agentRuntimeEndpointId ?? '';
  }

  /** @internal */
  protected override get _reference() {
    return operations.endpointOf(this.#runtimeId, this.#endpointId);
  }

  /** @internal */
  protected override get _identifiers() {
    return ['agentRuntimeId', 'agentRuntimeEndpointId'] as const;
  }

  /** @internal How endpoints of a client or of a runtime are made. */
  static of(
    { config, memory }: Caller,
    agentRuntimeId: string,
    runtimeName?: string,
  ): (data: AgentRuntimeEndpointData) => AgentRuntimeEndpoint {
    return (data) => {
      const endpoint = new AgentRuntimeEndpoint({ agentRuntimeId, ...data }, config, memory);
      endpoint.#runtimeName = runtimeName;
      return endpoint;
    };
  }
}

function made(agentRuntimeId: string, config: Config | undefined) {
  return AgentRuntimeEndpoint.of(callerOf(NO_CALLER, config), agentRuntimeId);
}
