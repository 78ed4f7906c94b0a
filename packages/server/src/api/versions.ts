import {
  type AgentRuntimeVersion,
  ListAgentRuntimeVersionsQuery,
  type Page,
  PublishRuntimeVersionInput,
} from '@runstead/contract';
import { runtimeArn } from '../domain/names.ts';
import { defined } from '../domain/runtime.ts';
import type { RuntimeRecord, VersionRecord } from '../store/store.ts';
import type { Call } from './call.ts';
import { requireServing } from './endpoints.ts';
import { type Keep, once } from './idempotency.ts';
import { noSuchRuntime, requireRuntime } from './ids.ts';
import { pageRequest, toPage } from './page.ts';
import { parse, parseQuery, warnOfUnknown } from './parse.ts';

export async function listVersions(call: Call): Promise<Page<AgentRuntimeVersion>> {
  const page = pageRequest(parseQuery(ListAgentRuntimeVersionsQuery, call.query), call);
  const runtime = await requireRuntime(call);
  const result = await call.deps.store.listVersions(runtime.id, page);
  return toPage(result, page, (version) => toWire(call, runtime, version));
}

/** Stamps description and publisher on the newest version. */
export async function publishVersion(call: Call): Promise<AgentRuntimeVersion> {
  return once(call, (keep) => publish(call, keep));
}

async function publish(call: Call, keep: Keep<AgentRuntimeVersion>): Promise<AgentRuntimeVersion> {
  const runtime = await requireRuntime(call);
  const { headVersion } = requireServing(runtime);
  const body = await call.json();
  const { description, publisher } = parse(PublishRuntimeVersionInput, body);
  warnOfUnknown(call, PublishRuntimeVersionInput, body);
  const version = await call.deps.store.publishVersion(
    runtime.id,
    headVersion,
    { description, publisher, at: new Date().toISOString() },
    keep((stamped: VersionRecord) => toWire(call, runtime, stamped)),
  );
  // Gone in the meantime, its versions with it.
  if (!version) throw noSuchRuntime(runtime.id);
  return toWire(call, runtime, version);
}

function toWire(call: Call, runtime: RuntimeRecord, version: VersionRecord): AgentRuntimeVersion {
  return defined({
    agentRuntimeId: runtime.id,
    agentRuntimeArn: runtimeArn(call.deps.identity, runtime.id),
    agentRuntimeName: runtime.name,
    agentRuntimeVersion: String(version.version),
    description: version.description ?? version.spec.description,
    lastUpdatedAt: version.updatedAt,
  });
}
