import { RunsteadError } from '@runstead/contract';
import { isUuid } from '../domain/names.ts';
import type { RuntimeRecord } from '../store/store.ts';
import type { Call } from './app.ts';

/**
 * An id from the path.
 * @throws RunsteadError ERR_BAD_REQUEST when it is no UUID
 */
export function idParameter(call: Call, name: 'agentRuntimeId' | 'agentRuntimeEndpointId'): string {
  const value = call.parameters[name] ?? '';
  if (!isUuid(value))
    throw new RunsteadError('ERR_BAD_REQUEST', `${name} must be a UUID (got ${JSON.stringify(value)})`);
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
