import type { ChatCompletionChunk } from '../chat-completion.ts';
import { AgentRunError, StreamError, ValueError } from '../errors.ts';
import { listResult } from '../lists.ts';
import type { ChatStream, Rows } from './blocking.ts';
import { type Reply, type ResourceState, revivedError, type Target, type Value } from './messages.ts';
import { ask } from './thread.ts';

/** Gives the object of a state; what the resource classes hand in, which themselves call from here. */
type ObjectOf = (state: ResourceState) => object;
let objectOf: ObjectOf = () => {
  throw new AgentRunError('the resource classes are not loaded');
};
export function makeResourcesBy(make: ObjectOf): void {
  objectOf = make;
}

/** What this thread would have to be called for, while it waits. */
const CANNOT_WAIT: Record<string, string> = {
  signal: 'nothing can abort it while it waits; use `timeout`',
  fetch: 'the calls are made in a thread of their own',
  logger: 'it could not be called meanwhile; `logLevel` logs to the console',
  onProgress: 'it could not be called meanwhile',
};

/** @throws ValueError naming a setting that only the promise form can have */
export function refuseWhatCannotWait(values: readonly unknown[]): void {
  for (const value of values) {
    if (typeof value !== 'object' || value === null) continue;
    for (const [name, why] of Object.entries(CANNOT_WAIT)) {
      if ((value as Record<string, unknown>)[name] === undefined) continue;
      throw new ValueError(`a blocking call cannot take ${name}: ${why}. The promise form can`);
    }
    refuseWhatCannotWait([(value as { config?: unknown }).config]);
  }
}

/**
 * Calls a method of the promise form and waits for what it gives.
 * @param below the function that the caller called: stacks of errors begin there
 * @param seeSelf given the state of the target where that is a resource, also when the call fails
 */
export function callAndWait(
  target: Target,
  method: string,
  args: readonly unknown[],
  // biome-ignore lint/complexity/noBannedTypes: as `captureStackTrace` takes it
  below: Function,
  seeSelf?: (state: ResourceState) => void,
): unknown {
  refuseWhatCannotWait(args);
  const { outcome, self }: Reply = ask({ target, method, args });
  if (self !== undefined) seeSelf?.(self);
  if ('error' in outcome) throw revivedError(outcome.error, objectOf, below);
  return resultOf(outcome.value);
}

function resultOf(value: Value): unknown {
  switch (value.type) {
    case 'data':
      return withRequestId(value.data, value.requestId);
    case 'page':
      return withRequestId(
        listResult({ ...value.numbers, items: value.items.map(resultOf) }),
        value.requestId,
      );
    case 'resource':
      return objectOf(value);
    case 'stream':
      return new Chunks(value.id);
    case 'rows':
      return new AllRows(value.id);
    case 'end':
      return undefined;
  }
}

export function withRequestId<T>(value: T, requestId: string | undefined): T {
  if (requestId === undefined || typeof value !== 'object' || value === null) return value;
  return Object.defineProperty(value, 'requestId', { value: requestId, configurable: true, writable: true });
}

/** Reads on in what the worker keeps, one step at a time. */
class Sequence<T> implements IterableIterator<T> {
  readonly #id: number;
  #over = false;

  constructor(id: number) {
    this.#id = id;
  }

  [Symbol.iterator](): this {
    return this;
  }

  next(): IteratorResult<T, undefined> {
    if (this.#over) return { done: true, value: undefined };
    const { outcome } = ask({ target: { type: 'sequence', id: this.#id }, method: 'next', args: [] });
    if ('error' in outcome) {
      this.#over = true;
      throw revivedError(outcome.error, objectOf, this.next);
    }
    if (outcome.value.type === 'end') {
      this.#over = true;
      return { done: true, value: undefined };
    }
    return { done: false, value: resultOf(outcome.value) as T };
  }

  /** Called where a loop is left early. */
  return(): IteratorResult<T, undefined> {
    if (!this.#over) {
      this.#over = true;
      ask({ target: { type: 'sequence', id: this.#id }, method: 'return', args: [] });
    }
    return { done: true, value: undefined };
  }
}

class Chunks implements ChatStream {
  readonly #sequence: Sequence<ChatCompletionChunk>;
  #begun = false;

  constructor(id: number) {
    this.#sequence = new Sequence(id);
  }

  [Symbol.iterator](): Iterator<ChatCompletionChunk> {
    if (this.#begun) throw new StreamError('a stream can be read only once');
    this.#begun = true;
    return this.#sequence;
  }

  cancel(): void {
    this.#sequence.return();
  }
}

class AllRows<T> implements Rows<T> {
  readonly #sequence: Sequence<T>;
  /** What has been read: a list may be read again. */
  readonly #rows: T[] = [];

  constructor(id: number) {
    this.#sequence = new Sequence(id);
  }

  *[Symbol.iterator](): Generator<T, undefined> {
    for (let index = 0; ; index++) {
      if (index === this.#rows.length) {
        const next = this.#sequence.next();
        if (next.done) return undefined;
        this.#rows.push(next.value);
      }
      yield this.#rows[index]!;
    }
  }

  toArray(): T[] {
    return [...this];
  }
}

/**
 * Puts the methods of a class of promises on its blocking counterpart.
 * @param call given the name and the arguments of a call, and the function that was called
 */
export function borrowMethods(
  from: object,
  onto: object,
  // biome-ignore lint/complexity/noBannedTypes: as `captureStackTrace` takes it
  call: (receiver: object, method: string, args: unknown[], called: Function) => unknown,
): void {
  const methods = Object.entries(Object.getOwnPropertyDescriptors(from));
  for (const [name, { value }] of methods) {
    if (typeof value !== 'function' || name === 'constructor' || name.startsWith('_')) continue;
    // Also what the counterpart has of its own.
    if (Object.hasOwn(onto, name)) continue;
    const method = {
      [name](this: object, ...args: unknown[]): unknown {
        return call(this, name, args, method);
      },
    }[name]!;
    Object.defineProperty(onto, name, { value: method, configurable: true, writable: true });
  }
}
