import type { operations } from '@runstead/contract';
import { fillPath, type OperationName, operationPaths, type PathParameters } from '@runstead/contract/paths';
import { encodeRfc3986 } from '@runstead/contract/signature';
import type { Caller } from '../caller.ts';
import type { Config } from '../config/config.ts';
import { type ResourceReference, ValueError } from '../errors.ts';
import { invalidAnswer, isObject, readError, readObject, requestIdOf } from './answer.ts';
import type { Answered, Run, Wanted } from './api-promise.ts';
import { withRetries } from './attempts.ts';
import { authorizeControl } from './authorize.ts';
import { CallClock } from './call-clock.ts';
import { type CallSettings, resolveCall } from './call-settings.ts';
import { exchange, handOver, type WireRequest } from './exchange.ts';
import { honoursIdempotencyKeys, noteFeatures } from './features.ts';
import type { Repetition } from './retry.ts';
import { USER_AGENT } from './user-agent.ts';

/** What stands in `data` of an operation's answer. */
export type DataOf<Name extends OperationName> = (typeof operations)[Name]['data']['_zod']['output'];

export interface OperationCall<Name extends OperationName> {
  path: Record<PathParameters<(typeof operationPaths)[Name]['path']>, string>;
  query?: object | undefined;
  body?: object;
  /** Of a create; see `ControlCall`. */
  idempotencyKey?: string | undefined;
  /** For the texts of errors. */
  resource?: ResourceReference;
}

/** An operation of the contract as a call. */
export function operation<Name extends OperationName>(
  name: Name,
  { path, ...call }: OperationCall<Name>,
): ControlCall {
  const { method, path: template } = operationPaths[name];
  const makesKey = method === 'POST';
  return { ...call, method, path: fillPath<string>(template, path), action: name, makesKey };
}

export interface ControlCall {
  method: string;
  /** Percent-encoded, with its leading slash. */
  path: string;
  query?: object | undefined;
  body?: object | undefined;
  /** The operation's name, which is part of what is signed; paths beyond the contract have none. */
  action?: string;
  /** The caller's own. */
  idempotencyKey?: string | undefined;
  /** Whether a key is made where the caller gave none: for what the contract says servers honour keys on. */
  makesKey?: boolean;
  /** For the texts of errors. */
  resource?: ResourceReference | undefined;
}

/**
 * A call to the control plane: settings → request → credential → answer → `data`. Settings are resolved and the body is
 * written at once; what is given later changes neither.
 * @param understand makes of `data` what the caller gets
 * @returns sends when it is called; throws every class in `errors.ts` but the two of streams
 */
export function controlCall<T>(
  caller: Caller,
  config: Config | undefined,
  build: () => ControlCall,
  understand: (data: Record<string, unknown>) => T,
): Run<T> {
  try {
    const settings = resolveCall('control', caller.config, config);
    const call = build();
    const request = unsignedRequest(call, settings);
    return (wanted) => sendControl(caller, settings, call, request, understand, wanted);
  } catch (error) {
    return () => Promise.reject(error);
  }
}

function unsignedRequest(call: ControlCall, { target, headers }: CallSettings): WireRequest {
  const request: WireRequest = {
    method: call.method,
    url: new URL(target.baseUrl + call.path + queryString(call.query)),
    headers: { accept: 'application/json', 'user-agent': USER_AGENT, ...headers },
  };
  if (call.body !== undefined) {
    request.body = JSON.stringify(call.body);
    request.headers['content-type'] ??= 'application/json; charset=utf-8';
  }
  return request;
}

async function sendControl<T>(
  caller: Caller,
  settings: CallSettings,
  call: ControlCall,
  unsigned: WireRequest,
  understand: (data: Record<string, unknown>) => T,
  wanted: Wanted,
): Promise<Answered<T>> {
  const { target, secrets } = settings;
  const { url } = unsigned;
  const repetition = keyed(caller, settings, call, unsigned);
  const clock = new CallClock([settings.signal]);
  clock.limit(settings.timeoutMs, `complete answer from ${url.origin}`);
  let handedOver = false;
  try {
    return await withRetries(unsigned, settings, clock, repetition, async () => {
      // Signed anew each time: a signature has a date, and its nonce is good once.
      const request = await authorizeControl(unsigned, call.action, target);
      // Once more: the caller's own word stands above the credential's headers too.
      Object.assign(request.headers, settings.headers);
      const response = await exchange(request, settings, clock);
      noteFeatures(caller, target, response);
      if (!response.ok) throw await readError(response, url, clock, { resource: call.resource, secrets });
      if (wanted === 'response') {
        handedOver = true;
        return { response: handOver(response, url, clock), requestId: requestIdOf(response) };
      }
      const envelope = await readObject(response, url, clock);
      const { data } = envelope;
      if (!isObject(data)) throw invalidAnswer(response, url, 'JSON that has no data');
      const requestId = typeof envelope.requestId === 'string' ? envelope.requestId : requestIdOf(response);
      return { data: withRequestId(understand(data), requestId), response, requestId };
    });
  } finally {
    if (!handedOver) clock.close();
  }
}

/** Gives a create its key, and tells how the call may be repeated. */
function keyed(
  caller: Caller,
  { target }: CallSettings,
  call: ControlCall,
  request: WireRequest,
): () => Repetition {
  if (request.method !== 'POST') return () => 'safe';
  const honoured = () => honoursIdempotencyKeys(caller, target);
  const own = checkedKey(call.idempotencyKey) ?? request.headers['idempotency-key'];
  const key = own ?? (call.makesKey && honoured() ? crypto.randomUUID() : undefined);
  if (key === undefined) return () => 'create';
  request.headers['idempotency-key'] = key;
  return () => (honoured() ? 'safe' : 'create');
}

/** Fetch would call it a fault of the connection. An empty one counts as not given. */
function checkedKey(key: string | undefined): string | undefined {
  if (key === undefined || key === '') return undefined;
  if (/^[\x21-\x7e]+$/.test(key)) return key;
  throw new ValueError(`idempotencyKey must be made of visible ASCII characters: ${JSON.stringify(key)}`);
}

/** Not enumerable, so that it is in no JSON and no comparison; a field of that name stays what it is. */
export function withRequestId<T>(data: T, requestId: string | undefined): T {
  if (typeof data !== 'object' || data === null) return data;
  if (Object.getOwnPropertyDescriptor(data, 'requestId')?.enumerable === true) return data;
  return Object.defineProperty(data, 'requestId', { value: requestId, configurable: true, writable: true });
}

function queryString(query: object | undefined): string {
  const pairs = Object.entries(query ?? {})
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([name, value]) => `${name}=${encodeRfc3986(String(value))}`);
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
}
