import { AgentRuntimeClient as AsyncClient, type RequestOptions } from '../agent-runtime-client.ts';
import type { Config, CreateConfig } from '../config/config.ts';
import type { Blocking, Invoke } from './blocking.ts';
import { borrowMethods, callAndWait, refuseWhatCannotWait } from './call.ts';

/** Left out: options for clients that are promises themselves; and what the mapping would lose, which stands below. */
type Methods = Omit<Blocking<AsyncClient>, 'openai' | 'invokeOpenai' | 'request' | 'withConfig'>;

let lastId = 0;

export interface AgentRuntimeClient extends Methods {
  /**
   * A chat completion from the agent itself. With `stream: true` chunks for `for … of`; leaving the loop cancels the agent's
   * work.
   */
  invokeOpenai: Invoke<[agentRuntimeName: string, agentRuntimeEndpointName: string | undefined]>;
}

/**
 * The agent-runtime API, each operation one method that waits and gives its result. For scripts and the REPL: nothing else
 * happens in the thread meanwhile, so a server that the same thread runs can never answer.
 *
 * @example
 * const client = new AgentRuntimeClient();
 * const runtime = client.create({ agentRuntimeName: 'hello', codeConfiguration: codeFromFile('./agent', { language: 'nodejs20' }) });
 * runtime.waitUntilReadyOrFailed();
 * const answer = client.invokeOpenai('hello', 'Default', { messages: [{ role: 'user', content: 'Hi' }] });
 */
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: the methods are put on the prototype below
export class AgentRuntimeClient {
  readonly #id: number;
  #layers: readonly Config[];

  constructor(config: Config = {}) {
    refuseWhatCannotWait([config]);
    // Says at once what it would say in the worker.
    new AsyncClient(config);
    lastId += 1;
    this.#id = lastId;
    this.#layers = [config];
  }

  /** This client with other settings laid over its own. */
  withConfig(config: Config): AgentRuntimeClient {
    const client = new AgentRuntimeClient(config);
    client.#layers = [...this.#layers, config];
    return client;
  }

  /** Any other request to the control plane; gives the answer's `data`. */
  request<T = Record<string, unknown>>(
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    path: string,
    options: RequestOptions = {},
    config?: CreateConfig,
  ): T {
    return this.#call('request', [method, path, options, config], this.request) as T;
  }

  // biome-ignore lint/complexity/noBannedTypes: as `captureStackTrace` takes it
  #call(method: string, args: readonly unknown[], called: Function): unknown {
    return callAndWait({ type: 'client', id: this.#id, layers: this.#layers }, method, args, called);
  }

  static {
    borrowMethods(AsyncClient.prototype, AgentRuntimeClient.prototype, (client, method, args, called) =>
      (client as AgentRuntimeClient).#call(method, args, called),
    );
    Reflect.deleteProperty(AgentRuntimeClient.prototype, 'openai');
  }
}
