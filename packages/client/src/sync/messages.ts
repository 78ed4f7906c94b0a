import type { MessagePort } from 'node:worker_threads';
import type { Config } from '../config/config.ts';
import * as errors from '../errors.ts';

/** What the calling thread and the worker say to each other. All of it can be cloned; nothing else crosses. */

/** How often a thread that waits looks whether the other one is still alive, and how often that one says so, at least. */
export const LOOK_EVERY_MS = 500;

/** Places in the numbers that both threads see. No event arrives in a thread that waits, not even the other one's end. */
export const SENT = 0;
export const ALIVE = 1;
export const ENDED = 2;

/** `workerData` of the worker. */
export interface WorkerStart {
  port: MessagePort;
  /** `SENT`: how many messages it has sent, and what is waited on; `ALIVE`: goes up while it works; `ENDED`: 1. */
  shared: Int32Array;
}

export type ResourceName = 'AgentRuntime' | 'AgentRuntimeEndpoint';

/** A resource object as the other side needs it to have the same one. */
export interface ResourceState {
  type: 'resource';
  name: ResourceName;
  /** Under which the worker has it, until it has too many; then it is made anew from the rest. */
  id: number | undefined;
  fields: Record<string, unknown>;
  config: Config;
  requestId: string | undefined;
}

/** What a method is called on. */
export type Target =
  | { type: 'client'; id: number; layers: readonly Config[] }
  | { type: 'static'; name: ResourceName }
  | { type: 'code' }
  /** The chunks of a stream or the rows of a list. */
  | { type: 'sequence'; id: number }
  | ResourceState;

export interface Request {
  id: number;
  target: Target;
  method: string;
  args: readonly unknown[];
}

export type Value =
  | { type: 'data'; data: unknown; requestId?: string | undefined }
  | { type: 'page'; items: Value[]; numbers: Record<string, number>; requestId?: string | undefined }
  | { type: 'stream'; id: number }
  | { type: 'rows'; id: number }
  | { type: 'end' }
  | ResourceState;

export interface Reply {
  id: number;
  outcome: { value: Value } | { error: ErrorState };
  /** The resource that the method was called on, as it is now. */
  self?: ResourceState | undefined;
}

export interface ErrorState {
  /** One of our classes, or one of the language's own. */
  name: string;
  message: string;
  /** Of causes, which came to be in the worker; the error itself is given that of its caller. */
  stack?: string | undefined;
  fields: {
    name: string;
    enumerable: boolean;
    value: { error: ErrorState } | { resource: ResourceState } | { plain: unknown };
  }[];
}

const CAUSES_KEPT = 5;

/** @param resourceOf gives the state of what is a resource object */
export function errorState(
  thrown: unknown,
  resourceOf: (value: unknown) => ResourceState | undefined,
  depth = 0,
): ErrorState {
  if (!(thrown instanceof Error)) return { name: 'Error', message: String(thrown), fields: [] };
  const fields: ErrorState['fields'] = [];
  for (const [name, { value, enumerable }] of Object.entries(Object.getOwnPropertyDescriptors(thrown))) {
    if (name === 'stack' || name === 'message' || value === undefined) continue;
    const resource = resourceOf(value);
    if (resource !== undefined) fields.push({ name, enumerable: enumerable ?? false, value: { resource } });
    else if (!(value instanceof Error))
      fields.push({ name, enumerable: enumerable ?? false, value: { plain: cloneable(value) } });
    else if (depth < CAUSES_KEPT) {
      const error = errorState(value, resourceOf, depth + 1);
      fields.push({ name, enumerable: enumerable ?? false, value: { error } });
    }
  }
  return { name: thrown.name, message: thrown.message, stack: thrown.stack, fields };
}

function cloneable(value: unknown): unknown {
  try {
    return structuredClone(value);
  } catch {
    return String(value);
  }
}

const languageErrors: Record<string, ErrorConstructor> = { TypeError, RangeError, SyntaxError };

/**
 * The same error in this thread, with the stack of its caller.
 * @param below the function that the caller called: the stack begins at its call
 */
export function revivedError(
  { name, message, stack, fields }: ErrorState,
  resourceFrom: (state: ResourceState) => object,
  // biome-ignore lint/complexity/noBannedTypes: as `captureStackTrace` takes it
  below?: Function,
): Error {
  const error = new Error(message);
  const known = (errors as unknown as Record<string, { prototype: object } | undefined>)[name];
  const errorClass = known?.prototype instanceof Error ? known : languageErrors[name];
  if (errorClass !== undefined) Object.setPrototypeOf(error, errorClass.prototype);
  for (const { name: field, enumerable, value } of fields) {
    Object.defineProperty(error, field, {
      value:
        'error' in value
          ? revivedError(value.error, resourceFrom)
          : 'resource' in value
            ? resourceFrom(value.resource)
            : value.plain,
      enumerable,
      configurable: true,
      writable: true,
    });
  }
  if (below !== undefined) Error.captureStackTrace(error, below);
  else if (stack !== undefined) error.stack = stack;
  return error;
}
