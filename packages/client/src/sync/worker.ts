import { writeSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { AgentRuntime } from '../agent-runtime.ts';
import { AgentRuntimeClient } from '../agent-runtime-client.ts';
import { AgentRuntimeEndpoint } from '../agent-runtime-endpoint.ts';
import { type Caller, CallerMemory } from '../caller.ts';
import type { ChatCompletionStream } from '../chat-completion.ts';
import type { Config } from '../config/config.ts';
import { ListAll, type ListResult } from '../lists.ts';
import {
  ALIVE,
  ENDED,
  errorState,
  LOOK_EVERY_MS,
  type Reply,
  type Request,
  type ResourceState,
  SENT,
  type Target,
  type Value,
  type WorkerStart,
} from './messages.ts';

/** The thread that makes the calls: one message asks for a method of the promise form, one answers with what it gave. */

const { port, shared } = workerData as WorkerStart;

/** Of clients and resource objects, so that a long script does not fill the memory; what is dropped is made anew. */
const KEPT_AT_MOST = 1000;

class Kept<T> extends Map<number, T> {
  override set(id: number, value: T): this {
    this.delete(id);
    super.set(id, value);
    if (this.size > KEPT_AT_MOST) this.delete(this.keys().next().value as number);
    return this;
  }
}

const classes = { AgentRuntime, AgentRuntimeEndpoint };
const clients = new Kept<AgentRuntimeClient>();
type AnyResource = AgentRuntime | AgentRuntimeEndpoint;
const resources = new Kept<AnyResource>();
const resourceIds = new WeakMap<AnyResource, number>();
/** Streams and lists being read: dropped at their end, not by number, because nothing could make them anew. */
const sequences = new Map<number, AsyncIterator<unknown>>();
/** What clients learn of a server stays with what they made, also where that is made anew. */
const memory = new CallerMemory();
let lastId = 0;

// Lines of the log would otherwise wait until the calling thread is free to print them.
for (const level of ['debug', 'info', 'warn', 'error'] as const) {
  console[level] = (line: unknown) => {
    writeSync(level === 'warn' || level === 'error' ? 2 : 1, `${line}\n`);
  };
}

process.on('exit', () => {
  Atomics.store(shared, ENDED, 1);
  Atomics.notify(shared, SENT);
});

let underWay = 0;
let signsOfLife: NodeJS.Timeout | undefined;

port.on('message', async (request: Request) => {
  underWay += 1;
  signsOfLife ??= setInterval(() => Atomics.add(shared, ALIVE, 1), LOOK_EVERY_MS);
  await answer(request);
  underWay -= 1;
  if (underWay > 0) return;
  clearInterval(signsOfLife);
  signsOfLife = undefined;
});

async function answer({ id, target, method, args }: Request): Promise<void> {
  let receiver: object | undefined;
  let outcome: Reply['outcome'];
  try {
    if (target.type === 'sequence') {
      outcome = { value: await step(target.id, method) };
    } else {
      receiver = await receiverOf(target);
      outcome = { value: await call(receiver, method, args) };
    }
  } catch (error) {
    outcome = { error: errorState(error, stateOf) };
  }
  reply({ id, outcome, self: stateOf(receiver) });
}

function reply(message: Reply): void {
  try {
    port.postMessage(message);
  } catch (error) {
    port.postMessage({ id: message.id, outcome: { error: errorState(error, stateOf) } } satisfies Reply);
  }
  Atomics.add(shared, SENT, 1);
  Atomics.notify(shared, SENT);
}

async function receiverOf(target: Exclude<Target, { type: 'sequence' }>): Promise<object> {
  switch (target.type) {
    case 'client':
      return clientOf(target.id, target.layers);
    case 'static':
      return classes[target.name];
    case 'resource':
      return resourceOf(target);
    case 'code':
      return import('../code-package.ts');
  }
}

function clientOf(id: number, [first, ...further]: readonly Config[]): AgentRuntimeClient {
  const kept = clients.get(id);
  if (kept !== undefined) return kept;
  let client = new AgentRuntimeClient(first);
  for (const config of further) client = client.withConfig(config);
  clients.set(id, client);
  return client;
}

/** The object as the caller has it: with the fields that the caller has put there. */
function resourceOf({ name, id, fields, config }: ResourceState): AnyResource {
  const kept = id === undefined ? undefined : resources.get(id);
  if (kept === undefined) return new classes[name](fields, config, memory);
  const own = kept as unknown as Record<string, unknown>;
  for (const field of Object.keys(own)) if (!(field in fields)) delete own[field];
  return kept.updateSelf(fields);
}

async function call(receiver: object, method: string, args: readonly unknown[]): Promise<Value> {
  const given = (receiver as Record<string, (...args: readonly unknown[]) => unknown>)[method]!(...args);
  // Before it is awaited, which would read all of it.
  if (given instanceof ListAll) return { type: 'rows', id: keep(given) };
  const value = await given;
  return isStream(value) ? { type: 'stream', id: keep(value) } : described(value);
}

function keep(sequence: AsyncIterable<unknown>): number {
  lastId += 1;
  sequences.set(lastId, sequence[Symbol.asyncIterator]());
  return lastId;
}

/** The next chunk or row, or the end of reading. */
async function step(id: number, method: string): Promise<Value> {
  const sequence = sequences.get(id);
  try {
    const next = method === 'next' ? await sequence?.next() : await sequence?.return?.();
    if (next !== undefined && !next.done) return described(next.value);
    sequences.delete(id);
    return { type: 'end' };
  } catch (error) {
    sequences.delete(id);
    throw error;
  }
}

function described(given: unknown): Value {
  const resource = stateOf(given);
  if (resource !== undefined) return resource;
  const requestId = requestIdOf(given);
  if (!Array.isArray(given) || !('total' in given)) return { type: 'data', data: given, requestId };
  const { total, pageNumber, pageSize } = given as unknown as ListResult<unknown>;
  return { type: 'page', items: given.map(described), numbers: { total, pageNumber, pageSize }, requestId };
}

function stateOf(value: unknown): ResourceState | undefined {
  if (!(value instanceof AgentRuntime) && !(value instanceof AgentRuntimeEndpoint)) return undefined;
  let id = resourceIds.get(value);
  if (id === undefined || !resources.has(id)) {
    lastId += 1;
    id = lastId;
    resourceIds.set(value, id);
    resources.set(id, value);
  }
  const { config } = (value as unknown as { _caller: Caller })._caller;
  const name = value instanceof AgentRuntime ? 'AgentRuntime' : 'AgentRuntimeEndpoint';
  return { type: 'resource', name, id, fields: { ...value }, config, requestId: requestIdOf(value) };
}

/** It stands beside the fields and is in no copy, so it has to be carried by hand. */
function requestIdOf(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const property = Object.getOwnPropertyDescriptor(value, 'requestId');
  return property?.enumerable === false ? (property.value as string | undefined) : undefined;
}

function isStream(value: unknown): value is ChatCompletionStream {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}
