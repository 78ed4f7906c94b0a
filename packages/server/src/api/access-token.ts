import { GetAccessTokenQuery, RunsteadError } from '@runstead/contract';
import { issueAccessToken } from '../auth/access-token.ts';
import type { RuntimeRecord } from '../store/store.ts';
import type { Call } from './call.ts';
import { isVisible, noSuchRuntime, readId } from './ids.ts';
import { parseQuery, shortened } from './parse.ts';

/**
 * A token for calls to one runtime (contract: older scheme). It is good for 24 hours, as long as the runtime and the key
 * that asked are there.
 * @throws RunsteadError ERR_VALIDATION_FAILED, ERR_NOT_FOUND
 */
export async function getAccessToken(call: Call): Promise<{ accessToken: string }> {
  const { resourceType, resourceId, resourceName } = parseQuery(GetAccessTokenQuery, call.query);
  if (resourceType !== undefined && resourceType !== 'runtime') {
    throw new RunsteadError(
      'ERR_VALIDATION_FAILED',
      `resourceType must be runtime on this server (got ${shortened(JSON.stringify(resourceType))})`,
    );
  }
  if ((resourceId === undefined) === (resourceName === undefined)) {
    throw new RunsteadError(
      'ERR_VALIDATION_FAILED',
      'one of resourceName and resourceId is required, and only one',
    );
  }
  const runtime = await find(call, resourceId, resourceName);
  if (!runtime || !isVisible(call, runtime)) throw noSuchRuntime(resourceId ?? resourceName ?? '');
  const { keys, now } = call.deps.authentication;
  const key = keys.byId(call.principal.keyId);
  // Revoked while it was asked for.
  if (!key) throw noSuchRuntime(runtime.id);
  // A gateway that does not know the runtime yet would refuse the token.
  await call.deps.routesSettled(runtime.id);
  return { accessToken: issueAccessToken(key, runtime.id, now()) };
}

async function find(
  { deps: { store } }: Call,
  id: string | undefined,
  name: string | undefined,
): Promise<RuntimeRecord | undefined> {
  if (id !== undefined) return store.getRuntime(readId('resourceId', id));
  const filter = { name: { value: name ?? '', mode: 'exact' as const } };
  const { items } = await store.listRuntimes(filter, { pageNumber: 1, pageSize: 1 });
  return items[0];
}
