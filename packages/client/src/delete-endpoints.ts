import type { Caller } from './caller.ts';
import type { Config } from './config/config.ts';
import { DeleteResourceError, ResourceNotExistError } from './errors.ts';
import { deleteEndpoint, endpointOf, listAllEndpoints, runtime } from './operations.ts';
import { resolveCall } from './transport/call-settings.ts';
import { isRunstead } from './transport/features.ts';
import { poll } from './wait.ts';

/**
 * What has to be done before a runtime can be deleted: its endpoints go, each of them, and are waited for, at most for the
 * call's `timeout`. A Runstead does all that itself and at once, so there is nothing to do here.
 * @throws TimeoutError, DeleteResourceError where an endpoint cannot be deleted
 */
export async function deleteEndpointsOf(
  caller: Caller,
  agentRuntimeId: string,
  config: Config | undefined,
): Promise<void> {
  const { target, timeoutMs, signal } = resolveCall('control', caller.config, config);
  const asked = new Set<string>();
  let left = 0;
  await poll({
    options: { timeoutMs },
    config,
    signals: [signal],
    goal: 'without endpoints',
    reference: runtime(agentRuntimeId),
    seen: () => ({ status: `${left} endpoints are left`, statusReason: undefined }),
    look: async (settings) => {
      if (isRunstead(caller, target)) return true;
      try {
        const endpoints = await listAllEndpoints(caller, agentRuntimeId, undefined, settings, (data) => data);
        // Its first answer may have told.
        if (isRunstead(caller, target)) return true;
        left = endpoints.length;
        for (const { agentRuntimeEndpointId: id = '', status, statusReason } of endpoints) {
          if (!asked.has(id)) await deleteOne(caller, agentRuntimeId, id, settings);
          else if (status === 'DELETE_FAILED') {
            throw new DeleteResourceError(endpointOf(agentRuntimeId, id), { status, statusReason });
          }
          asked.add(id);
        }
        return left === 0;
      } catch (error) {
        // The delete of the runtime says so in its own words.
        if (error instanceof ResourceNotExistError) return true;
        throw error;
      }
    },
  });
}

async function deleteOne(
  caller: Caller,
  agentRuntimeId: string,
  endpointId: string,
  config: Config,
): Promise<void> {
  try {
    await deleteEndpoint(caller, agentRuntimeId, endpointId, config, (data) => data);
  } catch (error) {
    if (!(error instanceof ResourceNotExistError)) throw error;
  }
}
