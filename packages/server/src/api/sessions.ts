import { ListAgentRuntimeVersionsQuery, NAME_PATTERN, type Page, RunsteadError } from '@runstead/contract';
import { z } from 'zod';
import { defined } from '../domain/runtime.ts';
import type { RuntimeRecord, SessionRecord } from '../store/store.ts';
import type { Call } from './call.ts';
import { isVisible, readId, withinReach } from './ids.ts';
import { pageRequest, readPage, toPage } from './page.ts';
import { parseQuery } from './parse.ts';

/** Sessions that are bound to an instance. What their callers named them by is not known here. */

const ListSessionsQuery = ListAgentRuntimeVersionsQuery.extend({
  agentRuntimeId: z.string().optional(),
  agentRuntimeEndpointName: z.string().regex(NAME_PATTERN, 'must be the name of an endpoint').optional(),
});

const HASH = /^[0-9a-f]{32}$/;

/** One session, as `/runstead/v1/sessions` shows it. */
export interface SessionInfo {
  sessionHash: string;
  agentRuntimeId: string;
  agentRuntimeName: string;
  agentRuntimeEndpointName: string;
  agentRuntimeVersion: string;
  instanceId: string;
  /** Whose it is; absent: an anonymous caller's. */
  keyId?: string | undefined;
  createdAt: string;
  lastUsedAt: string;
  openCalls: number;
}

/** Newest first; up to a second behind the gateway. */
export async function listSessions(call: Call): Promise<Page<SessionInfo>> {
  const { agentRuntimeId, agentRuntimeEndpointName, ...query } = parseQuery(ListSessionsQuery, call.query);
  const page = pageRequest(query, call);
  const reachable = withinReach(call, []);
  const runtimeId = agentRuntimeId === undefined ? undefined : readId('agentRuntimeId', agentRuntimeId);
  if (reachable === 'none') return { items: [], total: 0, ...page };
  const { store } = call.deps;
  const filter = { runtimeId, endpointName: agentRuntimeEndpointName, workspaceIds: reachable };
  const result = await readPage(call, 'ListSessions', filter, page, (request) =>
    store.listSessions(filter, request),
  );
  const runtimes = new Map<string, RuntimeRecord>();
  for (const id of new Set(result.items.map((session) => session.runtimeId))) {
    const runtime = await store.getRuntime(id);
    if (runtime) runtimes.set(id, runtime);
  }
  // One whose runtime has just been removed is gone with it.
  const items = result.items.filter((session) => runtimes.has(session.runtimeId));
  return toPage({ ...result, items }, page, (session) =>
    toWire(call, session, runtimes.get(session.runtimeId)!),
  );
}

/** Its next call begins another; calls that are open finish. */
export async function endSession(call: Call): Promise<SessionInfo> {
  const id = call.parameters.sessionHash ?? '';
  if (!HASH.test(id)) {
    throw new RunsteadError(
      'ERR_BAD_REQUEST',
      "sessionHash must be 32 hex digits, as ListSessions has it; it is not the session's own id",
    );
  }
  const { store, sessions } = call.deps;
  const session = await store.getSession(id);
  const runtime = session && (await store.getRuntime(session.runtimeId));
  if (!runtime || !isVisible(call, runtime)) {
    throw new RunsteadError('ERR_NOT_FOUND', `Session '${id}' does not exist (not found)`);
  }
  const before = toWire(call, session, runtime);
  await sessions.end(id);
  return before;
}

function toWire({ deps }: Call, session: SessionRecord, runtime: RuntimeRecord): SessionInfo {
  return defined({
    sessionHash: session.id,
    agentRuntimeId: session.runtimeId,
    agentRuntimeName: runtime.name,
    agentRuntimeEndpointName: session.endpointName,
    agentRuntimeVersion: String(session.version),
    instanceId: session.instanceId,
    keyId: session.keyId,
    createdAt: session.createdAt,
    lastUsedAt: session.lastUsedAt,
    openCalls: deps.sessions.openCallsOf(session.id),
  });
}
