import { z } from 'zod';
import { METRICS_TYPE } from '../observe/metrics-text.ts';
import type { AuditEventRecord, EventRecord } from '../store/store.ts';
import type { Call } from './call.ts';
import { isVisible, readId, requireRuntime } from './ids.ts';
import { parseQuery } from './parse.ts';

/** What Runstead tells beyond the contract, under `/runstead/v1`. */

const EventsQuery = z.object({
  limit: z
    .string()
    .regex(/^[1-9][0-9]{0,2}$/, 'must be an integer from 1 to 999')
    .transform(Number)
    .optional(),
});

/** A runtime's history, newest first: every phase of every attempt with its time and outcome. */
export async function listEvents(call: Call): Promise<{ items: Omit<EventRecord, 'runtimeId'>[] }> {
  const { limit = 100 } = parseQuery(EventsQuery, call.query);
  const runtime = await requireRuntime(call);
  const events = await call.deps.store.listEvents(runtime.id, limit);
  return { items: events.map(({ runtimeId: _runtimeId, ...event }) => event) };
}

/** One instance, as `/runstead/v1/instances` shows it. */
export interface InstanceInfo {
  instanceId: string;
  agentRuntimeId: string;
  agentRuntimeName: string | undefined;
  /** Absent while the version has no number yet. */
  agentRuntimeVersion: string | undefined;
  state: string;
  pid: number | undefined;
  port: number;
  startedAt: string;
  inFlight: number;
  /** Why it runs on although it has no call. */
  keptBecause: string | undefined;
  /** Why it is to be replaced. */
  sick: string | undefined;
}

/** What runs now; `agentRuntimeId` narrows it to one runtime. */
export async function listInstances(call: Call): Promise<{ items: InstanceInfo[] }> {
  const { store, instances } = call.deps;
  const asked = call.query.agentRuntimeId;
  const wanted = asked ? readId('agentRuntimeId', asked) : undefined;
  const running = instances().filter(({ runtimeId }) => wanted === undefined || runtimeId === wanted);
  const items = running.map(
    async ({ id, runtimeId, revision, ...rest }): Promise<InstanceInfo | undefined> => {
      const runtime = await store.getRuntime(runtimeId);
      // One that is just being removed is nobody's, or those of all workspaces.
      if (runtime ? !isVisible(call, runtime) : call.principal.workspaces !== 'all') return undefined;
      const version = (await store.versions(runtimeId)).find((candidate) => candidate.revision === revision);
      return {
        instanceId: id,
        agentRuntimeId: runtimeId,
        agentRuntimeName: runtime?.name,
        agentRuntimeVersion: version && String(version.version),
        state: rest.state,
        pid: rest.pid,
        port: rest.port,
        startedAt: rest.startedAt,
        inFlight: rest.inFlight,
        keptBecause: rest.keptBecause,
        sick: rest.sick,
      };
    },
  );
  return { items: (await Promise.all(items)).filter((item) => item !== undefined) };
}

/** What is counted, of gateway and control process, for Prometheus. */
export function readMetrics({ deps, setHeader }: Call): Promise<string> {
  setHeader('content-type', METRICS_TYPE);
  return deps.metrics();
}

/** Who wrote what, newest first; a write without a status had no answer, as the server ended before. */
export async function listAuditEvents(call: Call): Promise<{ items: AuditEventRecord[] }> {
  const { limit = 100 } = parseQuery(EventsQuery, call.query);
  return { items: await call.deps.store.listAuditEvents(limit) };
}
