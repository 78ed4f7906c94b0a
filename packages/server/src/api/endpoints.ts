import { randomUUID } from 'node:crypto';
import {
  type AgentRuntimeEndpoint,
  CreateAgentRuntimeEndpointInput,
  invocationPath,
  LATEST,
  ListAgentRuntimeEndpointsQuery,
  type Page,
  RunsteadError,
  UpdateAgentRuntimeEndpointInput,
} from '@runstead/contract';
import { endpointArn } from '../domain/names.ts';
import { REMOVED } from '../domain/retention.ts';
import { defined, meaningful } from '../domain/runtime.ts';
import { scalingFaults } from '../domain/schedule.ts';
import { isLeaving } from '../domain/status.ts';
import { checkTarget } from '../domain/weights.ts';
import {
  type EndpointRecord,
  type EndpointSpec,
  NameTaken,
  type RuntimeRecord,
  type VersionRecord,
  VersionRemoved,
} from '../store/store.ts';
import type { Call } from './call.ts';
import { type Keep, once } from './idempotency.ts';
import { idParameter, noSuchRuntime, requireRuntime } from './ids.ts';
import { pageRequest, readPage, toPage } from './page.ts';
import { parse, parseQuery, warnOfUnknown } from './parse.ts';

export async function createEndpoint(call: Call): Promise<AgentRuntimeEndpoint> {
  return once(call, (keep) => create(call, keep));
}

async function create(call: Call, keep: Keep<AgentRuntimeEndpoint>): Promise<AgentRuntimeEndpoint> {
  const runtime = await requireRuntime(call);
  requireServing(runtime);
  const body = await call.json();
  const { agentRuntimeEndpointName: name, ...given } = parse(CreateAgentRuntimeEndpointInput, body);
  warnOfUnknown(call, CreateAgentRuntimeEndpointInput, body);
  const spec = withTarget(given);
  const versions = await requireSound(call, runtime, spec, { allowZero: false });
  const endpoint = await call.deps.store
    .createEndpoint(
      { id: randomUUID(), runtimeId: runtime.id, name, spec, at: new Date().toISOString() },
      keep((created: EndpointRecord) => toWire(call, runtime, created, versions)),
    )
    .catch((error: unknown) => {
      throw asRefusal(error, runtime.id, name);
    });
  call.deps.endpointsChanged(runtime.id);
  return toWire(call, runtime, endpoint, versions);
}

export async function updateEndpoint(call: Call): Promise<AgentRuntimeEndpoint> {
  const runtime = await requireRuntime(call);
  requireServing(runtime);
  const { id } = await requireEndpoint(call, runtime);
  const body = await call.json();
  const input = parse(UpdateAgentRuntimeEndpointInput, body);
  warnOfUnknown(call, UpdateAgentRuntimeEndpointInput, body);
  return call.inTurn(id, async () => {
    const current = await requireEndpoint(call, runtime);
    const { agentRuntimeEndpointName: name = current.name, deleteScalingConfig, ...given } = input;
    const merged: EndpointSpec = { ...current.spec, ...defined(given) };
    if (deleteScalingConfig) delete merged.scalingConfig;
    const spec = withTarget(merged);
    const versions = await requireSound(call, runtime, spec, { allowZero: true });
    const endpoint = await call.deps.store
      .updateEndpoint(runtime.id, id, { name, spec, at: new Date().toISOString() })
      .catch((error: unknown) => {
        throw asRefusal(error, runtime.id, name);
      });
    if (!endpoint) throw noSuchEndpoint(runtime.id, id);
    call.deps.endpointsChanged(runtime.id);
    return toWire(call, runtime, endpoint, versions);
  });
}

/** An endpoint that names neither target nor weights follows the newest version. */
function withTarget(given: EndpointSpec): EndpointSpec {
  const spec = meaningful(given);
  const untargeted = spec.targetVersion === undefined && !spec.routingConfiguration?.versionWeights?.length;
  return untargeted ? { ...spec, targetVersion: LATEST } : spec;
}

export async function getEndpoint(call: Call): Promise<AgentRuntimeEndpoint> {
  const runtime = await requireRuntime(call);
  const endpoint = await requireEndpoint(call, runtime);
  return toWire(call, runtime, endpoint, await call.deps.store.versions(runtime.id));
}

export async function deleteEndpoint(call: Call): Promise<AgentRuntimeEndpoint> {
  const runtime = await requireRuntime(call);
  const id = idParameter(call, 'agentRuntimeEndpointId');
  const endpoint = await call.deps.store.markEndpointDeleting(runtime.id, id, new Date().toISOString());
  if (!endpoint) throw noSuchEndpoint(runtime.id, id);
  call.deps.endpointsChanged(runtime.id);
  return toWire(call, runtime, endpoint, await call.deps.store.versions(runtime.id));
}

export async function listEndpoints(call: Call): Promise<Page<AgentRuntimeEndpoint>> {
  const query = parseQuery(ListAgentRuntimeEndpointsQuery, call.query);
  const page = pageRequest(query, call);
  const runtime = await requireRuntime(call);
  const { endpointName, searchMode } = query;
  const filter = endpointName ? { endpointName, searchMode } : {};
  const result = await readPage(
    call,
    'ListAgentRuntimeEndpoints',
    { runtimeId: runtime.id, ...filter },
    page,
    (request) => call.deps.store.listEndpoints(runtime.id, filter, request),
  );
  const versions = await call.deps.store.versions(runtime.id);
  return toPage(result, page, (endpoint) => toWire(call, runtime, endpoint, versions));
}

/**
 * Writes of endpoints and versions need a version that serves. An update under way, or one that failed, is no
 * obstacle: that is when a rollback is wanted.
 * @throws RunsteadError ERR_RUNTIME_NOT_READY
 */
export function requireServing(runtime: RuntimeRecord): { headVersion: number } {
  const { headVersion } = runtime;
  if (headVersion === undefined || isLeaving(runtime.status)) {
    throw new RunsteadError(
      'ERR_RUNTIME_NOT_READY',
      `runtime must be in READY status (AgentRuntime '${runtime.id}' is in ${runtime.status})`,
    );
  }
  return { headVersion };
}

async function requireEndpoint(call: Call, runtime: RuntimeRecord): Promise<EndpointRecord> {
  const id = idParameter(call, 'agentRuntimeEndpointId');
  const endpoint = await call.deps.store.getEndpoint(runtime.id, id);
  if (!endpoint) throw noSuchEndpoint(runtime.id, id);
  return endpoint;
}

/**
 * @returns the runtime's versions
 * @throws RunsteadError ERR_VALIDATION_FAILED for targets that are not there and scaling that cannot be
 */
async function requireSound(
  call: Call,
  runtime: RuntimeRecord,
  spec: EndpointSpec,
  options: { allowZero: boolean },
): Promise<VersionRecord[]> {
  const known = await call.deps.store.versions(runtime.id);
  const numbers = new Set(known.map(({ version }) => version));
  const versions = { head: runtime.headVersion, has: (version: number) => numbers.has(version) };
  const faults = [
    ...checkTarget(spec, versions, options),
    ...scalingFaults(spec.scalingConfig, call.deps.maxInstancesPerRuntime),
  ];
  if (faults.length > 0) throw new RunsteadError('ERR_VALIDATION_FAILED', faults.join('; '));
  return known;
}

function noSuchEndpoint(runtimeId: string, id: string): RunsteadError {
  return new RunsteadError(
    'ERR_NOT_FOUND',
    `AgentRuntimeEndpoint '${runtimeId}/${id}' does not exist (not found)`,
  );
}

/** A runtime removed between reading it and writing below it shows as a foreign-key fault. */
function asRefusal(error: unknown, runtimeId: string, name: string): unknown {
  if (error instanceof NameTaken) {
    return new RunsteadError(
      'ERR_ALREADY_EXISTS',
      `AgentRuntimeEndpoint '${runtimeId}/${name}' already exists`,
    );
  }
  // Between the look at what there is and the write.
  if (error instanceof VersionRemoved) {
    return new RunsteadError(
      'ERR_VALIDATION_FAILED',
      `version "${error.version}" is no version of this runtime any more: ${REMOVED}`,
    );
  }
  if (error instanceof Error && /FOREIGN KEY/.test(error.message)) return noSuchRuntime(runtimeId);
  return error;
}

function toWire(
  call: Call,
  runtime: RuntimeRecord,
  endpoint: EndpointRecord,
  versions: readonly VersionRecord[],
): AgentRuntimeEndpoint {
  const { scalingConfig: _config, ...fields } = endpoint.spec;
  return defined({
    ...fields,
    agentRuntimeId: runtime.id,
    agentRuntimeEndpointId: endpoint.id,
    agentRuntimeEndpointArn: endpointArn(call.deps.identity, endpoint.id),
    agentRuntimeEndpointName: endpoint.name,
    endpointPublicUrl: call.deps.publicUrl() + invocationPath(runtime.name, endpoint.name),
    scalingStatus: call.deps.scalingStatus({ endpoint, runtime, versions }),
    // With its runtime an endpoint goes: it takes no calls any more.
    status: runtime.status === 'DELETING' ? runtime.status : endpoint.status,
    statusReason: endpoint.statusReason,
  });
}
