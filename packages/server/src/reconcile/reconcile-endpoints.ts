import type { ScalingStatus } from '@runstead/contract';
import { defined } from '../domain/runtime.ts';
import { limitReached as describeLimit } from '../domain/scaling.ts';
import { isLeaving, isUnsettled } from '../domain/status.ts';
import type { EndpointRecord, RuntimeRecord, Store, VersionRecord } from '../store/store.ts';
import type { InstanceSet } from './instance-set.ts';
import type { Minimums } from './minimums.ts';
import { type ServedEndpoint, servedEndpoints } from './references.ts';
import type { Routes } from './routes.ts';
import type { Scaler } from './scaler.ts';

export interface ReconcileEndpointsOptions {
  store: Store;
  instances: InstanceSet;
  minimums: Minimums;
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
    { shares, record: endpoint }: ServedEndpoint,
    versions: VersionRecord[],
  ): number | undefined {
    const minimum = endpoint ? options.minimums.of(endpoint).instances : 0;
    return shares.find(({ version, share }) => {
      const record = versions.find((candidate) => candidate.version === version);
      const ready = instances
        .of(record?.runtimeId ?? '')
        .filter(({ revision, state }) => revision === record?.revision && state === 'ready').length;
      return ready < Math.ceil(minimum * share);
    })?.version;
  }
}

/**
 * What an endpoint's scaling comes to at this moment: of the versions that it sends new sessions to, the instances that are
 * ready, and those that are needed for calls, sessions and what is asked for; and why it is not as it should be.
 */
export function describeScaling(
  {
    endpoint,
    runtime,
    versions,
  }: {
    endpoint: EndpointRecord;
    runtime: RuntimeRecord;
    versions: readonly VersionRecord[];
  },
  { instances, scaler, minimums }: { instances: InstanceSet; scaler: Scaler; minimums: Minimums },
): ScalingStatus {
  const { minInstances = 0, scheduledPolicies } = endpoint.spec.scalingConfig ?? {};
  const [served] = servedEndpoints(runtime, [endpoint], versions);
  const isServed = served?.record === endpoint && !isLeaving(runtime.status);
  const shares = isServed ? served.shares.filter(({ share }) => share > 0) : [];
  const { instances: minimum, faults } = minimums.of(endpoint);
  const own = instances.of(runtime.id);
  let currentInstances = 0;
  let targetInstances = 0;
  const errors: string[] = [];
  for (const { version, share } of shares) {
    const record = versions.find((candidate) => candidate.version === version);
    const ready = own.filter(({ revision, state }) => revision === record?.revision && state === 'ready');
    currentInstances += ready.length;
    targetInstances += Math.max(Math.ceil(minimum * share), record ? scaler.neededForCalls(record) : 0);
    const fault = scaler.faultOf(runtime.id, version) ?? ready.find(({ sick }) => sick !== undefined)?.sick;
    if (fault !== undefined) errors.push(shares.length > 1 ? `version ${version}: ${fault}` : fault);
  }
  return defined({
    minInstances,
    scheduledPolicies,
    currentInstances,
    targetInstances,
    currentError: [...errors, ...faults].join('; ') || undefined,
  }) as ScalingStatus;
}
