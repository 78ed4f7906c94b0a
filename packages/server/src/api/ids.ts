import { RunsteadError } from '@runstead/contract';
import { reaches } from '../auth/keys.ts';
import { isUuid } from '../domain/names.ts';
import type { RuntimeRecord } from '../store/store.ts';
import type { Call } from './call.ts';
import { shortened } from './parse.ts';

/**
 * An id from the path.
 * @throws RunsteadError ERR_BAD_REQUEST when it is no UUID
 */
export function idParameter(
  call: Call,
  name: 'agentRuntimeId' | 'agentRuntimeEndpointId' | 'workspaceId',
): string {
  return readId(name, call.parameters[name] ?? '');
}

/** @throws RunsteadError ERR_BAD_REQUEST when the value is no UUID */
export function readId(name: string, value: string): string {
  if (!isUuid(value)) {
    const seen = shortened(JSON.stringify(value));
    throw new RunsteadError('ERR_BAD_REQUEST', `${name} must be a UUID (got ${seen})`);
  }
  return value.toLowerCase();
}

export function noSuchRuntime(id: string): RunsteadError {
  return new RunsteadError('ERR_NOT_FOUND', `AgentRuntime '${id}' does not exist (not found)`);
}

/**
 * The runtime that the path names.
 * @throws RunsteadError ERR_NOT_FOUND
 */
export async function requireRuntime(call: Call): Promise<RuntimeRecord> {
  const id = idParameter(call, 'agentRuntimeId');
  const runtime = await call.deps.store.getRuntime(id);
  if (!runtime || !isVisible(call, runtime)) throw noSuchRuntime(id);
  return runtime;
}

/** Whether the caller's key reaches it; what it does not reach is, to the caller, not there. */
export function isVisible(
  { principal }: Pick<Call, 'principal'>,
  { workspaceId }: { workspaceId: string },
): boolean {
  return reaches(principal.workspaces, workspaceId);
}

/**
 * Of the workspaces asked for (none: all of them), those that the caller's key reaches.
 * @returns an empty list for all there are
 */
export function withinReach(
  { principal: { workspaces } }: Pick<Call, 'principal'>,
  asked: readonly string[],
): readonly string[] | 'none' {
  if (workspaces === 'all') return asked;
  const reachable = asked.length === 0 ? workspaces : asked.filter((id) => workspaces.includes(id));
  return reachable.length === 0 ? 'none' : reachable;
}
