import { AgentRuntime as AsyncRuntime } from '../agent-runtime.ts';
import { AgentRuntimeEndpoint as AsyncEndpoint } from '../agent-runtime-endpoint.ts';
import type { Config } from '../config/config.ts';
import { Resource } from '../resource.ts';
import type {
  AgentRuntime as AgentRuntimeData,
  AgentRuntimeEndpoint as AgentRuntimeEndpointData,
} from '../wire.ts';
import type { Blocking, AgentRuntimeEndpoint as Endpoint, AgentRuntime as Runtime } from './blocking.ts';
import { borrowMethods, callAndWait, makeResourcesBy, refuseWhatCannotWait, withRequestId } from './call.ts';
import type { ResourceName, ResourceState } from './messages.ts';

/** Runtimes and endpoints as objects, in blocking form: fields here, calls by the promise form's objects. */

export type AgentRuntime = Runtime;
export type AgentRuntimeEndpoint = Endpoint;

type StaticsOf<Async> = Omit<Blocking<Async>, 'prototype' | 'of'>;

export interface AgentRuntimeClass extends StaticsOf<typeof AsyncRuntime> {
  new (data: AgentRuntimeData, config?: Config): AgentRuntime;
  readonly prototype: AgentRuntime;
}

export interface AgentRuntimeEndpointClass extends StaticsOf<typeof AsyncEndpoint> {
  new (data: AgentRuntimeEndpointData, config?: Config): AgentRuntimeEndpoint;
  readonly prototype: AgentRuntimeEndpoint;
}

/** Of every object, what the worker needs to have the same one. */
const states = new WeakMap<object, { id: number | undefined; config: Config }>();

function blockingClass(name: ResourceName, async: typeof AsyncRuntime | typeof AsyncEndpoint) {
  // Under its own name, which is what is printed.
  const made = {
    [name]: class {
      constructor(data: object, config: Config = {}) {
        refuseWhatCannotWait([config]);
        states.set(this, { id: undefined, config });
        fill(this, { ...data });
      }
    },
  }[name]!;
  for (const from of [async.prototype, Resource.prototype]) {
    borrowMethods(from, made.prototype, (receiver, method, args, called) => {
      const { id, config } = states.get(receiver)!;
      const fields = { ...receiver } as Record<string, unknown>;
      const target: ResourceState = { type: 'resource', name, id, fields, config, requestId: undefined };
      let self: ResourceState | undefined;
      const given = callAndWait(target, method, args, called, (state) => {
        self = state;
        bringUpToDate(receiver, state);
      });
      const isSelf = given !== undefined && states.get(given as object)?.id === self?.id;
      return isSelf ? receiver : given;
    });
  }
  borrowMethods(async, made, (_, method, args, called) =>
    callAndWait({ type: 'static', name }, method, args, called),
  );
  Reflect.deleteProperty(made, 'of');
  return made;
}

function bringUpToDate(object: object, { id, config, fields, requestId }: ResourceState): void {
  states.set(object, { id, config });
  for (const field of Object.keys(object)) if (!(field in fields)) Reflect.deleteProperty(object, field);
  fill(object, fields);
  withRequestId(object, requestId);
}

/** Methods stand above fields of their name; and `__proto__` is a field, not a prototype. */
function fill(object: object, fields: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(fields)) {
    if (name in Object.getPrototypeOf(object)) continue;
    Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
  }
}

const blockingClasses = {
  AgentRuntime: blockingClass('AgentRuntime', AsyncRuntime),
  AgentRuntimeEndpoint: blockingClass('AgentRuntimeEndpoint', AsyncEndpoint),
};

makeResourcesBy((state) => {
  const object = new blockingClasses[state.name]({});
  bringUpToDate(object, state);
  return object;
});

export const AgentRuntime = blockingClasses.AgentRuntime as unknown as AgentRuntimeClass;
export const AgentRuntimeEndpoint =
  blockingClasses.AgentRuntimeEndpoint as unknown as AgentRuntimeEndpointClass;
