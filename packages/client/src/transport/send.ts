import type { operations, Page } from '@runstead/contract';
import { fillPath, type OperationName, operationPaths, type PathParameters } from '@runstead/contract/paths';
import type { Config } from '../config/config.ts';
import type { ResourceReference } from '../errors.ts';
import { invalidAnswer, isObject, readError, readObject } from './answer.ts';
import { authorizeControl } from './authorize.ts';
import { CallClock } from './call-clock.ts';
import { resolveCall } from './call-settings.ts';
import { encodeRfc3986 } from './encode.ts';
import { exchange, type WireRequest } from './exchange.ts';
import { USER_AGENT } from './user-agent.ts';

/** What stands in `data` of an operation's answer. */
export type DataOf<Name extends OperationName> = (typeof operations)[Name]['data']['_zod']['output'];

export interface OperationCall<Name extends OperationName> {
  path: Record<PathParameters<(typeof operationPaths)[Name]['path']>, string>;
  query?: object | undefined;
  body?: object;
  /** For the texts of errors. */
  resource?: ResourceReference;
}

/**
 * One operation of the control plane: settings → request → credential → answer → `data`. Sent once, never repeated.
 * @throws every class in `errors.ts` but the two of streams
 */
export async function callOperation<Name extends OperationName>(
  name: Name,
  { path, ...call }: OperationCall<Name>,
  ...layers: (Config | undefined)[]
): Promise<DataOf<Name>> {
  const { method, path: template } = operationPaths[name];
  const request = { ...call, method, path: fillPath<string>(template, path), action: name };
  return (await callControl(request, ...layers)) as DataOf<Name>;
}

export interface ControlCall {
  method: string;
  /** Percent-encoded, with its leading slash. */
  path: string;
  query?: object | undefined;
  body?: object | undefined;
  /** The operation's name, which is part of what is signed; paths beyond the contract have none. */
  action?: string;
  /** For the texts of errors. */
  resource?: ResourceReference;
}

/** One request to the control plane; as `callOperation`. */
export async function callControl(
  call: ControlCall,
  ...layers: (Config | undefined)[]
): Promise<Record<string, unknown>> {
  const settings = resolveCall('control', ...layers);
  const url = new URL(settings.target.baseUrl + call.path + queryString(call.query));
  const unsigned: WireRequest = {
    method: call.method,
    url,
    headers: { accept: 'application/json', 'user-agent': USER_AGENT, ...settings.headers },
    ...(call.body !== undefined && { body: JSON.stringify(call.body) }),
  };
  if (call.body !== undefined) unsigned.headers['content-type'] ??= 'application/json; charset=utf-8';

  const clock = new CallClock([settings.signal]);
  clock.limit(settings.timeoutMs, `complete answer from ${url.origin}`);
  try {
    const request = await authorizeControl(unsigned, call.action, settings.target);
    // Once more: the caller's own word stands above the credential's headers too.
    Object.assign(request.headers, settings.headers);
    const response = await exchange(request, settings.fetch, clock);
    if (!response.ok) throw await readError(response, url, clock, { ...call, secrets: settings.secrets });
    const { data } = await readObject(response, url, clock);
    if (!isObject(data)) throw invalidAnswer(response, url, 'JSON that has no data');
    return data;
  } finally {
    clock.close();
  }
}

function queryString(query: object | undefined): string {
  const pairs = Object.entries(query ?? {})
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([name, value]) => `${name}=${encodeRfc3986(String(value))}`);
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
}

/** One page of a list: an array that also knows how many there are in all. */
export type ListResult<T> = T[] & {
  /** How many match, on all pages. */
  readonly total: number;
  readonly pageNumber: number;
  readonly pageSize: number;
};

/** The numbers do not show in `JSON.stringify`, `for … in` or a comparison with a plain array. */
export function listResult<T>(page: Partial<Page<T>>): ListResult<T> {
  // Servers that leave out empty lists mean one.
  const items = Array.isArray(page.items) ? page.items : [];
  const { total = items.length, pageNumber = 1, pageSize = items.length } = page;
  return Object.defineProperties(items, {
    total: { value: total },
    pageNumber: { value: pageNumber },
    pageSize: { value: pageSize },
  }) as ListResult<T>;
}
