import { RunsteadError } from '@runstead/contract';
import type { EndpointRoute, RuntimeRoute } from '../feed/messages.ts';
import type { SessionCall } from './session-call.ts';

/** Where a call goes: enough to find its instances, and to choose again if that version goes away. */
export interface Destination {
  runtimeId: string;
  runtimeName: string;
  endpointName: string;
  version: number;
  /** Whether the caller may go where public access is disabled. */
  isPrivate?: boolean | undefined;
  /** The session that the call belongs to. */
  session?: SessionCall | undefined;
}

/**
 * Chooses the version that answers a call.
 * @param point in [0,1): where on the endpoint's weights the call falls
 * @throws RunsteadError ERR_NOT_FOUND, Forbidden, ERR_UNAVAILABLE
 */
export function chooseVersion(
  runtime: RuntimeRoute | undefined,
  names: Pick<Destination, 'runtimeName' | 'endpointName' | 'isPrivate' | 'session'>,
  point: number,
): Destination {
  const { runtimeName, endpointName, isPrivate, session } = names;
  if (!runtime || runtime.state === 'deleting') {
    throw noSuchRuntime(runtimeName);
  }
  const endpoint = findEndpoint(runtime, endpointName);
  if (!endpoint) {
    throw new RunsteadError(
      'ERR_NOT_FOUND',
      `Endpoint '${endpointName}' of runtime '${runtimeName}' does not exist`,
    );
  }
  if (!isOpenTo(endpoint, isPrivate)) {
    throw new RunsteadError(
      'Forbidden',
      `Forbidden: endpoint '${endpointName}' of runtime '${runtimeName}' is closed to public network access; ` +
        'call it under a private host of this server, from the private network',
    );
  }
  const version = pickVersion(endpoint.weights, point);
  if (version === undefined) {
    throw new RunsteadError(
      'ERR_UNAVAILABLE',
      runtime.unavailableReason ?? `Runtime '${runtimeName}' has no version to serve yet`,
    );
  }
  return { runtimeId: runtime.runtimeId, runtimeName, endpointName, version, isPrivate, session };
}

/** Whether an endpoint takes a caller's calls. @param isPrivate whether they come from the private side */
export function isOpenTo(endpoint: EndpointRoute, isPrivate: boolean | undefined): boolean {
  return !endpoint.disablePublicNetworkAccess || isPrivate === true;
}

export function findEndpoint(runtime: RuntimeRoute, name: string): EndpointRoute | undefined {
  return runtime.endpoints.find((endpoint) => endpoint.name === name);
}

/**
 * The version at a point of the weights laid end to end; undefined if there are none.
 * @example pickVersion([{ version: 1, share: 0.9 }, { version: 2, share: 0.1 }], 0.95) // 2
 */
export function pickVersion(
  weights: readonly { version: number; share: number }[],
  point: number,
): number | undefined {
  let end = 0;
  for (const { version, share } of weights) {
    end += share;
    if (point < end) return version;
  }
  // Shares such as ten times 0.1 add up to a little less than 1: what is past the end belongs to the last.
  return weights.at(-1)?.version;
}

/**
 * The less loaded of two random candidates (the power of two choices): nearly as even as always taking the least
 * loaded one, without every call running to the same instance. Undefined if there is no candidate.
 * @param points two independent points in [0,1)
 */
export function pickInstance<T extends { inFlight: number; taken?: number }>(
  free: readonly T[],
  points: readonly [number, number],
): T | undefined {
  if (free.length < 2) return free[0];
  const first = Math.floor(points[0] * free.length);
  // The second is drawn from the others.
  const other = Math.floor(points[1] * (free.length - 1));
  const one = free[first]!;
  const two = free[other < first ? other : other + 1]!;
  if (two.inFlight !== one.inFlight) return two.inFlight < one.inFlight ? two : one;
  // Sessions without a call now will have one sooner or later.
  return (two.taken ?? 0) < (one.taken ?? 0) ? two : one;
}

/** Also for one that is beyond a caller's reach: the two read the same, so that neither tells of the other. */
export function noSuchRuntime(name: string): RunsteadError {
  return new RunsteadError('ERR_NOT_FOUND', `Runtime '${name}' does not exist`);
}
