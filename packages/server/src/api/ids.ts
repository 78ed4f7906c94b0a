import { RunsteadError } from '@runstead/contract';
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
  if (!runtime) throw noSuchRuntime(id);
  return runtime;
}
