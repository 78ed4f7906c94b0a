import type { ScalingStatus } from '@runstead/contract';
import { defined } from '../domain/runtime.ts';
import { limitReached as describeLimit } from '../domain/scaling.ts';
import { isLeaving, isUnsettled } from '../domain/status.ts';
import type { EndpointRecord, RuntimeRecord, Store, VersionRecord } from '../store/store.ts';
import type { InstanceSet } from './instance-set.ts';
import { type ServedEndpoint, servedEndpoints } from './references.ts';
import type { Routes } from './routes.ts';
import type { Scaler } from './scaler.ts';

export interface ReconcileEndpointsOptions {
  store: Store;
  instances: InstanceSet;
  routes: Routes;
  scaler: Scaler;
  maxInstancesPerRuntime: number;
  maxInstances: number;
}

/**
 * Brings the endpoints of a runtime to what is desired: READY when their routes are in force and their minimum
 * instances are up, gone when they are to be deleted. Looked at again whenever an instance of the runtime changes.
 */
export function createReconcileEndpoints(options: ReconcileEndpointsOptions) {
  const { store, instances, routes, scaler } = options;
  return async (runtimeId: string): Promise<void> => {
    const runtime = await store.getRuntime(runtimeId);
    if (!runtime || isLeaving(runtime.status)) return;
    const unsettled = (await store.endpoints(runtimeId)).filter(({ status }) => isUnsettled(status));
    if (unsettled.length === 0) return;
    await routes.publish(runtimeId);
    scaler.look(runtimeId);
    const versions = await store.versions(runtimeId);
    for (const endpoint of unsettled) {
      if (endpoint.status === 'DELETING') await store.removeEndpoint(endpoint.id);
      else await settle(endpoint, runtime, versions);
    }
    // A name that was deleted may be one that answers by itself.
    if (unsettled.some(({ status }) => status === 'DELETING')) {
      await routes.publish(runtimeId);
      scaler.look(runtimeId);
    }
  };

  async function settle(endpoint: EndpointRecord, runtime: RuntimeRecord, versions: VersionRecord[]) {
    const served = servedEndpoints(runtime, [endpoint], versions).find(({ name }) => name === endpoint.name);
    const lacking = served && lackingVersion(served, versions);
    if (!lacking) {
      await store.settleEndpoint(endpoint.id, endpoint.revision, { status: 'READY' });
      return;
    }
    const failure = scaler.failureOf(runtime.id, lacking) ?? limitReached(runtime.id);
    if (failure === undefined) return;
    await store.settleEndpoint(endpoint.id, endpoint.revision, {
      status: endpoint.status === 'CREATING' ? 'CREATE_FAILED' : 'UPDATE_FAILED',
      statusReason: `version ${lacking} cannot be started: ${failure}`,
    });
  }

  /** With everything up that may be up, waiting for more would be waiting for ever. */
  function limitReached(runtimeId: string): string | undefined {
    if (instances.all().some(({ state }) => state !== 'ready')) return undefined;
    return describeLimit({
      ...options,
      ofRuntime: instances.of(runtimeId).length,
      inAll: instances.all().length,
    });
  }

  /** A version that has fewer ready instances than this endpoint asks of it. */
  function lackingVersion(
    { shares, minInstances }: ServedEndpoint,
    versions: VersionRecord[],
  ): number | undefined {
    return shares.find(({ version, share }) => {
      const record = versions.find((candidate) => candidate.version === version);
      const ready = instances
        .of(record?.runtimeId ?? '')
        .filter(({ revision, state }) => revision === record?.revision && state === 'ready').length;
      return ready < Math.ceil(minInstances * share);
    })?.version;
  }
}

/** What an endpoint's scaling comes to at this moment: the instances of the runtime, of the minimum asked for. */
export function describeScaling(endpoint: EndpointRecord, instances: InstanceSet): ScalingStatus {
  const { minInstances = 0, scheduledPolicies } = endpoint.spec.scalingConfig ?? {};
  const own = instances.of(endpoint.runtimeId);
  return defined({
    minInstances,
    scheduledPolicies,
    currentInstances: own.filter(({ state }) => state === 'ready').length,
    targetInstances: Math.max(
      minInstances,
      own.filter(({ state }) => state === 'ready' || state === 'starting').length,
    ),
  }) as ScalingStatus;
}
