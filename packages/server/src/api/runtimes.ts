import { randomUUID } from 'node:crypto';
import {
  type AgentRuntime,
  CreateAgentRuntimeInput,
  GetAgentRuntimeQuery,
  LATEST,
  ListAgentRuntimesQuery,
  type Page,
  RunsteadError,
  UpdateAgentRuntimeInput,
} from '@runstead/contract';
import type { z } from 'zod';
import type { Intake } from '../artifacts/intake.ts';
import { ENTRY_SEARCH } from '../domain/entry.ts';
import { runtimeArn } from '../domain/names.ts';
import { createSpec, defined, mergeSpec, type RuntimeSpec } from '../domain/runtime.ts';
import { isLeaving } from '../domain/status.ts';
import { NameTaken, type RuntimeRecord, type VersionRecord } from '../store/store.ts';
import type { Call } from './app.ts';
import { readPackageBody } from './body.ts';
import { idParameter, noSuchRuntime, requireRuntime } from './ids.ts';
import { pageRequest, toPage } from './page.ts';
import { parse, parseJson, unknownFields } from './parse.ts';

export async function createRuntime(call: Call): Promise<AgentRuntime> {
  return withBody(call, CreateAgentRuntimeInput, createFaults, async (input, intake) => {
    const { store } = call.deps;
    const runtime = await store
      .createRuntime({
        id: randomUUID(),
        name: input.agentRuntimeName,
        spec: createSpec(input, intake.artifact),
        at: new Date().toISOString(),
      })
      .catch((error: unknown) => {
        throw alreadyExists(error, input.agentRuntimeName);
      });
    call.deps.runtimeChanged(runtime.id);
    return toWire(call, runtime);
  });
}

/** Merging and writing are two steps; a write in between means merging again, this often at most. */
const MERGE_TRIES = 10;

export async function updateRuntime(call: Call): Promise<AgentRuntime> {
  const id = idParameter(call, 'agentRuntimeId');
  return withBody(call, UpdateAgentRuntimeInput, updateFaults, async (input, intake) => {
    const { store } = call.deps;
    for (let tries = 0; tries < MERGE_TRIES; tries++) {
      const current = await store.getRuntime(id);
      if (!current || isLeaving(current.status)) throw noSuchRuntime(id);
      const spec = mergeSpec(current.spec, input, intake.artifact);
      const name = input.agentRuntimeName ?? current.name;
      const updated = await store
        .updateRuntime(id, {
          name,
          spec,
          expectedRevision: current.revision,
          forceEvict: input.forceEvictInstances ?? false,
          at: new Date().toISOString(),
        })
        .catch((error: unknown) => {
          throw alreadyExists(error, name);
        });
      if (updated) {
        call.deps.runtimeChanged(id);
        return toWire(call, updated);
      }
    }
    throw new RunsteadError(
      'ERR_UNAVAILABLE',
      `AgentRuntime '${id}' is being written by too many at once; try again`,
      {
        retryAfterSeconds: 1,
      },
    );
  });
}

export async function getRuntime(call: Call): Promise<AgentRuntime> {
  const { agentRuntimeVersion } = parse(GetAgentRuntimeQuery, call.query);
  await call.deps.routesSettled(idParameter(call, 'agentRuntimeId'));
  const runtime = await requireRuntime(call);
  if (agentRuntimeVersion === undefined || agentRuntimeVersion === '') return toWire(call, runtime);
  const number = agentRuntimeVersion === LATEST ? runtime.headVersion : Number(agentRuntimeVersion);
  const version =
    number !== undefined && Number.isSafeInteger(number)
      ? await call.deps.store.getVersion(runtime.id, number)
      : undefined;
  if (!version) {
    throw new RunsteadError(
      'ERR_NOT_FOUND',
      `Version '${agentRuntimeVersion}' of AgentRuntime '${runtime.id}' does not exist (not found)`,
    );
  }
  return toWire(call, runtime, version);
}

export async function deleteRuntime(call: Call): Promise<AgentRuntime> {
  const id = idParameter(call, 'agentRuntimeId');
  const runtime = await call.deps.store.markRuntimeDeleting(id, new Date().toISOString());
  if (!runtime) throw noSuchRuntime(id);
  call.deps.runtimeChanged(id);
  return toWire(call, runtime);
}

export async function listRuntimes(call: Call): Promise<Page<AgentRuntime>> {
  const query = parse(ListAgentRuntimesQuery, call.query);
  const page = pageRequest(query, call);
  await call.deps.routesSettled();
  const workspaceIds = [...(query.workspaceIds ?? []), ...(query.workspaceId ? [query.workspaceId] : [])];
  const result = await call.deps.store.listRuntimes(
    {
      name: query.agentRuntimeName
        ? { value: query.agentRuntimeName, mode: query.searchMode ?? 'fuzzy' }
        : undefined,
      statuses: query.status,
      systemTags: query.systemTags,
      workspaceIds,
    },
    page,
  );
  return toPage(result, page, (runtime) => toWire(call, runtime));
}

/** Reads, checks and hands over a body that may carry a package; lets the package go if nothing came of it. */
async function withBody<S extends z.ZodObject, T>(
  call: Call,
  schema: S,
  faults: (value: Record<string, unknown>, intake: Intake) => string[],
  use: (input: z.infer<S>, intake: Intake) => Promise<T>,
): Promise<T> {
  const intake = await readPackageBody(call.request, call.deps);
  try {
    const value = parseJson(intake.json);
    const input = parse(schema, value, (given) => faults(given, intake));
    const unknown = unknownFields(schema, value);
    if (unknown.length > 0) call.warn(`ignored fields that are not known: ${unknown.join(', ')}`);
    return await use(input, intake);
  } finally {
    intake.release();
  }
}

type Given = Record<string, unknown>;
const part = (value: Given, key: string): Given | undefined => {
  const found = value[key];
  return found !== null && typeof found === 'object' ? (found as Given) : undefined;
};

function createFaults(value: Given, intake: Intake): string[] {
  const code = part(value, 'codeConfiguration');
  if (value.artifactType === 'Container') {
    return part(value, 'containerConfiguration')?.image === undefined
      ? ['containerConfiguration.image is required when artifactType is Container']
      : [];
  }
  if (value.artifactType !== 'Code') return [];
  if (!code) return ['codeConfiguration is required when artifactType is Code'];
  if (code.ossBucketName !== undefined || code.ossObjectName !== undefined) return bucketFaults(code);
  if (!intake.artifact) {
    return ['codeConfiguration.zipFile is required (or ossBucketName and ossObjectName)'];
  }
  return entryFaults(code, intake);
}

function updateFaults(value: Given, intake: Intake): string[] {
  const code = part(value, 'codeConfiguration');
  if (!code) return [];
  if (code.ossBucketName !== undefined || code.ossObjectName !== undefined) return bucketFaults(code);
  return intake.artifact ? entryFaults(code, intake) : [];
}

function bucketFaults(code: Given): string[] {
  return (['ossBucketName', 'ossObjectName'] as const)
    .filter((field) => code[field] === undefined)
    .map((field) => `codeConfiguration.${field} is required when the package lies in a bucket`);
}

/** An unreadable package is left to the deploy, which says in which phase it failed. */
function entryFaults(code: Given, intake: Intake): string[] {
  if (code.command !== undefined || !intake.packageReadable || intake.artifact?.entry) return [];
  return [`codeConfiguration.command is required: the package has none of ${ENTRY_SEARCH.join(', ')}`];
}

function alreadyExists(error: unknown, name: string): unknown {
  return error instanceof NameTaken
    ? new RunsteadError('ERR_ALREADY_EXISTS', `AgentRuntime '${name}' already exists`)
    : error;
}

/** A runtime as the wire has it: as desired, or as one version was. */
function toWire(call: Call, runtime: RuntimeRecord, version?: VersionRecord): AgentRuntime {
  const { artifact: _artifact, ...fields }: RuntimeSpec = version?.spec ?? runtime.spec;
  const number = version?.version ?? runtime.headVersion;
  return defined({
    ...fields,
    agentRuntimeId: runtime.id,
    agentRuntimeArn: runtimeArn(call.deps.identity, runtime.id),
    agentRuntimeName: runtime.name,
    agentRuntimeVersion: number === undefined ? undefined : String(number),
    status: runtime.status,
    statusReason: runtime.statusReason ?? call.deps.progress(runtime.id),
    createdAt: version?.createdAt ?? runtime.createdAt,
    lastUpdatedAt: version?.updatedAt ?? runtime.updatedAt,
  }) as AgentRuntime;
}
