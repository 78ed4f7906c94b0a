import type { AgentRuntime as AsyncRuntime } from '../agent-runtime.ts';
import type { AgentRuntimeEndpoint as AsyncEndpoint } from '../agent-runtime-endpoint.ts';
import type { ChatCompletion, ChatCompletionChunk, InvokeOpenaiRequest } from '../chat-completion.ts';
import type { ListAll, ListPromise, ListResult } from '../lists.ts';

/** What stands in a blocking result where the promise form has one of its own objects. */
type Blocked<T> = T extends AsyncRuntime ? AgentRuntime : T extends AsyncEndpoint ? AgentRuntimeEndpoint : T;

/** What a method gives, once there is nothing to wait for. */
type Given<T> =
  T extends ListPromise<infer Row>
    ? ListResult<Blocked<Row>>
    : T extends ListAll<infer Row>
      ? Rows<Blocked<Row>>
      : T extends Promise<infer Value>
        ? Blocked<Value>
        : Blocked<T>;

/** The methods of `T` under the same names, each giving its result itself. */
export type Blocking<T> = {
  [Name in keyof T]: T[Name] extends (...args: infer Args) => infer Result
    ? (...args: Args) => Given<Result>
    : T[Name];
};

/** Everything of a list, page by page while it is read: for `for … of`, `[...rows]`, or as an array. */
export interface Rows<T> extends Iterable<T> {
  toArray(): T[];
}

/**
 * The chunks of one answer, each given as soon as it is there, to be read once. Reading throws what the promise form's
 * stream throws. Leaving the loop, by `break` or by an error, closes the connection, on which the server ends the agent's
 * work.
 */
export interface ChatStream extends Iterable<ChatCompletionChunk> {
  /** Ends a stream that is not, or no longer, being read. */
  cancel(): void;
}

/** `stream` decides what comes, as in the promise form. */
export interface Invoke<Before extends unknown[]> {
  (...args: [...Before, request: InvokeOpenaiRequest & { stream: true }]): ChatStream;
  (...args: [...Before, request: InvokeOpenaiRequest & { stream?: false | undefined }]): ChatCompletion;
  (...args: [...Before, request: InvokeOpenaiRequest]): ChatCompletion | ChatStream;
}

type MethodsOf<Async> = Omit<Blocking<Async>, 'invokeOpenai'>;

/** A runtime: its fields, and what can be done with it, each call giving its result itself. */
export interface AgentRuntime extends MethodsOf<AsyncRuntime> {
  invokeOpenai: Invoke<[agentRuntimeEndpointName: string | undefined]>;
}

/** An endpoint of a runtime: its fields, and what can be done with it, each call giving its result itself. */
export interface AgentRuntimeEndpoint extends MethodsOf<AsyncEndpoint> {
  invokeOpenai: Invoke<[]>;
}
