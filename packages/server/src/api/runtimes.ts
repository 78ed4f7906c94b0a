import { randomUUID } from 'node:crypto';
import {
  AgentRuntime,
  CreateAgentRuntimeInput,
  GetAgentRuntimeQuery,
  LATEST,
  ListAgentRuntimesQuery,
  type Page,
  ResourceStatus,
  RunsteadError,
  UpdateAgentRuntimeInput,
  VERSION_PATTERN,
} from '@runstead/contract';
import type { z } from 'zod';
import type { Intake } from '../artifacts/intake.ts';
import type { Spooled } from '../artifacts/spool.ts';
import { includesRole, reaches } from '../auth/keys.ts';
import { COMMAND_REQUIRED } from '../domain/entry.ts';
import { runtimeArn } from '../domain/names.ts';
import { REMOVED, wasRemoved } from '../domain/retention.ts';
import { createSpec, defined, mergeSpec, type RuntimeSpec, startCommand } from '../domain/runtime.ts';
import { referenceFaults } from '../domain/secret-references.ts';
import { isLeaving } from '../domain/status.ts';
import {
  NameTaken,
  NoSuchWorkspace,
  type RuntimeFilter,
  type RuntimeRecord,
  type VersionRecord,
} from '../store/store.ts';
import { takeApart, withSpooledBody } from './body.ts';
import type { Call } from './call.ts';
import { requireSpace } from './free-space.ts';
import { idempotencyKey, type Keep, once } from './idempotency.ts';
import { idParameter, isVisible, noSuchRuntime, requireRuntime, withinReach } from './ids.ts';
import { pageRequest, readPage, toPage } from './page.ts';
import { parse, parseJson, parseQuery, shortened, warnOfUnknown } from './parse.ts';
import { warnOfMissingSecrets } from './secrets.ts';

export async function createRuntime(call: Call): Promise<AgentRuntime> {
  // Before the body, which may be large.
  idempotencyKey(call);
  await requireSpace(call);
  return withSpooledBody(call, (body) => once(call, (keep) => createFrom(call, body, keep), body.sha256));
}

function createFrom(call: Call, body: Spooled, keep: Keep<AgentRuntime>): Promise<AgentRuntime> {
  return withInput(call, body, CreateAgentRuntimeInput, createFaults, async (input, intake) => {
    const runtime = await call.deps.store
      .createRuntime(
        {
          id: randomUUID(),
          name: input.agentRuntimeName,
          workspaceId: await workspaceOf(call, input),
          spec: createSpec(input, intake.artifact),
          at: new Date().toISOString(),
        },
        keep((created: RuntimeRecord) => toWire(call, created)),
      )
      .catch((error: unknown) => {
        throw asRefusal(error, input.agentRuntimeName, input.workspaceId);
      });
    call.deps.runtimeChanged(runtime.id);
    await warnOfMissingSecrets(call, runtime.workspaceId, runtime.spec.environmentVariables);
    return toWire(call, runtime);
  });
}

/** Should another process write between merging and writing, both are done again, this often at most. */
const MERGE_TRIES = 10;

export async function updateRuntime(call: Call): Promise<AgentRuntime> {
  const id = idParameter(call, 'agentRuntimeId');
  return withSpooledBody(call, (body) =>
    withInput(call, body, UpdateAgentRuntimeInput, updateFaults, async (input, intake) => {
      // Other configurations run what is there already.
      if (intake.artifact || input.codeConfiguration?.ossBucketName !== undefined) await requireSpace(call);
      return call.inTurn(id, () => mergeAndWrite(call, id, input, intake));
    }),
  );
}

async function mergeAndWrite(
  call: Call,
  id: string,
  input: UpdateAgentRuntimeInput,
  intake: Intake,
): Promise<AgentRuntime> {
  const { store } = call.deps;
  for (let tries = 0; tries < MERGE_TRIES; tries++) {
    const current = await store.getRuntime(id);
    if (!current || !isVisible(call, current) || isLeaving(current.status)) throw noSuchRuntime(id);
    if (input.workspaceId !== undefined && !reaches(call.principal.workspaces, input.workspaceId))
      throw noSuchWorkspace(input.workspaceId);
    const spec = mergeSpec(current.spec, input, intake.artifact);
    if (!intake.artifact && startCommand(current.spec) && spec.artifact && !startCommand(spec)) {
      // The package stays, and nothing in it says how to start it without the command that is being taken away.
      throw new RunsteadError('ERR_VALIDATION_FAILED', COMMAND_REQUIRED);
    }
    const name = input.agentRuntimeName ?? current.name;
    const updated = await store
      .updateRuntime(id, {
        name,
        workspaceId: input.workspaceId,
        spec,
        expectedRevision: current.revision,
        forceEvict: input.forceEvictInstances ?? false,
        at: new Date().toISOString(),
      })
      .catch((error: unknown) => {
        throw asRefusal(error, name, input.workspaceId);
      });
    if (updated) {
      call.deps.runtimeChanged(id);
      await letPackageGo(call, current, updated);
      await warnOfMissingSecrets(call, updated.workspaceId, updated.spec.environmentVariables);
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
}

/** A package that was replaced before any version had come of it is not referred to any more. */
async function letPackageGo({ deps }: Call, { id, spec: before }: RuntimeRecord, { spec }: RuntimeRecord) {
  const digest = before.artifact?.digest;
  if (digest === undefined || digest === spec.artifact?.digest) return;
  const versions = await deps.store.versions(id);
  if (versions.some((version) => version.spec.artifact?.digest === digest)) return;
  // What keeps it from being done now keeps nobody from updating; the next collection makes up for it.
  await deps.intake.collect(() => deps.store.artifactDigests()).catch(() => {});
}

export async function getRuntime(call: Call): Promise<AgentRuntime> {
  const { agentRuntimeVersion } = parseQuery(GetAgentRuntimeQuery, call.query);
  const runtime = await requireRuntime(call);
  // In this order: the routes of what was read are in force when it is told.
  await call.deps.routesSettled(runtime.id);
  if (agentRuntimeVersion === undefined) return toWire(call, runtime);
  const number = versionNumber(agentRuntimeVersion, runtime);
  const version = number === undefined ? undefined : await call.deps.store.getVersion(runtime.id, number);
  if (!version) {
    const removed =
      number !== undefined && wasRemoved(number, { head: runtime.headVersion, has: () => false });
    throw new RunsteadError(
      'ERR_NOT_FOUND',
      `Version '${shortened(agentRuntimeVersion)}' of AgentRuntime '${runtime.id}' does not exist (not found)${removed ? `: ${REMOVED}` : ''}`,
    );
  }
  return toWire(call, runtime, version);
}

function versionNumber(text: string, runtime: RuntimeRecord): number | undefined {
  if (text === LATEST) return runtime.headVersion;
  return VERSION_PATTERN.test(text) ? Number(text) : undefined;
}

export async function deleteRuntime(call: Call): Promise<AgentRuntime> {
  const { id } = await requireRuntime(call);
  const runtime = await call.deps.store.markRuntimeDeleting(id, new Date().toISOString());
  if (!runtime) throw noSuchRuntime(id);
  call.deps.runtimeChanged(id);
  return toWire(call, runtime);
}

export async function listRuntimes(call: Call): Promise<Page<AgentRuntime>> {
  const query = parseQuery(ListAgentRuntimesQuery, call.query);
  const page = pageRequest(query, call);
  warnOfStatuses(call, query.status);
  const workspaceIds = [...(query.workspaceIds ?? []), ...(query.workspaceId ? [query.workspaceId] : [])];
  const reachable = withinReach(call, workspaceIds);
  if (reachable === 'none') return { items: [], total: 0, ...page };
  const filter: RuntimeFilter = {
    name: query.agentRuntimeName
      ? { value: query.agentRuntimeName, mode: query.searchMode ?? 'fuzzy' }
      : undefined,
    statuses: query.status,
    systemTags: query.systemTags,
    workspaceIds: reachable,
  };
  const result = await readPage(call, 'ListAgentRuntimes', filter, page, (request) =>
    call.deps.store.listRuntimes(filter, request),
  );
  await call.deps.routesSettled();
  const { redactLists } = call.deps;
  return toPage(result, page, (runtime) => {
    const shown = toWire(call, runtime);
    return redactLists ? redacted(shown) : shown;
  });
}

const MASK = '***';

/** A runtime with its secrets masked; which there are can still be seen. */
function redacted(runtime: AgentRuntime): AgentRuntime {
  const shown = structuredClone(runtime);
  const { environmentVariables: variables, containerConfiguration } = shown;
  for (const name of Object.keys(variables ?? {})) variables![name] = MASK;
  const { authConfig } = containerConfiguration?.registryConfig ?? {};
  if (authConfig?.password !== undefined) authConfig.password = MASK;
  return shown;
}

/** Matching nothing is right for a status that no runtime is in; that none ever is in it should not go unsaid. */
function warnOfStatuses(call: Call, statuses: readonly string[] = []): void {
  const none = statuses.filter((status) => !ResourceStatus.safeParse(status).success);
  if (none.length === 0) return;
  const seen = shortened(none.map((status) => JSON.stringify(status)).join(', '));
  call.warn(`status ${seen} matches nothing: there are ${ResourceStatus.options.join(', ')}`);
}

/** Reads, checks and hands over a body that may carry a package; lets the package go if nothing came of it. */
async function withInput<S extends z.ZodObject, T>(
  call: Call,
  body: Spooled,
  schema: S,
  faults: (value: Record<string, unknown>, intake: Intake) => string[],
  use: (input: z.infer<S>, intake: Intake) => Promise<T>,
): Promise<T> {
  const intake = await takeApart(body, call.deps);
  try {
    const value = parseJson(intake.json);
    const input = parse(schema, value, (given) => [...faults(given, intake), ...variableFaults(given)]);
    warnOfUnknown(call, schema, value);
    return await use(input, intake);
  } finally {
    intake.release();
  }
}

type Given = Record<string, unknown>;
const isObject = (value: unknown): value is Given =>
  value !== null && typeof value === 'object' && !Array.isArray(value);

/** What is there but is no object the schema has a word for already. */
function createFaults({ artifactType, codeConfiguration, containerConfiguration }: Given, intake: Intake) {
  if (artifactType === 'Container') {
    const container = containerConfiguration ?? {};
    return isObject(container) && container.image === undefined
      ? ['containerConfiguration.image is required when artifactType is Container']
      : [];
  }
  if (artifactType !== 'Code') return [];
  if (codeConfiguration === undefined) return ['codeConfiguration is required when artifactType is Code'];
  if (!isObject(codeConfiguration)) return [];
  const { ossBucketName, ossObjectName, zipFile } = codeConfiguration;
  if (ossBucketName !== undefined || ossObjectName !== undefined) return bucketFaults(codeConfiguration);
  if (zipFile === undefined) {
    return ['codeConfiguration.zipFile is required (or ossBucketName and ossObjectName)'];
  }
  return entryFaults(codeConfiguration, intake);
}

function updateFaults({ codeConfiguration: code }: Given, intake: Intake): string[] {
  if (!isObject(code)) return [];
  if (code.ossBucketName !== undefined || code.ossObjectName !== undefined) return bucketFaults(code);
  return intake.artifact ? entryFaults(code, intake) : [];
}

/** Values that are no texts the schema has a word for already. */
function variableFaults({ environmentVariables: given }: Given): string[] {
  if (!isObject(given)) return [];
  const texts = Object.entries(given).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string' && !entry[0].includes('='),
  );
  return referenceFaults(Object.fromEntries(texts));
}

function bucketFaults(code: Given): string[] {
  return (['ossBucketName', 'ossObjectName'] as const)
    .filter((field) => code[field] === undefined)
    .map((field) => `codeConfiguration.${field} is required when the package lies in a bucket`);
}

/** An unreadable package is left to the deploy, which says in which phase it failed. */
function entryFaults(code: Given, intake: Intake): string[] {
  if (code.command !== undefined || !intake.artifact || !intake.packageReadable || intake.artifact.entry)
    return [];
  return [COMMAND_REQUIRED];
}

function asRefusal(error: unknown, name: string, workspaceId: string | undefined): unknown {
  if (error instanceof NameTaken) {
    return new RunsteadError('ERR_ALREADY_EXISTS', `AgentRuntime '${name}' already exists`);
  }
  if (error instanceof NoSuchWorkspace) {
    return noSuchWorkspace(workspaceId);
  }
  return error;
}

/** Not 404: to clients that would say the runtime itself is gone. One beyond the key's reach reads the same. */
function noSuchWorkspace(workspaceId: string | undefined): RunsteadError {
  return new RunsteadError(
    'ERR_VALIDATION_FAILED',
    `workspaceId names no workspace; ListWorkspaces has those there are (got ${shortened(JSON.stringify(workspaceId))})`,
  );
}

/** Where a new runtime goes: where it is told to; else where its creator's key leads alone; else the default one. */
async function workspaceOf(
  { deps, principal: { workspaces } }: Call,
  { workspaceId }: { workspaceId?: string | undefined },
): Promise<string | undefined> {
  if (workspaces === 'all') return workspaceId;
  if (workspaceId !== undefined) {
    if (reaches(workspaces, workspaceId)) return workspaceId;
    throw noSuchWorkspace(workspaceId);
  }
  const [only, ...others] = workspaces;
  if (only !== undefined && others.length === 0) return only;
  const { id } = await deps.store.defaultWorkspace();
  if (reaches(workspaces, id)) return id;
  throw new RunsteadError(
    'ERR_VALIDATION_FAILED',
    'workspaceId is required: the key that was used is for several workspaces, and the default one is none of them',
  );
}

/** A runtime as the wire has it: as desired, or as one version was. What only goes in, the model does not name. */
function toWire(call: Call, runtime: RuntimeRecord, version?: VersionRecord): AgentRuntime {
  const spec: RuntimeSpec = version?.spec ?? runtime.spec;
  const fields = Object.entries(spec).filter(([field]) => field in AgentRuntime.shape);
  const number = version?.version ?? runtime.headVersion;
  const wire = defined({
    ...Object.fromEntries(fields),
    agentRuntimeId: runtime.id,
    agentRuntimeArn: runtimeArn(call.deps.identity, runtime.id),
    agentRuntimeName: runtime.name,
    workspaceId: runtime.workspaceId,
    agentRuntimeVersion: number === undefined ? undefined : String(number),
    status: runtime.status,
    statusReason: runtime.statusReason ?? call.deps.progress(runtime.id),
    createdAt: version?.createdAt ?? runtime.createdAt,
    lastUpdatedAt: version?.updatedAt ?? runtime.updatedAt,
  }) as AgentRuntime;
  // Whoever may only call agents has no business with what they were given.
  return includesRole(call.principal.role, 'deploy') ? wire : redacted(wire);
}
